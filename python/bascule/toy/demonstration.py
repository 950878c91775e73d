"""Three toy endpoints, one three times slower, a balancer in front of them, and some traffic."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bascule.admin.address import AdminAddress
from bascule.control.balancer import Balancer
from bascule.control.leave import Leave
from bascule.control.origin import Origin
from bascule.control.reload import prepare
from bascule.control.supervisor import Supervisor, Surroundings
from bascule.tasks import Tasks
from bascule.toy import endpoint, load

DELAYS_S = (0.020, 0.020, 0.060)
"""How long each endpoint takes for an answer."""

CLIENTS = 24


@dataclass(frozen=True, slots=True)
class Stage:
    """What was started, with the ports that were free."""

    endpoints: tuple[str, ...]
    balancer: str
    admin: AdminAddress
    authority: Path | None = None
    """Whom clients trust, where they speak TLS."""


@dataclass(frozen=True, slots=True)
class Script:
    """What a performance needs from outside. `origin` makes a configuration for these endpoints."""

    origin: Callable[[list[str]], Origin]
    around: Surroundings
    seconds: float
    on_stage: Callable[[Stage], None]
    on_answer: Callable[[load.Outcome], None]
    leave: Leave
    """Ends the traffic early; what came until then counts."""
    authority: Path | None = None
    """Whom clients trust; `None`: they do not speak TLS."""


async def play(script: Script) -> load.Outcome:
    """Starts it all, sends traffic, stops it all. Raises `BasculeError` when it cannot start."""
    async with AsyncExitStack() as ending:
        tasks = Tasks()
        ending.push_async_callback(tasks.stop)
        toys = [
            toy
            for delay in DELAYS_S
            for toy in await endpoint.start([("127.0.0.1", 0)], endpoint.Behaviour(delay), tasks, ending)
        ]
        addresses = [toy.address for toy in toys]
        supervisor, address = await _start_balancer(script, addresses, tasks, ending)
        script.on_stage(Stage(tuple(addresses), address, supervisor.admin, script.authority))
        host, _, port = address.rpartition(":")
        traffic = load.Traffic(
            (host, int(port)), CLIENTS, script.seconds, script.on_answer, _trusting(script.authority)
        )
        outcome = load.Outcome()
        async with script.leave:
            await load.send(traffic, script.around.clock, outcome)
        return outcome


def _trusting(authority: Path | None) -> ssl.SSLContext | None:
    return None if authority is None else ssl.create_default_context(cafile=str(authority))


async def _start_balancer(
    script: Script, endpoints: list[str], tasks: Tasks, ending: AsyncExitStack
) -> tuple[Supervisor, str]:
    origin = script.origin(endpoints)
    supervisor = Supervisor(origin, prepare(origin, script.around.catalog), script.around)
    ready: asyncio.Future[Balancer] = asyncio.get_running_loop().create_future()
    running = tasks.start("balancer", supervisor.run(lambda _, balancer: ready.set_result(balancer)))
    both: list[asyncio.Future[Any]] = [running, ready]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        ready.cancel()
        await running
    balancer = ready.result()
    ending.push_async_callback(_stop, balancer, running)
    return supervisor, balancer.live.receipt.binds[0].address or ""


async def _stop(balancer: Balancer, running: "asyncio.Task[None]") -> None:
    balancer.stop_now()
    await running
