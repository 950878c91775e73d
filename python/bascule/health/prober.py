"""Runs the checks of all endpoints, adds their outcomes up to verdicts, and says when one changes."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace

from bascule.clock import Clock
from bascule.health.check import Target
from bascule.health.exclusive import claims, seat
from bascule.health.registry import build
from bascule.health.rounds import Answer, Key, Question, Rounds
from bascule.health.verdict import Verdict
from bascule.plan.found import FoundEndpoint
from bascule.plan.plan import PlannedCheck
from bascule.tasks import Tasks


@dataclass(frozen=True, slots=True)
class HealthChange:
    """A verdict has changed."""

    pool: str
    endpoint: str
    up: bool
    reason: str
    """In words, for logs and status."""
    at: float
    """By the prober's clock."""


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """What is believed about an endpoint now, and why."""

    up: bool
    streak: int
    """Outcomes in a row that disagree with `up`."""
    reason: str
    """While down: the latest failure. While up: the latest outcome."""
    since: float
    """When `up` last changed, or the endpoint became known; by the prober's clock."""
    last_checked: float | None
    """When the latest check ended; `None` before the first, and while checks are paused."""

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.up, self.streak, is_guess=self.last_checked is None)


class Prober:
    """Keeps the health of every endpoint that has a check.

    `on_change` is called on the event loop, in the order of the changes; it must not block or raise.
    """

    def __init__(
        self, clock: Clock, tasks: Tasks, on_change: Callable[[HealthChange], None], seed: int
    ) -> None:
        self._clock = clock
        self._on_change = on_change
        self._rounds: Rounds[PlannedCheck, None] = Rounds(clock, tasks, _question, self._take, str(seed))
        self._health: dict[Key, EndpointHealth] = {}
        """What is believed of each by its own check alone."""
        self._planned: dict[Key, PlannedCheck] = {}
        self._rivals: dict[Key, PlannedCheck] = {}
        """Those of whose pool only one may pass."""
        self._seated: dict[Key, EndpointHealth] = {}
        """What is made of these, among each other."""

    def update(
        self, targets: Mapping[Key, tuple[PlannedCheck, FoundEndpoint]], paused: Container[Key] = ()
    ) -> None:
        """Watches exactly these from now on, keyed by pool and endpoint id.

        Verdicts of those that stay are kept, also when their check or address changes; a check that is
        equal goes on at its own pace, by the newest of its functions. New ones begin as their check says and
        are checked at once. Those that are `paused` are not checked, and keep their verdict until they are:
        then the first outcome decides alone. Of checks that are exclusive nothing is kept that was not said
        in answer to the same question. Raises `BasculeError`, and changes nothing, when a check does not
        exist or refuses its options.
        """
        self._rounds.update({key: it for key, it in targets.items() if key not in paused})
        known = {key: self._known(key, planned) for key, (planned, _) in targets.items()}
        self._planned = {key: planned for key, (planned, _) in targets.items()}
        self._health = {key: self._held(key, it, key in paused) for key, it in known.items()}
        # Who is paused is given nothing; what it said before must not keep another from being used.
        self._rivals = {key: it for key, it in self._planned.items() if it.exclusive and key not in paused}
        self._seated = {key: it for key, it in self._seated.items() if key in self._rivals}
        for pool in dict.fromkeys(key[0] for key in self._rivals):
            self._seat(pool)

    def state(self, key: Key) -> EndpointHealth | None:
        """What is believed about one endpoint now; `None` when it is not under watch."""
        return self._seated.get(key) or self._health.get(key)

    def states(self) -> Mapping[Key, EndpointHealth]:
        """What is believed about every endpoint under watch, now."""
        return self._health | self._seated

    def is_up(self, key: Key, planned: PlannedCheck) -> bool:
        """What is to be believed of an endpoint that is, or is going to be, checked as `planned`."""
        health = self.state(key)
        if health is None or not self._is_kept(key, planned):
            return planned.initially_up
        return health.up

    async def stop(self) -> None:
        """Ends all checks. Nothing is reported afterwards."""
        for known in (self._health, self._seated, self._planned, self._rivals):
            known.clear()
        await self._rounds.stop()

    def _unchecked(self, planned: PlannedCheck) -> EndpointHealth:
        return EndpointHealth(planned.initially_up, 0, "not checked yet", self._clock.now(), None)

    def _known(self, key: Key, planned: PlannedCheck) -> EndpointHealth:
        known = self._health.get(key)
        return self._unchecked(planned) if known is None or not self._is_kept(key, planned) else known

    def _is_kept(self, key: Key, planned: PlannedCheck) -> bool:
        """Whether what was answered to the check so far counts for this one."""
        before = self._planned.get(key)
        return not planned.exclusive or (before is not None and before.question == planned.question)

    def _held(self, key: Key, health: EndpointHealth, is_paused: bool) -> EndpointHealth:
        if not is_paused:
            return _resumed(health)
        return replace(_paused(health), up=health.up and not self._planned[key].exclusive)

    def _take(self, answer: Answer[PlannedCheck, None]) -> None:
        planned, before = answer.planned, self._health[answer.key]
        after = before.verdict.after(answer.failure is None, rise=planned.rise, fall=planned.fall)
        reason = answer.failure
        if reason is None:
            reason = f"{answer.title} passed" if after.up else before.reason
        since = before.since if after.up == before.up else answer.at
        self._health[answer.key] = EndpointHealth(after.up, after.streak, reason, since, answer.at)
        if answer.key in self._rivals:
            if claims(before.verdict) != claims(self._health[answer.key].verdict):
                self._ask_rivals(answer.key)
            self._seat(answer.key[0])
        elif after.up != before.up:
            self._on_change(HealthChange(*answer.key, after.up, reason, answer.at))

    def _ask_rivals(self, key: Key) -> None:
        """What others said is older than the news of this one, and may no longer be so."""
        for other in self._rivals:
            if other[0] == key[0] and other != key:
                self._rounds.hurry(other)

    def _seat(self, pool: str) -> None:
        """Finds out which endpoint of an exclusive check is up; says what has changed, the bad news first."""
        now, before = self._clock.now(), self._seated
        own = {key: self._health[key] for key in self._rivals if key[0] == pool}
        sitting = next((key[1] for key in own if key in before and before[key].up), None)
        seats = seat({key[1]: it.verdict for key, it in own.items()}, sitting)
        changes = list[HealthChange]()
        after = dict(before)
        for key, it in own.items():
            up, reason = seats[key[1]].up, seats[key[1]].reason or it.reason
            was_up = before[key].up if key in before else it.up and it.last_checked is None
            since = before[key].since if key in before and was_up == up else now
            after[key] = replace(it, up=up, reason=reason, since=since)
            if up != was_up:
                changes.append(HealthChange(*key, up, reason, now))
        self._seated = after
        for change in sorted(changes, key=lambda it: it.up):
            self._on_change(change)


_PAUSED, _RESUMED = "checks are paused", "not checked again yet"


def _paused(health: EndpointHealth) -> EndpointHealth:
    return replace(health, streak=0, reason=_PAUSED, last_checked=None)


def _resumed(health: EndpointHealth) -> EndpointHealth:
    return replace(health, reason=_RESUMED) if health.reason == _PAUSED else health


def _question(planned: PlannedCheck) -> Question[None]:
    check, port = build(planned), planned.port
    if port is None:
        return Question(f"{check.name} check", check.run)

    async def ask(target: Target) -> None:
        await check.run(target.at_port(port))

    return Question(f"{check.name} check", ask)
