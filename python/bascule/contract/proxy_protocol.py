"""Who passes connections on to us, and how we pass them on: the PROXY protocol."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Announced:
    """How a listener is told whose connection it is."""

    from_: tuple[str, ...]
    """Networks (CIDR) whose connections begin with a PROXY header, version 1 or 2; those of all others do
    not."""


ProxyVersion = Literal["v1", "v2"]
"""A version of the PROXY protocol: a line of text, or binary."""

ProxyTlv = Literal["alpn", "sni", "unique_id", "crc32c"]
"""What a header of version 2 can tell beyond addresses: the protocol that the client agreed on within TLS,
the name that it asked for, what tells its connection from all others, and a checksum over the header."""


@dataclass(frozen=True, slots=True)
class Announce:
    """How the endpoints of a pool are told whose connection it is."""

    version: ProxyVersion
    """Which header connections begin with."""
    tlvs: tuple[ProxyTlv, ...]
    """What else it tells, in this order; version 2 alone."""
