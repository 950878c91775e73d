"""Endpoints as sources report them."""

from collections.abc import Mapping
from dataclasses import dataclass

from bascule import contract


@dataclass(frozen=True, slots=True)
class FoundEndpoint:
    """One endpoint that a source knows of now."""

    id: str
    """Stable name within the pool, for example `10.0.0.1:8000`: health and counters are kept by it."""
    address: contract.Address
    """Where it is; resolved."""
    weight: int
    """Share relative to the others, 1 to 65535."""
    host: str | None
    """The name it was found by, without port; `None` when it was found by address."""
    tier: int = 0
    """0 is used first."""
    zone: str | None = None
    """Where it is."""
    limit: int | None = None
    """Requests that it may have at a time; `None`: as its pool says."""


Found = Mapping[str, tuple[FoundEndpoint, ...]]
"""What is known now, by pool id. A pool that is not there has no endpoints yet."""
