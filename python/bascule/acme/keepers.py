"""All certificates that are ordered: one keeper for each, from one configuration to the next."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from bascule import contract
from bascule.acme.answers import Answers
from bascule.acme.apart import Apart, in_thread
from bascule.acme.layout import CHALLENGES, home
from bascule.clock import Clock
from bascule.plan.plan import PlannedAcme
from bascule.tasks import Tasks

if TYPE_CHECKING:
    from bascule.acme.authority import Authority
    from bascule.acme.keeper import Keeper, State
    from bascule.acme.storage import Storage

AT_A_TIME = 4
"""Orders that run beside each other."""


@dataclass(frozen=True, slots=True)
class _Kept:
    keeper: "Keeper"
    task: "asyncio.Task[None]"


@dataclass(frozen=True, slots=True)
class Means:
    """What keepers are given from outside."""

    clock: Clock
    tasks: Tasks
    random: Random
    snapshot: Callable[[], contract.Snapshot | None]
    """The live one."""
    on_answers: Callable[[], None]
    """Called on the event loop when other answers are to be given to authorities."""
    on_got: Callable[[], Awaitable[None]]
    """Awaited after each new certificate."""
    wall: Callable[[], float] = time.time
    apart: Apart = in_thread
    connect: "Callable[[PlannedAcme, Storage], Authority] | None" = None
    """`None`: as the configuration says."""


class Keepers:
    """Loads nothing heavy while nothing is ordered."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self.answers = Answers(means.clock, means.on_answers, means.wall, means.apart)
        self._planned: PlannedAcme | None = None
        self._kept: dict[tuple[str, ...], _Kept] = {}
        self._turns = asyncio.Semaphore(AT_A_TIME)

    def states(self) -> "tuple[State, ...]":
        """How it stands with each certificate, in the order of the configuration."""
        return tuple(kept.keeper.state for kept in self._kept.values())

    async def adopt(self, planned: PlannedAcme | None) -> None:
        """Keeps what this names, and nothing else. Who is at it under the same settings goes on."""
        before, self._planned = self._planned, planned
        wanted = () if planned is None else planned.orders
        same = before is not None and planned is not None and replace(before, orders=wanted) == planned
        stays = {names: kept for names, kept in self._kept.items() if same and names in wanted}
        ended = [kept.task for names, kept in self._kept.items() if names not in stays]
        self._kept = {}
        if ended:
            await self._means.tasks.end(*ended)
        if planned is None:
            self.answers.look_in(None)
            return
        with_files = planned.challenge != "dns-01"
        folder = home(planned.storage, planned.directory) / CHALLENGES
        self.answers.look_in(folder if with_files else None)
        for names in wanted:
            self._kept[names] = stays.get(names) or self._start(planned, names)

    def _start(self, planned: PlannedAcme, names: tuple[str, ...]) -> _Kept:
        from bascule.acme.authority import connect  # noqa: PLC0415 (only where something is ordered)
        from bascule.acme.keeper import Keeper  # noqa: PLC0415
        from bascule.acme.order import Surroundings  # noqa: PLC0415

        means = self._means
        around = Surroundings(
            means.clock, means.wall, means.apart, self.answers, means.snapshot, means.connect or connect
        )
        keeper = Keeper(planned, names, around, means.random, means.on_got)
        return _Kept(keeper, means.tasks.start(f"certificate for {names[0]}", keeper.keep(self._turns)))
