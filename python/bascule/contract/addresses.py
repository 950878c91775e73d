"""Where an endpoint or a store is."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP address that serves."""

    address: str
    """`ip:port`, IPv6 in brackets; names are resolved before a snapshot is made."""
    kind: Literal["tcp"] = "tcp"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket that serves."""

    path: str
    """Absolute path."""
    kind: Literal["unix"] = "unix"


Address = TcpAddress | UnixAddress
"""Where an endpoint is."""
