"""Where every endpoint stands now: asks them, listens to operators, and says what changes."""

from collections.abc import Callable, Mapping

import structlog

from bascule import contract
from bascule.clock import Clock
from bascule.control import marks
from bascule.control.marks import Key, Place, Places
from bascule.control.standing import HEAVIEST, Command, Standing
from bascule.errors import BasculeError
from bascule.health.agent import AGENTS, AgentWord
from bascule.health.duty import Duty
from bascule.health.load import LOADS
from bascule.health.prober import HealthChange, Prober
from bascule.health.reports import Report, Reports
from bascule.plan.found import Found
from bascule.plan.plan import Plan, PlannedAgent, PlannedLoad
from bascule.tasks import Tasks

log = structlog.get_logger("bascule.control")

_COMMANDED = {
    Duty.READY: "endpoint is ready by command",
    Duty.DRAIN: "endpoint drains by command",
    Duty.MAINTENANCE: "endpoint is in maintenance by command",
}


class Standings:
    """Owns everybody who is asked about endpoints, and what operators have commanded.

    `tell` is given a mark whenever an endpoint of those under watch stands differently. Commands are kept
    while their endpoint is there, over reloads, and not beyond: another machine may get its address.
    """

    def __init__(self, clock: Clock, tasks: Tasks, tell: Callable[[contract.Marks], None], seed: int) -> None:
        self._tell = tell
        self.prober = Prober(clock, tasks, self._believe, seed)
        self.agents: Reports[PlannedAgent, str, AgentWord] = Reports(
            clock, tasks, AGENTS, self._hear_agent, f"{seed}/agent"
        )
        self.loads: Reports[PlannedLoad, int, int | None] = Reports(
            clock, tasks, LOADS, self._hear_load, f"{seed}/load"
        )
        self._places: Places = {}
        self._commands: dict[Key, Command] = {}
        # While an endpoint is there, a weight that was marked is not taken back but marked again.
        self._weighed: set[Key] = set()

    def marks(self, plan: Plan, found: Found) -> contract.Marks:
        """What is to be said of every endpoint, complete, so that no older mark lingers."""
        return tuple(self._mark(key, place) for key, place in marks.places_of(plan, found).items())

    def watch(self, plan: Plan, found: Found) -> None:
        """Asks and listens about exactly these endpoints from now on; what is known of others goes."""
        self._places = marks.places_of(plan, found)
        self._commands = {key: it for key, it in self._commands.items() if key in self._places}
        # What was marked about the others was taken back when they left.
        self._weighed &= self._places.keys()
        self._ask()

    def standing(self, key: Key) -> Standing:
        """Where an endpoint under watch stands now. Raises `KeyError` for others."""
        return self._standing(key, self._places[key])

    def all(self) -> Mapping[Key, Standing]:
        """Where every endpoint under watch stands now."""
        return {key: self._standing(key, place) for key, place in self._places.items()}

    def command(self, key: Key, command: Command) -> None:
        """An operator's word about an endpoint under watch. Raises `KeyError` for others.

        Raises `BasculeError`, and changes nothing, when the weight is more than the pool has room for.
        """
        place = self._places[key]
        if command.weight is not None and not 0 <= command.weight <= (most := HEAVIEST // place.scale):
            raise BasculeError(
                f"weight of {key[1]} must be 0 to {most}, not {command.weight}",
                "in a pool with agents, weights are told to the data plane in hundredths"
                if place.scale > 1
                else None,
            )
        self._commands[key] = command
        # In this order, here and below: what is logged is in force.
        self._tell((self._mark(key, place),))
        weight = "default" if command.weight is None else command.weight
        log.info(_COMMANDED[command.duty], pool=key[0], endpoint=key[1], weight=weight)
        self._ask()

    async def stop(self) -> None:
        """Ends all questions. Nothing is told afterwards."""
        for asking in (self.prober, self.agents, self.loads):
            await asking.stop()

    def _ask(self) -> None:
        # Only an operator silences an agent: it must be able to take back its own word.
        silenced = {key for key, it in self._commands.items() if it.duty is Duty.MAINTENANCE}
        self.agents.update(marks.with_agent(self._places), silenced)
        self.loads.update(marks.with_load(self._places), silenced)
        # Last: what agents have said of those that stay decides whether their checks are paused.
        self._check()

    def _check(self) -> None:
        standings = ((key, self._standing(key, place)) for key, place in self._places.items())
        paused = {key for key, it in standings if it.duty is Duty.MAINTENANCE}
        self.prober.update(marks.checked(self._places), paused)

    def _standing(self, key: Key, place: Place) -> Standing:
        return Standing(
            configured=place.endpoint.weight,
            scale=place.scale,
            up_by_check=self._is_up(key, place),
            command=self._commands.get(key, Command()),
            agent=self.agents.word(key) if place.pool.agent is not None else AgentWord(),
            load_permille=self.loads.word(key) if place.pool.load is not None else None,
            load_is_silent=self.loads.is_silent(key),
        )

    def _is_up(self, key: Key, place: Place) -> bool:
        """An endpoint that was not checked yet is what its check says; one without a check is up."""
        if place.pool.check is None:
            return True
        return self.prober.is_up(key, place.pool.check)

    def _mark(self, key: Key, place: Place) -> contract.Mark:
        standing = self._standing(key, place)
        if place.pool.agent is not None or standing.command.weight is not None:
            self._weighed.add(key)
        return standing.mark(*key, with_weight=key in self._weighed)

    def _mark_anew(self, key: Key) -> None:
        if (place := self._places.get(key)) is not None:
            self._tell((self._mark(key, place),))

    def _believe(self, change: HealthChange) -> None:
        self._mark_anew((change.pool, change.endpoint))
        say = log.info if change.up else log.warning
        say(
            "endpoint is up" if change.up else "endpoint is down",
            pool=change.pool,
            endpoint=change.endpoint,
            reason=change.reason,
        )

    def _hear_agent(self, key: Key, before: Report[AgentWord], after: Report[AgentWord]) -> None:
        _say_problem("agent", key, before.problem, after.problem)
        if after.word == before.word:
            return
        self._mark_anew(key)
        say = log.info if after.word.up else log.warning
        say(
            "agent says",
            pool=key[0],
            endpoint=key[1],
            up=after.word.up,
            state=after.word.duty.value,
            weight=f"{after.word.percent}%",
            reason=after.word.reason,
        )
        if Duty.MAINTENANCE in (before.word.duty, after.word.duty):
            self._check()

    def _hear_load(self, key: Key, before: Report[int | None], after: Report[int | None]) -> None:
        _say_problem("load URL", key, before.problem, after.problem)
        self._mark_anew(key)


def _say_problem(what: str, key: Key, before: str | None, after: str | None) -> None:
    if before is None and after is not None:
        log.warning(f"{what} gives no usable answer", pool=key[0], endpoint=key[1], reason=after)
    elif before is not None and after is None:
        log.info(f"{what} answers again", pool=key[0], endpoint=key[1])
