"""What protects endpoints from too much work, and requests from failing endpoints."""

from typing import Annotated, ClassVar

from pydantic import Field, WrapSerializer, model_validator

from bascule.config.grpc_values import Codes
from bascule.config.problems import Mistake
from bascule.config.protection_values import PercentOrOff, Permille, Statuses, Times, TryLimit
from bascule.config.section import Section
from bascule.config.values import (
    OFF,
    Duration,
    DurationOrNone,
    Percent,
    ShortForm,
    off_or,
    written_or_off,
)
from bascule.units import format_duration

SECOND = 1000
MINUTE = 60 * SECOND


class Retries(Section):
    """Tries beyond the first: never after a byte of the response, never twice what may not be repeated."""

    title: ClassVar[str] = "retries"

    attempts: Annotated[int, Field(strict=True, ge=0, le=10)] = 1
    """On other endpoints, per request; 0 turns retries off. One is enough where faults are those of single
    endpoints, and more would multiply the traffic where they are everybody's."""
    budget: Percent = 20
    """Share of the requests in flight that may be retries at one time: failing endpoints add no more than
    this to the traffic."""
    minimum: Annotated[int, Field(strict=True, ge=0, le=10_000)] = 10
    """Retries in flight that are always allowed, per thread: as many as an endpoint that begins to fail gets
    before it is ejected."""
    on: Statuses = (500, 502, 503, 504)
    """Answers that count as failed tries: a request that may be repeated and has no body is sent to another
    endpoint. Statuses from 400 to 599, `5xx`, or `off`. By default those that say that the endpoint is at
    fault."""
    on_grpc: Codes = ()
    """Answers to calls of gRPC that count as failed tries, when no message came before them: what was sent of
    the call, up to 64 KiB, is sent to another endpoint. `unavailable`, `resource_exhausted`, `cancelled`,
    `internal`, `deadline_exceeded`. By default `off`: only you know what methods may be carried out twice."""
    try_: Annotated[TryLimit, Field(alias="try")] = "learned"
    """How long one try may take: a duration, after which another is made; or `off`. By default learned and
    soft: far beyond what answers take, a second try is made beside the first."""


class Queue(Section):
    """Where requests wait while every endpoint has as much as it may have."""

    title: ClassVar[str] = "a queue"

    length: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 1024
    """Requests that may wait, over all threads; beyond that they are shed (503). It bounds the memory: time
    runs out first."""
    wait: Duration = 5 * SECOND
    """Longest wait; then the request is shed. Few clients wait longer for a page."""
    service_level: DurationOrNone = None
    """Within this time clients want their answers: who has waited for half of it is shed, because the answer
    would come too late. By default about ten times what an answer takes, from 40 ms to 2 s."""


class Ejection(Section):
    """When traffic shows that an endpoint fails. A check that passes does not bring it back."""

    title: ClassVar[str] = "an ejection"

    failures: Annotated[int, Field(strict=True, ge=1, le=1000)] = 5
    """Failures in a row that eject: statuses from 500 (but 501 and 505), broken connections; silence counts
    twice. Five in a row are no accident where one request in ten fails, and cost few clients anything."""
    share: PercentOrOff = 50
    """Share of failures among the requests of the last ten seconds, of at least twenty, that ejects; or
    `off`. Half is far beyond what a fault of the requests makes."""
    slowness: Times = None
    """Times slower than the median of the pool that ejects, for example `5x`. Off by default: an endpoint
    that is slow by nature still helps, and slow ones get less by themselves."""
    time: Duration = 10 * SECOND
    """How long it gets nothing the first time; each further time in a row takes twice as long. About as long
    as a restart."""
    longest: Duration = 5 * MINUTE
    """Longest time: so late is the return of an endpoint noticed at worst."""
    most: Percent = 50
    """Share of the pool that may be ejected at one time. The last endpoint never is. Beyond half, the others
    would have to do too much."""

    @model_validator(mode="after")
    def _grows(self) -> "Ejection":
        if self.longest < self.time:
            raise Mistake(
                f"the first ejection ({format_duration(self.time)}) would take longer than the longest "
                f"({format_duration(self.longest)})",
                "raise `longest`, or lower `time`",
            )
        if self.most == 0:
            raise Mistake("with `most: 0%` nothing is ever ejected", "write `ejection: off`")
        return self


class Hedge(Section):
    """A second copy, on another endpoint, of requests that take unusually long."""

    title: ClassVar[str] = "a hedge"

    budget: Permille = 20
    """Share of the requests that may be sent twice. Two in a hundred reach most of the slow ones, and nobody
    feels the work."""
    after: DurationOrNone = None
    """When the copy is sent. By default when 97 of 100 requests would have been answered; never while the
    endpoint answers others."""

    @model_validator(mode="after")
    def _sends_copies(self) -> "Hedge":
        if self.budget == 0:
            raise Mistake("with a budget of 0% no copy is ever sent", "write `hedge: off`")
        return self


def _retries(value: object) -> object:
    value = off_or("a number of attempts")(value)
    if value is None or type(value) is int:
        return {"attempts": value or 0}
    return value


OneRetries = Annotated[Retries, ShortForm(_retries, ({"type": "integer"}, OFF))]
QueueOrOff = Annotated[
    Queue | None, ShortForm(off_or("{length: 1000, wait: 5s}"), (OFF,)), WrapSerializer(written_or_off)
]
EjectionOrOff = Annotated[
    Ejection | None, ShortForm(off_or("{failures: 5, time: 10s}"), (OFF,)), WrapSerializer(written_or_off)
]
HedgeOrOff = Annotated[
    Hedge | None, ShortForm(off_or("{budget: 2%}"), (OFF,)), WrapSerializer(written_or_off)
]
