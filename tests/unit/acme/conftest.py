"""A whole ACME part on a virtual clock, in front of a toy authority."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
from tests.support.toy_authority import ToyAuthority

from bascule import contract
from bascule.acme.keepers import Keepers, Means
from bascule.acme.storage import Storage
from bascule.clock import ManualClock
from bascule.config.model import Config
from bascule.plan.build import _plan
from bascule.plan.compose import compose
from bascule.plan.credentials import Held
from bascule.plan.plan import Plan, PlannedAcme
from bascule.tasks import Tasks

T = TypeVar("T")
EPOCH = 1_800_000_000.0


async def at_once(work: Callable[..., T], *arguments: Any) -> T:
    """A thread could not be hurried by a virtual clock."""
    return work(*arguments)


@dataclass
class Run:
    """One balancer."""

    folder: Path
    clock: ManualClock
    authority: ToyAuthority
    keepers: Keepers
    tasks: Tasks
    got: list[float] = field(default_factory=list)
    """When it was told of a new certificate."""

    def plan(self, *names: str, **acme: Any) -> Plan:
        return plan_of(self.folder, *names, **acme)

    def planned(self, *names: str, **acme: Any) -> PlannedAcme:
        planned = self.plan(*names, **acme).acme
        assert planned is not None
        return planned

    def storage(self) -> Storage:
        planned = self.planned("a.example")
        return Storage(planned.storage, planned.directory)

    def wall(self) -> float:
        return EPOCH + self.clock.now()

    def snapshot(self) -> contract.Snapshot:
        """As the data plane is given it now."""
        tls = contract.ListenerTls((), (), "tls12", ("http/1.1",), None, None)
        held = self.keepers.answers.on_top_of(Held(listeners={"secure": tls}))
        return compose(self.plan("a.example"), {}, 1, held)


def plan_of(folder: Path, *names: str, **acme: Any) -> Plan:
    config = Config.model_validate(
        {
            "acme": {"terms_agreed": True, "storage": str(folder / "store"), **acme},
            "listeners": {
                "plain": {"bind": ":80", "routes": [{"respond": {"status": 418}}]},
                "secure": {"bind": ":443", "routes": [{"respond": "x"}], "tls": {"acme": list(names)}},
            },
        }
    )
    return _plan(config)


@asynccontextmanager
async def balancer(
    folder: Path, clock: ManualClock | None = None, authority: ToyAuthority | None = None, seed: int = 1
) -> AsyncIterator[Run]:
    """Runs until the `async with` ends."""
    clock = clock or ManualClock()
    authority = authority or ToyAuthority(lambda: EPOCH + clock.now())
    tasks = Tasks()

    async def has_got() -> None:
        started.got.append(clock.now())

    means = Means(
        clock=clock,
        tasks=tasks,
        random=Random(seed),
        snapshot=lambda: started.snapshot(),  # noqa: PLW0108 (it begins later)
        on_answers=lambda: None,
        on_got=has_got,
        wall=lambda: EPOCH + clock.now(),
        apart=at_once,
        connect=authority.connect,
    )
    started = Run(folder, clock, authority, Keepers(means), tasks)
    try:
        yield started
    finally:
        await tasks.stop()


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    async with balancer(tmp_path) as started:
        yield started
