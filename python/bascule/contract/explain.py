"""What would become of a request, and why; nothing is sent."""

from dataclasses import dataclass
from typing import Literal

from bascule.contract.integers import U16, U32, U64


@dataclass(frozen=True, slots=True)
class Question:
    """A request to be thought through."""

    listener: str
    """The listener that it would come to."""
    head: str
    """As it would be sent: request line and fields of HTTP/1.1, and the empty line."""
    client: str | None
    """The client's address; `None`: it comes over a Unix socket."""
    now_s: U64
    """Now, in seconds since 1970: what cookies are judged by."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is refused."""

    status: U16
    """400 to 505."""
    reason: str
    """In words."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as routes see it."""

    host: str
    """Lower case, without port."""
    path: str
    """Normalised."""
    client: str | None = None
    """The client's address, as the listener's trusted networks tell it."""


@dataclass(frozen=True, slots=True)
class RouteSeen:
    """A route that was looked at."""

    route: str
    """Its id."""
    missed: tuple[str, ...]
    """The conditions that do not hold; none: it takes the request."""


@dataclass(frozen=True, slots=True)
class ForwardDeed:
    """It is forwarded: see the pools."""

    kind: Literal["forward"] = "forward"


@dataclass(frozen=True, slots=True)
class RedirectDeed:
    """It is answered with a `Location`."""

    status: U16
    """301, 302, 303, 307 or 308."""
    location: str
    """Filled in."""
    kind: Literal["redirect"] = "redirect"


@dataclass(frozen=True, slots=True)
class RespondDeed:
    """It is answered as the route says."""

    status: U16
    """200 to 599."""
    kind: Literal["respond"] = "respond"


Deed = ForwardDeed | RedirectDeed | RespondDeed
"""What a route does."""


@dataclass(frozen=True, slots=True)
class EndpointSeen:
    """An endpoint that was looked at."""

    endpoint: str
    """Its id."""
    excluded: str | None
    """Why it is not a candidate, in words; `None`: it is one."""
    weight: U32
    """Its weight in force, in hundredths."""
    in_flight: U64
    """Requests in flight there now."""
    limit: U64 | None
    """Requests that it may have at a time; `None`: as many as come."""
    score: str | None
    """What the algorithm makes of it, in words; `None`: it compares nothing."""


@dataclass(frozen=True, slots=True)
class PoolSeen:
    """A pool that it may go to."""

    pool: str
    """Its id."""
    permille: U32
    """Its part of the route's traffic, in thousandths."""
    algorithm: str
    """The name of its algorithm."""
    session: str | None
    """What the request says of its session, in words; `None`: the pool keeps none."""
    endpoints: tuple[EndpointSeen, ...]
    """In the order of the snapshot."""
    order: tuple[str, ...]
    """Where it would go now, and then if that fails, and so on: as many as there are, four at most."""
    why: str
    """Why there, in words."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of it."""

    refused: Refusal | None
    """Why it is refused before it is routed, and with which status."""
    seen: Seen | None
    """The host, client and path that routes see."""
    routes: tuple[RouteSeen, ...]
    """The routes that were looked at, in order, up to the one that takes it."""
    deed: Deed | None
    """What the route that takes it does; `None`: none takes it."""
    pools: tuple[PoolSeen, ...]
    """The pools that it may go to: one, or those of a split."""
