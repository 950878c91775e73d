"""Starts the parts in order, runs until asked to stop, and stops them in reverse."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from bascule import contract
from bascule.admin import address as admin_address
from bascule.admin.app import admin_app, metrics_app
from bascule.admin.server import Server
from bascule.clock import Clock
from bascule.control.balancer import Balancer, Parts
from bascule.control.events import Events
from bascule.control.generations import Generations
from bascule.control.inheritance import Inheritance
from bascule.control.leave import Leave
from bascule.control.origin import Origin
from bascule.control.reactions import Reactions, reload
from bascule.control.reconcile import Reconciler
from bascule.control.reload import Prepared, Reload
from bascule.control.stopping import Stopping
from bascule.control.succession import Succession
from bascule.control.triggers import file_changes, listen
from bascule.control.troubles import Troubles
from bascule.observe.rates import Readings
from bascule.plane.plane import Plane, StartPlane
from bascule.tasks import Tasks

log = structlog.get_logger("bascule.control")

READ_EVERY_S = 5.0
"""Between two readings of the counters, of which rates are made. Nothing else ticks in an idle balancer."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run is given from outside, beside its configuration."""

    start_plane: StartPlane
    catalog: contract.Catalog
    clock: Clock
    threads: int
    """Data-plane threads, where the configuration leaves it open."""
    admin: admin_address.AdminAddress
    """Where admin requests are answered, where the configuration leaves it open."""
    seed: int
    """Of when checks run."""
    admin_named: bool = False
    """`admin` was named at the command line, and counts for more than the configuration."""
    watch_files: bool = False
    """Reload when a file of the configuration changes."""
    signals: bool = True
    """Off where another program owns the signals."""
    inheritance: Inheritance | None = None
    """What a process before this one has left to it."""


class Supervisor:
    """One run of the balancer, from start to end."""

    def __init__(self, origin: Origin, prepared: Prepared, around: Surroundings) -> None:
        self._origin = origin
        self._prepared = prepared
        self._around = around
        self._crashes: list[str] = []
        self._claims: list[admin_address.Claim] = []
        self._servers: list[Server] = []
        self.admin: admin_address.AdminAddress = around.admin
        """Where admin requests are answered; with its port, once it runs."""
        self.metrics: admin_address.AdminAddress | None = None

    async def run(self, on_ready: Callable[["Supervisor", Balancer], None]) -> None:
        """Runs until stopped; `on_ready` is called once traffic is accepted.

        Raises `BasculeError` when it cannot start, and leaves nothing behind. Asked to stop before traffic
        is accepted, it returns at once.
        """
        async with AsyncExitStack() as ending:
            tasks = Tasks(self._note_crash)
            leave = Leave()
            reactions = Reactions(tasks, leave.now)
            if self._around.signals:
                ending.callback(listen(reactions.to_signal))
            admin, metrics = self._claim(ending)
            ending.push_async_callback(tasks.stop)
            plane = self._start_plane()
            if self._around.inheritance is not None:
                plane.inherit(self._around.inheritance.left.sockets)
            reconciler, parts = self._assemble(plane, tasks, ending)
            async with leave:
                await parts.reload.begin(self._prepared)
            if leave.was_asked:
                log.info("stopped before any traffic was accepted")
                return

            balancer = Balancer(parts)
            self._serve(admin, metrics, balancer, tasks, ending)
            self._start_background(balancer, reconciler, parts, tasks)
            reactions.begin(balancer)
            on_ready(self, balancer)
            await parts.stopping.ended.wait()

    def _claim(self, ending: AsyncExitStack) -> tuple[admin_address.Claim, admin_address.Claim | None]:
        """Before traffic is accepted: two balancers on one admin address would confuse every operator."""
        wanted = self._prepared.plan.admin
        bind = self._around.admin
        if wanted.bind is not None and not self._around.admin_named:
            bind = admin_address.parse(wanted.bind)
        admin = self._claim_one(bind)
        ending.callback(admin.release)
        self.admin = admin.address
        if isinstance(admin.address, admin_address.TcpAdmin) and not admin.address.is_local():
            log.warning(
                "whoever can reach the admin address can stop this balancer", address=str(admin.address)
            )
        if wanted.metrics is None:
            return admin, None
        metrics = self._claim_one(admin_address.parse(wanted.metrics))
        ending.callback(metrics.release)
        self.metrics = metrics.address
        return admin, metrics

    def _claim_one(self, bind: admin_address.AdminAddress) -> admin_address.Claim:
        inheritance = self._around.inheritance
        claim = admin_address.claim(bind, inheritance.admin(str(bind)) if inheritance is not None else None)
        self._claims.append(claim)
        return claim

    def _leave_admin(self) -> None:
        """The admin side is a successor's now: who asks is answered by it."""
        for claim in self._claims:
            claim.is_left = True
        for server in self._servers:
            server.stop()

    def _start_plane(self) -> Plane:
        threads = self._prepared.plan.threads or self._around.threads
        return self._around.start_plane(contract.Settings(threads=threads, seed=None))

    def _assemble(self, plane: Plane, tasks: Tasks, ending: AsyncExitStack) -> tuple[Reconciler, Parts]:
        around = self._around
        stopping = Stopping(plane, around.clock, tasks)
        # After a failed start the data plane's threads must not stay.
        ending.callback(lambda: None if stopping.asked.is_set() else plane.stop(0))
        troubles = Troubles()
        events = Events(plane, lambda what: _hear(what, stopping, troubles))
        events.listen()
        ending.callback(events.close)

        generations = Generations(time.time)
        reconciler = Reconciler(plane, generations, around.clock, tasks, around.seed)
        ending.push_async_callback(reconciler.watch.stop)
        ending.push_async_callback(reconciler.standings.stop)
        return reconciler, Parts(
            plane=plane,
            catalog=around.catalog,
            origin=self._origin,
            generations=generations,
            watch=reconciler.watch,
            standings=reconciler.standings,
            certificates=reconciler.certificates,
            show_certificates=reconciler.show_certificates,
            keepers=reconciler.keepers,
            troubles=troubles,
            readings=Readings(around.clock),
            reload=Reload(self._origin, around.catalog, reconciler, generations, tasks),
            stopping=stopping,
            succession=Succession(
                plane,
                lambda: {str(claim.address): claim.socket for claim in self._claims},
                self._leave_admin,
            ),
            clock=around.clock,
            crashes=lambda: tuple(self._crashes),
        )

    def _serve(
        self,
        admin: admin_address.Claim,
        metrics: admin_address.Claim | None,
        balancer: Balancer,
        tasks: Tasks,
        ending: AsyncExitStack,
    ) -> None:
        over_unix = isinstance(admin.address, admin_address.UnixAdmin)
        self._servers.append(Server(admin_app(balancer, over_unix=over_unix), [admin.socket]))
        if metrics is not None:
            self._servers.append(Server(metrics_app(balancer), [metrics.socket]))
        for server, name in zip(self._servers, ("admin", "metrics"), strict=False):
            serving = tasks.start(name, server.run())
            ending.push_async_callback(_end, server, serving)

    def _start_background(
        self, balancer: Balancer, reconciler: Reconciler, parts: Parts, tasks: Tasks
    ) -> None:
        tasks.start("reconcile", reconciler.follow())
        tasks.start("certificates", reconciler.certificates.follow())
        tasks.start("answers to authorities", reconciler.keepers.answers.follow())
        tasks.start("readings", _keep_reading(parts))
        if self._around.watch_files:
            tasks.start("watch files", self._reload_on_change(balancer))

    async def _reload_on_change(self, balancer: Balancer) -> None:
        async for _ in file_changes(self._origin, self._around.clock):
            log.info("a file of the configuration has changed")
            await reload(balancer)

    def _note_crash(self, name: str, error: BaseException) -> None:
        # Traffic does not depend on any of them; an operator who looks at the status must see it.
        self._crashes.append(f"background task '{name}' failed: {error!r}; restart when you can")


def _hear(what: contract.What, stopping: Stopping, troubles: Troubles) -> None:
    troubles.hear(what)
    if isinstance(what, contract.Stopped):
        stopping.has_ended(what.cut)


async def _keep_reading(parts: Parts) -> None:
    while True:
        parts.readings.keep(parts.plane.stats())
        await parts.clock.sleep(READ_EVERY_S)


async def _end(server: Server, serving: "asyncio.Task[None]") -> None:
    server.stop()
    await asyncio.wait([serving])
