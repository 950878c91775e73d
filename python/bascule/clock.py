"""What time it is, and how to wait: the system's clock, and one that tests move by hand."""

import asyncio
import heapq
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

TURNS_UNTIL_QUIET = 64
"""Turns of the event loop that a `ManualClock` grants after each wake-up.

A chain of awaits between two sleeps takes one turn per hop; the longest in the control plane is under
ten. Work that waits for a real socket or thread cannot be hurried by turns and does not belong under a
manual clock.
"""


class Clock(Protocol):
    """Monotonic time. Passed in wherever something waits, so that tests decide when it is later."""

    def now(self) -> float:
        """Seconds since a moment that never changes while the program runs; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns once `seconds` have passed; zero or less lets others run once."""
        ...

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Cancels the body after `seconds` and raises `TimeoutError` instead, as `asyncio.timeout` does."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0))

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(seconds)


class ManualClock:
    """Stands still until `advance`: everything that sleeps on it wakes in order, at exactly its time."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._alarms: list[tuple[float, int, Callable[[], None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()

        def wake() -> None:
            # The sleeper may have been cancelled since.
            if not woken.done():
                woken.set_result(None)

        self._ring(self._now + seconds, wake)
        await woken

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        return self._expire(seconds)

    async def advance(self, seconds: float) -> None:
        """Moves time forward, stopping at every alarm on the way until what it woke waits again."""
        until = self._now + seconds
        await _settle()
        while self._alarms and self._alarms[0][0] <= until:
            self._now, _, ring = heapq.heappop(self._alarms)
            ring()
            # Alarms at one moment ring together; only then do the woken run.
            if not self._alarms or self._alarms[0][0] > self._now:
                await _settle()
        self._now = until
        await _settle()

    @asynccontextmanager
    async def _expire(self, seconds: float) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        ended = False
        async with asyncio.timeout(None) as limit:

            def expire() -> None:
                if not ended:
                    limit.reschedule(loop.time())

            self._ring(self._now + max(seconds, 0), expire)
            try:
                yield
            finally:
                ended = True

    def _ring(self, at: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._alarms, (at, next(self._order), what))


async def _settle() -> None:
    for _ in range(TURNS_UNTIL_QUIET):
        await asyncio.sleep(0)
