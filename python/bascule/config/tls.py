"""TLS: what listeners show to clients and ask of them, and how it is spoken to endpoints."""

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    StrictStr,
    WithJsonSchema,
    WrapSerializer,
    model_validator,
)

from bascule.config.acme import CertificateNames
from bascule.config.addresses import Domain
from bascule.config.problems import Mistake
from bascule.config.secrets import Key
from bascule.config.section import Section, alternative
from bascule.config.values import (
    ShortForm,
    none_word,
    one_or_list,
    read_duration,
    shown,
    written_or_off,
)
from bascule.units import format_duration

DAY = 86_400_000
YEAR = 365 * DAY
LONGEST_HSTS = 10 * YEAR
_TEXT = {"type": "string"}

FilePath = Annotated[StrictStr, Field(min_length=1)]


class CertificateFile(Section):
    """A certificate and its key, or a directory of them."""

    title: ClassVar[str] = "a certificate"

    certificate: Annotated[FilePath, Field(examples=["site.pem"])]
    """A PEM file: the certificate first, then those that lead to its authority; or a directory, whose
    certificates and keys find each other. Relative to the file in which it is written."""
    key: FilePath | None = alternative()
    """The PEM file of its key, not encrypted; by default it is in the same file."""
    default: bool = False
    """Show it to clients that ask for no name, or for one that no certificate has. Without any, that is the
    first."""


def _certificate(value: Any) -> Any:
    return {"certificate": value} if isinstance(value, str) else value


class TicketKey(Section):
    """A secret from which keys for tickets are made."""

    title: ClassVar[str] = "a ticket key"

    secret: Key | None = alternative()
    """At least 16 characters."""
    file: FilePath | None = alternative()
    """A file that holds it, read again when it changes."""

    @model_validator(mode="after")
    def _is_one_of_two(self) -> "TicketKey":
        if (self.secret is None) == (self.file is None):
            raise Mistake("a ticket key has one of `secret` and `file`", 'write keys: ["${TICKET_KEY}"]')
        return self


class Tickets(Section):
    """How clients resume a session without a whole handshake."""

    title: ClassVar[str] = "tickets"

    keys: Annotated[
        tuple[
            Annotated[
                TicketKey, ShortForm(lambda it: {"secret": it} if isinstance(it, str) else it, (_TEXT,))
            ],
            ...,
        ],
        ShortForm(one_or_list, (_TEXT,)),
    ] = ()
    """Secrets of at least 16 characters, or `{file: …}`: the first encrypts, all are accepted. Balancers with
    the same keys accept each other's tickets. To change keys put the new one first, and remove the old one 12
    hours later. Without: keys of this process, which change every 6 hours."""


def _tickets(value: Any) -> Any:
    if value is None:
        raise Mistake("a value is missing here", "write on, off, or {keys: …}")
    return {} if value is True or value == "on" else None if none_word(value) is None else value


class ClientCertificates(Section):
    """How clients prove who they are."""

    title: ClassVar[str] = "the client certificates of a listener"

    mode: Literal["required", "optional"] = "required"
    """`required`: who shows none is refused. `optional`: routes decide, with `match: {client_certificate:
    …}`."""
    ca: Annotated[tuple[FilePath, ...], Field(min_length=1), ShortForm(one_or_list, (_TEXT,))]
    """PEM files of the authorities that issue them."""
    crl: Annotated[tuple[FilePath, ...], ShortForm(one_or_list, (_TEXT,))] = ()
    """PEM files of what these have revoked. With any, there must be a fresh one of every authority, those
    between too: who cannot be looked up is refused."""


class ListenerTls(Section):
    """How a listener speaks TLS."""

    title: ClassVar[str] = "the TLS of a listener"

    certificates: Annotated[
        tuple[Annotated[CertificateFile, ShortForm(_certificate, (_TEXT,))], ...],
        ShortForm(one_or_list, (_TEXT, {"type": "object"})),
    ] = ()
    """PEM files, `{certificate, key}`, or directories. Each is shown to clients that ask for one of its
    names; of an ECDSA and an RSA certificate for one name, clients get the one that they can verify."""
    acme: CertificateNames = ()
    """Names to order certificates for, as the section `acme` says: each entry is a certificate, a list is one
    for several names, and `on` one for each host of the routes. Until it is there, clients that ask for the
    name are refused. After `certificates`, if there are any."""
    self_signed: bool = False
    """For development: a certificate of an authority made on the spot, for `localhost` and the hosts of the
    routes. Its file is printed, so that clients can be told to trust it."""
    unknown_name: Literal["default", "refuse"] = "default"
    """What a client gets that asks for no name, or for one that no certificate has: the default certificate,
    or an alert (`unrecognized_name`)."""
    min_version: Annotated[
        Literal["1.2", "1.3"], BeforeValidator(lambda it: str(it) if isinstance(it, float) else it)
    ] = "1.2"
    """Older versions of TLS are refused."""
    tickets: Annotated[
        Tickets | None,
        ShortForm(_tickets, ({"enum": ["on", "off", True, False]},)),
        WrapSerializer(written_or_off),
    ] = Tickets()
    """Session resumption: `on` (the default), `off`, or `{keys: …}`. 0-RTT is never accepted."""
    client_certificates: ClientCertificates | None = alternative()
    """Ask clients for a certificate. What it says goes to endpoints as `X-Forwarded-Client-Cert`."""

    @model_validator(mode="after")
    def _has_something_to_show(self) -> "ListenerTls":
        if not self.certificates and not self.acme and not self.self_signed:
            raise Mistake(
                "this listener has no certificate to show",
                "write tls: {certificates: site.pem}, {acme: shop.example.com}, or {self_signed: true} for"
                " development",
            )
        if (self.certificates or self.acme) and self.self_signed:
            instead = "certificates" if self.certificates else "acme"
            raise Mistake(f"`self_signed` takes the place of `{instead}`", "remove one of them")
        if self.unknown_name == "refuse" and any(each.default for each in self.certificates):
            raise Mistake(
                "a default certificate is never shown while unknown names are refused",
                "remove `default`, or `unknown_name: refuse`",
            )
        return self


class PoolTls(Section):
    """How TLS is spoken to endpoints."""

    title: ClassVar[str] = "the TLS of a pool"

    verify: bool = True
    """Endpoints must prove who they are. Off, anybody in between can be one."""
    server_name: Domain | None = alternative()
    """The name that is asked for, and that their certificates must have. By default the name of the pool's
    `dns` source, else the address of each endpoint."""
    ca: Annotated[tuple[FilePath, ...], ShortForm(one_or_list, (_TEXT,))] = ()
    """PEM files of the authorities to trust; by default those of the system."""
    crl: Annotated[tuple[FilePath, ...], ShortForm(one_or_list, (_TEXT,))] = ()
    """PEM files of what these have revoked; of every authority, as for clients."""
    certificate: FilePath | None = alternative()
    """What we show when endpoints ask: a PEM file, with its chain."""
    key: FilePath | None = alternative()
    """The PEM file of its key; by default it is in the same file."""

    @model_validator(mode="after")
    def _is_of_one_mind(self) -> "PoolTls":
        if not self.verify and (self.ca or self.crl):
            raise Mistake("nobody is checked against `ca` while `verify` is off", "remove one of them")
        if self.key is not None and self.certificate is None:
            raise Mistake("`key` belongs to a certificate", "add `certificate`, or remove it")
        return self


def _pool_tls(value: Any) -> Any:
    if value is None:
        raise Mistake("a value is missing here", "write on, or {ca: …, server_name: …}")
    return {} if value is True or value == "on" else None if none_word(value) is None else value


PoolTlsOrOff = Annotated[
    PoolTls | None,
    ShortForm(_pool_tls, ({"enum": ["on", "off", True, False]},)),
    WrapSerializer(written_or_off),
]


def read_hsts_time(value: object) -> int:
    """Milliseconds; years count, which other durations have no need of."""
    if isinstance(value, str) and (years := re.fullmatch(r"([0-9]{1,2})y", value.strip(), re.ASCII)):
        milliseconds = int(years[1]) * YEAR
    else:
        milliseconds = read_duration(value)
    if not 1000 <= milliseconds <= LONGEST_HSTS:
        raise Mistake(f"expected a time from 1s to 10y, not {shown(value)}", "a year (1y) is usual")
    return milliseconds


def _written_time(milliseconds: int) -> str:
    return f"{milliseconds // YEAR}y" if milliseconds % YEAR == 0 else format_duration(milliseconds)


class Hsts(Section):
    """`Strict-Transport-Security` (RFC 6797): browsers come back over TLS only."""

    title: ClassVar[str] = "HSTS"

    max_age: Annotated[
        int,
        BeforeValidator(read_hsts_time),
        PlainSerializer(_written_time),
        WithJsonSchema({"type": "string", "examples": ["1y", "30d"]}),
    ] = YEAR
    """How long browsers remember it."""
    include_subdomains: bool = False
    """It holds for everything below the host, too."""
    preload: bool = False
    """The host may be put on the lists that browsers are shipped with."""

    @model_validator(mode="after")
    def _may_be_preloaded(self) -> "Hsts":
        if self.preload and (self.max_age < YEAR or not self.include_subdomains):
            raise Mistake(
                "lists of preloaded hosts want at least a year, with subdomains",
                "write {max_age: 1y, include_subdomains: true, preload: true}",
            )
        return self

    @property
    def value(self) -> str:
        """As it is sent."""
        more = ("; includeSubDomains" if self.include_subdomains else "", "; preload" if self.preload else "")
        return f"max-age={self.max_age // 1000}{''.join(more)}"


def _hsts(value: Any) -> Any:
    if value is None:
        raise Mistake("a value is missing here", "write 1y, off, or {max_age: 1y, include_subdomains: true}")
    if value is True:
        return {}
    if none_word(value) is None:
        return None
    return value if isinstance(value, dict | Hsts) else {"max_age": value}


HstsOrOff = Annotated[
    Hsts | None,
    ShortForm(_hsts, ({"type": "string", "examples": ["1y", "off"]}, {"enum": [True, False]})),
    WrapSerializer(written_or_off),
]


def _https_port(value: object) -> object:
    """`true` is where HTTPS is everywhere; `off` is nowhere."""
    if value is True:
        return 443
    if none_word(value) is None:
        return None
    if not isinstance(value, int) or not 1 <= value <= 65535:
        raise Mistake(f"expected true or the port of HTTPS, not {shown(value)}")
    return value


HttpsPort = Annotated[
    int | None,
    BeforeValidator(_https_port),
    PlainSerializer(lambda port: True if port == 443 else False if port is None else port),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "integer", "minimum": 1, "maximum": 65535}]}),
]
