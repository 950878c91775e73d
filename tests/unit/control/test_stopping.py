"""How a stop goes, and how a second one makes it shorter."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from bascule.clock import ManualClock
from bascule.control.stopping import REPORT_S, Stopping
from bascule.plane.recorded import RecordedPlane
from bascule.tasks import Tasks


@dataclass
class Scene:
    plane: RecordedPlane
    clock: ManualClock
    stopping: Stopping


@pytest.fixture
def plane() -> Iterator[RecordedPlane]:
    plane = RecordedPlane(busy=True)
    yield plane
    plane.close()


@pytest.fixture
async def scene(plane: RecordedPlane) -> AsyncIterator[Scene]:
    clock, tasks = ManualClock(), Tasks()
    yield Scene(plane, clock, Stopping(plane, clock, tasks))
    await tasks.stop()


async def test_a_stop_grants_the_grace_time_and_a_second_one_nothing(scene: Scene) -> None:
    scene.stopping.within(30_000)
    assert scene.stopping.asked.is_set() and not scene.stopping.ended.is_set()
    scene.stopping.within(30_000)
    assert scene.plane.stops == [30_000, 0]


async def test_a_drain_has_no_limit_and_a_stop_gives_it_one(scene: Scene) -> None:
    scene.stopping.drain()
    scene.stopping.within(30_000)
    scene.stopping.within(30_000)
    assert scene.plane.stops == [None, 30_000, 0]


async def test_a_drain_never_makes_a_stop_longer(scene: Scene) -> None:
    scene.stopping.within(30_000)
    scene.stopping.drain()
    assert scene.plane.stops == [30_000]


async def test_it_ends_when_the_data_plane_says_so(scene: Scene) -> None:
    scene.stopping.drain()
    await scene.clock.advance(3600)
    assert not scene.stopping.ended.is_set()
    scene.stopping.has_ended(cut=0)
    assert scene.stopping.ended.is_set()


async def test_a_data_plane_that_says_nothing_is_given_up_after_its_grace(scene: Scene) -> None:
    scene.stopping.within(30_000)
    await scene.clock.advance(30 + REPORT_S - 0.1)
    assert not scene.stopping.ended.is_set()
    await scene.clock.advance(0.2)
    assert scene.stopping.ended.is_set()
