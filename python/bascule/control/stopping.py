"""How the program ends: drain, wait for the last exchange, and how impatience is heard."""

import asyncio

import structlog

from bascule.clock import Clock
from bascule.plane.plane import Plane
from bascule.tasks import Tasks

log = structlog.get_logger("bascule.control")

REPORT_S = 5.0
"""How long after its grace a data plane may take to say that it has stopped."""


class Stopping:
    """Begins a drain and knows when it is over. Asking again can only make it shorter."""

    def __init__(self, plane: Plane, clock: Clock, tasks: Tasks) -> None:
        self._plane = plane
        self._clock = clock
        self._tasks = tasks
        self._limited = False
        self._at_once = False
        self.asked = asyncio.Event()
        """No new work is wanted."""
        self.ended = asyncio.Event()
        """All work has ended, or was given up."""

    def drain(self) -> None:
        """Lets every exchange finish, however long it takes. Changes nothing when a stop is under way."""
        if not self.asked.is_set():
            self._begin(None)

    def within(self, grace_ms: int) -> None:
        """Lets exchanges go on for the grace time. Asked for a second time, cuts them at once."""
        if self._limited:
            grace_ms = 0
        self._begin(grace_ms)

    def now(self) -> None:
        """Cuts what is in flight."""
        self._begin(0)

    def has_ended(self, cut: int) -> None:
        """The data plane reports that all work has ended."""
        if cut and self._at_once:
            log.info("stopped; exchanges in flight were cut, as asked", cut=cut)
        elif cut:
            log.warning("stopped; the grace time cut exchanges in flight", cut=cut)
        else:
            log.info("stopped; every exchange in flight has ended")
        self.ended.set()

    def _begin(self, grace_ms: int | None) -> None:
        log.info("stopping", grace_ms="no limit" if grace_ms is None else grace_ms)
        self._at_once = self._at_once or grace_ms == 0
        self.asked.set()
        self._plane.stop(grace_ms)
        if grace_ms is not None:
            self._limited = True
            self._tasks.start("stop limit", self._give_up(grace_ms / 1000 + REPORT_S))

    async def _give_up(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        if not self.ended.is_set():
            log.error("the data plane did not report its end in time; leaving without it")
            self.ended.set()
