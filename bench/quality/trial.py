"""One trial: one balancer, or the oracle, through one scenario with one trace."""

import os
import resource
import shutil
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from bench import measure
from bench.load import BUILT, Failed
from bench.quality import figures, oracle
from bench.quality.balancers import Balancer, Running, Setting, running
from bench.quality.figures import SLO_S, Outcome, quantile
from bench.quality.fleet import Fleet
from bench.quality.scenarios import WARM_SECONDS, Scenario
from bench.quality.timeline import NEVER, Timeline
from bench.quality.trace import Arrival, draw, pack

RECORD = struct.Struct("=IIII")
"""As c/clients.c writes it: status, latency, endpoint, lateness."""
CONNECTIONS = 64
"""Opened beforehand."""
LEAD_SECONDS = 0.3
"""From the start of the clients' process to the start of the trace."""
PATIENCE_SECONDS = 8
"""After the last arrival: more than a client waits for an answer."""
TRIES = 4
"""Room for hits: no request is expected at one endpoint more often."""

Figures = Mapping[str, float]


def arrivals(scenario: Scenario, seed: int) -> Sequence[Arrival]:
    """The trace of a scenario, the same for every balancer."""
    return draw(scenario.phases, scenario.capacity, seed, scenario.post)


def ask_oracle(scenario: Scenario, trace: Sequence[Arrival]) -> Figures:
    """What the best possible balancer would have made of the trace."""
    size = scenario.size
    queues = [
        oracle.Queue(size.workers, cold=number >= size.endpoints - scenario.spare)
        for number in range(size.endpoints)
    ]
    timeline = Timeline(scenario.events, scenario.speeds, scenario.spare)
    taken = oracle.dispatch(trace, timeline, queues, within=SLO_S if scenario.burst else None)
    outcomes = [
        Outcome(it.at_us / 1e6, it.demand_us / 1e6, 503 if seconds is None else 200, seconds or 0.0)
        for it, seconds in zip(trace, taken, strict=True)
    ]
    return {**_about(scenario, outcomes), "bad_requests": 0.0, "bad_share_percent": 0.0}


def measured(scenario: Scenario, trace: Sequence[Arrival], balancer: Balancer, threads: int) -> Figures:
    """What a real balancer makes of the trace. Raises `Failed` where there is nothing to report."""
    folder = BUILT / "quality" / "run" / balancer.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    setting, size = Setting(threads, scenario.size.workers), scenario.size
    known = list(range(size.endpoints - scenario.spare))
    room = TRIES * len(trace)
    with (
        Fleet(size, scenario.speeds, scenario.spare, room, folder) as fleet,
        running(balancer, setting, folder, known) as it,
    ):
        before = _read(it)
        start_us, records = _send(scenario, trace, it, fleet)
        after = _read(it)
        hits = fleet.hits(start_us)
    per_request = Counter(hit.request for hit in hits)
    outcomes = [
        Outcome(one.at_us / 1e6, one.demand_us / 1e6, status, latency_us / 1e6, endpoint, per_request[number])
        for number, (one, (status, latency_us, endpoint, _)) in enumerate(zip(trace, records, strict=True))
    ]
    if scenario.spare and not any(hit.endpoint not in known for hit in hits):
        raise Failed(f"{balancer.name} sent nothing to the endpoints that were added")
    found = {**_about(scenario, outcomes), "late_p99_us": quantile([late for *_, late in records], 0.99)}
    if scenario.bad:
        found |= figures.sent_to(hits, scenario.bad, *(scenario.window or (scenario.fault_at, NEVER)))
    return {**found, **_costs(before, after, len(trace))}


def _about(scenario: Scenario, outcomes: Sequence[Outcome]) -> dict[str, float]:
    found = figures.overall([it for it in outcomes if it.at >= WARM_SECONDS])
    if scenario.window:
        found |= figures.in_window(outcomes, *scenario.window)
    if scenario.burst:
        found |= figures.under(scenario.burst, outcomes)
    return found


def _send(
    scenario: Scenario, trace: Sequence[Arrival], running: Running, fleet: Fleet
) -> tuple[int, Sequence[tuple[int, ...]]]:
    """Sends the trace while the events happen. Gives the start (µs, monotonic) and the clients' records."""
    sent, received = running.folder / "trace", running.folder / "records"
    sent.write_bytes(pack(trace))
    start_us = round(1e6 * (time.monotonic() + LEAD_SECONDS))
    command = [BUILT / "clients", running.port, sent, received, start_us, CONNECTIONS]
    with subprocess.Popen([str(it) for it in command], stderr=subprocess.PIPE, text=True) as clients:
        try:
            _carry_out(scenario, running, fleet, start_us / 1e6)
            last = start_us / 1e6 + trace[-1].at_us / 1e6
            _, said = clients.communicate(timeout=max(0.0, last - time.monotonic()) + PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed("the clients did not come to an end") from None
        finally:
            clients.kill()
    if clients.returncode:
        raise Failed(f"the clients gave up: {said.strip()}")
    if running.process.poll() is not None:
        output = (running.folder / "output").read_text()
        raise Failed(f"{running.balancer.name} ended by itself: {output[-1500:].strip()}")
    return start_us, list(RECORD.iter_unpack(received.read_bytes()))


def _carry_out(scenario: Scenario, running: Running, fleet: Fleet, start: float) -> None:
    known = list(range(scenario.size.endpoints - scenario.spare))
    for at, events in groupby(sorted(scenario.events, key=lambda it: it.at), key=lambda it: it.at):
        time.sleep(max(0.0, start + at - time.monotonic()))
        added = []
        for event in events:
            if event.order == "reload":
                added.append(event.endpoint)
            else:
                fleet.carry_out(event)
        if added:
            known += added
            running.serve(known)


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    balancer: float
    """CPU seconds, as all here."""
    ours: float
    busy: float


def _read(running: Running) -> _Reading:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ours = measure.spent(os.getpid()).total
    return _Reading(
        at=time.monotonic(),
        balancer=measure.spent(running.process.pid).total,
        ours=ours + ended.ru_utime + ended.ru_stime,
        busy=sum(it.busy_for_foreground for it in measure.cores()),
    )


def _costs(before: _Reading, after: _Reading, requests: int) -> Figures:
    foreign = (after.busy - before.busy) - (after.ours - before.ours)
    return {
        "cpu_us": 1e6 * (after.balancer - before.balancer) / requests,
        "foreign_percent": max(0.0, 100 * foreign / (after.at - before.at)),
    }
