"""Trials under traffic: what a request costs, and what happens while Python stands still."""

import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bench import datagrams, encrypted, measure
from bench import load as plain
from bench.load import Failed
from bench.measure import BALANCER_CPU, LOAD_CPU, Core, Spent
from bench.peers import Running, running, wait_for
from bench.trial import Figures, Lab, Trial
from bench.wanted import FIRST_PORT, Load

WARM_SECONDS = 0.5
"""Opens the connections to the endpoints and fills the caches."""
BLOCK_MARGIN_SECONDS = 4
"""Python stands still for this much longer than the traffic lasts."""


def send(load: Load, port: int, seconds: float) -> Mapping[str, float]:
    """Makes requests for `seconds` with the client that speaks what is asked for."""
    if load.datagrams:
        return datagrams.send(load, port, seconds)
    return encrypted.send(load, port, seconds) if load.tls else plain.send(load, port, seconds)


def under_traffic(lab: Lab, trial: Trial) -> Figures:
    """Starts the balancer, warms it, waits for a quiet moment, and counts."""
    with running(trial.target, trial.wanted) as balancer:
        send(trial.load, balancer.port, WARM_SECONDS)
        measure.wait_until_quiet(lab.patience)
        return count(lab, trial, balancer)


def under_datagrams(lab: Lab, trial: Trial) -> Figures:
    """The same, with endpoints that send every datagram back."""
    with datagrams.echoing() as echo:
        return under_traffic(replace(lab, origin=echo), trial)


def added_latency(lab: Lab, trial: Trial) -> Figures:
    """The same, and how much longer the median request takes than one straight to the origin."""
    direct = send(trial.load, FIRST_PORT, WARM_SECONDS)["p50_us"]
    through = under_traffic(lab, trial)
    return {**through, "direct_us": direct, "added_us": through["p50_us"] - direct}


def while_blocked(lab: Lab, trial: Trial) -> Figures:
    """The same while Python stands still. Raises `Failed` unless it did so from first to last request."""
    if not trial.blocked:
        return under_traffic(lab, trial)
    with running(trial.target, trial.wanted) as balancer:
        send(trial.load, balancer.port, WARM_SECONDS)
        measure.wait_until_quiet(lab.patience)
        (balancer.folder / "block").write_text(str(round(trial.seconds + BLOCK_MARGIN_SECONDS)))
        if not wait_for((balancer.folder / "blocked").exists, 5):
            raise Failed("the check that blocks was not run")
        figures = count(lab, trial, balancer)
        if (balancer.folder / "free").exists():
            raise Failed("Python was free again before the traffic ended")
        return figures


@dataclass(frozen=True, slots=True)
class _Reading:
    """All clocks at one moment."""

    at: float
    balancer: Spent
    threads: Mapping[str, float]
    ends: float
    """CPU seconds of clients and origin."""
    cores: tuple[Core, ...]


def _read(lab: Lab, balancer: Running) -> _Reading:
    clients = resource.getrusage(resource.RUSAGE_CHILDREN)
    return _Reading(
        at=time.monotonic(),
        balancer=measure.spent(balancer.pid),
        threads=measure.spent_by_thread(balancer.pid),
        ends=measure.spent(lab.origin).total + clients.ru_utime + clients.ru_stime,
        cores=measure.cores(),
    )


def count(lab: Lab, trial: Trial, balancer: Running) -> Figures:
    """Makes the trial's requests and gives every figure there is about them."""
    before = _read(lab, balancer)
    counted = send(trial.load, balancer.port, trial.seconds)
    after = _read(lab, balancer)
    if not counted["requests"]:
        raise Failed(f"{trial.target.name} answered no request")
    spent, took = after.balancer - before.balancer, after.at - before.at
    ours = {BALANCER_CPU: spent.total, LOAD_CPU: after.ends - before.ends}
    figures = {
        **counted,
        "requests_per_second": counted["requests"] / counted["seconds"],
        "cpu_us": spent.total * 1e6 / counted["requests"],
        "user_us": spent.user * 1e6 / counted["requests"],
        "system_us": spent.system * 1e6 / counted["requests"],
        "gb_per_second": counted["bytes"] / 1e9 / counted["seconds"],
        "balancer_percent": 100 * spent.total / took,
        "load_percent": 100 * ours[LOAD_CPU] / took,
        "foreign_percent": measure.foreign_percent(before.cores, after.cores, ours, took),
    }
    if spent.total:
        figures["gb_per_cpu_second"] = counted["bytes"] / 1e9 / spent.total
    if trial.target.name == "bascule":
        figures["python_percent"] = _python_percent(before.threads, after.threads)
    return figures


def _python_percent(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Share of the CPU that was not the data plane's. Its threads are called bascule-0 … and bascule-log."""
    spent = {name: after[name] - before.get(name, 0.0) for name in after}
    python = sum(seconds for name, seconds in spent.items() if not name.startswith("bascule-"))
    return 100 * python / max(1e-9, sum(spent.values()))
