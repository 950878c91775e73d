"""Takes the data plane's events out of its ring as they come, and says them in words."""

import asyncio
import os
from collections.abc import Callable

import structlog

from bascule import contract
from bascule.contract import codec
from bascule.plane.plane import Plane

log = structlog.get_logger("bascule.plane")

BATCH = 256


class Events:
    """Reads events on the event loop from `listen` to `close`. Each is logged, then told to `on_event`."""

    def __init__(self, plane: Plane, on_event: Callable[[contract.What], None]) -> None:
        self._plane = plane
        self._on_event = on_event
        self._wake = plane.wake_fd()

    def listen(self) -> None:
        asyncio.get_running_loop().add_reader(self._wake, self._take)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._wake)

    def _take(self) -> None:
        try:
            os.read(self._wake, 8)
        except BlockingIOError:
            return
        while events := codec.decode(tuple[contract.Event, ...], self._plane.events(BATCH)):
            for event in events:
                _say(event.what)
                self._on_event(event.what)


def _say(what: contract.What) -> None:
    match what:
        case contract.AcceptPaused(listener, reason):
            log.warning("accepting paused", listener=listener, reason=reason)
        case contract.AcceptResumed(listener):
            log.info("accepting resumed", listener=listener)
        case contract.GenerationDrained(0):
            pass  # The emptiness before the first snapshot.
        case contract.GenerationDrained(generation):
            log.info("generation drained", generation=generation)
        case contract.TaskPanicked(thread, message):
            log.error("a connection's task failed; please report this", thread=thread, message=message)
        case contract.LogFailed(reason):
            log.error("the access log cannot be written", reason=reason)
        case contract.EventsLost(count):
            log.warning("events were lost", count=count)
        case contract.Stopped():
            pass  # `Stopping` says it, with what was cut.
