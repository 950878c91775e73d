"""What endpoints say about themselves when they are asked: kept, until they say something else."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from bascule.clock import Clock
from bascule.health.check import CheckFailed
from bascule.health.rounds import Answer, Key, Planned, Question, Rounds, Said
from bascule.plan.found import FoundEndpoint
from bascule.tasks import Tasks

Word = TypeVar("Word")


@dataclass(frozen=True, slots=True)
class Report(Generic[Word]):
    """What an endpoint has said about itself, and whether it still says something."""

    word: Word
    """All that it has said so far."""
    problem: str | None
    """Why the latest question got no answer that can be used; `None` when it did, or none was asked yet."""
    heard_at: float | None
    """When it last said something that can be used, by the clock; `None` before the first time."""


@dataclass(frozen=True, slots=True)
class Listening(Generic[Planned, Said, Word]):
    """What makes one kind of report."""

    build: Callable[[Planned], Question[Said]]
    first: Word
    """What is believed before an endpoint has said anything."""
    heed: Callable[[Word, Said], Word]
    """What it has said with one more answer. Raises `CheckFailed` when that makes no sense."""


class Reports(Generic[Planned, Said, Word]):
    """Keeps the report of every endpoint that is asked for one.

    An endpoint that does not answer, or not in a way that makes sense, changes nothing of what it said
    before. `on_change` is called on the event loop, with the report before and after, when it says
    something else and when a problem begins or ends; it must not block or raise.
    """

    def __init__(
        self,
        clock: Clock,
        tasks: Tasks,
        kind: Listening[Planned, Said, Word],
        on_change: Callable[[Key, Report[Word], Report[Word]], None],
        seed: str,
    ) -> None:
        self._kind = kind
        self._on_change = on_change
        self._rounds: Rounds[Planned, Said] = Rounds(clock, tasks, kind.build, self._take, seed)
        self._known: dict[Key, Report[Word]] = {}

    def update(
        self, targets: Mapping[Key, tuple[Planned, FoundEndpoint]], paused: Container[Key] = ()
    ) -> None:
        """Asks exactly these from now on, but for those that are `paused`. What was said is kept for all."""
        self._rounds.update({key: it for key, it in targets.items() if key not in paused})
        silent: Report[Word] = Report(self._kind.first, None, None)
        known = {key: self._known.get(key, silent) for key in targets}
        self._known = {key: replace(it, problem=None) if key in paused else it for key, it in known.items()}

    def states(self) -> Mapping[Key, Report[Word]]:
        """The report of every endpoint that is asked for one, now."""
        return dict(self._known)

    def word(self, key: Key) -> Word:
        """What an endpoint has said; what is believed at first when it is not asked."""
        report = self._known.get(key)
        return self._kind.first if report is None else report.word

    def is_silent(self, key: Key) -> bool:
        """Whether the latest question to an endpoint got no answer that can be used."""
        report = self._known.get(key)
        return report is not None and report.problem is not None

    async def stop(self) -> None:
        """Ends all questions. Nothing is reported afterwards."""
        self._known.clear()
        await self._rounds.stop()

    def _take(self, answer: Answer[Planned, Said]) -> None:
        before = self._known[answer.key]
        after = self._heard(before, answer)
        self._known[answer.key] = after
        if after.word != before.word or (after.problem is None) != (before.problem is None):
            self._on_change(answer.key, before, after)

    def _heard(self, before: Report[Word], answer: Answer[Planned, Said]) -> Report[Word]:
        if answer.said is None:
            return replace(before, problem=answer.failure)
        try:
            return Report(self._kind.heed(before.word, answer.said), None, answer.at)
        except CheckFailed as failed:
            return replace(before, problem=failed.reason)
