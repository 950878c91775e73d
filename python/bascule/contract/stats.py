"""Counters and histograms, all monotonic unless they say "now"."""

from dataclasses import dataclass

from bascule.contract.integers import U16, U32, U64


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket of a histogram."""

    upper_us: U64
    """Exclusive upper bound."""
    count: U64
    """How many are in this bucket alone."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Durations in microseconds.

    Bucket `i` counts what lies below `upper_us` and not below the bucket before it.
    """

    count: U64 = 0
    """How many."""
    sum_us: U64 = 0
    """Their sum."""
    buckets: tuple[Bucket, ...] = ()
    """The buckets that are not empty, in ascending order; log-linear, four per power of two."""


@dataclass(frozen=True, slots=True)
class CodeCount:
    """How many exchanges ended with a status."""

    code: U16
    """The status; 0 when none was sent, 999 for codes beyond the first 16 distinct ones."""
    count: U64
    """How many."""


@dataclass(frozen=True, slots=True)
class EndingCount:
    """How many exchanges ended for one reason."""

    ending: str
    """For example `ok`, `endpoint_refused`."""
    count: U64
    """How many."""


@dataclass(frozen=True, slots=True)
class FailedHandshakes:
    """TLS handshakes that failed for one reason."""

    reason: str
    """A word: `unknown_name`, `plain_http`, `timed_out` …"""
    count: U64
    """How many."""


@dataclass(frozen=True, slots=True)
class DroppedDatagrams:
    """Datagrams that were not passed on for one reason."""

    reason: str
    """A word: `no_endpoint`, `rate_limited`, `late` …"""
    count: U64
    """How many."""


@dataclass(frozen=True, slots=True)
class Datagrams:
    """What became of datagrams."""

    received: U64 = 0
    """From clients."""
    sent: U64 = 0
    """Answers of endpoints that were sent to clients."""
    dropped: tuple[DroppedDatagrams, ...] = ()
    """From either side, and not passed on, by why."""


@dataclass(frozen=True, slots=True)
class ListenerStats:
    """What one listener has seen."""

    listener: str = ""
    """Its id."""
    accepted: U64 = 0
    """Connections accepted."""
    open: U64 = 0
    """Connections open now."""
    requests: U64 = 0
    """Requests whose head was read (well-formed or not)."""
    in_flight: U64 = 0
    """Requests in flight now."""
    turned_away: U64 = 0
    """Connections closed at once because their client had as many as it may have."""
    tunnels: U64 = 0
    """Upgraded connections open now; they are among the requests in flight."""
    handshakes: U64 = 0
    """TLS handshakes that succeeded."""
    resumed: U64 = 0
    """Those of them that resumed a session."""
    failed_handshakes: tuple[FailedHandshakes, ...] = ()
    """TLS handshakes that failed, by why."""
    refused_proxy_headers: U64 = 0
    """Connections closed because the PROXY header that they have to begin with was wrong, late or not
    there."""
    flows: U64 = 0
    """Flows open now."""
    datagrams: Datagrams = Datagrams()
    """Of a listener that carries UDP."""


@dataclass(frozen=True, slots=True)
class FlowSeries:
    """What the flows of one (listener, route, endpoint) have seen.

    `pool` and `endpoint` are `None` when none was picked; `route` is empty when none matched.
    """

    listener: str
    """Listener id."""
    route: str
    """Route id."""
    pool: str | None
    """Pool id."""
    endpoint: str | None
    """Endpoint id."""
    endings: tuple[EndingCount, ...]
    """Flows that have ended, by worded ending."""
    received_bytes: U64
    """Bytes from clients that endpoints have taken, of open flows as well."""
    sent_bytes: U64
    """Bytes from endpoints that clients have taken, of open flows as well."""
    duration: Histogram
    """From the client's connection, or first datagram, to the end."""
    connect: Histogram
    """What it took to have a connection to the endpoint, where there was one."""


@dataclass(frozen=True, slots=True)
class Series:
    """What one (listener, route, endpoint) has seen.

    `pool` and `endpoint` are `None` when none was picked; `route` is empty when none matched.
    """

    listener: str
    """Listener id."""
    route: str
    """Route id."""
    pool: str | None
    """Pool id."""
    endpoint: str | None
    """Endpoint id."""
    codes: tuple[CodeCount, ...]
    """Exchanges by status code sent to the client; 0 when no status was sent."""
    endings: tuple[EndingCount, ...]
    """Exchanges by worded ending."""
    received_bytes: U64
    """Bytes read from clients, heads included."""
    sent_bytes: U64
    """Bytes written to clients, heads included."""
    duration: Histogram
    """First byte of the request to the last byte of the response."""
    response: Histogram
    """Request forwarded to head of the response, where an endpoint answered."""
    grpc_codes: tuple[CodeCount, ...] = ()
    """Calls of gRPC by their status, where it is known; they are among the exchanges."""


@dataclass(frozen=True, slots=True)
class EndpointStats:
    """What one endpoint does now, and what happened to it."""

    pool: str
    """Pool id."""
    endpoint: str
    """Endpoint id."""
    up: bool
    """The last mark, or true."""
    draining: bool
    """The last mark, or false."""
    weight: U32
    """In force now."""
    in_flight: U64
    """Exchanges now."""
    picked: U64
    """Exchanges that it was picked for, retries included."""
    connects: U64
    """Connections opened."""
    connect_failures: U64
    """Connects that failed or timed out."""
    retried: U64
    """Exchanges that were tried again elsewhere because of it."""
    idle: U64
    """Idle connections now."""
    maintenance: bool = False
    """The last mark, or false."""
    ejected: bool = False
    """Traffic showed that it fails: it gets none now."""
    ejections: U64 = 0
    """Times that it was ejected."""
    failures: U64 = 0
    """Answers and tries that counted as failures."""
    limit: U64 | None = None
    """Requests that it may have at a time, now; `None`: as many as come."""
    learned_limit: U64 | None = None
    """What the limit would be while the pool is overloaded, as learned so far."""
    pace_us: U64 | None = None
    """How long it takes to begin an answer, as learned; `None`: not known yet."""


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What one pool does now, and what happened in it."""

    pool: str
    """Its id."""
    waiting: U64 = 0
    """Requests that wait for an endpoint now."""
    queued: U64 = 0
    """Requests that had to wait."""
    shed: U64 = 0
    """Requests that were shed: the queue was full, or the wait too long."""
    overloaded: bool = False
    """Whether it is overloaded now: learned limits are enforced."""
    hedged: U64 = 0
    """Requests that were sent a second time because the first took long."""
    hedges_won: U64 = 0
    """How many of them were answered by the second."""
    retries_denied: U64 = 0
    """Retries that the budget did not allow."""
    sessions_kept: U64 = 0
    """Requests of sessions that stayed with their endpoint."""
    sessions_moved: U64 = 0
    """Sessions that moved because their endpoint was gone."""
    sessions_refused: U64 = 0
    """Session cookies that were not ours, or altered, or expired: ignored."""
    sessions_remembered: U64 = 0
    """Sessions remembered now."""
    mirrored: U64 = 0
    """Copies sent to this pool as a mirror."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Everything that is counted, pulled whole."""

    generation: U64 = 0
    """The generation that is live now."""
    draining: tuple[U64, ...] = ()
    """Older generations that still have exchanges in flight now."""
    listeners: tuple[ListenerStats, ...] = ()
    """Per listener."""
    series: tuple[Series, ...] = ()
    """Per route and endpoint that have seen traffic."""
    endpoints: tuple[EndpointStats, ...] = ()
    """Per endpoint of the live snapshot."""
    log_lines_lost: U64 = 0
    """Access log lines dropped because the writer could not keep up."""
    pools: tuple[PoolStats, ...] = ()
    """Per pool of the live snapshot."""
    flows: tuple[FlowSeries, ...] = ()
    """Per route and endpoint that have seen flows."""
