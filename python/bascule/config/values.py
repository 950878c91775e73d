"""The single values of a configuration: how each is written, and what is wrong when it is not.

Every reader takes what stands in the file and gives the one form that the rest of the program
uses, or raises `Mistake` (or `UnitRefused`) with words for the operator.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)
from pydantic_core import core_schema

from bascule import units
from bascule.config.problems import Mistake

LARGEST_COUNT = (1 << 32) - 1

NONE_WORDS = ("none", "off", "unlimited")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_LABELS = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*", re.ASCII)
_PLACEHOLDER = re.compile(r"\{\{|\{([^{}]*)\}|\{")
_FRAMING = frozenset(
    [
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)


def shown(value: object) -> str:
    """A value as a message quotes it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int | float):
        return f"the number {value}"
    text = str(value)
    return f"'{text}'" if len(text) <= 40 else f"'{text[:37]}…'"


def text(value: object, wanted: str) -> str:
    """`value` if it is text; a number where text belongs is what quotes are for."""
    if isinstance(value, str):
        return value
    hint = f'put it in quotes: "{value}"' if isinstance(value, int | float) else None
    raise Mistake(f"expected {wanted}, not {shown(value)}", hint)


def read_duration(value: object) -> int:
    """Milliseconds."""
    if isinstance(value, timedelta):
        return value // timedelta(milliseconds=1)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Mistake(
            f"expected a duration such as 250ms or 5s, not {shown(value)}",
            f"add the unit: {value}s or {value}ms",
        )
    return units.parse_duration(text(value, "a duration such as 250ms or 5s"))


def read_positive_duration(value: object) -> int:
    """Milliseconds, at least one: a time limit of nothing would let nothing happen."""
    if (milliseconds := read_duration(value)) < 1:
        raise Mistake("expected a duration of at least 1ms, not 0")
    return milliseconds


def read_size(value: object) -> int:
    """Bytes; a bare number is bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise Mistake(f"expected a size of at least 0, not {value}")
        return units.parse_size(str(value))
    return units.parse_size(text(value, "a size such as 64KiB or 10MiB"))


def read_percent(value: object) -> int:
    """Whole percent, 0 to 100."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        meant = round(value * 100) if 0 < value < 1 else value
        raise Mistake(f"expected a share such as 20%, not {shown(value)}", f'did you mean "{meant}%"?')
    percent = units.parse_percent(text(value, "a share such as 20%"))
    if percent > 100:
        raise Mistake(f"expected a share from 0% to 100%, not {percent}%")
    return percent


def read_name(value: object) -> str:
    """A name of our own: of a listener, a pool, a route or an endpoint."""
    name = text(value, "a name")
    if not _NAME.fullmatch(name):
        raise Mistake(
            f"{shown(name)} cannot be a name",
            "letters, digits, '_', '-' and '.', at most 64, beginning with a letter, digit or '_'",
        )
    return name


def read_header_name(value: object) -> str:
    """A field name (RFC 9110, 5.1), as it is written."""
    name = text(value, "a header name such as X-Request-Id")
    if not _TOKEN.fullmatch(name):
        raise Mistake(
            f"{shown(name)} cannot be a header name",
            "header names hold letters, digits and '-', no spaces and no colon (RFC 9110, 5.1)",
        )
    return name


def read_editable_header(value: object) -> str:
    """A field name that an operator may set or remove; those that frame messages are ours."""
    name = read_header_name(value)
    if name.lower() in _FRAMING:
        raise Mistake(
            f'the header "{name}" cannot be changed',
            "it says where a message ends or what a connection does, and is different on each side",
        )
    return name


def read_removable_header(value: object) -> str:
    """A field name that may be removed."""
    name = read_editable_header(value)
    if name.lower() == "host":
        raise Mistake('the header "Host" cannot be removed', "set it to something else (RFC 9112, 3.2)")
    return name


def read_parameter(value: object) -> str:
    """The name of a query parameter, decoded."""
    name = text(value, "the name of a query parameter")
    if not name:
        raise Mistake("the name of a query parameter is not empty", "write the name, decoded")
    return name


def read_header_value(value: object) -> str:
    """A field value: nothing that could end the line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    content = str(value) if isinstance(value, int) else text(value, "a header value")
    if any((ord(char) < 32 and char != "\t") or ord(char) == 127 for char in content):
        raise Mistake(
            "a header value cannot hold line breaks or control characters",
            "remove them, or send them encoded",
        )
    if content != content.strip():
        raise Mistake("a header value cannot begin or end with a space", "remove it (RFC 9110, 5.5)")
    return content


def read_network(value: object) -> str:
    """A network in CIDR form; an address alone is a network of one."""
    written = text(value, "a network such as 10.0.0.0/8")
    if "%" in written:
        raise Mistake(
            f"expected a network such as 10.0.0.0/8, not {shown(value)}", "leave out the '%' and what follows"
        )
    try:
        return str(ip_network(written))
    except ValueError:
        pass
    try:
        hint = f'did you mean "{ip_network(written, strict=False)}"?'
    except ValueError:
        hint = "write an address, or an address with a prefix length"
    raise Mistake(f"expected a network such as 10.0.0.0/8, not {shown(value)}", hint)


def read_host_pattern(value: object) -> str:
    """`api.example.com`, `*.example.com`, or an address; lower case, without a port."""
    host = text(value, "a host such as api.example.com or *.example.com").lower().removesuffix(".")
    name = host.removeprefix("*.")
    if _LABELS.fullmatch(name) or re.fullmatch(r"\[[0-9a-f:.]+\]", host):
        return host
    raise Mistake(f"{shown(value)} is not a host", _host_hint(host))


def read_path(value: object) -> str:
    """A path as it is compared and sent: beginning with `/`, without query."""
    path = text(value, "a path such as /v1/")
    if not path.startswith("/"):
        raise Mistake(f"a path begins with '/', not {shown(path)}", f'did you mean "/{path}"?')
    if wrong := re.search(r"[\x00-\x20\x7f?#\\]", path):
        what = {"?": "a query", "#": "a fragment"}.get(wrong[0], f"{wrong[0]!r}")
        hint = "match queries with `query:`" if wrong[0] == "?" else "percent-encode it or leave it out"
        raise Mistake(f"a path cannot hold {what}", hint)
    if wrong := re.search(r"%(?![0-9A-Fa-f]{2})[^/]{0,2}|%00|%5[Cc]", path):
        raise Mistake(f"a path cannot hold {shown(wrong[0])}", "write a percent sign as %25")
    # As endpoints may read it: escapes undone, and what follows a `;` left off.
    decoded = re.sub("%2f", "/", re.sub("%2e", ".", path, flags=re.IGNORECASE), flags=re.IGNORECASE)
    if any(segment.partition(";")[0] in (".", "..") for segment in decoded.split("/")):
        raise Mistake("a path here has no '.' and '..' segments", "write the path that they lead to")
    return path


def read_replacement(value: object) -> str:
    """What a pattern's match in a path is replaced by: nothing that ends a path or a request line."""
    replacement = text(value, "a replacement such as /$1")
    if wrong := re.search(r"[\x00-\x20\x7f?#]", replacement):
        raise Mistake(f"a path cannot hold {wrong[0]!r}", "percent-encode it; the query stays as it was sent")
    return replacement


def read_method(value: object) -> str:
    """A method (RFC 9110, 9.1), as it is sent: methods are case-sensitive."""
    method = text(value, "a method such as GET")
    if not _TOKEN.fullmatch(method):
        raise Mistake(f"{shown(method)} cannot be a method", "write one word, such as GET")
    if method.upper() in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"):
        return method.upper()
    return method


def read_template(allowed: tuple[str, ...]) -> Callable[[object], str]:
    """A reader of header values in which `{name}` is filled in and `{{` is a brace."""

    def read(value: object) -> str:
        template = read_header_value(value)
        for found in _PLACEHOLDER.finditer(template):
            if found[0] != "{{" and found[1] not in allowed:
                known = ", ".join(f"{{{name}}}" for name in allowed)
                raise Mistake(
                    f"{shown(found[0])} is nothing that can be filled in",
                    f"known: {known}; write {{{{ for a brace",
                )
        return template

    return read


def read_count_or_none(value: object) -> int | None:
    """At least one, or no limit."""
    if none_word(value) is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST_COUNT:
        raise Mistake(f"expected a whole number of at least 1, or none, not {shown(value)}")
    return value


def none_word(value: object) -> object:
    """`none`, `off` and `unlimited` where there may be no value."""
    return None if value is False or value in NONE_WORDS else value


def _host_hint(host: str) -> str:
    _, scheme, rest = host.partition("://")
    hints = (
        (scheme, f'leave out the scheme: "{rest.split("/", 1)[0]}"'),
        ("/" in host, "leave out the path: match it with `path:`"),
        (host == "*", "leave `host` out to match every host"),
        (re.fullmatch(r".*:[0-9]+", host), f'leave out the port: "{host.rpartition(":")[0]}"'),
        ("*" in host, "a '*' stands alone at the front, for one or more labels: *.example.com"),
        (not host.isascii(), f'write it as clients send it: "{_ascii_host(host)}"'),
    )
    return next(
        (hint for holds, hint in hints if holds), "letters, digits, '-' and '.', as in api.example.com"
    )


def _ascii_host(host: str) -> str:
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return "xn--…"


@dataclass(frozen=True, slots=True)
class ShortForm:
    """Annotates a type that may also be written shorter; `expand` gives the full form."""

    expand: Callable[[Any], Any]
    also: tuple[dict[str, Any], ...]
    """JSON Schemas of the short forms, for editors."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [*self.also, handler(schema)]}


def one_or_list(value: object) -> object:
    """One item written without its list; a list or nothing stays."""
    return value if isinstance(value, list | tuple) or value is None else [value]


def _not_empty(items: tuple[Any, ...]) -> tuple[Any, ...]:
    if not items:
        raise Mistake("this list is empty", "write at least one")
    return items


NotEmpty = AfterValidator(_not_empty)
"""Annotates a list. Says nothing of one whose items are wrong, unlike a minimum length."""


def _or_none(form: Callable[[int], str]) -> Callable[[int | None], str]:
    return lambda value: "none" if value is None else form(value)


_DURATION = {"type": "string", "examples": ["250ms", "5s", "1m30s"]}
_SIZE = {"anyOf": [{"type": "string", "examples": ["64KiB", "10MiB"]}, {"type": "integer", "minimum": 0}]}
_NO = {"enum": [*NONE_WORDS, None, False]}

Duration = Annotated[
    int,
    BeforeValidator(read_positive_duration),
    PlainSerializer(units.format_duration),
    WithJsonSchema(_DURATION),
]
DurationOrZero = Annotated[
    int, BeforeValidator(read_duration), PlainSerializer(units.format_duration), WithJsonSchema(_DURATION)
]
DurationOrNone = Annotated[
    int | None,
    BeforeValidator(lambda value: None if none_word(value) is None else read_positive_duration(value)),
    PlainSerializer(_or_none(units.format_duration)),
    WithJsonSchema({"anyOf": [_DURATION, _NO]}),
]
Size = Annotated[int, BeforeValidator(read_size), PlainSerializer(units.format_size), WithJsonSchema(_SIZE)]
SizeOrNone = Annotated[
    int | None,
    BeforeValidator(lambda value: None if none_word(value) is None else read_size(value)),
    PlainSerializer(_or_none(units.format_size)),
    WithJsonSchema({"anyOf": [_SIZE, _NO]}),
]
Percent = Annotated[
    int,
    BeforeValidator(read_percent),
    PlainSerializer(units.format_percent),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]+ ?%$", "examples": ["20%"]}),
]
CountOrNone = Annotated[
    StrictInt | None,
    BeforeValidator(read_count_or_none),
    PlainSerializer(lambda count: "none" if count is None else count),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, _NO]}),
]
Name = Annotated[StrictStr, BeforeValidator(read_name)]
HeaderName = Annotated[StrictStr, BeforeValidator(read_header_name)]
RemovableHeader = Annotated[StrictStr, BeforeValidator(read_removable_header)]
Parameter = Annotated[StrictStr, BeforeValidator(read_parameter)]
EditableHeader = Annotated[StrictStr, BeforeValidator(read_editable_header)]
HeaderText = Annotated[
    StrictStr, BeforeValidator(read_header_value), WithJsonSchema({"type": ["string", "integer", "boolean"]})
]
Network = Annotated[StrictStr, BeforeValidator(read_network)]
HostPattern = Annotated[StrictStr, BeforeValidator(read_host_pattern)]
Path = Annotated[StrictStr, BeforeValidator(read_path)]
Replacement = Annotated[StrictStr, BeforeValidator(read_replacement)]
Method = Annotated[StrictStr, BeforeValidator(read_method)]
EditTemplate = Annotated[
    StrictStr,
    BeforeValidator(read_template(("client", "host", "scheme", "path", "query", "uri", "listener", "route"))),
    WithJsonSchema({"type": ["string", "integer", "boolean"]}),
]
Location = Annotated[StrictStr, BeforeValidator(read_template(("scheme", "host", "path", "query", "uri")))]
