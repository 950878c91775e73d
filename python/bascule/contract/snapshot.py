"""What should be true: the whole of it, in one message.

Integers carry their unit in their name. `None` means "no limit", "not set" or "not there";
there are no magic zeros. Lists keep the order in which they are tried.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bascule.contract.access_log import AccessLog
from bascule.contract.addresses import Address
from bascule.contract.flows import Carries, Flows, PoolFlows
from bascule.contract.integers import U16, U32, U64
from bascule.contract.protection import NoTryLimit, Protection, RateLimit, TryLimit
from bascule.contract.proxy_protocol import Announce, Announced
from bascule.contract.sessions import Sessions, Store
from bascule.contract.tls import ListenerTls, PoolTls


@dataclass(frozen=True, slots=True)
class TcpBind:
    """A TCP address to accept on."""

    address: str
    """`ip:port`, IPv6 in brackets. Port 0 lets the system choose; the receipt tells."""
    kind: Literal["tcp"] = "tcp"


@dataclass(frozen=True, slots=True)
class UdpBind:
    """UDP datagrams; otherwise like TCP."""

    address: str
    """`ip:port`, IPv6 in brackets."""
    kind: Literal["udp"] = "udp"


@dataclass(frozen=True, slots=True)
class UnixBind:
    """A Unix socket to accept on."""

    path: str
    """Absolute path."""
    mode: U32
    """Permission bits of the socket file, for example 0o660 as 432."""
    kind: Literal["unix"] = "unix"


Bind = TcpBind | UdpBind | UnixBind
"""An address to accept on."""


@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """How long a client may take."""

    head_ms: U64
    """From the first byte of a request (or the connect) to the end of its head; then 408."""
    body_ms: U64
    """Between two reads of a request body; then 408."""
    keep_alive_ms: U64
    """Idle between two requests; then the connection is closed."""
    send_ms: U64
    """Between two successful writes to the client; then the connection is closed."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """How much a client may send."""

    head_bytes: U32
    """Request line and fields together; then 431 (or 414 when the request line alone is too long)."""
    headers: U32
    """Number of header fields; then 431."""
    target_bytes: U32
    """Length of the request target; then 414."""
    body_bytes: U64 | None = None
    """Length of the request body; then 413."""
    connections: U32 | None = None
    """Open client connections of this listener over all threads; accepting pauses at the limit."""
    requests_per_connection: U64 | None = None
    """Requests on one connection; the last answer says `Connection: close`."""
    connections_per_client: U32 | None = None
    """Open connections of one client address over all threads; more are closed at once."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What endpoints are told about the client."""

    x_forwarded: bool
    """Send `X-Forwarded-For`, `-Proto` and `-Host`."""
    rfc7239: bool
    """Send `Forwarded` (RFC 7239)."""
    trusted: tuple[str, ...]
    """Networks (CIDR) whose own forwarded fields are kept and appended to; from others they are dropped."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition, by its name in the catalogue."""

    name: str
    """`host`, `path`, `method`, `header`, `query`, `client` …"""
    options: Mapping[str, object]
    """As the catalogue's schema for that matcher says."""


@dataclass(frozen=True, slots=True)
class HeaderValue:
    """A header field."""

    name: str
    """A token (RFC 9110, 5.1)."""
    value: str
    """Visible characters, space and tab.

    In edits `{client}`, `{host}`, `{scheme}`, `{path}`, `{query}`, `{uri}`, `{listener}` and `{route}`
    are filled in.
    """


@dataclass(frozen=True, slots=True)
class HeaderEdits:
    """Changes to header fields: first remove, then set, then add."""

    remove: tuple[str, ...] = ()
    """Fields to drop."""
    set: tuple[HeaderValue, ...] = ()
    """Fields that replace all of the same name."""
    add: tuple[HeaderValue, ...] = ()
    """Fields added beside those of the same name."""


@dataclass(frozen=True, slots=True)
class PoolAction:
    """Forward to an endpoint of a pool."""

    pool: str
    """Its id."""
    kind: Literal["pool"] = "pool"


@dataclass(frozen=True, slots=True)
class Share:
    """A pool's part of the traffic of a route."""

    pool: str
    """Its id."""
    weight: U32
    """Relative to the others; 0 gets nothing."""


@dataclass(frozen=True, slots=True)
class SplitAction:
    """Forward to one of several pools, by weight."""

    shares: tuple[Share, ...]
    """At least one."""
    kind: Literal["split"] = "split"


@dataclass(frozen=True, slots=True)
class RedirectAction:
    """Answer with a `Location`."""

    status: U16
    """301, 302, 303, 307 or 308."""
    location: str
    """Template: `{scheme}`, `{host}`, `{path}`, `{query}`, `{uri}` (path with query) are filled in."""
    kind: Literal["redirect"] = "redirect"


@dataclass(frozen=True, slots=True)
class RespondAction:
    """Answer as written here."""

    status: U16
    """200 to 599."""
    headers: tuple[HeaderValue, ...]
    """Sent as they are."""
    body: str
    """Sent as it is, with its length."""
    kind: Literal["respond"] = "respond"


Action = PoolAction | SplitAction | RedirectAction | RespondAction
"""What a route does."""


@dataclass(frozen=True, slots=True)
class SetRewrite:
    """The whole path becomes this."""

    path: str
    """Begins with `/`."""
    kind: Literal["set"] = "set"


@dataclass(frozen=True, slots=True)
class PrefixRewrite:
    """A leading prefix (by segment) becomes another; other paths stay."""

    from_: str
    """Begins with `/`. Travels as `from`."""
    to: str
    """Begins with `/`."""
    kind: Literal["prefix"] = "prefix"


@dataclass(frozen=True, slots=True)
class RegexRewrite:
    """All of what the pattern matches is replaced; `$1`, `${name}` are its groups."""

    pattern: str
    """Syntax of the `regex` crate: linear time, no look-around."""
    with_: str
    """The replacement. Travels as `with`."""
    kind: Literal["regex"] = "regex"


Rewrite = SetRewrite | PrefixRewrite | RegexRewrite
"""How a path changes before it is forwarded. The query stays."""


@dataclass(frozen=True, slots=True)
class RouteTimeouts:
    """How long an endpoint may take."""

    response_ms: U64
    """From the request's last byte sent (or progress on it) to the head of the response; then 504."""
    idle_ms: U64
    """Between two reads of a response body, or two writes of a request body; then the exchange is cut."""
    total_ms: U64 | None
    """The whole exchange."""
    tunnel_ms: U64
    """Idle time of an upgraded connection, both directions."""
    deadline_header: str | None = None
    """A request header that tells the endpoint how many milliseconds are left; a trusted client's own
    shortens the time."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """A second pool that gets copies of requests; what it answers is dropped."""

    pool: str
    """Its id."""
    permille: U32
    """Share of the requests, in thousandths."""


HalfClosed = Literal["wait", "abort"]
"""A client that sends no more while it waits still reads, and gets its answer; or it has gone, and its
exchange ends."""

Connect = Literal["off", "tunnel", "forward"]
"""What a route does with a request for a tunnel: refuse it; connect the client to an endpoint of the pool,
which gets what the client says as it is; or ask an endpoint of the pool for it, a proxy."""


@dataclass(frozen=True, slots=True)
class Route:
    """A rule that sends matching traffic somewhere."""

    id: str
    """Stable name, unique within the listener."""
    matchers: tuple[Matcher, ...]
    """All must hold; none means "everything"."""
    action: Action
    """What happens to what matches."""
    rewrite: Rewrite | None
    """How the path changes before it is forwarded."""
    request_headers: HeaderEdits
    """Changes to the fields that the endpoint sees."""
    response_headers: HeaderEdits
    """Changes to the fields that the client sees."""
    timeouts: RouteTimeouts
    """How long the endpoint may take."""
    limits: tuple[RateLimit, ...] = ()
    """All must let the request through."""
    priority: U32 = 5
    """Who waits in a queue: higher ones go first. 0 to 9; 5 is usual."""
    mirror: Mirror | None = None
    """Where copies go."""
    connect: Connect = "off"
    """What becomes of CONNECT."""
    half_closed: HalfClosed = "wait"
    """What it means that a client of HTTP/1 sends no more while it waits."""


@dataclass(frozen=True, slots=True)
class Http2:
    """HTTP/2 from clients: offered by TLS, and spoken with prior knowledge without it."""

    enabled: bool = True
    """Otherwise a client that speaks it anyway is told that its version is not supported."""
    streams: U32 = 100
    """Streams that may be open at a time, per connection; at least 1."""
    window_bytes: U32 = 65_536
    """What a stream may send ahead of its endpoint, 65536 to 1073741824. A connection may send as much for
    each of its streams."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One set of addresses that share routes, limits and time limits."""

    id: str
    """Stable name; a listener keeps its sockets across snapshots by its binds."""
    binds: tuple[Bind, ...]
    """The addresses it accepts on."""
    routes: tuple[Route, ...]
    """First match wins."""
    timeouts: ClientTimeouts
    """How long clients may take."""
    limits: ClientLimits
    """How much clients may send."""
    forwarded: Forwarded
    """What endpoints are told about the client."""
    tls: ListenerTls | None = None
    """How it speaks TLS; `None`: it does not."""
    http2: Http2 = Http2()
    """HTTP/2 from clients."""
    carries: Carries = "http"
    """What it carries."""
    flows: Flows = field(default_factory=Flows)
    """Where flows go."""
    proxy_protocol: Announced | None = None
    """Who passes connections on; `None`: nobody."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A balancing method, by its name in the catalogue."""

    name: str
    """For example `least_busy`."""
    options: Mapping[str, object]
    """As the catalogue's schema for that algorithm says."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address that serves."""

    id: str
    """Stable name, unique within the pool: marks, counters and state are kept by it."""
    address: Address
    """Where it is."""
    weight: U32
    """Share relative to the others, 1 to 65535."""
    tier: U32 = 0
    """0 is used first; higher ones only as the lower ones fail."""
    zone: str | None = None
    """Where it is."""
    limit: U32 | None = None
    """Requests that it may have at a time; `None`: as the pool says."""


@dataclass(frozen=True, slots=True)
class IdleConnections:
    """Open connections kept for reuse."""

    per_thread: U32
    """Per endpoint and thread; 0 closes each connection after its exchange."""
    timeout_ms: U64
    """Idle time after which they are closed."""


@dataclass(frozen=True, slots=True)
class Retries:
    """Tries beyond the first.

    Never after a response byte, never twice for what is not idempotent once it may have been read.
    """

    attempts: U32
    """On other endpoints, per request."""
    budget_percent: U32
    """Share of the requests in flight that may be retries at one time."""
    budget_minimum: U32
    """Retries in flight that are always allowed, per thread."""
    statuses: tuple[U16, ...] = ()
    """Answers that count as failed tries: what is idempotent and has no body is tried again."""
    try_limit: TryLimit = field(default_factory=NoTryLimit)
    """How long one try may take."""
    grpc_statuses: tuple[U16, ...] = ()
    """Codes of gRPC that count as failed tries of calls, when no message came: the call is sent again."""


@dataclass(frozen=True, slots=True)
class Subset:
    """A part of a large pool (deterministic subsetting: Site Reliability Engineering, chapter 20)."""

    size: U32
    """Endpoints in it; all when the pool has no more."""
    balancer: U32
    """Which balancer this is, counted from 0: neighbours have different parts."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Which of the endpoints are used first. The default is: all alike."""

    zone: str | None = None
    """Where this balancer is: endpoints of this zone go first as long as enough of them are healthy."""
    subset: Subset | None = None
    """Of very many endpoints this balancer uses a part."""


Protocol = Literal["http1", "http2"]
"""A version of HTTP that endpoints speak: HTTP/1.1 with a connection for each request at a time, or HTTP/2,
known to be spoken, with many requests at a time on few connections."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Endpoints that can serve the same traffic."""

    id: str
    """Stable name."""
    algorithm: Algorithm
    """How an endpoint is picked."""
    endpoints: tuple[Endpoint, ...]
    """May be empty: requests are then answered with 503."""
    connect_ms: U64
    """From the start of a connect to its success; then the next endpoint is tried, or 504."""
    idle: IdleConnections
    """Open connections kept for reuse."""
    retries: Retries
    """Tries beyond the first."""
    panic_percent: U32
    """When fewer than this share of the endpoints is up, all are used (0 turns this off)."""
    protection: Protection = field(default_factory=Protection)
    """Limits, queue, ejection, hedging and slow start."""
    sessions: Sessions | None = None
    """What keeps a client on one endpoint."""
    spread: Spread = field(default_factory=Spread)
    """Which of the endpoints are used first."""
    load_reports: bool = False
    """Endpoints report their load in the field `endpoint-load-metrics` (ORCA): it changes their weights."""
    tls: PoolTls | None = None
    """How TLS is spoken to them; `None`: it is not."""
    protocol: Protocol = "http1"
    """What its endpoints speak."""
    flows: PoolFlows = field(default_factory=PoolFlows)
    """How it treats flows."""
    proxy_protocol: Announce | None = None
    """How they are told whose connection it is, before all else; `None`: they are not. Each connection is
    then for one request."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the data plane needs to know."""

    contract: U32
    """`CONTRACT_VERSION` of the sender."""
    generation: U64
    """Grows with every snapshot that is sent."""
    listeners: tuple[Listener, ...]
    """Where traffic is accepted."""
    pools: tuple[Pool, ...]
    """Endpoints that can serve the same traffic."""
    access_log: AccessLog | None = None
    """Where each exchange is written down; `None` turns the access log off."""
    stores: tuple[Store, ...] = ()
    """What several balancers remember together."""
