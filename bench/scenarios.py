"""What is measured: every scenario, with its cases, its load and the figure that counts."""

from dataclasses import dataclass, field

from bench.idle import idle
from bench.report import Column, Comparison
from bench.syscalls import syscalls
from bench.traffic import added_latency, under_datagrams, under_traffic, while_blocked
from bench.trial import Measure
from bench.wanted import Load, Wanted, addresses

ALL = ("nginx", "haproxy", "envoy", "floor", "bascule")
OURS = ("bascule",)
CARRYING = ("nginx", "nginx-128k", "haproxy", "haproxy-splice", "bascule")
TERMINATING = ("nginx", "haproxy", "envoy", "bascule")


@dataclass(frozen=True, slots=True)
class Case:
    """A variation of a scenario."""

    name: str = ""
    wanted: Wanted = field(default_factory=Wanted)
    load: Load = field(default_factory=Load)
    blocked: bool = False
    quick: bool = True
    """Whether `--quick` measures it."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Something to find out about each target."""

    name: str
    title: str
    columns: tuple[Column, ...]
    comparison: Comparison | None
    measure: Measure = under_traffic
    targets: tuple[str, ...] = ALL
    cases: tuple[Case, ...] = (Case(),)
    rounds: int = 3
    seconds: float = 2.0
    optional: bool = False
    """Left out, with a word, where it cannot be measured."""


COST = (
    Column("CPU µs per request", "cpu_us", 1),
    Column("user", "user_us", 1),
    Column("system", "system_us", 1),
    Column("requests/s", "requests_per_second"),
    Column("p50 µs", "p50_us"),
    Column("p99 µs", "p99_us"),
    Column("balancer's core %", "balancer_percent"),
    Column("load's core %", "load_percent"),
)
IDLE = (
    Column("connections", "connections"),
    Column("bytes per connection", "bytes_per_connection"),
    Column("MB without", "empty_mb", 1),
    Column("MB with", "full_mb", 1),
    Column("CPU % while idle", "idle_cpu_percent", 1),
)
ANSWERED_ONCE = Wanted(udp=True, responses=1)
BULK = (
    Column("GB per CPU-second", "gb_per_cpu_second", 2),
    Column("GB/s", "gb_per_second", 2),
    Column("balancer's core %", "balancer_percent"),
    Column("load's core %", "load_percent"),
)
LESS_CPU = Comparison("cpu_us", "best peer")
MORE_BYTES = Comparison("gb_per_cpu_second", "best peer", more_is_better=True)
FLAT = Comparison("cpu_us", "first case")
CURVE = (*COST[:4], Column("p99 µs", "p99_us"))
CURVE_SECONDS = 1.5


def _endpoints(algorithm: str) -> Scenario:
    counts = (1, 10, 100, 1000)
    return Scenario(
        f"endpoints-{algorithm}",
        f"1 to 1,000 endpoints, {algorithm}",
        CURVE,
        FLAT,
        seconds=CURVE_SECONDS,
        targets=("nginx", "bascule") if algorithm == "round_robin" else OURS,
        cases=tuple(
            Case(
                f"{count:,}",
                Wanted(endpoints=addresses(count), algorithm=algorithm),
                quick=count in (1, 1000),
            )
            for count in counts
        ),
    )


def _routes(routes_by: str, load: Load) -> Scenario:
    counts = (10, 1000, 10_000)
    return Scenario(
        f"routes-{routes_by}",
        f"10 to 10,000 routes by {routes_by}, each asked for in turn",
        CURVE,
        FLAT,
        seconds=CURVE_SECONDS,
        targets=OURS,
        cases=tuple(
            Case(
                f"{count:,}",
                Wanted(routes_by=routes_by, routes=count),
                Load(path=load.path, host=load.host, variants=count),
                quick=count != 1000,
            )
            for count in counts
        ),
    )


SCENARIOS = (
    Scenario(
        "keepalive",
        "Keep-alive: 64 connections, 1 KiB answers",
        (*COST, Column("Python's share of CPU %", "python_percent", 2)),
        LESS_CPU,
        rounds=5,
        seconds=3,
    ),
    Scenario(
        "close",
        "A new client connection for each request",
        COST,
        LESS_CPU,
        cases=(Case(load=Load(fresh=True)),),
        rounds=5,
        seconds=3,
    ),
    Scenario(
        "latency",
        "One connection: what is added to a request straight to the origin",
        (
            Column("added µs", "added_us"),
            Column("p50 µs", "p50_us"),
            Column("p99 µs", "p99_us"),
            Column("straight p50 µs", "direct_us"),
            Column("CPU µs per request", "cpu_us", 1),
        ),
        Comparison("added_us", "best peer"),
        added_latency,
        cases=(Case(load=Load(connections=1)),),
    ),
    Scenario(
        "bulk",
        "Bodies of 10 MB, 64 connections",
        BULK,
        MORE_BYTES,
        cases=(Case(load=Load(path="/big")),),
    ),
    Scenario(
        "idle",
        "10,000 idle keep-alive connections, or as many as the limit on open files allows",
        IDLE,
        Comparison("bytes_per_connection", "best peer"),
        idle,
        cases=(Case(load=Load(connections=10_000)),),
        rounds=1,
        seconds=4,
    ),
    Scenario(
        "tls",
        "TLS 1.3, keep-alive: 64 connections, 1 KiB answers",
        COST,
        LESS_CPU,
        targets=TERMINATING,
        cases=(Case(wanted=Wanted(tls=True), load=Load(tls=True)),),
        rounds=5,
        seconds=3,
    ),
    Scenario(
        "handshake",
        "TLS 1.3: a full handshake (P-256, no resumption) and one request for each connection",
        COST,
        LESS_CPU,
        targets=TERMINATING,
        cases=(Case(wanted=Wanted(tls=True), load=Load(tls=True, fresh=True)),),
        rounds=5,
        seconds=3,
    ),
    Scenario(
        "h2",
        "HTTP/2 over TLS, 16 connections of 32 streams, to HTTP/1.1 endpoints",
        (*COST[:4], *COST[-2:]),
        LESS_CPU,
        targets=TERMINATING,
        cases=(Case(wanted=Wanted(tls=True), load=Load(connections=16, tls=True, streams=32)),),
        rounds=5,
        seconds=3,
    ),
    Scenario(
        "udp",
        "UDP: 64 clients, one datagram each way at a time (64 bytes), or 16 (1,200 bytes)",
        COST,
        LESS_CPU,
        under_datagrams,
        targets=("nginx", "bascule"),
        cases=(
            Case("one answer each", ANSWERED_ONCE, Load(datagrams=1)),
            Case("one answer each, always from another port", ANSWERED_ONCE, Load(datagrams=1, fresh=True)),
            Case("flows that go on", Wanted(udp=True), Load(datagrams=1)),
            Case("flows that go on, 16 at a time", Wanted(udp=True), Load(datagrams=16, datagram_bytes=1200)),
        ),
        rounds=5,
    ),
    Scenario(
        "idle-tls",
        "10,000 idle TLS keep-alive connections, or as many as the limit on open files allows",
        IDLE,
        Comparison("bytes_per_connection", "best peer"),
        idle,
        targets=TERMINATING,
        cases=(Case(wanted=Wanted(tls=True), load=Load(connections=10_000, tls=True)),),
        rounds=1,
        seconds=4,
    ),
    Scenario(
        "tcp",
        "TCP as it is: 64 connections, small messages (requests of 300 bytes, 1 KiB answers)",
        COST,
        LESS_CPU,
        targets=CARRYING,
        cases=(Case(wanted=Wanted(tcp=True)),),
        rounds=5,
        seconds=3,
    ),
    Scenario(
        "tcp-close",
        "TCP as it is: a new connection for each request, on both sides",
        COST,
        LESS_CPU,
        targets=CARRYING,
        cases=(Case(wanted=Wanted(tcp=True), load=Load(fresh=True)),),
        rounds=5,
        seconds=3,
    ),
    Scenario(
        "tcp-bulk",
        "TCP as it is: answers of 10 MB, 64 connections",
        BULK,
        MORE_BYTES,
        targets=CARRYING,
        cases=(Case(wanted=Wanted(tcp=True), load=Load(path="/big")),),
    ),
    Scenario(
        "idle-tcp",
        "10,000 idle flows, or as many as the limit on open files allows",
        IDLE,
        Comparison("bytes_per_connection", "best peer"),
        idle,
        targets=CARRYING,
        cases=(Case(wanted=Wanted(tcp=True), load=Load(connections=10_000)),),
        rounds=1,
        seconds=4,
    ),
    _endpoints("round_robin"),
    _endpoints("least_busy"),
    _routes("host", Load(host="h%.test")),
    _routes("path", Load(path="/p%/here")),
    Scenario(
        "control",
        "A control plane that stands still: Python holds its lock from the first request to the last",
        (
            Column("requests", "requests"),
            *COST[:1],
            Column("p50 µs", "p50_us"),
            Column("p99 µs", "p99_us"),
            Column("slowest µs", "max_us"),
        ),
        FLAT,
        while_blocked,
        targets=OURS,
        cases=(
            Case("free", Wanted(blockable=True)),
            Case("blocked", Wanted(blockable=True), blocked=True),
        ),
        rounds=1,
        seconds=10,
    ),
    Scenario(
        "log",
        "Access log off and on: a line per request to a file, combined format",
        CURVE,
        FLAT,
        targets=("nginx", "bascule"),
        cases=(Case("off"), Case("on", Wanted(access_log=True))),
    ),
    Scenario(
        "syscalls",
        "System calls per request, under strace: approximate",
        (Column("calls per request", "calls", 2),),
        Comparison("calls", "best peer"),
        syscalls,
        cases=(Case("keep-alive"), Case("new connection", load=Load(fresh=True), quick=False)),
        rounds=1,
        seconds=1,
        optional=True,
    ),
)
