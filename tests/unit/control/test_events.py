"""Events of the data plane reach the event loop."""

import asyncio
from collections.abc import Iterator

import pytest
import structlog

from bascule import contract
from bascule.control.events import BATCH, Events
from bascule.plane.recorded import RecordedPlane


@pytest.fixture
def plane() -> Iterator[RecordedPlane]:
    plane = RecordedPlane()
    yield plane
    plane.close()


async def test_every_event_is_told_once_and_in_order_however_many_wait(plane: RecordedPlane) -> None:
    told: list[contract.What] = []
    all_told = asyncio.Event()
    count = 2 * BATCH + 1

    def tell(what: contract.What) -> None:
        told.append(what)
        if len(told) == count:
            all_told.set()

    events = Events(plane, tell)
    events.listen()
    for number in range(count):
        plane.say(contract.GenerationDrained(number))
    await asyncio.wait_for(all_told.wait(), 5)
    events.close()
    assert told == [contract.GenerationDrained(number) for number in range(count)]


async def test_every_kind_of_event_can_be_said(plane: RecordedPlane) -> None:
    kinds: list[contract.What] = [
        contract.AcceptPaused("web", "no file descriptors"),
        contract.AcceptResumed("web"),
        contract.TaskPanicked(0, "index out of bounds"),
        contract.LogFailed("no space left on device"),
        contract.EventsLost(3),
        contract.Ejected("site", "10.0.0.1:1", "5 failures in a row", 10_000),
        contract.Restored("site", "10.0.0.1:1"),
        contract.OverloadBegan("site"),
        contract.OverloadEnded("site"),
        contract.StoreFailed("shared", "connection refused"),
        contract.StoreRecovered("shared"),
        contract.Stopped(0),
    ]
    told: list[contract.What] = []
    ended = asyncio.Event()

    def tell(what: contract.What) -> None:
        told.append(what)
        if isinstance(what, contract.Stopped):
            ended.set()

    events = Events(plane, tell)
    events.listen()
    for kind in kinds:
        plane.say(kind)
    await asyncio.wait_for(ended.wait(), 5)
    events.close()
    assert told == kinds


async def test_what_traffic_shows_of_an_endpoint_is_logged_with_its_reason(plane: RecordedPlane) -> None:
    told = asyncio.Event()
    events = Events(plane, lambda _: told.set())
    with structlog.testing.capture_logs() as lines:
        events.listen()
        plane.say(contract.Ejected("site", "10.0.0.1:1", "5 failures in a row", 10_000))
        await asyncio.wait_for(told.wait(), 5)
        events.close()
    assert lines == [
        {
            "event": "endpoint is ejected",
            "log_level": "warning",
            "pool": "site",
            "endpoint": "10.0.0.1:1",
            "reason": "5 failures in a row",
            "lasts": "10s",
        }
    ]
