"""What protects endpoints from too much work, and requests from failing endpoints."""

from dataclasses import dataclass, field
from typing import Literal

from bascule.contract.integers import U32, U64
from bascule.contract.sessions import KeyBy


@dataclass(frozen=True, slots=True)
class NoLimit:
    """As many as come."""

    kind: Literal["off"] = "off"


@dataclass(frozen=True, slots=True)
class LearnedLimit:
    """What each endpoint turns out to take; enforced only while the pool is overloaded."""

    kind: Literal["learned"] = "learned"


@dataclass(frozen=True, slots=True)
class FixedLimit:
    """This many, always. An endpoint's own limit goes before."""

    requests: U32
    """1 or more."""
    kind: Literal["fixed"] = "fixed"


Limit = NoLimit | LearnedLimit | FixedLimit
"""How many requests one endpoint may have at a time."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Where requests wait while every endpoint is at its limit."""

    length: U32
    """Requests that may wait, over all threads; beyond that they are shed."""
    wait_ms: U64
    """Longest wait; then the request is shed."""
    service_level_ms: U64 | None = None
    """Within this time clients want their answers; those who waited for half of it are shed.
    `None`: learned."""


@dataclass(frozen=True, slots=True)
class Ejection:
    """When traffic shows that an endpoint fails."""

    failures: U32
    """Failures in a row that eject."""
    failure_percent: U32 | None
    """Share of failures among the recent requests, in percent, that ejects; `None`: no share does."""
    slowness_percent: U32 | None
    """Times slower than the pool's median that ejects, in percent (500 is five times); `None`: slowness
    does not."""
    time_ms: U64
    """Time of the first ejection; each further one in a row takes twice as long."""
    longest_ms: U64
    """Longest time."""
    most_percent: U32
    """Share of the pool that may be ejected at one time. The last endpoint never is."""


@dataclass(frozen=True, slots=True)
class Hedge:
    """A second copy for requests that take unusually long."""

    budget_permille: U32
    """Share of the requests that may be sent twice, in thousandths."""
    after_ms: U64 | None = None
    """Send the copy after this long; `None`: learned from what most requests take."""


@dataclass(frozen=True, slots=True)
class NoTryLimit:
    """As long as the route allows."""

    kind: Literal["off"] = "off"


@dataclass(frozen=True, slots=True)
class LearnedTryLimit:
    """Far longer than what requests of this pool take, so that a silent endpoint costs no fixed second."""

    kind: Literal["learned"] = "learned"


@dataclass(frozen=True, slots=True)
class FixedTryLimit:
    """This long."""

    ms: U64
    """1 or more."""
    kind: Literal["fixed"] = "fixed"


TryLimit = NoTryLimit | LearnedTryLimit | FixedTryLimit
"""How long one try may take to the head of its response."""


@dataclass(frozen=True, slots=True)
class Protection:
    """How a pool is protected. The default is: not at all."""

    limit: Limit = field(default_factory=NoLimit)
    """How many requests one endpoint may have at a time."""
    queue: Queue | None = None
    """Where requests wait while every endpoint is at its limit; `None`: they are shed at once."""
    ejection: Ejection | None = None
    """When traffic shows that an endpoint fails; `None`: never mind."""
    hedge: Hedge | None = None
    """A second copy for requests that take unusually long."""
    slow_start_ms: U64 | None = None
    """How long an endpoint that is new or back takes to its full share."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many requests of one key are let through in a time; the others get 429."""

    id: str
    """Stable name, unique within the listener: buckets are kept by it."""
    by: KeyBy | None
    """Whose requests are counted together; `None`: all of the route."""
    requests: U64
    """Requests …"""
    per_ms: U64
    """… in this time, on average."""
    burst: U64
    """Requests that may come at once."""
    store: str | None = None
    """The shared store (its id) that counts for several balancers; `None`: each counts for itself."""
