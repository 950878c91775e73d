"""Runs the sources of all pools, settles bursts, and keeps the last good answer of each."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from bascule.clock import Clock
from bascule.discovery.names import Retry
from bascule.discovery.registry import build
from bascule.discovery.source import Source, SourceFailed
from bascule.plan.found import Found, FoundEndpoint
from bascule.plan.plan import Plan, PlannedSource
from bascule.tasks import Tasks, heed_cancellation
from bascule.wording import in_one_line

log = structlog.get_logger("bascule.discovery")

SETTLE_S = 0.1
"""From the first of several changes to the one announcement of them all."""


class Watch:
    """What all sources know. `on_found` is called when that has changed, after bursts have settled.

    It is called on the event loop, without arguments, and must not block or raise.
    """

    def __init__(
        self,
        clock: Clock,
        tasks: Tasks,
        on_found: Callable[[], None],
        build: Callable[[PlannedSource], Source] = build,
    ) -> None:
        self._clock = clock
        self._tasks = tasks
        self._on_found = on_found
        self._build = build
        self._pools: dict[str, list[_Watched]] = {}
        self._announced: Found = {}
        self._announcement: asyncio.Task[None] | None = None

    def update(self, plan: Plan) -> None:
        """Watches exactly the sources of `plan` from now on.

        A source that stays, in the same pool with the same options, keeps running and keeps its answer.
        Raises `BasculeError`, and changes nothing, when a source does not exist or refuses its options.
        """
        before = {pool: list(watched) for pool, watched in self._pools.items()}
        after: dict[str, list[_Watched]] = {}
        fresh: list[_Watched] = []
        for pool in plan.pools:
            kept = before.get(pool.id, [])
            after[pool.id] = []
            for planned in pool.sources:
                same = next((it for it in kept if it.planned == planned), None)
                if same is not None:
                    kept.remove(same)
                else:
                    same = _Watched(pool.id, planned, self._build(planned), self._changed)
                    fresh.append(same)
                after[pool.id].append(same)
        self._pools = after
        for gone in (it for kept in before.values() for it in kept):
            gone.forget()
        for watched in fresh:
            name = f"source {watched.pool}/{watched.planned.kind}"
            watched.task = self._tasks.start(name, watched.run(self._clock))

    def found(self) -> Found:
        """What is known now: of each pool the union of its sources' last good answers, in their order.

        Of two endpoints with the same id the first counts. A pool of which nothing has been heard yet is
        not there.
        """
        found: dict[str, tuple[FoundEndpoint, ...]] = {}
        for pool, sources in self._pools.items():
            union: dict[str, FoundEndpoint] = {}
            for endpoint in (one for it in sources for one in it.answer or ()):
                union.setdefault(endpoint.id, endpoint)
            if any(it.answer is not None for it in sources):
                found[pool] = tuple(union.values())
        return found

    def problems(self) -> list[str]:
        """What cannot be found just now, one line each, in the order of the plan."""
        return [
            f"pool {it.pool}: {it.planned.kind}: {problem}"
            for sources in self._pools.values()
            for it in sources
            for problem in it.problems
        ]

    async def settle(self, timeout_s: float) -> bool:
        """Waits until every source has answered or failed once; whether that came within `timeout_s`.

        What is known then is not announced any more: the caller is expected to look at `found()`.
        """
        try:
            async with self._clock.timeout(timeout_s):
                for watched in [it for sources in self._pools.values() for it in sources]:
                    await watched.heard.wait()
            return True
        except TimeoutError:
            return False
        finally:
            self._announced = self.found()

    async def stop(self) -> None:
        """Ends all sources. Nothing is announced afterwards; `found()` stays as it was."""
        running = [it.task for sources in self._pools.values() for it in sources if it.task is not None]
        if self._announcement is not None:
            running.append(self._announcement)
        await self._tasks.end(*running)

    def _changed(self) -> None:
        if self._announcement is None or self._announcement.done():
            self._announcement = self._tasks.start("settle discovery", self._announce())

    async def _announce(self) -> None:
        await self._clock.sleep(SETTLE_S)
        # Changes from here on are not part of what is read below: they start a new announcement.
        self._announcement = None
        if (found := self.found()) != self._announced:
            self._announced = found
            self._on_found()


class _Watched:
    """A source of one pool, and what it last said. Is the `Report` that the source is given."""

    def __init__(
        self, pool: str, planned: PlannedSource, source: Source, on_change: Callable[[], None]
    ) -> None:
        self.pool = pool
        self.planned = planned
        self.answer: tuple[FoundEndpoint, ...] | None = None
        self.problems: tuple[str, ...] = ()
        self.heard = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._source = source
        self._on_change = on_change
        self._retry = Retry()
        self._log = log.bind(pool=pool, source=planned.kind)

    def found(
        self, endpoints: Sequence[FoundEndpoint], problems: Sequence[str] = (), *, more_soon: bool = False
    ) -> None:
        self._retry.reset()
        self._note(problems)
        before, self.answer = self.answer, tuple(endpoints)
        if not more_soon:
            self.heard.set()
        if self.answer != before:
            self._on_change()

    def failed(self, reason: str) -> None:
        self._note((reason,))
        self.heard.set()

    def forget(self) -> None:
        """Ends it without waiting, and without hearing from it again."""
        self._on_change = _ignore
        # Whoever waits for its first answer must not wait for ever.
        self.heard.set()
        if self.task is not None:
            self.task.cancel()

    async def run(self, clock: Clock) -> None:
        """Runs the source until it is done for good, again and again if it fails."""
        while True:
            try:
                await self._source.run(self, clock)
                return
            except SourceFailed as failed:
                self.failed(str(failed))
            except asyncio.CancelledError:
                # A source that cancels itself must not silence itself for good.
                heed_cancellation()
                self.failed("was cancelled from within")
            except Exception as error:
                self._log.exception("source broke")
                self.failed(f"{type(error).__name__}: {error}")
            heed_cancellation()
            await clock.sleep(self._retry.after_failure())

    def _note(self, problems: Sequence[str]) -> None:
        """Remembers what is wrong, and says so when that is news."""
        now = tuple(in_one_line(it) for it in problems)
        for problem in now:
            if problem not in self.problems:
                kept = {} if self.answer is None else {"kept": len(self.answer)}
                self._log.warning("endpoints not found", reason=problem, **kept)
        if self.problems and not now:
            self._log.info("endpoints found again")
        self.problems = now


def _ignore() -> None:
    """Nobody is interested any more."""
