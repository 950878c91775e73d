"""The loop that makes what is wanted and what was found true: gather → compose → apply → mark."""

import asyncio
from random import Random

import structlog

from bascule import contract
from bascule.acme.keepers import Keepers, Means
from bascule.certificates.store import Certificates
from bascule.clock import Clock
from bascule.contract import codec
from bascule.control.generations import Generations, Live
from bascule.control.marks import farewells
from bascule.control.standings import Standings
from bascule.discovery.watch import Watch
from bascule.health.registry import build as build_check
from bascule.plan.compose import compose
from bascule.plan.credentials import Held, named_by
from bascule.plan.found import Found
from bascule.plan.plan import Plan
from bascule.plane.plane import MaterialRefused, Plane, SnapshotRefused
from bascule.tasks import Tasks

log = structlog.get_logger("bascule.control")

SETTLE_S = 3.0
"""How long a new configuration waits for first answers. A name that does not resolve yet comes later."""


class Reconciler:
    """Owns the way to the data plane: nothing else applies or marks. One step at a time, in order."""

    def __init__(self, plane: Plane, generations: Generations, clock: Clock, tasks: Tasks, seed: int) -> None:
        self._plane = plane
        self._generations = generations
        self.watch = Watch(clock, tasks, self.wake)
        self.certificates = Certificates(clock, self.wake)
        self.keepers = Keepers(
            Means(
                clock=clock,
                tasks=tasks,
                random=Random(seed),
                snapshot=self._live_snapshot,
                on_answers=self.wake,
                on_got=self.certificates.look_now,
            )
        )
        self.standings = Standings(clock, tasks, self._mark, seed)
        self._turn = asyncio.Lock()
        self._found_changed = asyncio.Event()

    def wake(self) -> None:
        """Something was found or lost: look again soon."""
        self._found_changed.set()

    async def adopt(self, plan: Plan) -> None:
        """Makes `plan` live. Raises a `BasculeError`, such as `SnapshotRefused`, and leaves all as it was."""
        async with self._turn:
            for pool in plan.pools:
                if pool.check is not None:
                    # Said now, while nothing has changed yet: who checks is told last.
                    build_check(pool.check)
            await self.certificates.adopt(plan)
            self.watch.update(plan)
            await self.watch.settle(SETTLE_S)
            try:
                self._step(plan)
            except (SnapshotRefused, MaterialRefused):
                if (live := self._generations.live) is not None:
                    await self.certificates.go_back(live.plan)
                    self.watch.update(live.plan)
                    await self.watch.settle(SETTLE_S)
                raise
            self._generations.adopted()
            await self.keepers.adopt(plan.acme)

    async def show_certificates(self) -> None:
        """Reads certificates again. Clients are shown them when it returns. Raises a `BasculeError`."""
        await self.certificates.look_now()
        async with self._turn:
            if (live := self._generations.live) is not None:
                self._step(live.plan)

    async def follow(self) -> None:
        """Takes a step whenever something was found or lost. Ends by being cancelled."""
        while True:
            await self._found_changed.wait()
            async with self._turn:
                self._found_changed.clear()
                if (live := self._generations.live) is None:
                    continue
                try:
                    self._step(live.plan)
                except (SnapshotRefused, MaterialRefused) as refused:
                    log.error("what was found is refused", reason=str(refused), live=live.receipt.live)

    def _step(self, plan: Plan) -> None:
        found = self._gather(plan)
        held = self.keepers.answers.on_top_of(self.certificates.held)
        snapshot = compose(plan, found, self._generations.next, held)
        before = self._generations.live
        # First, so that an endpoint that begins as down gets no request.
        self._mark(self.standings.marks(plan, found))
        if self._generations.is_live(snapshot):
            self._generations.stayed_live(plan, found)
        else:
            self._generations.offered(snapshot)
            try:
                self._give(snapshot, held)
                receipt = codec.decode(contract.Receipt, self._plane.apply(codec.encode(snapshot)))
            except (SnapshotRefused, MaterialRefused):
                self._mark_again(before, found)
                raise
            self._generations.became_live(plan, found, snapshot, receipt)
            log.info("generation is live", generation=receipt.live, digest=receipt.digest)
        if before is not None:
            self._mark(farewells(before.found, found))
        self.standings.watch(plan, found)

    def _give(self, snapshot: contract.Snapshot, held: Held) -> None:
        """Hands over the material that the snapshot names and the live one does not."""
        known = named_by(self._live_snapshot())
        if new := [held.material[each] for each in sorted(named_by(snapshot) - known)]:
            try:
                self._plane.give(codec.encode(tuple(new)))
            except MaterialRefused as refused:
                raise MaterialRefused(self.certificates.in_files(str(refused))) from refused

    def _live_snapshot(self) -> contract.Snapshot | None:
        live = self._generations.live
        return None if live is None else live.snapshot

    def _mark_again(self, live: Live | None, refused: Found) -> None:
        """Takes back what was marked for a snapshot that did not become live."""
        if live is not None:
            self._mark(farewells(refused, live.found))
            self._mark(self.standings.marks(live.plan, live.found))

    def _gather(self, plan: Plan) -> Found:
        """What is found now. A source that has yet to answer again keeps what it gave to the live one."""
        found, live = self.watch.found(), self._generations.live
        if live is None:
            return found
        before = {pool.id: pool.sources for pool in live.plan.pools}
        kept = {
            pool.id: live.found[pool.id]
            for pool in plan.pools
            if pool.id not in found and pool.id in live.found and before.get(pool.id) == pool.sources
        }
        return {**found, **kept}

    def _mark(self, marks: contract.Marks) -> None:
        if marks:
            self._plane.mark(codec.encode(marks))
