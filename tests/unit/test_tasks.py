"""Background work is named, reported when it crashes, and gone when its owner has stopped."""

import asyncio
import contextlib

import pytest

from bascule.tasks import Tasks, heed_cancellation


async def forever() -> None:
    await asyncio.Event().wait()


async def crash() -> None:
    raise ValueError("no luck")


async def test_a_crash_is_reported_without_anybody_awaiting_the_task() -> None:
    crashes: list[tuple[str, str]] = []
    tasks = Tasks(on_crash=lambda name, error: crashes.append((name, str(error))))
    await asyncio.wait([tasks.start("unlucky", crash())])
    await asyncio.sleep(0)
    assert crashes == [("unlucky", "no luck")]
    assert tasks.names() == ()


async def test_an_ended_task_is_not_a_crash() -> None:
    crashes: list[str] = []
    tasks = Tasks(on_crash=lambda name, _: crashes.append(name))
    await tasks.end(tasks.start("patient", forever()))
    assert crashes == []
    assert tasks.names() == ()


async def test_stop_waits_until_all_have_cleaned_up_last_started_first() -> None:
    tasks = Tasks()
    cleaned: list[str] = []

    async def tidy(name: str) -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            cleaned.append(name)

    for name in ("first", "second"):
        tasks.start(name, tidy(name))
    await asyncio.sleep(0)
    await tasks.stop()
    assert cleaned == ["second", "first"]


async def test_a_stopped_owner_refuses_new_work() -> None:
    tasks = Tasks()
    await tasks.stop()
    with pytest.raises(RuntimeError, match="cannot start late"):
        tasks.start("late", forever())


async def test_a_task_may_stop_its_own_owner() -> None:
    tasks = Tasks()
    other = tasks.start("other", forever())
    await tasks.start("stopper", tasks.stop())
    assert other.cancelled()


async def test_a_loop_that_heeds_ends_although_what_it_awaits_swallowed_the_cancellation() -> None:
    rounds = 0

    async def loop() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            with contextlib.suppress(asyncio.CancelledError):
                await forever()
            heed_cancellation()

    tasks = Tasks()
    ended = tasks.start("loop", loop())
    await asyncio.sleep(0)
    await tasks.stop()
    assert ended.cancelled()
    assert rounds == 1


async def test_a_task_that_loses_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bascule.tasks.INSIST_S", 0.0)

    async def absent_minded() -> None:
        for _ in range(3):
            with contextlib.suppress(asyncio.CancelledError):
                await forever()

    tasks = Tasks()
    ended = tasks.start("absent-minded", absent_minded())
    await asyncio.sleep(0)
    await tasks.stop()
    assert ended.done()
