"""What checks ask in protocols other than HTTP: over TCP, TLS, UDP and DNS, or through a program."""

import re
from typing import Annotated, Any, ClassVar, Literal

import dns.exception
import dns.name
import dns.rdatatype
from pydantic import BeforeValidator, Field, PlainSerializer, StrictStr, WithJsonSchema, model_validator

from bascule.config.patterns import BodyPattern
from bascule.config.problems import Mistake
from bascule.config.section import Section, alternative
from bascule.config.tls import PoolTls
from bascule.config.values import ShortForm, one_or_list, shown, text

_TEXT = {"type": "string"}
_ON = {"const": True}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def read_hex(value: object) -> str:
    """Bytes, two hex digits each; spaces between them are for people."""
    written = text(value, "bytes in hex such as 0d 0a")
    try:
        content = bytes.fromhex(written)
    except ValueError as error:
        raise Mistake(f"{shown(written)} is not hex", "two of 0-9 and a-f for each byte: 0d 0a") from error
    if not content:
        raise Mistake("these bytes are none", "write two hex digits for each")
    return written


Hex = Annotated[
    StrictStr, BeforeValidator(read_hex), WithJsonSchema({"type": "string", "examples": ["0d 0a"]})
]
_Words = Annotated[StrictStr, Field(min_length=1)]


class Content(Section):
    """Bytes that are sent: text, or hex."""

    title: ClassVar[str] = "what is sent"

    text: _Words | None = alternative()
    """In double quotes `\\r\\n` ends a line."""
    hex: Hex | None = alternative()
    """Two digits for each byte; spaces between are ignored."""

    @model_validator(mode="after")
    def _is_one(self) -> "Content":
        _one_of(self, "text", "hex")
        return self


class Answer(Section):
    """What an answer must hold, anywhere in its first 64 KiB: a text, bytes in hex, or a match."""

    title: ClassVar[str] = "an expectation"

    text: _Words | None = alternative()
    """As it is."""
    hex: Hex | None = alternative()
    """Two digits for each byte; spaces between are ignored."""
    regex: BodyPattern | None = alternative()
    """A regular expression, searched for in the answer read as UTF-8; the search may take 100 ms."""

    @model_validator(mode="after")
    def _is_one(self) -> "Answer":
        _one_of(self, "text", "hex", "regex")
        return self


def _one_of(section: Section, *keys: str) -> None:
    given = [key for key in keys if getattr(section, key) is not None]
    if len(given) != 1:
        found = " and ".join(given) if given else "none of them"
        raise Mistake(
            f"{section.title} is one of {', '.join(keys)}, not {found}", 'write "PING\\r\\n", for one'
        )


def _as_text(value: Any) -> Any:
    return {"text": value} if isinstance(value, str) else value


OneContent = Annotated[Content, ShortForm(_as_text, (_TEXT,))]
OneAnswer = Annotated[Answer, ShortForm(_as_text, (_TEXT,))]


def on_or_more(value: Any) -> Any:
    """`true` is the question without more."""
    if value is False or value is None:
        raise Mistake(f"expected true or a mapping, not {shown(value)}")
    return {} if value is True else value


def _true_or_more(section: Section) -> Any:
    """As it is written: `true` when there is no more to say."""
    return section.model_dump(mode="json", by_alias=True) or True


class TcpQuestion(Section):
    """Connect; it may be, send something; it may be, wait for an answer."""

    title: ClassVar[str] = "a tcp check"

    send: OneContent | None = alternative()
    """What is sent first: a text, or `{hex: …}`."""
    expect: OneAnswer | None = alternative()
    """What must come: a text, `{hex: …}` or `{regex: …}`. The connection may stay open or be closed."""


class TlsQuestion(PoolTls):
    """Make a TLS handshake. Says nothing of its own on whom to trust: then the pool's `tls` counts."""

    title: ClassVar[str] = "a tls check"

    min_days: Annotated[int, Field(strict=True, ge=0, le=3650)] | None = alternative()
    """Days that the certificate must still be good for."""


class UdpQuestion(Section):
    """Send a datagram and wait for one."""

    title: ClassVar[str] = "a udp check"

    send: OneContent
    """The datagram: a text, or `{hex: …}`."""
    expect: OneAnswer | None = alternative()
    """What the answer must hold: a text, `{hex: …}` or `{regex: …}`. By default any answer passes."""
    silence: Literal["fail", "pass"] = "fail"
    """Whether no answer passes, for protocols that have none; then only a refusal (ICMP) fails."""


def read_dns_name(value: object) -> str:
    """A name as DNS has them."""
    name = text(value, "a name such as example.com")
    try:
        dns.name.from_text(name)
    except dns.exception.DNSException as error:
        raise Mistake(
            f"{shown(name)} is not a DNS name", "labels of up to 63 characters, 253 in all"
        ) from error
    return name


def read_record_type(value: object) -> str:
    """The type of a record, in capitals."""
    kind = text(value, "a type of record such as A, AAAA or TXT").upper()
    try:
        dns.rdatatype.from_text(kind)
    except (dns.exception.DNSException, ValueError) as error:
        raise Mistake(
            f"there is no type of record {shown(kind)}", "for example A, AAAA, MX, SRV or TXT"
        ) from error
    return kind


class DnsQuestion(Section):
    """Ask a name server for records."""

    title: ClassVar[str] = "a dns check"

    name: Annotated[StrictStr, BeforeValidator(read_dns_name), Field(examples=["example.com"])]
    """What is asked for."""
    type: Annotated[StrictStr, BeforeValidator(read_record_type)] = "A"
    """Of which type."""
    expect: Annotated[tuple[_Words, ...], ShortForm(one_or_list, (_TEXT,))] = ()
    """Records that must be among the answer, each as a zone file writes it. By default any one passes."""
    transport: Literal["udp", "tcp"] = "udp"
    """`udp` asks over TCP as well when the answer says that it was cut off, as resolvers do."""


def read_command(value: object) -> object:
    """A program and its words. There is no shell to take a line apart."""
    if isinstance(value, str):
        raise Mistake(
            "a command is a list: the program, and its words", f'write ["{value.partition(" ")[0]}", …]'
        )
    if isinstance(value, list | tuple):
        if not value:
            raise Mistake("this command is empty", "write the program, and its words")
        if not (isinstance(value[0], str) and value[0].startswith("/")):
            raise Mistake(f"{shown(value[0])} is not the path of a program", "write its whole path, from /")
    return value


def read_environment(value: object) -> object:
    """Names and values."""
    for name in value if isinstance(value, dict) else ():
        if not (isinstance(name, str) and _VARIABLE.fullmatch(name)):
            raise Mistake(f"{shown(name)} is not the name of a variable", "letters, digits and '_'")
    return value


TcpOrTrue = Annotated[TcpQuestion, ShortForm(on_or_more, (_ON,)), PlainSerializer(_true_or_more)]
TlsOrTrue = Annotated[TlsQuestion, ShortForm(on_or_more, (_ON,))]
Command = Annotated[
    tuple[StrictStr, ...], BeforeValidator(read_command), Field(examples=["[/usr/bin/check]"])
]
Environment = Annotated[dict[StrictStr, StrictStr], BeforeValidator(read_environment)]
