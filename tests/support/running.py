"""A whole control plane in front of a recorded data plane, for tests of what runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bascule import contract
from bascule.admin.address import UnixAdmin
from bascule.clock import ManualClock
from bascule.control.balancer import Balancer
from bascule.control.origin import FileOrigin
from bascule.control.reload import prepare
from bascule.control.supervisor import Supervisor, Surroundings
from bascule.plane.recorded import RecordedPlane

_NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}

CATALOG = contract.Catalog(
    algorithms=tuple(
        contract.Entry(name, "", "", _NOTHING)
        for name in ("fastest", "random", "round_robin", "weighted_round_robin", "least_busy", "two_choices")
    ),
    matchers=tuple(
        contract.Entry(name, "", "", {"type": "object"})
        for name in ("host", "path", "method", "header", "query", "client", "client_certificate")
    ),
)

TWO_ENDPOINTS = """\
listeners:
  web: {bind: 127.0.0.1:0, pool: site}
pools:
  site: {endpoints: ["10.0.0.1:8000", "10.0.0.2:8000"]}
"""


@dataclass
class Running:
    """A balancer that runs until the `async with` ends."""

    balancer: Balancer
    supervisor: Supervisor
    plane: RecordedPlane
    clock: ManualClock
    file: Path
    task: "asyncio.Task[None]"

    async def ended(self) -> None:
        """Returns when the balancer has stopped by itself; raises what it raised."""
        await asyncio.wait_for(asyncio.shield(self.task), 10)


@asynccontextmanager
async def running(
    folder: Path,
    content: str = TWO_ENDPOINTS,
    *,
    busy: bool = False,
    signals: bool = False,
    admin_named: bool = False,
) -> AsyncIterator[Running]:
    """Starts a balancer from a file in `folder`. Raises what its start raises."""
    file = folder / "bascule.yaml"
    file.write_text(content)
    plane, clock = RecordedPlane(busy=busy), ManualClock()
    around = Surroundings(
        start_plane=lambda _settings: plane,
        catalog=CATALOG,
        clock=clock,
        threads=2,
        admin=UnixAdmin(folder / "admin.sock"),
        seed=1,
        admin_named=admin_named,
        signals=signals,
    )
    origin = FileOrigin(file)
    supervisor = Supervisor(origin, prepare(origin, CATALOG), around)
    ready: asyncio.Future[Balancer] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(supervisor.run(lambda _, balancer: ready.set_result(balancer)))
    try:
        both: list[asyncio.Future[Any]] = [task, ready]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield Running(ready.result(), supervisor, plane, clock, file, task)
    finally:
        if not task.done():
            if ready.done():
                plane.finish()
            task.cancel()
            await asyncio.wait([task])
        ready.cancel()
        plane.close()
