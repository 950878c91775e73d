"""A request as somebody writes it down → the question that the data plane answers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bascule import contract
from bascule.errors import BasculeError

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that nobody sends."""

    method: str
    url: str
    """`https://shop.example/cart`."""
    headers: tuple[str, ...] = ()
    """`Name: value`, as curl takes them; `Host` replaces that of the URL."""
    client: str | None = "127.0.0.1"
    """Its address; `None`: it comes over a Unix socket."""
    listener: str | None = None
    """`None`: the one that the URL leads to."""


def question(
    asked: Asked, listeners: Sequence[contract.Listener], secure: Collection[str], now_s: int
) -> contract.Question:
    """The question; `secure` are the listeners that speak TLS.

    Raises `BasculeError` when the URL is none, or leads to no listener or to several.
    """
    url = urlsplit(asked.url)
    if url.scheme not in PORTS or not url.hostname:
        raise BasculeError(
            f"'{asked.url}' is not a URL that a listener could get",
            "write it whole, for example https://shop.example/cart",
        )
    if any(character in asked.url or character in asked.method for character in " \r\n"):
        raise BasculeError("a URL and a method have no blanks", "write %20 for a blank")
    listener = asked.listener or _listener(url.scheme, _port(asked.url), listeners, secure)
    target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    fields = [_field(header) for header in asked.headers]
    if not any(field.lower().startswith("host:") for field in fields):
        fields.insert(0, f"Host: {url.netloc.rpartition('@')[2]}")
    lines = [f"{asked.method.upper()} {target} HTTP/1.1", *fields, "", ""]
    return contract.Question(listener, "\r\n".join(lines), asked.client, now_s)


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError as error:
        raise BasculeError(f"'{url}' has no port that can be", "a port is 1 to 65535") from error


def _field(header: str) -> str:
    name, colon, value = header.partition(":")
    if not colon or not name or any(character in header for character in "\r\n"):
        raise BasculeError(f"'{header}' is not a header", "write it as in -H 'Cookie: session=1'")
    return f"{name}: {value.strip()}"


def _listener(
    scheme: str, port: int | None, listeners: Sequence[contract.Listener], secure: Collection[str]
) -> str:
    """By the port that is written; else by the usual port; else the only one that speaks the scheme."""
    http = [it for it in listeners if it.carries == "http"]
    on_port = [it.id for it in http if (port or PORTS[scheme]) in _ports(it)]
    if port is not None and not on_port:
        raise BasculeError(f"no listener accepts on port {port}", _names(http))
    found = on_port or [it.id for it in http if (it.id in secure) == (scheme == "https")]
    if len(found) != 1:
        several = f"several listeners could get it: {', '.join(found)}"
        none = f"no listener speaks {scheme}"
        raise BasculeError(several if found else none, _names(http))
    return found[0]


def _ports(listener: contract.Listener) -> set[int]:
    return {
        int(bind.address.rpartition(":")[2]) for bind in listener.binds if isinstance(bind, contract.TcpBind)
    }


def _names(listeners: Sequence[contract.Listener]) -> str:
    return f"name one with --listener: {', '.join(it.id for it in listeners) or 'there is none'}"
