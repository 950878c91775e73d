"""Which addresses a configuration accepts on, and which of them are the same to the system."""

from collections.abc import Iterator
from dataclasses import dataclass

from bascule.config.addresses import each_port
from bascule.config.model import Config
from bascule.config.places import Path


@dataclass(frozen=True, slots=True)
class Used:
    """One address that is accepted on, by whom, and where that is written."""

    address: str
    """`ip:port`, `udp:ip:port` or `unix:/path`."""
    owner: str
    """As messages name it."""
    path: Path


def of(config: Config) -> Iterator[Used]:
    """Every address, in the order of the configuration; those of the admin side last."""
    for name, listener in config.listeners.items():
        for at, bind in enumerate(listener.bind):
            path: Path = ("listeners", name, "bind", at)
            addresses = (f"unix:{bind.unix}",) if bind.address is None else each_port(bind.address)
            prefix = "udp:" if listener.protocol == "udp" else ""
            yield from (Used(f"{prefix}{address}", f'listener "{name}"', path) for address in addresses)
    if config.admin.bind is not None:
        yield Used(config.admin.bind, "`admin`", ("admin", "bind"))
    if config.admin.metrics is not None:
        yield Used(config.admin.metrics, "`admin.metrics`", ("admin", "metrics"))


def overlap(one: str, other: str) -> bool:
    """Whether the system would refuse the second of two addresses, or split traffic between them.

    Port 0 never clashes: the system chooses. `[::]` takes IPv4 too.
    """
    if one.startswith("unix:") or other.startswith("unix:"):
        return one == other
    if one.startswith("udp:") != other.startswith("udp:"):
        return False
    one, other = one.removeprefix("udp:"), other.removeprefix("udp:")
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    if port != other_port or port == "0":
        return False
    return host == other_host or _covers(host, other_host) or _covers(other_host, host)


def is_public(address: str) -> bool:
    """Whether others than this machine can reach it."""
    host = address.rpartition(":")[0]
    return not address.startswith("unix:") and not host.startswith("127.") and host != "[::1]"


def _covers(host: str, other: str) -> bool:
    return host == "[::]" or (host == "0.0.0.0" and not other.startswith("["))
