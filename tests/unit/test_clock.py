"""The manual clock moves only when told, and wakes sleepers in order."""

import asyncio

import pytest

from bascule.clock import ManualClock, SystemClock
from bascule.tasks import Tasks


async def test_sleepers_wake_in_order_of_their_time_and_at_exactly_it() -> None:
    clock, tasks = ManualClock(), Tasks()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now()))

    tasks.start("late", sleeper("late", 2.0))
    tasks.start("early", sleeper("early", 0.5))
    await clock.advance(10)

    assert woken == [("early", 0.5), ("late", 2.0)]
    assert clock.now() == 10


async def test_a_loop_that_sleeps_runs_once_per_period() -> None:
    clock, tasks = ManualClock(), Tasks()
    rounds: list[float] = []

    async def loop() -> None:
        while True:
            rounds.append(clock.now())
            await clock.sleep(1)

    tasks.start("loop", loop())
    await clock.advance(3)
    await tasks.stop()

    assert rounds == [0, 1, 2, 3]


async def test_time_stands_still_until_it_is_advanced() -> None:
    clock, tasks = ManualClock(), Tasks()
    sleeping = tasks.start("sleeper", clock.sleep(0.001))
    await clock.advance(0)
    assert not sleeping.done()
    await tasks.stop()


async def test_a_timeout_expires_by_the_manual_clock() -> None:
    clock, tasks = ManualClock(), Tasks()

    async def limited() -> str:
        try:
            async with clock.timeout(1):
                await clock.sleep(5)
        except TimeoutError:
            return f"gave up at {clock.now()}"
        return "finished"

    outcome = tasks.start("limited", limited())
    await clock.advance(5)
    assert outcome.result() == "gave up at 1.0"


async def test_a_timeout_that_was_not_needed_never_fires() -> None:
    clock, tasks = ManualClock(), Tasks()

    async def limited() -> str:
        async with clock.timeout(2):
            await clock.sleep(1)
        await clock.sleep(10)
        return f"finished at {clock.now()}"

    outcome = tasks.start("limited", limited())
    await clock.advance(20)
    assert outcome.result() == "finished at 11.0"


async def test_a_cancelled_sleeper_disturbs_nobody() -> None:
    clock, tasks = ManualClock(), Tasks()
    gone, stays = tasks.start("gone", clock.sleep(1)), tasks.start("stays", clock.sleep(1))
    await clock.advance(0)
    await tasks.end(gone)
    await clock.advance(1)
    assert gone.cancelled()
    assert stays.done()
    assert not stays.cancelled()


async def test_the_system_clock_times_out_with_the_same_error() -> None:
    with pytest.raises(TimeoutError):
        async with SystemClock().timeout(0):
            await asyncio.Event().wait()
