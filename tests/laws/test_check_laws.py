"""What every question to an endpoint must obey: it ends when told to, and leaves nothing behind.

Checks are questions, over the registry; so are agents and load URLs.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from tests.support.plans import planned_check
from tests.support.toy_endpoint import Behaviour, ToyEndpoint, dripping, endless, silent

from bascule.clock import SystemClock
from bascule.health.agent import ask_agent
from bascule.health.check import Check, CheckFailed, Target
from bascule.health.load import fetch_load
from bascule.health.registry import CHECKS, build, find, names
from bascule.plan.plan import PlannedCheck


async def connect_and_wait(endpoint: Target) -> None:
    """A function as an operator would write it: opens a connection and waits for a word."""
    reader, writer = await endpoint.connect()
    try:
        if not await reader.read(1):
            raise CheckFailed("closed without a word")
    finally:
        writer.transport.abort()


OPTIONS: Mapping[str, dict[str, object]] = {
    "grpc": {},
    "http": {"path": "/healthz", "expect_body": "ok"},
    "python": {"function": connect_and_wait},
    "tcp": {},
}
"""The least that each check needs. A check that is added to the registry needs a line here."""

SETTINGS = b"\0\0\0\4\0\0\0\0\0"
"""An HTTP/2 connection begins with it."""

GOOD: Mapping[str, bytes] = {
    # Status 200 (in the table of HPACK), a message, and `grpc-status: 0` as a literal.
    "grpc": SETTINGS
    + b"\0\0\1\1\4\0\0\0\1\x88"
    + b"\0\0\7\0\0\0\0\0\1\0\0\0\0\2\x08\x01"
    + b"\0\0\x0f\1\5\0\0\0\1\0\x0bgrpc-status\x010",
}
"""Answers that a check takes, where they are not those of HTTP/1.1."""

HOSTILE: Mapping[str, Behaviour] = {
    "silent": silent,
    "dripping a head": dripping(b"HTTP/1.1 200 OK\r\nx: "),
    "dripping a body": dripping(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n"),
    "pouring a head": endless(b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 500 + b"\r\n"),
    "pouring a body": endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 5000),
    "dripping frames": dripping(SETTINGS + b"\xff\xff\xff\0\0\0\0\0\1"),
    "pouring frames": endless(SETTINGS, b"\0\0\x08\6\0\0\0\0\0pingpong" * 500),
    "pouring noise": endless(b"\x00\xff\x16\x03", bytes(range(256))),
}

every_check = pytest.mark.parametrize("check", CHECKS, ids=lambda it: it.name)
every_endpoint = pytest.mark.parametrize("behaviour", HOSTILE.values(), ids=HOSTILE.keys())


@dataclass(frozen=True)
class Question:
    """One way to ask an endpoint, and an answer that it takes."""

    name: str
    ask: Callable[[Target], Awaitable[object]]
    good: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


LOAD = b"cpu_utilization=0.5"

QUESTIONS = (
    *(
        Question(
            check.name,
            build(planned_check(check.name, OPTIONS[check.name])).run,
            *((GOOD[check.name],) if check.name in GOOD else ()),
        )
        for check in CHECKS
    ),
    Question("agent", partial(ask_agent, send="hello\n"), b"up 50%\n"),
    Question(
        "load",
        partial(fetch_load, "/load"),
        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(LOAD), LOAD),
    ),
)

every_question = pytest.mark.parametrize("question", QUESTIONS, ids=lambda it: it.name)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (the count is all that matters)


async def leave() -> None:
    """Transports close their sockets one turn after they were aborted."""
    for _ in range(3):
        await asyncio.sleep(0)


@every_check
def test_a_check_is_found_by_its_name(check: type[Check]) -> None:
    assert find(check.name) is check
    assert check.name in names()
    assert isinstance(build(PlannedCheck(check.name, OPTIONS[check.name], 1, 1, 1, 1, True)), check)


@every_question
@every_endpoint
async def test_a_question_ends_at_its_time_limit_whatever_the_endpoint_does(
    question: Question, behaviour: Behaviour
) -> None:
    clock = SystemClock()
    async with ToyEndpoint(behaviour) as toy:
        began = clock.now()
        try:
            async with clock.timeout(0.05):
                await question.ask(Target.of("api", toy.found()))
        except (CheckFailed, TimeoutError):
            pass
        # Generous, because machines stall; a question that ignores its limit takes for ever.
        assert clock.now() - began < 5


@every_question
@every_endpoint
async def test_a_question_leaves_no_file_open_however_it_ends(
    question: Question, behaviour: Behaviour
) -> None:
    async with ToyEndpoint(behaviour) as toy:
        target = Target.of("api", toy.found())
        before = open_files()
        for turns in (0, 1, 2, 3, 5, 8, 13):
            running = asyncio.ensure_future(question.ask(target))
            for _ in range(turns):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait([running])
        await leave()
        # What the endpoint still has open of the connections it accepted is its own.
    await leave()
    assert open_files() <= before


@every_question
async def test_a_cancelled_question_is_cancelled_and_not_failed(question: Question) -> None:
    async with ToyEndpoint(silent) as toy:
        running = asyncio.ensure_future(question.ask(Target.of("api", toy.found())))
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()


@every_question
async def test_a_question_to_nobody_fails_with_a_reason_in_one_line(
    question: Question, tmp_path: Path
) -> None:
    async with ToyEndpoint(silent) as toy:
        closed = Target.of("api", toy.found())
    for target in (closed, Target("api", "x", path=str(tmp_path / "none.sock"))):
        with pytest.raises(CheckFailed) as failed:
            await question.ask(target)
        assert failed.value.reason.startswith(f"connect to {target}: ")
        assert failed.value.reason.isprintable()


@every_question
async def test_one_question_serves_many_targets_at_the_same_time(question: Question) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(question.good)
        await reader.read()

    async with ToyEndpoint(greet) as good, ToyEndpoint(silent) as gone:
        closed = Target.of("api", gone.found())
        await gone.__aexit__(None, None, None)
        up = Target.of("api", good.found())
        outcomes = await asyncio.gather(
            *(question.ask(target) for target in (up, closed) * 20), return_exceptions=True
        )
    assert [isinstance(it, CheckFailed) for it in outcomes] == [False, True] * 20
