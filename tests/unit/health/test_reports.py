"""What endpoints say about themselves is kept, and silence changes nothing."""

from collections.abc import Awaitable, Callable

from bascule.clock import ManualClock
from bascule.contract import TcpAddress
from bascule.health.check import CheckFailed, Target
from bascule.health.reports import Listening, Report, Reports
from bascule.health.rounds import Key, Question
from bascule.plan.found import FoundEndpoint
from bascule.plan.plan import PlannedLoad
from bascule.tasks import Tasks

PLANNED = PlannedLoad("/load", every_ms=1_000, timeout_ms=500)
KEY = ("site", "10.0.0.1:1")


def endpoint(port: int) -> FoundEndpoint:
    address = f"10.0.0.1:{port}"
    return FoundEndpoint(address, TcpAddress(address), 1, None)


def add(before: int, said: int) -> int:
    if said < 0:
        raise CheckFailed("less than nothing")
    return before + said


class Bench:
    """Reports under a manual clock: each answer is added to the ones before."""

    def __init__(self, ask: Callable[[Target], Awaitable[int]]) -> None:
        self.clock = ManualClock()
        self.ask = ask
        self.changes: list[tuple[Key, Report[int], Report[int]]] = []
        kind: Listening[PlannedLoad, int, int] = Listening(lambda _: Question("sum", self.answer), 0, add)
        self.reports: Reports[PlannedLoad, int, int] = Reports(
            self.clock, Tasks(), kind, lambda *change: self.changes.append(change), "1"
        )

    async def answer(self, target: Target) -> int:
        return await self.ask(target)

    def watch(self, *ports: int, paused: tuple[Key, ...] = ()) -> None:
        targets = {("site", endpoint(it).id): (PLANNED, endpoint(it)) for it in ports}
        self.reports.update(targets, paused)


async def five(_: Target) -> int:
    return 5


async def nothing(_: Target) -> int:
    return 0


async def nonsense(_: Target) -> int:
    return -1


async def refuses(_: Target) -> int:
    raise CheckFailed("connection refused")


async def test_what_is_said_adds_to_what_was_said_before() -> None:
    bench = Bench(five)
    bench.watch(1)
    assert bench.reports.states() == {KEY: Report(0, None, None)}
    await bench.clock.advance(0)
    assert bench.reports.states() == {KEY: Report(5, None, 0.0)}
    await bench.clock.advance(1.2)
    assert bench.reports.word(KEY) == 10
    assert [(before.word, after.word) for _, before, after in bench.changes] == [(0, 5), (5, 10)]
    await bench.reports.stop()


async def test_an_endpoint_that_does_not_answer_changes_nothing_but_is_a_problem() -> None:
    bench = Bench(five)
    bench.watch(1)
    await bench.clock.advance(0)
    for ask, problem in ((refuses, "connection refused"), (nonsense, "less than nothing")):
        bench.ask = ask
        await bench.clock.advance(1.2)
        assert bench.reports.states()[KEY] == Report(5, problem, 0.0)
    await bench.reports.stop()


async def test_a_problem_is_told_when_it_begins_and_when_it_ends_and_not_in_between() -> None:
    bench = Bench(refuses)
    bench.watch(1)
    await bench.clock.advance(5)
    bench.ask = nothing
    await bench.clock.advance(5)
    told = [(before.problem, after.problem) for _, before, after in bench.changes]
    assert told == [(None, "connection refused"), ("connection refused", None)]
    await bench.reports.stop()


async def test_who_is_paused_is_not_asked_and_what_it_said_is_kept() -> None:
    bench = Bench(five)
    bench.watch(1)
    await bench.clock.advance(0)
    bench.ask = refuses
    await bench.clock.advance(1.2)
    bench.watch(1, paused=(KEY,))
    await bench.clock.advance(10)
    assert bench.reports.states() == {KEY: Report(5, None, 0.0)}
    bench.ask = five
    bench.watch(1)
    await bench.clock.advance(0)
    assert bench.reports.word(KEY) == 10
    await bench.reports.stop()


async def test_what_an_endpoint_said_that_left_is_forgotten() -> None:
    bench = Bench(five)
    bench.watch(1, 2)
    await bench.clock.advance(0.1)
    bench.watch(2)
    assert list(bench.reports.states()) == [("site", "10.0.0.1:2")]
    assert bench.reports.word(KEY) == 0
    await bench.reports.stop()
    assert bench.reports.states() == {}
