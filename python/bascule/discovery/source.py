"""What a source is: it runs for as long as its pool, and reports the endpoints it knows of."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, Self

from bascule.clock import Clock
from bascule.plan.found import FoundEndpoint


class SourceFailed(Exception):  # noqa: N818 (an answer, not an error of ours)
    """There is no answer for now, for this reason in words; the source is run again after a while."""


class Report(Protocol):
    """Where a source says what it knows. Only for the task that runs the source."""

    def found(
        self, endpoints: Sequence[FoundEndpoint], problems: Sequence[str] = (), *, more_soon: bool = False
    ) -> None:
        """These are all there are; whatever was found before is replaced.

        `problems` are parts that could not be found and why. With `more_soon`, whoever waits for the first
        answer goes on waiting for a while.
        """
        ...

    def failed(self, reason: str) -> None:
        """There is no answer this time: the last good one stands."""
        ...


class Source(Protocol):
    """One way to discover endpoints.

    The id of an endpoint must follow from what it is (`10.0.0.1:8000`), not from when or in which order it
    was found: health and counters are kept by it. Equal answers should come in equal order.
    """

    kind: ClassVar[str]
    """As configurations write it."""

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        """The source that a plan asks for. Raises `BasculeError` when it makes no sense."""
        ...

    async def run(self, report: Report, clock: Clock) -> None:
        """Reports now, and again whenever something changed. Returns when nothing ever will.

        May raise: `SourceFailed`, or anything; it is then reported and run again, less and less often.
        Is cancelled when it is no longer wanted.
        """
        ...
