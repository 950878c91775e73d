"""Takes the data plane's events out of its ring as they come, and says them in words."""

import asyncio
import os
from collections.abc import Callable

import structlog

from bascule import contract
from bascule.contract import codec
from bascule.plane.plane import Plane
from bascule.units import format_duration

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


_OfTraffic = (
    contract.Ejected
    | contract.Restored
    | contract.OverloadBegan
    | contract.OverloadEnded
    | contract.StoreFailed
    | contract.StoreRecovered
    | contract.HandshakeFailed
    | contract.ProxyHeaderRefused
    | contract.EndpointTlsFailed
)


def _say(what: contract.What) -> None:
    if isinstance(what, _OfTraffic):
        _say_of_traffic(what)
        return
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


def _say_of_traffic(what: _OfTraffic) -> None:
    match what:
        case contract.Ejected(pool, endpoint, reason, for_ms):
            lasts = format_duration(for_ms)
            log.warning("endpoint is ejected", pool=pool, endpoint=endpoint, reason=reason, lasts=lasts)
        case contract.Restored(pool, endpoint):
            log.info("endpoint is restored", pool=pool, endpoint=endpoint)
        case contract.OverloadBegan(pool):
            log.warning("pool is overloaded: requests wait, and are shed when they wait too long", pool=pool)
        case contract.OverloadEnded(pool):
            log.info("pool keeps up again", pool=pool)
        case contract.StoreFailed(store, reason):
            log.warning("a store does not answer; requests go on without it", store=store, reason=reason)
        case contract.StoreRecovered(store):
            log.info("a store answers again", store=store)
        case contract.HandshakeFailed(listener, client, reason):
            log.debug("TLS handshake failed", listener=listener, client=client, reason=reason)
        case contract.ProxyHeaderRefused(listener, client, reason):
            log.warning("PROXY header refused", listener=listener, client=client, reason=reason)
        case contract.EndpointTlsFailed(pool, endpoint, reason):
            said = "TLS handshake with an endpoint failed"
            log.warning(said, pool=pool, endpoint=endpoint, reason=reason)
