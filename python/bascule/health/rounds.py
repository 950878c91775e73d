"""When who is asked: one loop per endpoint, spread out, with a limit on how many are asked at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Generic, Protocol, TypeVar

from bascule.clock import Clock
from bascule.health.check import CheckFailed, Target
from bascule.plan.found import FoundEndpoint
from bascule.tasks import Tasks, heed_cancellation
from bascule.units import format_duration
from bascule.wording import in_one_line

AT_ONCE = 256
"""Endpoints that are asked at the same time. Each holds a socket; when a whole site of endpoints is silent,
each also holds its place for its full time limit, so that a small number would delay the others."""

SPREAD_S = 0.002
"""Between the first questions to endpoints that became known together: 500 begin per second."""

JITTER = 0.1
"""A period is longer or shorter by up to this share, so that questions do not fall into step."""

Key = tuple[str, str]
"""A pool's id and an endpoint's id within it."""


class Rhythm(Protocol):
    """The part of what is planned that says when to ask."""

    @property
    def every_ms(self) -> int:
        """Between the starts of two questions to one endpoint; at least 1."""

    @property
    def timeout_ms(self) -> int:
        """A question that takes longer has failed; at least 1."""


Planned = TypeVar("Planned", bound=Rhythm)
Said = TypeVar("Said")


@dataclass(frozen=True, slots=True)
class Question(Generic[Said]):
    """What is asked, again and again, of many endpoints at the same time."""

    title: str
    """For reasons: `http check`."""
    ask: Callable[[Target], Awaitable[Said]]
    """Raises `CheckFailed` when there is no answer. It is cancelled when it takes too long, and must close
    what it opens even then."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[Planned, Said]):
    """How one question ended."""

    key: Key
    planned: Planned
    title: str
    said: Said | None
    """`None` when it failed."""
    failure: str | None
    """Why it failed, in one line."""
    at: float
    """By the clock."""


@dataclass(slots=True)
class _Asked(Generic[Planned, Said]):
    """An endpoint that is asked: how, and the loop that asks again."""

    key: Key
    planned: Planned
    target: Target
    question: Question[Said]
    random: Random
    loop: "asyncio.Task[None] | None" = field(default=None, compare=False)
    alarm: asyncio.Event = field(default_factory=asyncio.Event, compare=False)
    """Set when it is to be asked once more, at once."""


class Rounds(Generic[Planned, Said]):
    """Asks all endpoints at their own pace.

    `build` makes the question that is planned, and raises `BasculeError` when it makes no sense. `take` is
    called on the event loop with every answer; it must not block or raise.
    """

    def __init__(
        self,
        clock: Clock,
        tasks: Tasks,
        build: Callable[[Planned], Question[Said]],
        take: Callable[[Answer[Planned, Said]], None],
        seed: str,
    ) -> None:
        self._clock = clock
        self._tasks = tasks
        self._build = build
        self._take = take
        self._seed = seed
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._asked: dict[Key, _Asked[Planned, Said]] = {}

    def update(self, wanted: Mapping[Key, tuple[Planned, FoundEndpoint]]) -> None:
        """Asks exactly these from now on, keyed by pool and endpoint id.

        A question that is equal goes on at its own pace, in its newest form; those that are new or changed
        are asked at once. Raises `BasculeError`, and changes nothing, when one cannot be built.
        """
        targets = {
            key: (
                planned,
                Target.of(key[0], found, getattr(planned, "tls", None), getattr(planned, "announce", None)),
            )
            for key, (planned, found) in wanted.items()
        }
        built = [
            (key, planned, target, self._build(planned))
            for key, (planned, target) in targets.items()
            if not self._is_asked(key, planned, target)
        ]
        renewed = [
            (asked, planned, self._build(planned))
            for key, (planned, target) in targets.items()
            if self._is_asked(key, planned, target) and (asked := self._asked[key]).planned is not planned
        ]
        for key in self._asked.keys() - targets.keys():
            self._forget(key)
        for asked, planned, question in renewed:
            asked.planned, asked.question = planned, question
        for place, (key, planned, target, question) in enumerate(built):
            self._forget(key)
            # Seeded by name: when an endpoint is asked does not depend on which others there are.
            random = Random(f"{self._seed}/{key[0]}/{key[1]}")
            asked = self._asked[key] = _Asked(key, planned, target, question, random)
            delay = place * min(SPREAD_S, planned.every_ms / 1000 / len(built))
            asked.loop = self._tasks.start(f"{question.title} {key[0]}/{key[1]}", self._ask(asked, delay))

    def hurry(self, key: Key) -> None:
        """Asks an endpoint now, or once more when its question is under way; others keep their pace."""
        if (asked := self._asked.get(key)) is not None:
            asked.alarm.set()

    async def stop(self) -> None:
        """Ends all questions. Nothing is told afterwards."""
        loops = [asked.loop for asked in self._asked.values() if asked.loop is not None]
        self._asked.clear()
        await self._tasks.end(*loops)

    def _is_asked(self, key: Key, planned: Planned, target: Target) -> bool:
        known = self._asked.get(key)
        return known is not None and (known.planned, known.target) == (planned, target)

    def _forget(self, key: Key) -> None:
        asked = self._asked.pop(key, None)
        if asked is not None and asked.loop is not None:
            asked.loop.cancel()

    async def _ask(self, asked: _Asked[Planned, Said], delay: float) -> None:
        await self._clock.sleep(delay)
        while True:
            async with self._slots:
                asked.alarm.clear()
                began = self._clock.now()
                said, failure = await self._answer(asked)
            heed_cancellation()
            # Else forgotten or replaced meanwhile, by a question that did not let itself be cancelled.
            if self._asked.get(asked.key) is asked:
                title = asked.question.title
                self._take(Answer(asked.key, asked.planned, title, said, failure, self._clock.now()))
            period = asked.planned.every_ms / 1000 * (1 + JITTER * asked.random.uniform(-1, 1))
            await self._rest(asked, began + period - self._clock.now())

    async def _rest(self, asked: _Asked[Planned, Said], seconds: float) -> None:
        """Until it is time again, or somebody is in a hurry."""
        with suppress(TimeoutError):
            async with self._clock.timeout(max(seconds, 0)):
                await asked.alarm.wait()

    async def _answer(self, asked: _Asked[Planned, Said]) -> tuple[Said | None, str | None]:
        """Asks once; what was said, or why nothing was."""
        title = asked.question.title
        try:
            async with self._clock.timeout(asked.planned.timeout_ms / 1000):
                return await asked.question.ask(asked.target), None
        except CheckFailed as failed:
            return None, failed.reason
        except TimeoutError:
            limit = format_duration(asked.planned.timeout_ms)
            return None, f"{title} of {asked.target}: no answer within {limit}"
        except asyncio.CancelledError:
            # A question that cancels itself must not end the loop that asks it.
            heed_cancellation()
            return None, f"{title} of {asked.target} was cancelled from within"
        except Exception as error:
            # The question is wrong, not the endpoint; but what cannot be asked is not known to work.
            return None, in_one_line(f"{title} broke: {type(error).__name__}: {error}")
