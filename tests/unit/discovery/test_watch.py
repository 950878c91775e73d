"""What is known of all sources together: settled, kept, and said in words."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import ClassVar, Self

import pytest
from tests.support.plans import plan_of, static

from bascule.clock import Clock, ManualClock
from bascule.contract import TcpAddress
from bascule.discovery.source import Report, SourceFailed
from bascule.discovery.watch import Watch
from bascule.errors import BasculeError
from bascule.plan.found import FoundEndpoint
from bascule.plan.plan import PlannedSource
from bascule.tasks import Tasks

Life = Callable[[Report, Clock], Awaitable[None]]


def endpoint(last: int, weight: int = 1) -> FoundEndpoint:
    address = f"10.0.0.{last}:80"
    return FoundEndpoint(address, TcpAddress(address), weight, None)


class ToySource:
    """Lives as its one option says."""

    kind: ClassVar[str] = "toy"

    def __init__(self, life: Life) -> None:
        self._life = life

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        raise BasculeError(f"a toy is built by hand, not from {options}")

    async def run(self, report: Report, clock: Clock) -> None:
        await self._life(report, clock)


class Bench:
    """A watch under a manual clock, whose sources of kind "toy" live as the test says."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.tasks = Tasks()
        self.announced: list[dict[str, list[str]]] = []
        self.lives: dict[str, Life] = {}
        self.watch = Watch(self.clock, self.tasks, lambda: self.announced.append(self.ids()), self.build)

    def build(self, planned: PlannedSource) -> ToySource:
        try:
            return ToySource(self.lives[str(planned.options["name"])])
        except KeyError:
            raise BasculeError("no such toy") from None

    def toy(self, name: str, life: Life) -> PlannedSource:
        self.lives[name] = life
        return PlannedSource("toy", {"name": name})

    def ids(self) -> dict[str, list[str]]:
        return {pool: [it.id for it in found] for pool, found in self.watch.found().items()}


def answers(*lasts: int) -> Life:
    """Reports these once, and stays."""

    async def life(report: Report, _: Clock) -> None:
        report.found([endpoint(it) for it in lasts])
        await asyncio.Event().wait()

    return life


async def fails(_: Report, __: Clock) -> None:
    raise SourceFailed("no answer")


async def never(_: Report, __: Clock) -> None:
    await asyncio.Event().wait()


async def test_a_pool_has_the_union_of_its_sources_in_their_order_without_doubles() -> None:
    bench = Bench()
    heavy = FoundEndpoint("10.0.0.2:80", TcpAddress("10.0.0.2:80"), 9, None)

    async def weighty(report: Report, _: Clock) -> None:
        report.found([heavy, endpoint(3)])

    bench.watch.update(plan_of(api=(bench.toy("one", answers(2, 1)), bench.toy("two", weighty))))
    assert await bench.watch.settle(1)
    assert bench.ids() == {"api": ["10.0.0.2:80", "10.0.0.1:80", "10.0.0.3:80"]}
    assert [it.weight for it in bench.watch.found()["api"]] == [1, 1, 1]
    await bench.watch.stop()


async def test_a_pool_of_which_nothing_was_heard_is_not_there_and_an_empty_one_is() -> None:
    bench = Bench()
    bench.watch.update(plan_of(quiet=(bench.toy("never", never),), empty=(bench.toy("empty", answers()),)))
    await bench.clock.advance(1)
    assert bench.ids() == {"empty": []}
    await bench.watch.stop()


async def test_a_burst_of_changes_is_announced_once() -> None:
    bench = Bench()

    async def burst(report: Report, clock: Clock) -> None:
        for last in range(1, 6):
            report.found([endpoint(it) for it in range(1, last + 1)])
            await clock.sleep(0.01)

    bench.watch.update(plan_of(api=(bench.toy("burst", burst),)))
    await bench.clock.advance(0.09)
    assert bench.announced == []
    await bench.clock.advance(1)
    assert bench.announced == [{"api": [f"10.0.0.{it}:80" for it in range(1, 6)]}]
    await bench.watch.stop()


async def test_changes_without_end_are_announced_all_the_same() -> None:
    bench = Bench()

    async def restless(report: Report, clock: Clock) -> None:
        last = 0
        while True:
            last += 1
            report.found([endpoint(last)])
            await clock.sleep(0.03)

    bench.watch.update(plan_of(api=(bench.toy("restless", restless),)))
    await bench.clock.advance(1)
    assert 5 <= len(bench.announced) <= 10
    await bench.watch.stop()


async def test_what_flaps_back_within_a_burst_is_not_announced() -> None:
    bench = Bench()

    async def flap(report: Report, clock: Clock) -> None:
        report.found([endpoint(1)])
        await clock.sleep(10)
        report.found([])
        report.found([endpoint(1)])

    bench.watch.update(plan_of(api=(bench.toy("flap", flap),)))
    await bench.clock.advance(20)
    assert len(bench.announced) == 1
    await bench.watch.stop()


async def test_what_settling_waited_for_is_not_announced_again() -> None:
    bench = Bench()
    bench.watch.update(plan_of(api=(bench.toy("one", answers(1)),)))
    assert await bench.watch.settle(1)
    await bench.clock.advance(1)
    assert bench.announced == []
    await bench.watch.stop()


async def test_settling_waits_for_a_first_answer_or_failure_of_each_source() -> None:
    bench = Bench()

    async def slow(report: Report, clock: Clock) -> None:
        report.found([endpoint(1)], more_soon=True)
        await clock.sleep(2)
        report.found([endpoint(1), endpoint(2)])

    bench.watch.update(plan_of(api=(bench.toy("slow", slow), bench.toy("fails", fails))))
    settling = bench.tasks.start("settle", bench.watch.settle(3))
    await bench.clock.advance(1.9)
    assert not settling.done()
    await bench.clock.advance(0.1)
    assert settling.result() is True
    await bench.watch.stop()


async def test_settling_gives_up_after_its_time() -> None:
    bench = Bench()
    bench.watch.update(plan_of(api=(bench.toy("never", never),)))
    settling = bench.tasks.start("settle", bench.watch.settle(3))
    await bench.clock.advance(3)
    assert settling.result() is False
    await bench.watch.stop()


async def test_settling_does_not_wait_for_a_source_that_was_taken_away() -> None:
    bench = Bench()
    bench.watch.update(plan_of(api=(bench.toy("never", never),)))
    settling = bench.tasks.start("settle", bench.watch.settle(3))
    await bench.clock.advance(0)
    bench.watch.update(plan_of())
    await bench.clock.advance(0)
    assert settling.done()
    await bench.watch.stop()


async def test_a_source_that_fails_keeps_its_answer_is_named_and_tried_again_less_and_less_often() -> None:
    bench, tried = Bench(), list[float]()

    async def once(report: Report, clock: Clock) -> None:
        tried.append(clock.now())
        if len(tried) == 1:
            report.found([endpoint(1)])
        raise SourceFailed("the sky\nis down")

    bench.watch.update(plan_of(api=(bench.toy("once", once),)))
    await bench.clock.advance(100)
    assert bench.ids() == {"api": ["10.0.0.1:80"]}
    assert bench.watch.problems() == ["pool api: toy: the sky\\nis down"]
    assert tried == [0, 1, 3, 7, 15, 31, 61, 91]
    await bench.watch.stop()


async def test_a_source_that_recovers_is_no_problem_any_more() -> None:
    bench, runs = Bench(), 0

    async def recovers(report: Report, _: Clock) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("a mistake in the source")
        report.found([endpoint(1)])

    bench.watch.update(plan_of(api=(bench.toy("recovers", recovers),)))
    await bench.clock.advance(0)
    assert bench.watch.problems() == ["pool api: toy: ValueError: a mistake in the source"]
    await bench.clock.advance(2)
    assert bench.watch.problems() == []
    assert bench.ids() == {"api": ["10.0.0.1:80"]}
    await bench.watch.stop()


async def test_a_source_that_cancels_itself_is_run_again() -> None:
    bench, runs = Bench(), 0

    async def cancels(_: Report, __: Clock) -> None:
        nonlocal runs
        runs += 1
        raise asyncio.CancelledError

    bench.watch.update(plan_of(api=(bench.toy("cancels", cancels),)))
    await bench.clock.advance(1)
    assert runs == 2
    await bench.watch.stop()


async def test_a_source_that_stays_keeps_running_and_keeps_its_answer() -> None:
    bench, runs = Bench(), 0

    async def counts(report: Report, _: Clock) -> None:
        nonlocal runs
        runs += 1
        report.found([endpoint(runs)])
        await asyncio.Event().wait()

    kept = bench.toy("counts", counts)
    bench.watch.update(plan_of(api=(kept, bench.toy("gone", answers(8)))))
    await bench.clock.advance(0)
    bench.watch.update(plan_of(api=(bench.toy("come", answers(9)), kept)))
    assert bench.ids() == {"api": ["10.0.0.1:80"]}
    await bench.clock.advance(0)
    assert bench.ids() == {"api": ["10.0.0.9:80", "10.0.0.1:80"]}
    assert runs == 1
    await bench.watch.stop()


async def test_the_same_source_in_another_pool_or_twice_in_one_is_another_source() -> None:
    bench = Bench()
    twice = bench.toy("one", answers(1))
    bench.watch.update(plan_of(a=(twice, twice), b=(twice,)))
    await bench.clock.advance(0)
    assert bench.ids() == {"a": ["10.0.0.1:80"], "b": ["10.0.0.1:80"]}
    bench.watch.update(plan_of(b=(twice,)))
    assert bench.ids() == {"b": ["10.0.0.1:80"]}
    await bench.watch.stop()


async def test_a_source_that_cannot_be_built_changes_nothing() -> None:
    bench = Bench()
    bench.watch.update(plan_of(api=(bench.toy("one", answers(1)),)))
    await bench.clock.advance(0)
    with pytest.raises(BasculeError, match="no such toy"):
        bench.watch.update(plan_of(api=(PlannedSource("toy", {"name": "unheard of"}),)))
    assert bench.ids() == {"api": ["10.0.0.1:80"]}
    await bench.watch.stop()


async def test_stopping_ends_every_task_and_keeps_what_was_found() -> None:
    bench = Bench()
    bench.watch.update(plan_of(api=(bench.toy("one", answers(1)), bench.toy("never", never))))
    await bench.clock.advance(0)
    await bench.watch.stop()
    await bench.clock.advance(1)
    assert bench.tasks.names() == ()
    assert bench.announced == []
    assert bench.ids() == {"api": ["10.0.0.1:80"]}


async def test_the_sources_that_ship_need_no_preparation() -> None:
    clock, tasks = ManualClock(), Tasks()
    watch = Watch(clock, tasks, lambda: None)
    watch.update(plan_of(api=(static("10.0.0.1:80", "10.0.0.2:80"),)))
    assert await watch.settle(1)
    assert [it.id for it in watch.found()["api"]] == ["10.0.0.1:80", "10.0.0.2:80"]
    with pytest.raises(
        BasculeError, match=r"there is no source 'zookeeper'\n  there are: dns, dns_srv, file, static"
    ):
        watch.update(plan_of(api=(PlannedSource("zookeeper", {}),)))
    await watch.stop()
