"""The values of a configuration that HTTP has a say in: headers, hosts, paths, methods, networks.

Like those of `values`: a reader gives the one form that is used from there on, or raises `Mistake`.
"""

import re
from collections.abc import Callable
from ipaddress import ip_network
from typing import Annotated

from pydantic import BeforeValidator, StrictStr, WithJsonSchema

from bascule.config.problems import Mistake
from bascule.config.values import shown, text

LONGEST_COOKIE_NAME = 128

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


def read_cookie_name(value: object) -> str:
    """The name of a cookie (RFC 6265, 4.1.1); case counts."""
    name = text(value, "the name of a cookie such as JSESSIONID")
    if not _TOKEN.fullmatch(name) or len(name) > LONGEST_COOKIE_NAME:
        raise Mistake(
            f"{shown(name)} cannot be the name of a cookie",
            f"letters, digits, '-' and '_', at most {LONGEST_COOKIE_NAME} (RFC 6265, 4.1.1)",
        )
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


def read_target(value: object) -> str:
    """A path with, it may be, a query: what is asked for."""
    if isinstance(value, str) and "?" in value:
        path, query = value.split("?", 1)
        if any(not 33 <= ord(char) <= 126 for char in query):
            raise Mistake(f"the query of {shown(value)} holds characters that must be percent-encoded")
        return f"{read_path(path)}?{query}"
    return read_path(value)


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


CookieName = Annotated[StrictStr, BeforeValidator(read_cookie_name)]
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
Target = Annotated[StrictStr, BeforeValidator(read_target)]
Replacement = Annotated[StrictStr, BeforeValidator(read_replacement)]
Method = Annotated[StrictStr, BeforeValidator(read_method)]
EditTemplate = Annotated[
    StrictStr,
    BeforeValidator(
        read_template(("client", "host", "hostname", "scheme", "path", "query", "uri", "listener", "route"))
    ),
    WithJsonSchema({"type": ["string", "integer", "boolean"]}),
]
Location = Annotated[
    StrictStr, BeforeValidator(read_template(("scheme", "host", "hostname", "path", "query", "uri")))
]
