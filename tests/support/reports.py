"""A `Report` that remembers what a source said, and lets a test wait for it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bascule.clock import Clock
from bascule.discovery.source import Source
from bascule.plan.found import FoundEndpoint
from bascule.tasks import Tasks


class RememberedReport:
    """Everything a source said, in order."""

    def __init__(self) -> None:
        self.answers: list[tuple[FoundEndpoint, ...]] = []
        self.problems: tuple[str, ...] = ()
        """Of the latest answer or failure."""
        self.partial: list[bool] = []
        """Of each answer: whether more was to come soon."""
        self.failures: list[str] = []
        self.said = 0
        self._said = asyncio.Condition()
        self._telling: set[asyncio.Task[None]] = set()

    def found(
        self, endpoints: Sequence[FoundEndpoint], problems: Sequence[str] = (), *, more_soon: bool = False
    ) -> None:
        self.answers.append(tuple(endpoints))
        self.problems = tuple(problems)
        self.partial.append(more_soon)
        self._tell()

    def failed(self, reason: str) -> None:
        self.failures.append(reason)
        self.problems = (reason,)
        self._tell()

    @property
    def ids(self) -> list[str]:
        """Of the latest answer."""
        return [it.id for it in self.answers[-1]] if self.answers else []

    async def until(self, count: int) -> None:
        """Waits until the source has said this many things; at most twenty seconds."""
        async with asyncio.timeout(20), self._said:
            await self._said.wait_for(lambda: self.said >= count)

    def _tell(self) -> None:
        self.said += 1

        async def tell() -> None:
            async with self._said:
                self._said.notify_all()

        telling = asyncio.get_running_loop().create_task(tell())
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)


@asynccontextmanager
async def running(source: Source, clock: Clock) -> AsyncIterator[RememberedReport]:
    """Runs the source for as long as the `async with` lasts. It may return before; it may not crash."""
    crashes: list[BaseException] = []
    tasks = Tasks(on_crash=lambda _, error: crashes.append(error))
    report = RememberedReport()
    tasks.start("source", source.run(report, clock))
    try:
        yield report
    finally:
        await tasks.stop()
    assert crashes == []
