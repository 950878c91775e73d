"""Layer 4: connections and datagrams that are carried as they are."""

from dataclasses import dataclass, field
from typing import Literal

from bascule.contract.integers import U32, U64
from bascule.contract.protection import RateLimit

Carries = Literal["http", "tcp", "udp"]
"""What a listener carries: HTTP by its `routes`, or TCP connections or UDP datagrams as they are, by its
`flows`."""

OnDown = Literal["keep", "close"]
"""What becomes of the flows of an endpoint that is down."""


@dataclass(frozen=True, slots=True)
class FlowRoute:
    """A rule that sends flows somewhere. All conditions must hold; an empty one holds for everything."""

    id: str
    """Stable name, unique within the listener."""
    server_names: tuple[str, ...]
    """The name that the client asks for in its TLS hello is one of these: exact, or `*.example.com` for any
    name below."""
    alpn: tuple[str, ...]
    """The client offers one of these protocols in its TLS hello."""
    clients: tuple[str, ...]
    """Networks (CIDR) that the client's address is in."""
    pool: str
    """Where it goes."""
    limits: tuple[RateLimit, ...]
    """All must let a new flow through."""
    priority: U32
    """Who waits in a queue: higher ones go first. 0 to 9; 5 is usual."""
    idle_ms: U64
    """Silence in both directions after which a flow is closed."""
    total_ms: U64 | None
    """The whole of a flow."""


@dataclass(frozen=True, slots=True)
class Udp:
    """How datagrams become flows. A flow is what one client address says to one address of the listener."""

    responses: U32 | None = None
    """After so many answers a flow has ended; `None`: only silence ends it. 0 expects no answer."""
    flows: U32 = 65_536
    """Flows at a time, per thread; at the limit the one that was silent for longest is given up."""
    quic: bool = False
    """They carry QUIC: flows are known by connection id, and stay when the client's address changes."""


@dataclass(frozen=True, slots=True)
class Flows:
    """Where the flows of a listener go."""

    routes: tuple[FlowRoute, ...] = ()
    """First match wins. None where HTTP is carried."""
    passthrough: tuple[FlowRoute, ...] = ()
    """Of a listener with TLS: what is passed on as it came, still encrypted. First match wins; what matches
    none is decrypted."""
    probe_ms: U64 | None = None
    """Silence after which the kernel asks whether a peer is still there (TCP keep-alive), on both sides;
    `None`: never."""
    udp: Udp = field(default_factory=Udp)
    """Of a listener that carries UDP."""


@dataclass(frozen=True, slots=True)
class PoolFlows:
    """How a pool treats flows."""

    hold_ms: U64 = 0
    """How long a new connection waits for an endpoint while there is none that may be used."""
    on_down: OnDown = "keep"
    """What becomes of the flows of an endpoint that is down or gone."""
    drain_ms: U64 | None = None
    """How long the flows of an endpoint that drains, or is gone from the configuration, may go on; `None`: to
    their end."""
    transparent: bool = False
    """Connect to endpoints from the client's address (`IP_TRANSPARENT`)."""
