"""A configuration from its origin to the data plane, all or nothing."""

import asyncio
from dataclasses import dataclass

import structlog

from bascule import contract
from bascule.config.model import Config
from bascule.config.problems import ConfigRefused, Problem
from bascule.control.changes import changes_between
from bascule.control.generations import Generations
from bascule.control.origin import Origin
from bascule.control.reconcile import Reconciler
from bascule.errors import BasculeError
from bascule.observe import logs
from bascule.plan.build import check
from bascule.plan.plan import Plan
from bascule.plan.review import completed
from bascule.tasks import Tasks

log = structlog.get_logger("bascule.control")


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A configuration became live."""

    generation: int
    changes: tuple[str, ...]
    """In words; what needs a restart to take effect is among them."""
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that passed every check that needs no data plane."""

    config: Config
    plan: Plan
    warnings: tuple[Problem, ...]


def prepare(origin: Origin, catalog: contract.Catalog) -> Prepared:
    """Steps 1 to 3: reads, parses and builds. May block on files.

    Raises `ConfigRefused` with every mistake, of shape and of meaning.
    """
    try:
        config = origin.read()
    except ConfigRefused as refused:
        raise completed(refused, catalog) from refused
    plan, problems = check(config, catalog)
    if plan is None:
        raise ConfigRefused(problems)
    return Prepared(config, plan, tuple(problems))


class Reload:
    """Adopts configurations one at a time. Requests that come while one waits share its outcome."""

    def __init__(
        self,
        origin: Origin,
        catalog: contract.Catalog,
        reconciler: Reconciler,
        generations: Generations,
        tasks: Tasks,
    ) -> None:
        self._origin = origin
        self._catalog = catalog
        self._reconciler = reconciler
        self._generations = generations
        self._tasks = tasks
        self._turn = asyncio.Lock()
        self._waiting: asyncio.Task[Reloaded | BasculeError] | None = None
        self.config: Config | None = None
        """The live one."""

    async def begin(self, prepared: Prepared) -> None:
        """Adopts the configuration that the program starts with."""
        for warning in prepared.warnings:
            _say(warning)
        await self._reconciler.adopt(prepared.plan)
        self.config = prepared.config

    async def again(self) -> Reloaded:
        """Reads the origin again and adopts what it says now.

        Raises `ConfigRefused`, `SnapshotRefused` or another `BasculeError`: then the old one is live.
        """
        if self._waiting is None:
            self._waiting = self._tasks.start("reload", self._in_turn())
        # Shielded: a client that hangs up must not take the reload of the others with it.
        outcome = await asyncio.shield(self._waiting)
        if isinstance(outcome, BasculeError):
            raise outcome
        return outcome

    async def _in_turn(self) -> Reloaded | BasculeError:
        async with self._turn:
            # From here on the files are being read: who asks now may have changed them since.
            self._waiting = None
            try:
                return await self._adopt()
            except BasculeError as error:
                self._generations.refused(str(error))
                _say_refused(self._origin, error)
                return error

    async def _adopt(self) -> Reloaded:
        # In a thread: a large file takes seconds to parse, and checks must go on meanwhile.
        prepared = await asyncio.to_thread(prepare, self._origin, self._catalog)
        live = self._generations.live
        old = live.plan if live is not None else None
        await self.begin(prepared)
        logs.set_level(prepared.plan.log_level)
        changes = tuple(changes_between(old, prepared.plan))
        log.info("reloaded", origin=self._origin.name, changes=len(changes))
        for change in changes:
            log.info(change)
        live = self._generations.live
        return Reloaded(live.receipt.live if live is not None else 0, changes, prepared.warnings)


def _say_refused(origin: Origin, error: BasculeError) -> None:
    if isinstance(error, ConfigRefused):
        for problem in error.problems:
            _say(problem)
        log.error("reload refused; the old configuration goes on", origin=origin.name)
    else:
        log.error("reload refused; the old configuration goes on", origin=origin.name, reason=str(error))


def _say(problem: Problem) -> None:
    say = log.error if problem.severity == "error" else log.warning
    hint = {"hint": problem.hint} if problem.hint else {}
    say("configuration", place=problem.place, problem=problem.what, **hint)
