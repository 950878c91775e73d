"""Runs the checks of all endpoints, adds their outcomes up to verdicts, and says when one changes."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace

from bascule.clock import Clock
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

    def update(
        self, targets: Mapping[Key, tuple[PlannedCheck, FoundEndpoint]], paused: Container[Key] = ()
    ) -> None:
        """Watches exactly these from now on, keyed by pool and endpoint id.

        Verdicts of those that stay are kept, also when their check or address changes; a check that is
        equal goes on at its own pace, by the newest of its functions. New ones begin as their check says and
        are checked at once. Those that are `paused` are not checked, and keep their verdict until they are:
        then the first outcome decides alone. Raises `BasculeError`, and changes nothing, when a check does
        not exist or refuses its options.
        """
        self._rounds.update({key: it for key, it in targets.items() if key not in paused})
        known = {
            key: self._health.get(key) or self._unchecked(planned) for key, (planned, _) in targets.items()
        }
        self._health = {key: _paused(it) if key in paused else _resumed(it) for key, it in known.items()}

    def state(self, key: Key) -> EndpointHealth | None:
        """What is believed about one endpoint now; `None` when it is not under watch."""
        return self._health.get(key)

    def states(self) -> Mapping[Key, EndpointHealth]:
        """What is believed about every endpoint under watch, now."""
        return dict(self._health)

    async def stop(self) -> None:
        """Ends all checks. Nothing is reported afterwards."""
        self._health.clear()
        await self._rounds.stop()

    def _unchecked(self, planned: PlannedCheck) -> EndpointHealth:
        return EndpointHealth(planned.initially_up, 0, "not checked yet", self._clock.now(), None)

    def _take(self, answer: Answer[PlannedCheck, None]) -> None:
        planned, before = answer.planned, self._health[answer.key]
        after = before.verdict.after(answer.failure is None, rise=planned.rise, fall=planned.fall)
        reason = answer.failure
        if reason is None:
            reason = f"{answer.title} passed" if after.up else before.reason
        since = before.since if after.up == before.up else answer.at
        self._health[answer.key] = EndpointHealth(after.up, after.streak, reason, since, answer.at)
        if after.up != before.up:
            self._on_change(HealthChange(*answer.key, after.up, reason, answer.at))


_PAUSED, _RESUMED = "checks are paused", "not checked again yet"


def _paused(health: EndpointHealth) -> EndpointHealth:
    return replace(health, streak=0, reason=_PAUSED, last_checked=None)


def _resumed(health: EndpointHealth) -> EndpointHealth:
    return replace(health, reason=_RESUMED) if health.reason == _PAUSED else health


def _question(planned: PlannedCheck) -> Question[None]:
    check = build(planned)
    return Question(f"{check.name} check", check.run)
