"""Sends traffic at one address and counts what comes back: enough for a demonstration, no benchmark."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from bascule.clock import Clock

LONGEST_WAIT_S = 10.0
"""For one answer; then it counts as an error."""


@dataclass(slots=True)
class Outcome:
    """What a run of traffic got."""

    by_endpoint: Counter[str] = field(default_factory=Counter)
    """Answers by the endpoint that named itself in `X-Served-By`."""
    errors: Counter[str] = field(default_factory=Counter)
    """Whatever was not an answer with a status below 500, in words."""
    latencies_s: dict[str, list[float]] = field(default_factory=dict)
    """By endpoint."""

    @property
    def answered(self) -> int:
        return self.by_endpoint.total()

    def all_latencies(self) -> list[float]:
        return [latency for some in self.latencies_s.values() for latency in some]


@dataclass(frozen=True, slots=True)
class Answer:
    """The part of a response that is counted."""

    status: int
    served_by: str


class BadAnswer(Exception):  # noqa: N818 (it is counted, not raised to anybody)
    """What came back is not an HTTP/1.1 response with a Content-Length."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is sent where."""

    address: tuple[str, int]
    clients: int
    """Connections that are kept busy, with one request after another on each."""
    seconds: float
    on_answer: Callable[[Outcome], None] = lambda _: None
    tls: ssl.SSLContext | None = None
    """`None`: in the clear."""


async def send(traffic: Traffic, clock: Clock, outcome: Outcome) -> None:
    """Sends until the time is over, and counts in `outcome`, also when it is cancelled before."""
    until = clock.now() + traffic.seconds
    await asyncio.gather(*(_client(traffic, until, clock, outcome) for _ in range(traffic.clients)))


def quantile(latencies: list[float], share: float) -> float | None:
    """The smallest latency that is not exceeded by `share` of them; `None` of none."""
    if not latencies:
        return None
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def _client(traffic: Traffic, until: float, clock: Clock, outcome: Outcome) -> None:
    while clock.now() < until:
        try:
            reader, writer = await asyncio.open_connection(*traffic.address, ssl=traffic.tls)
        except OSError as error:
            outcome.errors[f"connect: {error.strerror or error}"] += 1
            # A refused connect takes no time at all; without a pause it would be counted a million times.
            await clock.sleep(0.1)
            continue
        try:
            while clock.now() < until:
                await _exchange(reader, writer, clock, outcome)
                traffic.on_answer(outcome)
        except (OSError, asyncio.IncompleteReadError, BadAnswer, TimeoutError) as error:
            outcome.errors[_in_words(error)] += 1
        finally:
            writer.close()


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, clock: Clock, outcome: Outcome
) -> None:
    began = clock.now()
    writer.write(b"GET / HTTP/1.1\r\nHost: demo.example\r\n\r\n")
    async with asyncio.timeout(LONGEST_WAIT_S):
        answer = await read_answer(reader)
    if answer.status >= 500:
        outcome.errors[f"status {answer.status}"] += 1
        return
    outcome.by_endpoint[answer.served_by] += 1
    outcome.latencies_s.setdefault(answer.served_by, []).append(clock.now() - began)


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Reads one response to its end. Raises `BadAnswer`, `IncompleteReadError` or `OSError`."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.LimitOverrunError as error:
        raise BadAnswer("head too long") from error
    fields = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
    }
    status, length = head[0].split(" ")[1:2], fields.get("content-length", "")
    if not status or not status[0].isdigit() or not length.isdigit():
        raise BadAnswer(f"not understood: {head[0][:60]!r}")
    await reader.readexactly(int(length))
    return Answer(int(status[0]), fields.get("x-served-by", "?"))


def _in_words(error: Exception) -> str:
    match error:
        case TimeoutError():
            return f"no answer within {LONGEST_WAIT_S:.0f} s"
        case asyncio.IncompleteReadError():
            return "closed in the middle of an answer" if error.partial else "closed instead of an answer"
        case OSError(strerror=str(words)):
            return words
        case _:
            return str(error)
