"""Gather, compose, apply, mark: what the data plane is told, and when."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.support.plans import plan_of, planned_check, planned_pool, static

from bascule import contract
from bascule.clock import ManualClock
from bascule.control.generations import Generations
from bascule.control.reconcile import Reconciler
from bascule.control.standing import Command
from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target
from bascule.health.duty import Duty
from bascule.plan.plan import Plan, PlannedCheck, PlannedSource
from bascule.plane.plane import SnapshotRefused
from bascule.plane.recorded import RecordedPlane
from bascule.tasks import Tasks

SICK: set[str] = set()


def marked(endpoint: str, *, up: bool, draining: bool = False) -> contract.Mark:
    """A mark that says everything."""
    return contract.Mark("site", endpoint, up=up, draining=draining, maintenance=False)


def forgotten(endpoint: str) -> contract.Mark:
    """A mark that takes back all that were made."""
    return contract.Mark("site", endpoint, forget=True)


async def is_well(target: Target) -> None:
    if str(target) in SICK:
        raise CheckFailed("feels unwell")


@dataclass
class Scene:
    plane: RecordedPlane
    clock: ManualClock
    reconciler: Reconciler
    generations: Generations

    def endpoints(self, pool: str = "site") -> list[str]:
        assert self.plane.live is not None
        return [it.id for one in self.plane.live.pools if one.id == pool for it in one.endpoints]


@pytest.fixture
def plane() -> Iterator[RecordedPlane]:
    SICK.clear()
    plane = RecordedPlane()
    yield plane
    plane.close()


@pytest.fixture
async def scene(plane: RecordedPlane) -> AsyncIterator[Scene]:
    clock, tasks = ManualClock(), Tasks()
    generations = Generations(lambda: 1_700_000_000.0)
    reconciler = Reconciler(plane, generations, clock, tasks, seed=1)
    tasks.start("follow", reconciler.follow())
    yield Scene(plane, clock, reconciler, generations)
    await tasks.stop()


def checked(*sources: PlannedSource, check: PlannedCheck | None = None) -> Plan:
    check = check or planned_check("python", {"function": is_well})
    return replace(plan_of(), pools=(planned_pool("site", sources, check),))


async def test_a_plan_becomes_a_snapshot_with_the_endpoints_that_were_found(scene: Scene) -> None:
    await scene.reconciler.adopt(plan_of(site=(static("10.0.0.1:1", "10.0.0.2:1"),)))
    assert scene.endpoints() == ["10.0.0.1:1", "10.0.0.2:1"]
    assert scene.generations.last_attempt is not None and scene.generations.last_attempt.ok


async def test_an_endpoint_that_begins_as_down_is_marked_before_the_data_plane_knows_it(scene: Scene) -> None:
    check = planned_check("python", {"function": is_well}, initially_up=0)
    await scene.reconciler.adopt(checked(static("10.0.0.1:1"), check=check))
    down = marked("10.0.0.1:1", up=False)
    assert scene.plane.told == [down, scene.plane.applied[0]]


async def test_a_verdict_becomes_a_mark(scene: Scene) -> None:
    SICK.add("10.0.0.1:1")
    await scene.reconciler.adopt(checked(static("10.0.0.1:1", "10.0.0.2:1")))
    scene.plane.told.clear()
    await scene.clock.advance(10)
    assert scene.plane.marks == [marked("10.0.0.1:1", up=False)]


async def test_a_verdict_survives_a_reload_and_the_first_mark_of_the_new_generation_says_it(
    scene: Scene,
) -> None:
    SICK.add("10.0.0.1:1")
    await scene.reconciler.adopt(checked(static("10.0.0.1:1")))
    await scene.clock.advance(10)
    scene.plane.told.clear()
    await scene.reconciler.adopt(checked(static("10.0.0.1:1", "10.0.0.2:1")))
    assert scene.plane.told[:2] == [marked("10.0.0.1:1", up=False), marked("10.0.0.2:1", up=True)]
    assert not scene.reconciler.standings.prober.states()[("site", "10.0.0.1:1")].up


async def test_what_is_live_already_is_not_applied_again(scene: Scene) -> None:
    plan = plan_of(site=(static("10.0.0.1:1"),))
    await scene.reconciler.adopt(plan)
    await scene.reconciler.adopt(plan)
    assert len(scene.plane.applied) == 1


async def test_a_check_that_is_added_alone_is_heeded_without_a_new_snapshot(scene: Scene) -> None:
    await scene.reconciler.adopt(plan_of(site=(static("10.0.0.1:1"),)))
    await scene.reconciler.adopt(checked(static("10.0.0.1:1")))
    assert len(scene.plane.applied) == 1
    assert ("site", "10.0.0.1:1") in scene.reconciler.standings.prober.states()


async def test_an_endpoint_that_is_found_later_becomes_live_by_itself(scene: Scene, tmp_path: Path) -> None:
    listed = tmp_path / "endpoints"
    listed.write_text("10.0.0.1:1\n")
    source = PlannedSource("file", {"path": str(listed), "every_ms": 1000})
    await scene.reconciler.adopt(plan_of(site=(source,)))
    assert scene.endpoints() == ["10.0.0.1:1"]
    listed.write_text("10.0.0.1:1\n10.0.0.2:1\n")
    await scene.clock.advance(5)
    assert scene.endpoints() == ["10.0.0.1:1", "10.0.0.2:1"]
    assert [it.generation for it in scene.plane.applied] == [1, 2]


async def test_a_refused_plan_leaves_the_live_one_with_its_sources_and_verdicts(
    scene: Scene, tmp_path: Path
) -> None:
    listed = tmp_path / "endpoints"
    listed.write_text("10.0.0.1:1\n")
    SICK.add("10.0.0.1:1")
    old = checked(PlannedSource("file", {"path": str(listed), "every_ms": 1000}))
    await scene.reconciler.adopt(old)
    await scene.clock.advance(10)
    scene.plane.told.clear()

    scene.plane.refuse_next("listener web: 127.0.0.1:80: permission denied")
    with pytest.raises(SnapshotRefused, match="permission denied"):
        await scene.reconciler.adopt(plan_of(site=(static("10.9.9.9:1"),)))

    assert scene.plane.applied == []
    assert scene.generations.live is not None and scene.generations.live.plan == old
    assert not scene.reconciler.standings.prober.states()[("site", "10.0.0.1:1")].up
    listed.write_text("10.0.0.1:1\n10.0.0.2:1\n")
    await scene.clock.advance(5)
    assert scene.endpoints() == ["10.0.0.1:1", "10.0.0.2:1"]


async def test_a_refused_plan_leaves_no_marks(scene: Scene) -> None:
    await scene.reconciler.adopt(plan_of(site=(static("10.0.0.1:1"),)))
    scene.plane.told.clear()
    scene.plane.refuse_next("listener web: 127.0.0.1:80: permission denied")
    wary = planned_check("python", {"function": is_well}, initially_up=0)
    with pytest.raises(SnapshotRefused):
        await scene.reconciler.adopt(checked(static("10.0.0.1:1", "10.0.0.2:1"), check=wary))
    last = {mark.endpoint: mark for mark in scene.plane.marks}
    assert last == {"10.0.0.1:1": marked("10.0.0.1:1", up=True), "10.0.0.2:1": forgotten("10.0.0.2:1")}


async def test_what_an_operator_commanded_survives_a_reload_and_is_marked_before_its_snapshot(
    scene: Scene,
) -> None:
    await scene.reconciler.adopt(checked(static("10.0.0.1:1")))
    scene.reconciler.standings.command(("site", "10.0.0.1:1"), Command(Duty.DRAIN))
    scene.plane.told.clear()
    await scene.reconciler.adopt(checked(static("10.0.0.1:1", "10.0.0.2:1")))
    assert scene.plane.told[:3] == [
        marked("10.0.0.1:1", up=True, draining=True),
        marked("10.0.0.2:1", up=True),
        scene.plane.applied[-1],
    ]


async def test_a_refused_plan_changes_no_command(scene: Scene) -> None:
    await scene.reconciler.adopt(checked(static("10.0.0.1:1")))
    scene.reconciler.standings.command(("site", "10.0.0.1:1"), Command(Duty.DRAIN))
    scene.plane.refuse_next("listener web: 127.0.0.1:80: permission denied")
    with pytest.raises(SnapshotRefused):
        await scene.reconciler.adopt(checked(static("10.0.0.2:1")))
    last = {mark.endpoint: mark for mark in scene.plane.marks}
    assert last["10.0.0.1:1"] == marked("10.0.0.1:1", up=True, draining=True)
    assert last["10.0.0.2:1"] == forgotten("10.0.0.2:1")


async def test_marks_of_an_endpoint_that_vanishes_are_taken_back(scene: Scene) -> None:
    SICK.add("10.0.0.2:1")
    await scene.reconciler.adopt(checked(static("10.0.0.1:1", "10.0.0.2:1")))
    await scene.clock.advance(1)
    scene.plane.told.clear()
    await scene.reconciler.adopt(checked(static("10.0.0.1:1")))
    assert scene.plane.marks[-1] == forgotten("10.0.0.2:1")
    assert scene.plane.told[-2] == scene.plane.applied[-1], "not before the data plane has let go of it"


async def test_a_check_that_cannot_be_built_refuses_the_plan_before_anything_changes(scene: Scene) -> None:
    await scene.reconciler.adopt(plan_of(site=(static("10.0.0.1:1"),)))
    scene.plane.told.clear()
    with pytest.raises(BasculeError, match="there is no check"):
        await scene.reconciler.adopt(checked(static("10.0.0.2:1"), check=planned_check("astrology")))
    assert scene.plane.told == []
    assert scene.reconciler.watch.found()["site"][0].id == "10.0.0.1:1"


async def test_a_refused_discovery_is_tried_again_with_the_next_one(scene: Scene, tmp_path: Path) -> None:
    listed = tmp_path / "endpoints"
    listed.write_text("10.0.0.1:1\n")
    source = PlannedSource("file", {"path": str(listed), "every_ms": 1000})
    await scene.reconciler.adopt(plan_of(site=(source,)))
    scene.plane.refuse_next("too many endpoints")
    listed.write_text("10.0.0.2:1\n")
    await scene.clock.advance(5)
    assert scene.endpoints() == ["10.0.0.1:1"]
    listed.write_text("10.0.0.3:1\n")
    await scene.clock.advance(5)
    assert scene.endpoints() == ["10.0.0.3:1"]
