"""When to run which check: one loop per endpoint, spread out, with a limit on how many run at once."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from bascule.clock import Clock
from bascule.health.check import Check, CheckFailed, Target
from bascule.health.registry import build
from bascule.health.verdict import Verdict
from bascule.plan.found import FoundEndpoint
from bascule.plan.plan import PlannedCheck
from bascule.tasks import Tasks, heed_cancellation
from bascule.units import format_duration
from bascule.wording import in_one_line

AT_ONCE = 256
"""Checks that run at the same time. Each holds a socket; when a whole site of endpoints is silent, each
also holds its place for its full time limit, so that a small number would delay the checks of the others."""

SPREAD_S = 0.002
"""Between the first checks of endpoints that became known together: 500 checks start per second."""

JITTER = 0.1
"""A period is longer or shorter by up to this share, so that checks do not fall into step."""

Key = tuple[str, str]
"""A pool's id and an endpoint's id within it."""


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
    """When the latest check ended; `None` before the first."""


@dataclass(slots=True)
class _Watched:
    """An endpoint under watch: what was asked for, what is believed, and the loop that asks again."""

    planned: PlannedCheck
    target: Target
    check: Check
    health: EndpointHealth
    random: Random
    loop: "asyncio.Task[None] | None" = field(default=None, compare=False)

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.health.up, self.health.streak, is_guess=self.health.last_checked is None)


class Prober:
    """Runs the checks of all endpoints and says when a verdict changes.

    `on_change` is called on the event loop, in the order of the changes; it must not block or raise.
    """

    def __init__(
        self, clock: Clock, tasks: Tasks, on_change: Callable[[HealthChange], None], seed: int
    ) -> None:
        self._clock = clock
        self._tasks = tasks
        self._on_change = on_change
        self._seed = seed
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._watched: dict[Key, _Watched] = {}

    def update(self, targets: Mapping[Key, tuple[PlannedCheck, FoundEndpoint]]) -> None:
        """Watches exactly these from now on, keyed by pool and endpoint id.

        Verdicts of those that stay are kept, also when their check or address changes; a check that is
        equal goes on at its own pace, by the newest of its functions. New ones begin as their check says and
        are checked at once. Raises `BasculeError`, and changes nothing, when a check does not exist or
        refuses its options.
        """
        wanted = {key: (planned, Target.of(key[0], found)) for key, (planned, found) in targets.items()}
        changed = [key for key, it in wanted.items() if not self._is_watched(key, *it)]
        built = [(key, *wanted[key], build(wanted[key][0])) for key in changed]
        renewed = [
            (watched, planned, build(planned))
            for key, (planned, _) in wanted.items()
            if self._is_watched(key, *wanted[key]) and (watched := self._watched[key]).planned is not planned
        ]
        for key in self._watched.keys() - wanted.keys():
            self._forget(key)
        for watched, planned, check in renewed:
            watched.planned, watched.check = planned, check
        for place, (key, planned, target, check) in enumerate(built):
            health = self._watched[key].health if key in self._watched else self._unchecked(planned)
            self._forget(key)
            # Seeded by name: when an endpoint is checked does not depend on which others there are.
            random = Random(f"{self._seed}/{key[0]}/{key[1]}")
            watched = self._watched[key] = _Watched(planned, target, check, health, random)
            delay = place * min(SPREAD_S, planned.every_ms / 1000 / len(built))
            watched.loop = self._tasks.start(f"check {target.pool}/{target.id}", self._watch(watched, delay))

    def states(self) -> Mapping[Key, EndpointHealth]:
        """What is believed about every endpoint under watch, now."""
        return {key: watched.health for key, watched in self._watched.items()}

    async def stop(self) -> None:
        """Ends all checks. Nothing is reported afterwards."""
        loops = [watched.loop for watched in self._watched.values() if watched.loop is not None]
        self._watched.clear()
        await self._tasks.end(*loops)

    def _is_watched(self, key: Key, planned: PlannedCheck, target: Target) -> bool:
        known = self._watched.get(key)
        return known is not None and (known.planned, known.target) == (planned, target)

    def _unchecked(self, planned: PlannedCheck) -> EndpointHealth:
        return EndpointHealth(planned.initially_up, 0, "not checked yet", self._clock.now(), None)

    def _forget(self, key: Key) -> None:
        watched = self._watched.pop(key, None)
        if watched is not None and watched.loop is not None:
            watched.loop.cancel()

    async def _watch(self, watched: _Watched, delay: float) -> None:
        await self._clock.sleep(delay)
        while True:
            async with self._slots:
                began = self._clock.now()
                failure = await self._failure(watched)
            heed_cancellation()
            self._take(watched, failure)
            period = watched.planned.every_ms / 1000 * (1 + JITTER * watched.random.uniform(-1, 1))
            await self._clock.sleep(began + period - self._clock.now())

    async def _failure(self, watched: _Watched) -> str | None:
        """Runs the check once; why it failed, or `None` when it passed."""
        try:
            async with self._clock.timeout(watched.planned.timeout_ms / 1000):
                await watched.check.run(watched.target)
        except CheckFailed as failed:
            return failed.reason
        except TimeoutError:
            limit = format_duration(watched.planned.timeout_ms)
            return f"{watched.check.name} check of {watched.target}: no answer within {limit}"
        except asyncio.CancelledError:
            # A check that cancels itself must not end the loop that runs it.
            heed_cancellation()
            return f"{watched.check.name} check of {watched.target} was cancelled from within"
        except Exception as error:
            # The check is wrong, not the endpoint; but what cannot be checked is not known to work.
            return in_one_line(f"{watched.check.name} check broke: {type(error).__name__}: {error}")
        return None

    def _take(self, watched: _Watched, failure: str | None) -> None:
        target, planned, before = watched.target, watched.planned, watched.health
        if self._watched.get((target.pool, target.id)) is not watched:
            # Forgotten or replaced while the check ran, by a check that did not let itself be cancelled.
            return
        after = watched.verdict.after(failure is None, rise=planned.rise, fall=planned.fall)
        now = self._clock.now()
        reason = failure
        if reason is None:
            reason = f"{watched.check.name} check passed" if after.up else before.reason
        since = before.since if after.up == before.up else now
        watched.health = EndpointHealth(after.up, after.streak, reason, since, now)
        if after.up != before.up:
            self._on_change(HealthChange(target.pool, target.id, after.up, reason, now))
