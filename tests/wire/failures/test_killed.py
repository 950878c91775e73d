"""Endpoints that die, freeze or stop accepting under load: what clients see of it is bounded, and ends."""

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from tests.support.endpoints import OK, ScriptedEndpoint, Step, play
from tests.support.load import Load, Outcome
from tests.support.plane import RunningPlane, listener, pool, route, route_timeouts
from tests.support.processes import EndpointProgram

from bascule import contract

CLIENTS = 40
BRIEF = 200
"""Time limits of these tests, in milliseconds."""
SLACK = 2.0
"""What a busy machine may add to any time, in seconds."""

ALGORITHMS = ["least_busy", "two_choices", "round_robin", "weighted_round_robin", "random"]


def down(name: str) -> contract.Mark:
    """What the checks of a dead endpoint lead to after a while."""
    return contract.Mark("site", name, up=False)


def statuses(outcomes: list[Outcome]) -> Counter[int]:
    return Counter(outcome.status for outcome in outcomes)


def slowest(outcomes: list[Outcome]) -> float:
    return max(outcome.seconds for outcome in outcomes)


async def forgotten(plane: RunningPlane, load: Load, *names: str) -> None:
    """Waits until no request is at these endpoints any more and every client has heard of its last one."""
    while any(plane.endpoint(name).in_flight for name in names):
        await load.more(1)
    await load.more(4 * CLIENTS)


def nothing_is_left(plane: RunningPlane) -> None:
    """No count of what is in flight has leaked."""
    stats = plane.wait_stats(lambda stats: stats.listeners[0].open == 0)
    assert stats.listeners[0].in_flight == 0
    assert [one.in_flight for one in stats.endpoints] == [0] * len(stats.endpoints)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("dying", "living"), [(1, 1), (2, 2)])
async def test_killed_endpoints_cost_no_more_than_what_was_in_flight(
    algorithm: str, dying: int, living: int
) -> None:
    """Not even before their checks have noticed."""
    with ExitStack() as ending:
        programs = [
            ending.enter_context(EndpointProgram(f"e{number}", delay_ms=2))
            for number in range(dying + living)
        ]
        members = [program.contract() for program in programs]
        plane = ending.enter_context(RunningPlane([pool(*members, algorithm=algorithm, panic_percent=0)]))
        async with Load(plane.address(), clients=CLIENTS) as load:
            assert statuses(await load.more(400)).keys() == {200}
            for program in programs[:dying]:
                program.kill()
            unnoticed = await load.more(1_500)
            plane.mark(*(down(program.name) for program in programs[:dying]))
            await forgotten(plane, load, *(program.name for program in programs[:dying]))
            assert statuses(await load.more(400)).keys() == {200}
        seen = statuses(unnoticed)
        assert seen.keys() <= {200, 502}
        assert seen[502] <= CLIENTS
        assert slowest(unnoticed) < SLACK
        endings = plane.endings(len(load.outcomes))
        assert endings.keys() <= {"ok", "endpoint_refused", "endpoint_reset", "endpoint_closed"}
        nothing_is_left(plane)


async def test_when_all_endpoints_are_killed_every_request_is_answered_with_502_at_once() -> None:
    with EndpointProgram("only") as program, RunningPlane([pool(program.contract())]) as plane:
        async with Load(plane.address(), clients=CLIENTS) as load:
            await load.more(200)
            program.kill()
            await load.more(4 * CLIENTS)
            dead = await load.more(200)
        assert statuses(dead).keys() == {502}
        assert slowest(dead) < SLACK
        nothing_is_left(plane)


async def test_a_frozen_endpoint_costs_its_requests_their_time_limit_and_nobody_else() -> None:
    limits = route_timeouts(response_ms=BRIEF)
    with (
        EndpointProgram("freezing") as freezing,
        EndpointProgram("living", delay_ms=1) as living,
        RunningPlane(
            [pool(freezing.contract(), living.contract(), algorithm="least_busy", panic_percent=0)],
            [listener(route(timeouts=limits))],
        ) as plane,
    ):
        async with Load(plane.address(), clients=CLIENTS) as load:
            assert statuses(await load.more(200)).keys() == {200}
            freezing.freeze()
            unnoticed = await load.more(2_000)
            plane.mark(down("freezing"))
            await forgotten(plane, load, "freezing")
            assert statuses(await load.more(400)).keys() == {200}
            freezing.thaw()
            plane.mark(contract.Mark("site", "freezing", up=True))
            thawed = await load.more(400)
        assert statuses(unnoticed).keys() <= {200, 504}
        # Half of the clients can be stuck there at one time; all others go on meanwhile.
        stuck = [outcome for outcome in unnoticed if outcome.seconds * 1000 >= BRIEF]
        assert len(stuck) < len(unnoticed) / 4
        assert slowest(unnoticed) < 2 * BRIEF / 1000 + SLACK
        assert statuses(thawed).keys() == {200}
        assert {outcome.body for outcome in thawed} == {b"freezing", b"living"}
        assert plane.endings(len(load.outcomes)).keys() <= {"ok", "response_timed_out"}
        nothing_is_left(plane)


@contextmanager
def full_queue() -> Iterator[str]:
    """An address that never accepts, and whose queue is full: the kernel drops every further connect."""
    with socket.socket() as listening, ExitStack() as filling:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        host, port = listening.getsockname()
        while True:
            filler = filling.enter_context(socket.socket())
            filler.settimeout(0.1)
            try:
                filler.connect((host, port))
            except TimeoutError:
                break
        yield f"{host}:{port}"


async def test_an_endpoint_that_stopped_accepting_is_given_up_after_the_time_for_connects() -> None:
    with (
        full_queue() as full,
        EndpointProgram("living", delay_ms=1) as living,
        RunningPlane(
            [pool(full, living.contract(), algorithm="least_busy", connect_ms=BRIEF, panic_percent=0)]
        ) as plane,
    ):
        async with Load(plane.address(), clients=CLIENTS) as load:
            unnoticed = await load.more(2_000)
            plane.mark(down(full))
            await forgotten(plane, load, full)
            assert statuses(await load.more(400)).keys() == {200}
        seen = statuses(unnoticed)
        assert seen.keys() <= {200, 504}
        assert seen[200] > seen[504]
        assert slowest(unnoticed) < 2 * BRIEF / 1000 + SLACK
        assert plane.endpoint(full).connect_failures > 0
        assert plane.endings(len(load.outcomes)).keys() <= {"ok", "connect_timed_out"}
        nothing_is_left(plane)


async def test_an_endpoint_that_closes_without_a_word_after_each_answer_costs_no_get() -> None:
    """Keep-alive is promised and not kept: many requests meet a connection that is just closing."""
    with ScriptedEndpoint(play(Step.READ, OK, Step.CLOSE)) as rude, RunningPlane([pool(rude)]) as plane:
        async with Load(plane.address(), clients=10) as load:
            await load.more(500)
        assert load.statuses().keys() == {200}
        assert plane.endings(len(load.outcomes)).keys() == {"ok"}
        nothing_is_left(plane)


async def test_an_endpoint_that_resets_half_of_its_answers_harms_only_those() -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    with (
        ScriptedEndpoint(play(Step.READ, cut, Step.RESET)) as bad,
        ScriptedEndpoint() as good,
        RunningPlane([pool(bad, good)]) as plane,
    ):
        async with Load(plane.address(), clients=10) as load:
            await load.more(400)
        assert load.statuses().keys() == {0, 200}
        broken = load.statuses()[0]
        assert broken == len(bad.requests)
        total = len(load.outcomes)
        assert plane.endings(total) == {"ok": total - broken, "response_cut": broken}
        nothing_is_left(plane)
