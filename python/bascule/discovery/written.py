"""Endpoints as people write them in a configuration or a file → addresses, and names to resolve."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from bascule.contract import Address, TcpAddress, UnixAddress
from bascule.errors import BasculeError
from bascule.plan.found import FoundEndpoint

HEAVIEST = 65535
HIGHEST_TIER = 100
KEYS = ("address", "weight", "id", "tier", "zone", "limit")
"""What an endpoint in a list may have."""

_LABEL = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"
_NAME = re.compile(rf"(?=.{{1,254}}\Z){_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)


class WrittenRefused(BasculeError):  # noqa: N818 (named as ConfigRefused is)
    """An endpoint is not written as it should be."""


@dataclass(frozen=True, slots=True)
class Place:
    """A port at a name, which is still to be resolved."""

    name: str
    port: int


@dataclass(frozen=True, slots=True)
class Written:
    """One endpoint as written."""

    where: Address | Place
    weight: int
    id: str | None
    """The name its writer gave it; `None`: its address is its name."""
    tier: int = 0
    """0 is used first."""
    zone: str | None = None
    """Where it is."""
    limit: int | None = None
    """Requests that it may have at a time; `None`: as its pool says."""

    def found_at(self, addresses: tuple[str, ...]) -> tuple[FoundEndpoint, ...]:
        """The endpoints it stands for; `addresses` are those of its name, if it has one."""
        if not isinstance(self.where, Place):
            return (self._found(self.id or address_id(self.where), self.where, None),)
        at = [tcp_address(it, self.where.port) for it in addresses]
        return tuple(self._found(self._id_at(it), it, self.where.name) for it in at)

    def _found(self, name: str, address: Address, host: str | None) -> FoundEndpoint:
        return FoundEndpoint(name, address, self.weight, host, self.tier, self.zone, self.limit)

    def _id_at(self, address: TcpAddress) -> str:
        # By address even when there is one: another machine under the same name starts with a clean record.
        return address.address if self.id is None else f"{self.id}@{address.address}"


def read_endpoint(entry: object) -> Written:
    """`10.0.0.1:8000`, or a mapping of `address` and perhaps `weight`, `id`, `tier`, `zone` and `limit`.

    Raises `WrittenRefused`, which says what was wrong with it and how to write it.
    """
    if isinstance(entry, str):
        return Written(read_address(entry), 1, None)
    if not isinstance(entry, Mapping):
        raise WrittenRefused(
            f"expected an endpoint, not {_shown(entry)}", "write 10.0.0.1:8000 or {address: …, weight: …}"
        )
    if unknown := {key if isinstance(key, str) else _shown(key) for key in entry} - set(KEYS):
        raise WrittenRefused(
            f"an endpoint has no {', '.join(sorted(unknown))}",
            f"it has {', '.join(KEYS[:-1])} and {KEYS[-1]}",
        )
    written, weight, given = entry.get("address"), entry.get("weight", 1), entry.get("id")
    if not isinstance(written, str):
        raise WrittenRefused(
            f"an endpoint needs an address, not {_shown(written)}", "write address: 10.0.0.1:8000"
        )
    if not isinstance(weight, int) or isinstance(weight, bool) or not 1 <= weight <= HEAVIEST:
        raise WrittenRefused(f"weight of {written} must be 1 to {HEAVIEST}, not {_shown(weight)}")
    if given is not None and (not isinstance(given, str) or not given):
        raise WrittenRefused(f"id of {written} must be a text, not {_shown(given)}")
    # A plan gives every endpoint an id: the address when the operator gave none.
    name = None if given == written else given
    return Written(read_address(written), weight, name, *_place_in_pool(entry, written))


def _place_in_pool(entry: Mapping[object, object], written: str) -> tuple[int, str | None, int | None]:
    tier, zone, limit = entry.get("tier", 0), entry.get("zone"), entry.get("limit")
    if type(tier) is not int or not 0 <= tier <= HIGHEST_TIER:
        raise WrittenRefused(f"tier of {written} must be 0 to {HIGHEST_TIER}, not {_shown(tier)}")
    if zone is not None and (not isinstance(zone, str) or not zone):
        raise WrittenRefused(f"zone of {written} must be a text, not {_shown(zone)}")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise WrittenRefused(f"limit of {written} must be a number of requests from 1, not {_shown(limit)}")
    return tier, zone, limit


def read_address(written: str) -> Address | Place:
    """`10.0.0.1:8000`, `[::1]:8000`, `app.internal:8000` or `unix:/path`. Raises `WrittenRefused`."""
    if written.startswith("unix:"):
        path = written.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path:
            raise WrittenRefused(f"{written!r} needs an absolute path", "write unix:/run/app.sock")
        return UnixAddress(path)
    host, colon, port = written.rpartition(":")
    if not colon or written.endswith("]"):
        raise WrittenRefused(f"{written!r} has no port", f"write {written}:80")
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise WrittenRefused(f"port of {written!r} must be 1 to 65535, not {port!r}")
    bare = host.removeprefix("[").removesuffix("]")
    if "%" in host:
        raise WrittenRefused(f"{host!r} in {written!r} is an address of one link only", "write it without %")
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        if bare != host or not _NAME.fullmatch(host) or host.replace(".", "").isdigit():
            raise WrittenRefused(
                f"{host!r} in {written!r} is neither an address nor a name", "write 10.0.0.1:8000"
            ) from None
        return Place(host.rstrip(".").lower(), int(port))
    if address.version == 6 and bare == host:
        raise WrittenRefused(f"IPv6 address in {written!r} needs brackets", f"write [{host}]:{port}")
    return tcp_address(str(address), int(port))


def tcp_address(address: str, port: int) -> TcpAddress:
    """`10.0.0.1` and 8000, or `::1` and 8000, as the contract writes them."""
    return TcpAddress(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")


def address_id(address: Address) -> str:
    """The id of an endpoint that has no other: where it is."""
    return address.address if isinstance(address, TcpAddress) else f"unix:{address.path}"


def _shown(value: object) -> str:
    # Never a list or mapping in full: a few aliases of YAML make one whose text fills the memory.
    return (
        repr(value)[:60]
        if isinstance(value, str | int | float | None)
        else "a list"
        if isinstance(value, list)
        else "a mapping or the like"
    )
