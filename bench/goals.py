"""The targets of the project, and whether a run met them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import report, results
from bench.report import Comparison
from bench.results import Measurement

Find = Callable[[Sequence[Measurement]], float | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and the limit it is held to."""

    text: str
    scenario: str
    find: Find
    limit: float
    at_least: bool = False
    digits: int = 3

    def met_by(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


def _ratio(comparison: Comparison, to: Sequence[str] = report.PEERS) -> Find:
    def find(measurements: Sequence[Measurement]) -> float | None:
        groups = report.grouped(measurements)
        if ("bascule", "") not in groups:
            return None
        found = report.ratio(groups, ("bascule", ""), comparison, to)
        return found.by_median if found else None

    return find


def _udp(case: str) -> Find:
    def find(measurements: Sequence[Measurement]) -> float | None:
        groups = report.grouped(measurements)
        if ("bascule", case) not in groups:
            return None
        found = report.ratio(groups, ("bascule", case), LESS_CPU, ["nginx"])
        return found.by_median if found else None

    return find


def _median(figure: str, case: str = "") -> Find:
    return lambda measurements: report.median(
        [it for it in measurements if (it.target, it.case) == ("bascule", case)], figure
    )


def _steepest(measurements: Sequence[Measurement]) -> float | None:
    """The dearest case of a curve, divided by its first."""
    groups = report.grouped([it for it in measurements if it.target == "bascule"])
    costs = [cost for rounds in groups.values() if (cost := report.median(rounds, "cpu_us"))]
    return max(costs) / costs[0] if costs else None


LESS_CPU = Comparison("cpu_us", "best peer")
LESS_WAITING = Comparison("added_us", "best peer")
MORE_BYTES = Comparison("gb_per_cpu_second", "best peer", more_is_better=True)
FLAT = 1.10
"""What we call independent: the project sets no number."""
TICK = 0.3
"""What we call no CPU while idle: one tick in four seconds is 0.25 %."""

GOALS = (
    Goal("Keep-alive: CPU per request, ratio to the best peer", "keepalive", _ratio(LESS_CPU), 0.85),
    Goal("New connection per request: the same", "close", _ratio(LESS_CPU), 0.90),
    Goal("One connection: added latency, ratio to the best peer", "latency", _ratio(LESS_WAITING), 1.0),
    Goal("10 MB bodies: GB per CPU-second, ratio to nginx", "bulk", _ratio(MORE_BYTES, ["nginx"]), 1.0, True),
    Goal("Bytes per idle connection", "idle", _median("bytes_per_connection"), 1536, digits=0),
    Goal("CPU % while 10,000 connections idle", "idle", _median("idle_cpu_percent"), TICK, digits=2),
    Goal("TLS keep-alive: CPU per request, ratio to the best peer", "tls", _ratio(LESS_CPU), 0.85),
    Goal("TLS handshake: CPU per connection, ratio to the best peer", "handshake", _ratio(LESS_CPU), 0.80),
    Goal("HTTP/2 to HTTP/1.1: CPU per request, ratio to nginx", "h2", _ratio(LESS_CPU, ["nginx"]), 1.0),
    Goal("HTTP/2 to HTTP/1.1: the same, ratio to HAProxy", "h2", _ratio(LESS_CPU, ["haproxy"]), 1.25),
    Goal("Bytes per idle TLS connection", "idle-tls", _median("bytes_per_connection"), 12_288, digits=0),
    Goal("TCP, small messages: CPU per message, ratio to the best peer", "tcp", _ratio(LESS_CPU), 0.95),
    Goal("TCP, new connection per request: the same", "tcp-close", _ratio(LESS_CPU), 0.90),
    Goal("TCP, 10 MB answers: GB per CPU-second, the same", "tcp-bulk", _ratio(MORE_BYTES), 1.0, True),
    Goal("Bytes per idle flow", "idle-tcp", _median("bytes_per_connection"), 1024, digits=0),
    Goal("UDP, one answer each: CPU per exchange, ratio to nginx", "udp", _udp("one answer each"), 0.5),
    Goal("UDP, 16 datagrams at a time: the same", "udp", _udp("flows that go on, 16 at a time"), 0.5),
    Goal("UDP, flows that go on: the same", "udp", _udp("flows that go on"), 0.5),
    Goal("1 to 1,000 endpoints, round_robin: dearest to first", "endpoints-round_robin", _steepest, FLAT),
    Goal("1 to 1,000 endpoints, least_busy: dearest to first", "endpoints-least_busy", _steepest, FLAT),
    Goal("10 to 10,000 hosts: dearest to first", "routes-host", _steepest, FLAT),
    Goal("10 to 10,000 path prefixes: dearest to first", "routes-path", _steepest, FLAT),
    Goal("Python's share of CPU %, at keep-alive", "keepalive", _median("python_percent"), 0.5),
    Goal("Requests lost while Python stands still", "control", _median("errors", "blocked"), 0, digits=0),
)


def table(measurements: Sequence[Measurement]) -> str:
    """Every goal that the run measured: what was found, the limit, and whether it is met."""
    lines = ["| goal | found | limit | |", "|---|--:|--:|---|"]
    for goal in GOALS:
        rounds = report.undisturbed(results.of(measurements, goal.scenario))
        found = goal.find(rounds)
        if found is None:
            continue
        limit = f"{'at least' if goal.at_least else 'at most'} {goal.limit:,.{goal.digits}f}"
        verdict = "met" if goal.met_by(found) else "**missed**"
        if any(report.is_disturbed(it) for it in rounds if it.target in ("bascule", *report.PEERS)):
            verdict = "disturbed: measure again"
        lines.append(f"| {goal.text} | {found:,.{goal.digits}f} | {limit} | {verdict} |")
    return "\n".join(lines)
