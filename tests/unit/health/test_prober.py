"""When checks run, and what becomes of their outcomes."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from tests.support.plans import planned_check

from bascule.clock import ManualClock
from bascule.contract import TcpAddress
from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target
from bascule.health.prober import HealthChange, Prober
from bascule.health.rounds import AT_ONCE
from bascule.plan.found import FoundEndpoint
from bascule.plan.own_check import OwnCheck
from bascule.plan.plan import PlannedCheck
from bascule.tasks import Tasks

Ask = Callable[[Target], Awaitable[object]]


def endpoint(port: int = 8000) -> FoundEndpoint:
    address = f"10.0.0.1:{port}"
    return FoundEndpoint(address, TcpAddress(address), 1, None)


def asking(function: Ask, **changes: int) -> PlannedCheck:
    return planned_check("python", {"function": function}, **changes)


class Bench:
    """A prober under a manual clock, and the changes it told."""

    def __init__(self, seed: int = 1) -> None:
        self.clock = ManualClock()
        self.tasks = Tasks()
        self.changes: list[HealthChange] = []
        self.prober = Prober(self.clock, self.tasks, self.changes.append, seed)

    def watch(self, check: PlannedCheck, *ports: int) -> None:
        self.prober.update({("api", endpoint(it).id): (check, endpoint(it)) for it in ports or (8000,)})

    def state(self, port: int = 8000) -> tuple[bool, int, str]:
        state = self.prober.states()["api", endpoint(port).id]
        return state.up, state.streak, state.reason


async def passes(_: Target) -> None:
    return None


async def fails(_: Target) -> None:
    raise CheckFailed("HTTP 503")


async def test_an_endpoint_goes_down_after_fall_failures_and_says_why() -> None:
    bench = Bench()
    bench.watch(asking(passes))
    await bench.clock.advance(0)
    bench.watch(asking(fails, fall=3))
    await bench.clock.advance(3)
    assert bench.changes == []
    assert bench.state() == (True, 2, "HTTP 503")
    await bench.clock.advance(2.5)
    assert [(it.pool, it.endpoint, it.up, it.reason) for it in bench.changes] == [
        ("api", "10.0.0.1:8000", False, "HTTP 503")
    ]
    await bench.prober.stop()


async def test_an_endpoint_that_recovers_is_up_after_rise_passes_and_keeps_its_reason_until_then() -> None:
    bench = Bench()
    bench.watch(asking(fails, fall=1))
    await bench.clock.advance(0)
    bench.watch(asking(passes, rise=2))
    await bench.clock.advance(0)
    assert bench.state() == (False, 1, "HTTP 503")
    await bench.clock.advance(2.5)
    assert bench.state() == (True, 0, "python check passed")
    assert [it.up for it in bench.changes] == [False, True]
    await bench.prober.stop()


@pytest.mark.parametrize(("initially_up", "outcome"), [(0, passes), (1, fails)])
async def test_the_first_outcome_decides_alone(initially_up: int, outcome: Ask) -> None:
    bench = Bench()
    bench.watch(asking(outcome, initially_up=initially_up, rise=5, fall=5))
    await bench.clock.advance(0)
    assert [it.up for it in bench.changes] == [not initially_up]
    await bench.prober.stop()


async def test_an_equal_check_of_another_reading_is_called_at_its_own_pace() -> None:
    async def is_well(_: Target) -> None:
        return None

    bench, seen = Bench(), list[tuple[str, float]]()

    def reading(name: str) -> PlannedCheck:
        class Check(OwnCheck):
            async def __call__(self, target: object) -> object:
                seen.append((name, bench.clock.now()))
                return None

        return asking(Check(is_well))

    bench.watch(reading("first"))
    await bench.clock.advance(1)
    bench.watch(reading("second"))
    await bench.clock.advance(0)
    assert seen == [("first", 0.0)]
    await bench.clock.advance(1.5)
    assert [name for name, _ in seen] == ["first", "second"]
    await bench.prober.stop()


async def test_an_endpoint_is_what_its_check_says_until_it_was_checked() -> None:
    bench = Bench()
    bench.watch(asking(passes, initially_up=0))
    assert bench.state() == (False, 0, "not checked yet")
    assert bench.prober.states()["api", "10.0.0.1:8000"].last_checked is None
    await bench.prober.stop()


async def test_the_first_check_runs_at_once_and_those_of_many_are_spread() -> None:
    bench, seen = Bench(), list[tuple[int, float]]()

    async def note(target: Target) -> None:
        seen.append((target.port or 0, bench.clock.now()))

    bench.watch(asking(note), *range(1, 501))
    await bench.clock.advance(1)
    assert seen[0] == (1, 0.0)
    assert seen[-1][0] == 500
    assert seen[-1][1] == pytest.approx(0.998)
    assert len(seen) == 500
    await bench.prober.stop()


async def test_a_thousand_endpoints_are_each_checked_once_per_period() -> None:
    bench, seen = Bench(), dict[str, int]()

    async def count(target: Target) -> None:
        seen[target.id] = seen.get(target.id, 0) + 1

    bench.watch(asking(count, every_ms=2_000), *range(1, 1001))
    await bench.clock.advance(10)
    assert len(seen) == 1000
    assert set(seen.values()) <= {4, 5, 6}
    await bench.prober.stop()


async def test_a_period_varies_by_a_tenth_and_is_the_same_for_the_same_seed() -> None:
    async def starts(seed: int) -> list[float]:
        bench, seen = Bench(seed), list[float]()

        async def note(_: Target) -> None:
            seen.append(bench.clock.now())

        bench.watch(asking(note, every_ms=1_000))
        await bench.clock.advance(20)
        await bench.prober.stop()
        return seen

    one, same, other = await starts(7), await starts(7), await starts(8)
    periods = [later - earlier for earlier, later in pairwise(one)]
    assert all(0.9 <= it <= 1.1 for it in periods)
    assert len(set(periods)) > 10
    assert one == same != other


async def test_the_period_is_counted_from_start_to_start() -> None:
    bench, seen = Bench(), list[float]()

    async def slow(_: Target) -> None:
        seen.append(bench.clock.now())
        await bench.clock.sleep(0.8)

    bench.watch(asking(slow, every_ms=1_000))
    await bench.clock.advance(4.5)
    assert all(later - earlier <= 1.1 for earlier, later in pairwise(seen))
    await bench.prober.stop()


async def test_a_check_that_takes_too_long_has_failed() -> None:
    bench = Bench()

    async def hang(_: Target) -> None:
        await asyncio.Event().wait()

    bench.watch(asking(hang, timeout_ms=500, fall=1))
    await bench.clock.advance(0.4)
    assert bench.changes == []
    await bench.clock.advance(0.2)
    assert bench.state() == (False, 0, "python check of 10.0.0.1:8000: no answer within 500ms")
    assert bench.changes[0].at == 0.5
    await bench.prober.stop()


async def test_a_check_that_is_itself_broken_has_failed() -> None:
    bench = Bench()
    bench.watch(planned_check("http", {"path": "/not a target"}, fall=1))
    await bench.clock.advance(0)
    up, _, reason = bench.state()
    assert not up
    assert reason.startswith("http check broke: LocalProtocolError: ")
    await bench.prober.stop()


async def test_a_check_that_cancels_itself_has_failed_and_is_run_again() -> None:
    bench, runs = Bench(), 0

    async def cancel_itself(_: Target) -> None:
        nonlocal runs
        runs += 1
        raise asyncio.CancelledError

    bench.watch(asking(cancel_itself, fall=1))
    await bench.clock.advance(2.5)
    assert bench.state() == (False, 0, "python check of 10.0.0.1:8000 was cancelled from within")
    assert runs == 2
    await bench.prober.stop()


async def test_no_more_checks_run_at_once_than_there_are_places() -> None:
    bench, running, most = Bench(), 0, 0

    async def hold(_: Target) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await bench.clock.sleep(0.9)
        running -= 1

    bench.watch(asking(hold), *range(1, 2 * AT_ONCE))
    await bench.clock.advance(6)
    assert most == AT_ONCE
    assert all(it.last_checked is not None for it in bench.prober.states().values())
    await bench.prober.stop()


async def test_an_update_keeps_what_is_believed_of_endpoints_that_stay() -> None:
    bench = Bench()
    bench.watch(asking(passes), 1, 2)
    await bench.clock.advance(0.1)
    bench.watch(asking(fails, fall=2), 1, 2)
    await bench.clock.advance(0.1)
    bench.watch(asking(fails, fall=2), 2, 3)
    assert set(bench.prober.states()) == {("api", "10.0.0.1:2"), ("api", "10.0.0.1:3")}
    assert bench.state(2) == (True, 1, "HTTP 503")
    assert bench.state(3) == (True, 0, "not checked yet")
    await bench.prober.stop()


async def test_an_unchanged_endpoint_keeps_its_rhythm_over_an_update() -> None:
    bench, seen = Bench(), list[float]()

    async def note(_: Target) -> None:
        seen.append(bench.clock.now())

    check = asking(note, every_ms=2_000)
    bench.watch(check)
    await bench.clock.advance(1)
    bench.watch(check)
    await bench.clock.advance(0.5)
    assert seen == [0.0]
    await bench.prober.stop()


async def test_an_endpoint_that_left_is_neither_checked_nor_reported_any_more() -> None:
    bench, release = Bench(), asyncio.Event()

    async def stubborn(_: Target) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        raise CheckFailed("too late")

    bench.watch(asking(stubborn, fall=1))
    await bench.clock.advance(0)
    bench.prober.update({})
    await bench.clock.advance(0)
    release.set()
    await bench.clock.advance(10)
    assert bench.changes == []
    assert bench.prober.states() == {}
    await bench.tasks.stop()


async def test_a_check_that_does_not_exist_changes_nothing() -> None:
    bench = Bench()
    bench.watch(asking(passes))
    await bench.clock.advance(0)
    with pytest.raises(BasculeError, match="there is no check 'ldap'"):
        bench.watch(planned_check("ldap"))
    assert bench.state() == (True, 0, "python check passed")
    await bench.prober.stop()


async def test_stopping_ends_every_task() -> None:
    bench = Bench()
    bench.watch(asking(passes), 1, 2, 3)
    await bench.clock.advance(0.1)
    await bench.prober.stop()
    assert bench.tasks.names() == ()


async def test_a_paused_endpoint_is_not_checked_and_keeps_its_verdict_until_it_is_again() -> None:
    bench, key = Bench(), ("api", endpoint().id)
    targets = {key: (asking(fails, fall=1, rise=5), endpoint())}
    bench.prober.update(targets)
    await bench.clock.advance(0)
    bench.prober.update({key: (asking(passes, rise=5), endpoint())}, paused=(key,))
    await bench.clock.advance(10)
    assert bench.state() == (False, 0, "checks are paused")
    assert [it.up for it in bench.changes] == [False]
    bench.prober.update({key: (asking(passes, rise=5), endpoint())})
    assert bench.state() == (False, 0, "not checked again yet")
    await bench.clock.advance(0)
    assert bench.state() == (True, 0, "python check passed"), "the first outcome decides alone"
    await bench.prober.stop()
