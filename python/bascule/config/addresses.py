"""Addresses as they are written: to accept on, to forward to, and to be asked on."""

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import BeforeValidator, StrictStr

from bascule.config.problems import Mistake
from bascule.config.values import shown, text

LONGEST_SOCKET_PATH = 107
"""Bytes that a Unix socket's path may have (`sun_path`, less its end mark)."""

MOST_PORTS = 1000
"""In one range: each is a socket in every thread."""

_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)


def read_bind(value: object) -> str:
    """`ip:port`, or `[::]:port` for `:port`: all addresses, IPv4 and IPv6 on one socket."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise Mistake(
            f"expected an address such as 127.0.0.1:8080, not {shown(value)}",
            f'did you mean ":{value}" (all addresses)?',
        )
    written = text(value, "an address such as 127.0.0.1:8080")
    written, last = _range(written)
    host, port = _split(written, "127.0.0.1:8080", lowest_port=0 if last is None else 1)
    ports = str(port) if last is None else _ports(port, last)
    if host == "":
        return f"[::]:{ports}"
    if (literal := _literal(host)) is None:
        name = _named(host, written)
        address = "127.0.0.1" if name == "localhost" else ""
        hint = f'write the address, or "{address}:{port}"' + ("" if address else " for all addresses")
        raise Mistake(f"{shown(written)} is a name; a listener accepts on addresses", hint)
    return f"{literal}:{ports}"


def each_port(address: str) -> tuple[str, ...]:
    """Every address of a range of ports as `read_bind` leaves it; one of what is none."""
    host, _, ports = address.rpartition(":")
    first, _, last = ports.partition("-")
    return tuple(f"{host}:{port}" for port in range(int(first), int(last or first) + 1))


def _range(written: str) -> tuple[str, str | None]:
    """An address with the first port of its range, and the last."""
    address, dash, last = written.rpartition("-")
    is_range = dash and last.isascii() and last.isdigit() and address.rpartition(":")[2].isdigit()
    return (address, last) if is_range else (written, None)


def _ports(first: int, last: str) -> str:
    if not first < int(last[:9]) <= 65535:
        raise Mistake(f"{first}-{last} is not a range of ports", "write the lower one first: :5000-5009")
    if int(last) - first >= MOST_PORTS:
        raise Mistake(
            f"{first}-{last} are {int(last) - first + 1} ports", f"a range has at most {MOST_PORTS}"
        )
    return f"{first}-{last}"


def read_endpoint(value: object) -> str:
    """`ip:port`, `name:port` or `unix:/path`; `:port` is on this machine."""
    written = text(value, "an address such as 10.0.0.1:8000")
    if written.startswith("unix:"):
        return f"unix:{read_socket_path(written.removeprefix('unix:'))}"
    host, port = _split(written, "10.0.0.1:8000", lowest_port=1)
    return f"{_literal(host or '127.0.0.1') or _named(host, written)}:{port}"


def read_named(value: object) -> str:
    """`name:port`, for what is resolved."""
    written = text(value, "a name and a port such as app.internal:8000")
    host, port = _split(written, "app.internal:8000", lowest_port=1)
    if _literal(host) is not None:
        raise Mistake(
            f"{shown(written)} is an address, there is nothing to resolve",
            f'write it as an endpoint: "{written}"',
        )
    return f"{_named(host, written)}:{port}"


def read_domain(value: object) -> str:
    """A name without a port, for SRV records, which hold the ports."""
    name = text(value, "a name such as _http._tcp.app.internal")
    if not _HOST.fullmatch(name) or len(name) > 253:
        hint = (
            "SRV records hold the ports: leave it out"
            if ":" in name
            else "for example _http._tcp.app.internal"
        )
        raise Mistake(f"{shown(name)} is not a domain name", hint)
    return name.removesuffix(".")


def read_asked_on(value: object) -> str:
    """`unix:/path` or `ip:port`."""
    written = text(value, "an address such as unix:/run/bascule.sock or 127.0.0.1:9000")
    if written.startswith("unix:"):
        return f"unix:{read_socket_path(written.removeprefix('unix:'))}"
    return read_bind(written)


def read_nameserver(value: object) -> str:
    """`ip` or `ip:port`; the port is 53 unless it is written."""
    written = text(value, "an address such as 10.0.0.2 or 10.0.0.2:53")
    host, port = _split_or(written, "10.0.0.2:53")
    if (literal := _literal(host)) is None:
        raise Mistake(
            f"{shown(written)} is not the address of a nameserver",
            "write an address such as 10.0.0.2 or 10.0.0.2:53",
        )
    return f"{literal}:{port}"


def read_sentinel_address(value: object) -> str:
    """`ip` or `ip:port`; the port is 26379 unless it is written."""
    written = text(value, "an address such as 10.0.0.5:26379")
    host, port = _split_or(written, "10.0.0.5:26379")
    if (literal := _literal(host)) is None:
        what = f"{shown(written)} is not the address of a sentinel"
        raise Mistake(what, "write an address such as 10.0.0.5 or 10.0.0.5:26379")
    return f"{literal}:{port}"


def read_store_address(value: object) -> str:
    """`ip:port`, `ip` or `unix:/path`; the port is 6379 unless it is written."""
    written = text(value, "an address such as 127.0.0.1:6379 or unix:/run/redis.sock")
    if written.startswith("unix:"):
        return f"unix:{read_socket_path(written.removeprefix('unix:'))}"
    host, port = _split_or(written, "127.0.0.1:6379")
    if (literal := _literal(host or "127.0.0.1")) is None:
        address = "127.0.0.1" if _named(host, written) == "localhost" else "10.0.0.5"
        what = f"{shown(host)} is a name; a store is reached by its address"
        raise Mistake(what, f'write it, for example "{address}:{port}"')
    return f"{literal}:{port}"


def read_ip(value: object) -> str:
    """An IP address alone, without brackets."""
    written = text(value, "an address such as 10.0.0.5")
    if (literal := _literal(written)) is None:
        raise Mistake(f"expected an address such as 10.0.0.5, not {shown(written)}")
    return literal.strip("[]")


def read_host_and_port(value: object) -> tuple[str, int]:
    """`ip:port` in its two parts, the address without brackets."""
    written = text(value, "an address such as 10.0.0.5:9707")
    host, port = _split(written, "10.0.0.5:9707", lowest_port=1)
    return read_ip(host), port


def read_socket_path(value: object) -> str:
    """An absolute path that fits into a socket's address."""
    path = text(value, "the path of a Unix socket")
    if not path.startswith("/"):
        raise Mistake(f"the path of a Unix socket is absolute, not {shown(path)}", "begin it with '/'")
    if len(path.encode(errors="replace")) > LONGEST_SOCKET_PATH or "\0" in path:
        raise Mistake(
            f"the path of a Unix socket has at most {LONGEST_SOCKET_PATH} bytes", "choose a shorter path"
        )
    return path


def read_mode(value: object) -> int:
    """Permission bits in octal. In quotes only: YAML reads 0660 as six hundred and sixty."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise Mistake(f"expected permission bits in quotes, not {shown(value)}", f'write "{value}"')
    written = text(value, 'permission bits such as "660"')
    if not re.fullmatch(r"(0o?)?[0-7]{3}", written, re.ASCII):
        raise Mistake(f'expected permission bits such as "660", not {shown(written)}', "three octal digits")
    return int(written[-3:], 8)


def _split(written: str, example: str, lowest_port: int) -> tuple[str, int]:
    if "://" in written:
        scheme, rest = written.split("://", 1)
        raise Mistake(
            f"expected an address such as {example}, not {shown(written)}",
            f'leave out the scheme: "{rest.split("/", 1)[0]}"'
            if scheme == "http"
            else "only http is spoken here, and without a scheme",
        )
    host, colon, port = written.rpartition(":")
    if not colon:
        hint = (
            f'did you mean ":{written}"?'
            if written.isdigit()
            else f'add the port: "{written}:{example.rpartition(":")[2]}"'
        )
        raise Mistake(f"expected an address such as {example}, not {shown(written)}", hint)
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise Mistake(
            f"{shown(written)} is not an address and a port",
            f'IPv6 addresses stand in brackets: "[{host}]:{port}"',
        )
    if not (port.isascii() and port.isdigit() and lowest_port <= int(port[:9]) <= 65535):
        raise Mistake(f"expected a port from {lowest_port} to 65535, not {shown(port)}")
    return host, int(port)


def _split_or(written: str, example: str) -> tuple[str, int]:
    """Host and port; the port is that of the example unless it is written."""
    if ":" in written.strip("[]").replace("::", "") and (written.count(":") == 1 or written.startswith("[")):
        return _split(written, example, lowest_port=1)
    return written.strip("[]"), int(example.rpartition(":")[2])


def _literal(host: str) -> str | None:
    """The address as it prints in `ip:port`, or `None` for what is none."""
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    if address.version == 4:
        return None if host.startswith("[") else str(address)
    return f"[{address}]"


def _named(host: str, written: str) -> str:
    looks_numeric = re.fullmatch(r"[0-9.]+", host) is not None
    if looks_numeric or not _HOST.fullmatch(host) or len(host) > 253:
        raise Mistake(f"{shown(written)} is not an address", "write ip:port or unix:/path")
    return host.lower().removesuffix(".")


BindAddress = Annotated[StrictStr, BeforeValidator(read_bind)]
EndpointAddress = Annotated[StrictStr, BeforeValidator(read_endpoint)]
NamedAddress = Annotated[StrictStr, BeforeValidator(read_named)]
Domain = Annotated[StrictStr, BeforeValidator(read_domain)]
AskedOn = Annotated[StrictStr, BeforeValidator(read_asked_on)]
Nameserver = Annotated[StrictStr, BeforeValidator(read_nameserver)]
SentinelAddress = Annotated[StrictStr, BeforeValidator(read_sentinel_address)]
StoreAddress = Annotated[StrictStr, BeforeValidator(read_store_address)]
IpAddress = Annotated[StrictStr, BeforeValidator(read_ip)]
SocketPath = Annotated[StrictStr, BeforeValidator(read_socket_path)]
