"""Reads the options that the sources share."""

from collections.abc import Mapping

from bascule.discovery.names import Ttl
from bascule.discovery.resolver import Resolver
from bascule.errors import BasculeError

LONGEST_MS = 366 * 24 * 3_600_000

MINIMUM_TTL_MS = 1_000
MAXIMUM_TTL_MS = 300_000


def read_whole(options: Mapping[str, object], key: str, default: int | None, low: int, high: int) -> int:
    """The whole number under `key`, `low` to `high`; `default` when it is not there and there is one."""
    value = options.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BasculeError(f"{key} must be a whole number from {low} to {high}, not {value!r}")
    return value


def read_text(options: Mapping[str, object], key: str) -> str:
    """The text under `key`, which must be there."""
    value = options.get(key)
    if not isinstance(value, str) or not value:
        raise BasculeError(f"{key} must be a text, not {value!r}")
    return value


def read_name(options: Mapping[str, object]) -> str:
    """The DNS name under `name`, without its final dot and in lower case: one name, one spelling."""
    return read_text(options, "name").rstrip(".").lower()


def read_ttl(options: Mapping[str, object]) -> Ttl:
    """The bounds under `minimum_ttl_ms` and `maximum_ttl_ms`."""
    minimum = read_whole(options, "minimum_ttl_ms", MINIMUM_TTL_MS, 0, LONGEST_MS)
    maximum = read_whole(options, "maximum_ttl_ms", max(MAXIMUM_TTL_MS, minimum), 1, LONGEST_MS)
    if minimum > maximum:
        raise BasculeError(f"minimum_ttl_ms ({minimum}) is above maximum_ttl_ms ({maximum})")
    return Ttl(minimum / 1000, maximum / 1000)


def read_resolver(options: Mapping[str, object]) -> Resolver:
    """One that asks the `nameservers`, or those of the machine when there are none."""
    servers = options.get("nameservers")
    if servers is None:
        return Resolver()
    if not isinstance(servers, list | tuple) or not servers or not all(isinstance(it, str) for it in servers):
        raise BasculeError(f"nameservers must be a list of addresses, not {servers!r}")
    return Resolver([str(it) for it in servers])
