"""`contract.Stats` → the Prometheus text format, version 0.0.4."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from bascule import contract
from bascule.observe.orders import OrderSample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BOUNDS_US = tuple(1 << power for power in range(6, 27))
"""64 µs to 67 s. The data plane's buckets end at every power of two, so no count is a guess."""

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

_Labels = tuple[tuple[str, str], ...]
_Sample = tuple[_Labels, int | str]

_Counted = TypeVar("_Counted")
_Column = tuple[str, str, str, Callable[[_Counted], int | str | None]]
"""Name, kind, text, and the value: `None` where there is none."""


@dataclass(frozen=True, slots=True)
class About:
    """What is said of the balancer itself, beside the counters of its data plane."""

    version: str
    reload_ok: bool
    """Whether the last configuration that was offered is the live one."""
    reloaded_at: int
    """Seconds since the Unix epoch at which a configuration last became live."""
    certificates: tuple[tuple[_Labels, int], ...] = ()
    """When each certificate ends."""
    orders: tuple[OrderSample, ...] = ()
    """Certificates that are ordered."""


def render(stats: contract.Stats, about: About) -> str:
    """The whole page. Label sets grow with the configuration only, never with what clients send."""
    lines: list[str] = []
    lines.extend(_about(stats, about))
    lines.extend(_listeners(stats.listeners))
    lines.extend(_pools(stats.pools))
    lines.extend(_endpoints(stats.endpoints))
    lines.extend(_series(stats.series))
    lines.extend(_flows(stats.flows))
    return "\n".join(lines) + "\n"


def _about(stats: contract.Stats, about: About) -> Iterator[str]:
    build = (("version", about.version), ("contract", str(contract.CONTRACT_VERSION)))
    yield from _metric("build_info", "gauge", "Always 1; the labels tell the version.", [(build, 1)])
    yield from _metric(
        "generation", "gauge", "Number of the live snapshot of the configuration.", [((), stats.generation)]
    )
    yield from _metric(
        "draining_generations",
        "gauge",
        "Older generations that still have exchanges in flight.",
        [((), len(stats.draining))],
    )
    yield from _metric(
        "config_last_reload_successful",
        "gauge",
        "1 when the configuration that was offered last is live, 0 when it was refused.",
        [((), int(about.reload_ok))],
    )
    yield from _metric(
        "config_last_reload_success_timestamp_seconds",
        "gauge",
        "Unix time at which a configuration last became live.",
        [((), about.reloaded_at)],
    )
    yield from _metric(
        "access_log_lines_lost_total",
        "counter",
        "Access log lines dropped because the writer could not keep up.",
        [((), stats.log_lines_lost)],
    )
    yield from _metric(
        "certificate_expiry_timestamp_seconds",
        "gauge",
        "Unix time at which a certificate, or one of its chain, ends.",
        about.certificates,
    )
    yield from _orders(about.orders)


def _orders(orders: tuple[OrderSample, ...]) -> Iterator[str]:
    columns: tuple[_Column[OrderSample], ...] = (
        (
            "next_order_timestamp_seconds",
            "gauge",
            "Unix time at which a certificate is ordered next: renewed, or tried again.",
            lambda it: it.renews_at,
        ),
        ("orders_succeeded_total", "counter", "Certificates that were issued.", lambda it: it.got),
        ("orders_failed_total", "counter", "Orders that failed.", lambda it: it.failed),
        ("order_failures", "gauge", "Orders that failed in a row, until now.", lambda it: it.failures),
    )
    for name, kind, text, value in columns:
        yield from _metric(f"acme_{name}", kind, text, _samples(orders, value, lambda it: it.labels))


def _listeners(listeners: tuple[contract.ListenerStats, ...]) -> Iterator[str]:
    columns: tuple[tuple[str, str, str, Callable[[contract.ListenerStats], int]], ...] = (
        ("connections", "gauge", "Client connections open now.", lambda it: it.open),
        ("accepted_total", "counter", "Client connections accepted.", lambda it: it.accepted),
        (
            "requests_total",
            "counter",
            "Requests whose head was read, well-formed or not.",
            lambda it: it.requests,
        ),
        ("in_flight", "gauge", "Requests in flight now, tunnels among them.", lambda it: it.in_flight),
        ("tunnels", "gauge", "Upgraded connections (WebSocket) open now.", lambda it: it.tunnels),
        ("flows", "gauge", "Flows (layer 4) open now.", lambda it: it.flows),
        ("tls_handshakes_total", "counter", "TLS handshakes that succeeded.", lambda it: it.handshakes),
        ("tls_resumed_total", "counter", "TLS handshakes that resumed a session.", lambda it: it.resumed),
        (
            "proxy_headers_refused_total",
            "counter",
            "Connections closed because their PROXY header was wrong, late or not there.",
            lambda it: it.refused_proxy_headers,
        ),
    )
    for name, kind, text, value in columns:
        samples: list[_Sample] = [((("listener", it.listener),), value(it)) for it in listeners]
        yield from _metric(f"listener_{name}", kind, text, samples)
    failed: list[_Sample] = [
        ((("listener", it.listener), ("reason", each.reason)), each.count)
        for it in listeners
        for each in it.failed_handshakes
    ]
    text = "TLS handshakes that failed, by why."
    yield from _metric("listener_tls_failed_total", "counter", text, failed)
    yield from _datagrams(listeners)


def _datagrams(listeners: tuple[contract.ListenerStats, ...]) -> Iterator[str]:
    """Of listeners that carry UDP, and nothing where there are none."""
    carrying = [it for it in listeners if it.datagrams != contract.Datagrams()]
    if not carrying:
        return
    columns: tuple[tuple[str, str, Callable[[contract.Datagrams], int]], ...] = (
        ("received", "Datagrams from clients.", lambda it: it.received),
        ("sent", "Answers of endpoints that were sent to clients.", lambda it: it.sent),
    )
    for name, text, value in columns:
        samples: list[_Sample] = [((("listener", it.listener),), value(it.datagrams)) for it in carrying]
        yield from _metric(f"listener_datagrams_{name}_total", "counter", text, samples)
    dropped: list[_Sample] = [
        ((("listener", it.listener), ("reason", each.reason)), each.count)
        for it in carrying
        for each in it.datagrams.dropped
    ]
    text = "Datagrams from either side that were not passed on, by why."
    yield from _metric("listener_datagrams_dropped_total", "counter", text, dropped)


def _endpoints(endpoints: tuple[contract.EndpointStats, ...]) -> Iterator[str]:
    def labels(it: contract.EndpointStats) -> _Labels:
        return ("pool", it.pool), ("endpoint", it.endpoint)

    for name, kind, text, value in (*_ENDPOINT_STATES, *_ENDPOINT_COUNTS):
        yield from _metric(f"endpoint_{name}", kind, text, _samples(endpoints, value, labels))


_ENDPOINT_STATES: tuple[_Column[contract.EndpointStats], ...] = (
    ("up", "gauge", "1 when its check and its agent, if any, say that it works.", lambda it: int(it.up)),
    ("draining", "gauge", "1 while it gets no new work.", lambda it: int(it.draining)),
    (
        "maintenance",
        "gauge",
        "1 while it gets nothing at all, not even its sessions.",
        lambda it: int(it.maintenance),
    ),
    (
        "ejected",
        "gauge",
        "1 while it gets nothing, or little, because traffic showed that it fails.",
        lambda it: int(it.ejected),
    ),
    ("weight", "gauge", "Its share relative to the others of its pool.", lambda it: it.weight),
    ("in_flight", "gauge", "Exchanges that it serves now.", lambda it: it.in_flight),
    (
        "limit",
        "gauge",
        "Requests that it may have at a time, now; absent while it may have as many as come.",
        lambda it: it.limit,
    ),
    (
        "pace_seconds",
        "gauge",
        "How long it takes to begin an answer, as learned; absent until that is known.",
        lambda it: None if it.pace_us is None else _seconds(it.pace_us),
    ),
    ("idle_connections", "gauge", "Open connections to it, free for reuse.", lambda it: it.idle),
)

_ENDPOINT_COUNTS: tuple[_Column[contract.EndpointStats], ...] = (
    ("picked_total", "counter", "Exchanges that it was picked for, retries included.", lambda it: it.picked),
    ("failures_total", "counter", "Answers and tries that counted as failures.", lambda it: it.failures),
    ("ejections_total", "counter", "Times that it was ejected.", lambda it: it.ejections),
    ("connects_total", "counter", "Connections opened to it.", lambda it: it.connects),
    (
        "connect_failures_total",
        "counter",
        "Connects that failed or timed out.",
        lambda it: it.connect_failures,
    ),
    ("retries_total", "counter", "Exchanges tried again elsewhere because of it.", lambda it: it.retried),
)


def _pools(pools: tuple[contract.PoolStats, ...]) -> Iterator[str]:
    for name, kind, text, value in _POOL_COLUMNS:
        yield from _metric(name, kind, text, _samples(pools, value, lambda it: (("pool", it.pool),)))


_POOL_COLUMNS: tuple[_Column[contract.PoolStats], ...] = (
    ("queue_depth", "gauge", "Requests that wait for an endpoint now.", lambda it: it.waiting),
    ("queued_total", "counter", "Requests that had to wait.", lambda it: it.queued),
    (
        "shed_total",
        "counter",
        "Requests that were shed: the queue was full, or the wait too long.",
        lambda it: it.shed,
    ),
    (
        "pool_overloaded",
        "gauge",
        "1 while it is offered more than its endpoints can do: learned limits are enforced.",
        lambda it: int(it.overloaded),
    ),
    (
        "hedged_total",
        "counter",
        "Requests sent a second time because the first took long.",
        lambda it: it.hedged,
    ),
    ("hedges_won_total", "counter", "Hedged requests answered by the second.", lambda it: it.hedges_won),
    (
        "retries_denied_total",
        "counter",
        "Retries that the budget did not allow.",
        lambda it: it.retries_denied,
    ),
    (
        "sessions_kept_total",
        "counter",
        "Requests of sessions that stayed with their endpoint.",
        lambda it: it.sessions_kept,
    ),
    (
        "sessions_moved_total",
        "counter",
        "Sessions that moved because their endpoint was gone.",
        lambda it: it.sessions_moved,
    ),
    (
        "sessions_refused_total",
        "counter",
        "Session cookies that were not ours, altered or expired: ignored.",
        lambda it: it.sessions_refused,
    ),
    (
        "sessions_remembered",
        "gauge",
        "Sessions remembered now.",
        lambda it: it.sessions_remembered,
    ),
    ("mirrored_total", "counter", "Copies sent to it as a mirror.", lambda it: it.mirrored),
)


def _series(series: tuple[contract.Series, ...]) -> Iterator[str]:
    labelled = [(_where(it), it) for it in series]
    yield from _metric(
        "requests_total",
        "counter",
        "Exchanges by the status sent to the client; 0 when none was sent.",
        [((*where, ("code", str(it.code))), it.count) for where, one in labelled for it in one.codes],
    )
    yield from _metric(
        "grpc_calls_total",
        "counter",
        "Calls of gRPC by their status, where it is known; they are among the exchanges.",
        [
            ((*where, ("grpc_status", str(it.code))), it.count)
            for where, one in labelled
            for it in one.grpc_codes
        ],
    )
    yield from _metric(
        "exchanges_ended_total",
        "counter",
        "Exchanges by how they ended.",
        [((*where, ("ending", it.ending)), it.count) for where, one in labelled for it in one.endings],
    )
    yield from _metric(
        "received_bytes_total",
        "counter",
        "Bytes read from clients, heads included.",
        [(where, one.received_bytes) for where, one in labelled],
    )
    yield from _metric(
        "sent_bytes_total",
        "counter",
        "Bytes written to clients, heads included.",
        [(where, one.sent_bytes) for where, one in labelled],
    )
    yield from _histogram(
        "request_duration_seconds",
        "First byte of the request to the last byte of the response.",
        [(where, one.duration) for where, one in labelled],
    )
    yield from _histogram(
        "response_seconds",
        "Request forwarded to the head of the response, where an endpoint answered.",
        [(where, one.response) for where, one in labelled],
    )


def _flows(series: tuple[contract.FlowSeries, ...]) -> Iterator[str]:
    labelled = [(_where(it), it) for it in series]
    yield from _metric(
        "flows_total",
        "counter",
        "Flows (layer 4) that have ended, by how.",
        [((*where, ("ending", it.ending)), it.count) for where, one in labelled for it in one.endings],
    )
    yield from _metric(
        "flow_received_bytes_total",
        "counter",
        "Bytes from clients that endpoints have taken, in flows.",
        [(where, one.received_bytes) for where, one in labelled],
    )
    yield from _metric(
        "flow_sent_bytes_total",
        "counter",
        "Bytes from endpoints that clients have taken, in flows.",
        [(where, one.sent_bytes) for where, one in labelled],
    )
    yield from _histogram(
        "flow_duration_seconds",
        "From the begin of a flow to its end.",
        [(where, one.duration) for where, one in labelled],
    )
    yield from _histogram(
        "flow_connect_seconds",
        "What it took a flow to have a connection to its endpoint.",
        [(where, one.connect) for where, one in labelled],
    )


def _where(series: contract.Series | contract.FlowSeries) -> _Labels:
    return (
        ("listener", series.listener),
        ("route", series.route),
        ("pool", series.pool or ""),
        ("endpoint", series.endpoint or ""),
    )


def _metric(name: str, kind: str, text: str, samples: Iterable[_Sample]) -> Iterator[str]:
    yield f"# HELP bascule_{name} {text}"
    yield f"# TYPE bascule_{name} {kind}"
    for labels, value in samples:
        yield f"bascule_{name}{_braces(labels)} {value}"


def _samples(
    counted: Iterable[_Counted],
    value: Callable[[_Counted], int | str | None],
    labels: Callable[[_Counted], _Labels],
) -> Iterator[_Sample]:
    """One sample for each that has the value."""
    return ((labels(it), known) for it in counted if (known := value(it)) is not None)


def _histogram(name: str, text: str, samples: Iterable[tuple[_Labels, contract.Histogram]]) -> Iterator[str]:
    yield f"# HELP bascule_{name} {text}"
    yield f"# TYPE bascule_{name} histogram"
    for labels, histogram in samples:
        for bound, below in zip(BOUNDS_US, _cumulative(histogram), strict=True):
            yield f"bascule_{name}_bucket{_braces((*labels, ('le', _bound(bound))))} {below}"
        yield f"bascule_{name}_bucket{_braces((*labels, ('le', '+Inf')))} {histogram.count}"
        yield f"bascule_{name}_sum{_braces(labels)} {_seconds(histogram.sum_us)}"
        yield f"bascule_{name}_count{_braces(labels)} {histogram.count}"


def _cumulative(histogram: contract.Histogram) -> list[int]:
    counts, below, position = [], 0, 0
    for bound in BOUNDS_US:
        while position < len(histogram.buckets) and histogram.buckets[position].upper_us <= bound:
            below += histogram.buckets[position].count
            position += 1
        counts.append(below)
    return counts


def _braces(labels: _Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels) + "}"


def _seconds(microseconds: int) -> str:
    # Not `/ 1e6`: a sum beyond 2**53 would lose its last digits, and rates are made of those.
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"


def _bound(microseconds: int) -> str:
    return _seconds(microseconds).rstrip("0")
