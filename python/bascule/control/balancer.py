"""The running balancer, as signals and the admin API see it: what they may ask and what they may know."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog
from pydantic import ValidationError

import bascule
from bascule import contract
from bascule.acme.keepers import Keepers
from bascule.certificates.store import Certificates
from bascule.clock import Clock
from bascule.config.effective import portable
from bascule.config.model import Config
from bascule.config.problems import ConfigRefused, Problem
from bascule.contract import codec
from bascule.control.changes import changes_between
from bascule.control.generations import Attempt, Generations, Live
from bascule.control.handing_over import HandingOver
from bascule.control.lookup import find
from bascule.control.origin import Origin
from bascule.control.reload import Reload, Reloaded, prepare
from bascule.control.standing import Command
from bascule.control.standings import Standings
from bascule.control.stopping import Stopping
from bascule.control.succession import Succession
from bascule.control.troubles import Troubles
from bascule.discovery.watch import Watch
from bascule.errors import BasculeError
from bascule.observe import certificates, orders, prometheus, status
from bascule.observe.rates import Key, Readings, between, shed_between
from bascule.plan.asked import Asked, question
from bascule.plan.build import check
from bascule.plan.plan import Plan
from bascule.plane.plane import Plane

log = structlog.get_logger("bascule.control")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the supervisor has started. Each part owns its own state; this only holds them together."""

    plane: Plane
    catalog: contract.Catalog
    origin: Origin
    generations: Generations
    watch: Watch
    standings: Standings
    certificates: Certificates
    show_certificates: Callable[[], Awaitable[None]]
    """Reads them again; returns when clients are shown what was found."""
    keepers: Keepers
    troubles: Troubles
    readings: Readings
    reload: Reload
    stopping: Stopping
    succession: Succession
    clock: Clock
    crashes: Callable[[], tuple[str, ...]]
    """Background tasks that failed, in words."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What another configuration would change."""

    lines: list[str]
    """In words; what stays may be named too."""
    differs: bool
    """Whether anything would change at all."""


class Balancer:
    """Answers questions at any time after the first generation is live."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._started = parts.clock.now()
        self.handing_over = HandingOver(lambda: self.live.plan, parts.certificates, parts.show_certificates)

    @property
    def live(self) -> Live:
        live = self._parts.generations.live
        if live is None:
            raise BasculeError("no configuration is live yet")
        return live

    @property
    def last_attempt(self) -> Attempt | None:
        """How the last offer of a configuration ended."""
        return self._parts.generations.last_attempt

    def is_ready(self) -> bool:
        """Whether new traffic is welcome: a configuration is live and nobody has asked to stop."""
        return self._parts.generations.live is not None and not self._parts.stopping.asked.is_set()

    async def reload(self) -> Reloaded:
        """Reads the configuration again. Raises a `BasculeError` when the old one stays."""
        if self._parts.stopping.asked.is_set():
            raise BasculeError("the balancer is stopping")
        return await self._parts.reload.again()

    async def upgrade(self) -> int:
        """Lets another process take over and drains; gives its number. Raises a `BasculeError` if not."""
        if not self.is_ready():
            raise BasculeError("the balancer is stopping")
        process = await self._parts.succession.begin()
        log.info("a successor serves now; what is in flight here finishes", process=process)
        self.stop()
        return process

    def drain(self) -> None:
        """Stops when the last exchange has ended."""
        self._parts.stopping.drain()

    def stop(self) -> None:
        """Stops within the grace time of the live configuration; asked twice, at once."""
        self._parts.stopping.within(self.live.plan.stop_grace_ms)

    def stop_now(self) -> None:
        """Stops at once."""
        self._parts.stopping.now()

    def reopen_logs(self) -> None:
        """Lets go of access logs that were moved away."""
        self._parts.plane.reopen_logs()

    def changes(self, written: Mapping[str, object]) -> Changes:
        """What would change if this were the configuration. Raises `ConfigRefused`.

        Takes a tree and no text: text could name files to include, variables, or be a program.
        It may take seconds, and may be called in a thread of its own.
        """
        plan, problems = check(_typed(written), self._parts.catalog)
        if plan is None:
            raise ConfigRefused(problems)
        return _changes(self.live.plan, plan)

    def own_changes(self) -> Changes:
        """What a reload would change now. Blocks on files. Raises a `BasculeError` when it would refuse."""
        prepared = prepare(self._parts.origin, self._parts.catalog)
        return _changes(self.live.plan, prepared.plan)

    def configuration(self) -> dict[str, object]:
        """The live configuration with every default filled in and its paths absolute."""
        config = self._parts.reload.config
        if config is None:
            raise BasculeError("no configuration is live yet")
        return portable(config, defaults=True)

    def explain(self, asked: Asked) -> tuple[contract.Question, contract.Explanation]:
        """What would become of a request now, and why. Raises `BasculeError` when it makes no sense."""
        asking = question(asked, _bound(self.live), self.live.plan.tls, int(time.time()))
        told = self._parts.plane.explain(codec.encode(asking))
        return asking, codec.decode(contract.Explanation, told)

    async def metrics(self) -> str:
        """The Prometheus page."""
        parts = self._parts
        attempt, adopted = self.last_attempt, parts.generations.adopted_at
        about = prometheus.About(
            version=bascule.__version__,
            reload_ok=attempt is None or attempt.ok,
            reloaded_at=int(adopted or 0),
            certificates=tuple(certificates.expiries(parts.certificates.served)),
            orders=orders.samples(parts.keepers.states()),
        )
        # In a thread: with a thousand endpoints it takes half a second, and checks must go on meanwhile.
        return await asyncio.to_thread(_page, parts.plane.stats(), about)

    async def status(self) -> dict[str, Any]:
        """Everything, now."""
        parts, live, attempt = self._parts, self.live, self.last_attempt
        observed = self._observed()
        reload = (
            None if attempt is None else {"ok": attempt.ok, "at": round(attempt.at, 3), "why": attempt.why}
        )
        return {
            "version": bascule.__version__,
            "process": os.getpid(),
            "configuration": parts.origin.name,
            "state": "stopping" if parts.stopping.asked.is_set() else "running",
            "uptime_s": round(parts.clock.now() - self._started, 1),
            "generation": live.receipt.live,
            "digest": live.receipt.digest,
            "last_reload": reload,
            "problems": [
                *parts.watch.problems(),
                *status.problems(observed.noted),
                *parts.troubles.problems(),
                *parts.certificates.problems(),
                *orders.problems(parts.keepers.states(), time.time()),
                *parts.crashes(),
            ],
            **await asyncio.to_thread(_described, observed),
            "certificates": certificates.describe(parts.certificates.served, time.time()),
            "orders": orders.describe(parts.keepers.states()),
        }

    async def endpoint(self, pool: str, named: str) -> dict[str, Any]:
        """One endpoint now, named by id or address. Raises `NotThere`, or another `BasculeError`."""
        key, observed = self._find(pool, named), self._observed()
        return await asyncio.to_thread(lambda: status.endpoint(_seen(observed), key))

    def command(self, pool: str, named: str, change: Callable[[Command], Command]) -> None:
        """Changes what an operator wants of an endpoint, named by id or address.

        It is so for the data plane when this returns. Raises `NotThere`, or another `BasculeError`.
        """
        key = self._find(pool, named)
        self._parts.standings.command(key, change(self._parts.standings.standing(key).command))

    def _find(self, pool: str, named: str) -> Key:
        live = self.live
        return find(live.found, {it.id for it in live.plan.pools}, pool, named)

    def _observed(self) -> "_Observed":
        parts = self._parts
        noted = status.Noted(
            standings=parts.standings.all(),
            health=parts.standings.prober.states(),
            agents=parts.standings.agents.states(),
            loads=parts.standings.loads.states(),
            ejections=parts.troubles.ejections(),
            now=parts.clock.now(),
        )
        return _Observed(self.live, parts.plane.stats(), parts.readings.oldest(), noted)


@dataclass(frozen=True, slots=True)
class _Observed:
    """What the event loop knows at one moment, to be put into words elsewhere."""

    live: Live
    stats: bytes
    before: tuple[float, bytes] | None
    noted: status.Noted


def _seen(observed: _Observed) -> status.Seen:
    stats = codec.decode(contract.Stats, observed.stats)
    rates, shed = {}, {}
    if observed.before is not None:
        at, earlier = observed.before
        before, seconds = codec.decode(contract.Stats, earlier), observed.noted.now - at
        rates, shed = between(before, stats, seconds), shed_between(before, stats, seconds)
    return status.Seen(observed.live, stats, observed.noted, rates, shed)


def _described(observed: _Observed) -> dict[str, Any]:
    seen = _seen(observed)
    return {
        "draining_generations": list(seen.stats.draining),
        "listeners": status.listeners(seen),
        "pools": status.pools(seen),
    }


def _page(stats: bytes, about: prometheus.About) -> str:
    return prometheus.render(codec.decode(contract.Stats, stats), about)


def _bound(live: Live) -> list[contract.Listener]:
    """The listeners, with the ports that the system has chosen."""
    chosen: dict[str, list[contract.Bind]] = {}
    for bound in live.receipt.binds:
        if bound.address is not None and not bound.asked.startswith(("unix:", "udp:")):
            chosen.setdefault(bound.listener, []).append(contract.TcpBind(bound.address))
    return [replace(it, binds=tuple(chosen.get(it.id, ()))) for it in live.plan.listeners]


def _changes(old: Plan, new: Plan) -> Changes:
    return Changes(changes_between(old, new), old != new)


def _typed(written: Mapping[str, object]) -> Config:
    try:
        return Config.model_validate(dict(written))
    except ValidationError as error:
        raise ConfigRefused(
            Problem("request", None, None, 1, f"{'.'.join(map(str, it['loc']))}: {it['msg']}")
            for it in error.errors(include_url=False, include_input=False)
        ) from error
