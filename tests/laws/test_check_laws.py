"""What every question to an endpoint must obey: it ends when told to, and leaves nothing behind.

Checks are questions, over the registry; so are agents and load URLs.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dns.message
import dns.rrset
import pytest
from tests.support.plans import planned_check
from tests.support.toy_endpoint import Behaviour, ToyEndpoint, dripping, endless, silent

from bascule.clock import SystemClock
from bascule.health.agent import ask_agent
from bascule.health.check import Check, CheckFailed, Target
from bascule.health.load import fetch_load
from bascule.health.registry import CHECKS, build, find, names
from bascule.plan.plan import PlannedCheck, PlannedPoolTls


async def connect_and_wait(endpoint: Target) -> None:
    """A function as an operator would write it: opens a connection and waits for a word."""
    reader, writer = await endpoint.connect()
    try:
        if not await reader.read(1):
            raise CheckFailed("closed without a word")
    finally:
        writer.transport.abort()


# bash, because it can connect; a command that fails says why in its own words.
CONNECT = """
exec 3<>"/dev/tcp/$BASCULE_HOST/$BASCULE_PORT" || { echo "connect to $BASCULE_ADDRESS: refused"; exit 1; }
read -r -u 3 word
"""

OPTIONS: Mapping[str, dict[str, object]] = {
    "command": {"command": ["/bin/bash", "-c", CONNECT]},
    "dns": {"name": "example.com", "transport": "tcp"},
    "grpc": {},
    "http": {"path": "/healthz", "expect_body": "ok"},
    "mysql": {"role": "primary", "user": "bascule", "password": "a-secret"},
    "postgres": {"role": "primary", "user": "bascule", "password": "a-secret"},
    "python": {"function": connect_and_wait},
    "redis": {"role": "primary", "password": "a-secret"},
    "tcp": {"send": "PING\r\n", "expect": "200"},
    "tls": {},
    "udp": {"send": "PING"},
}
"""The least that each check needs. A check that is added to the registry needs a line here."""

SETTINGS = b"\0\0\0\4\0\0\0\0\0"
"""An HTTP/2 connection begins with it."""

SERVING = (
    # Status 200 (in the table of HPACK), a message, and `grpc-status: 0` as a literal.
    SETTINGS
    + b"\0\0\1\1\4\0\0\0\1\x88"
    + b"\0\0\7\0\0\0\0\0\1\0\0\0\0\2\x08\x01"
    + b"\0\0\x0f\1\5\0\0\0\1\0\x0bgrpc-status\x010"
)
"""What a gRPC server answers whose health service says that it serves."""

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


def saying(answer: bytes) -> Behaviour:
    """Says this at once, whatever it is asked."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()

    return say


async def resolve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Knows every name."""
    query = dns.message.from_wire(await reader.readexactly(int.from_bytes(await reader.readexactly(2))))
    answer = dns.message.make_response(query)
    answer.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.1"))
    writer.write(answer.to_wire(prepend_length=True))
    await reader.read()


async def be_a_redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A primary that lets everybody in."""
    while (words := await reader.readline()).startswith(b"*"):
        command = [await reader.readline() for _ in range(2 * int(words[1:]))][1].strip().upper()
        writer.write(b"$11\r\nrole:master\r\n" if command == b"INFO" else b"+OK\r\n")


GOOD = {
    "dns": resolve,
    "grpc": saying(SERVING),
    "redis": be_a_redis,
    "agent": saying(b"up 50%\n"),
    "load": saying(b"HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\ncpu_utilization=0.5"),
    **dict.fromkeys(("http", "python", "tcp"), saying(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")),
    "command": saying(b"hello\n"),
}
"""Endpoints that pass. Other checks are of real servers, or of no streams: they have tests of their own."""


@dataclass(frozen=True)
class Question:
    """One way to ask an endpoint."""

    name: str
    ask: Callable[[Target], Awaitable[object]]
    tls: PlannedPoolTls | None = None

    def target(self, toy: ToyEndpoint) -> Target:
        return Target.of("api", toy.found(), self.tls)


TLS = PlannedPoolTls(authorities=None, server_name=None, certificate=None, alpn=())


def asked(check: type[Check]) -> Question:
    planned = planned_check(check.name, OPTIONS[check.name])
    return Question(check.name, build(planned).run, TLS if check.name == "tls" else None)


QUESTIONS = (
    *map(asked, CHECKS),
    Question("agent", partial(ask_agent, send="hello\n")),
    Question("load", partial(fetch_load, "/load")),
)

every_question = pytest.mark.parametrize("question", QUESTIONS, ids=lambda it: it.name)


@contextmanager
def deaf(target: Target) -> Iterator[None]:
    """Datagrams to the same address are taken, and never answered: without, they are refused."""
    assert target.host is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind((target.host, target.port))
        yield


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
                await question.ask(question.target(toy))
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
        target = question.target(toy)
        with deaf(target):
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
        with deaf(question.target(toy)):
            running = asyncio.ensure_future(question.ask(question.target(toy)))
            await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()


@every_question
async def test_a_question_to_nobody_fails_with_a_reason_in_one_line(
    question: Question, tmp_path: Path
) -> None:
    async with ToyEndpoint(silent) as toy:
        closed = question.target(toy)
    nowhere = Target("api", "x", path=str(tmp_path / ".s.PGSQL.5432"), tls=question.tls)
    for target in (closed, nowhere):
        with pytest.raises(CheckFailed) as failed:
            await question.ask(target)
        own_words = "/bin/bash ended with exit status 1: " if question.name == "command" else ""
        assert failed.value.reason.startswith(f"{own_words}connect to {target}: ")
        assert failed.value.reason.isprintable()


@pytest.mark.parametrize("question", [it for it in QUESTIONS if it.name in GOOD], ids=lambda it: it.name)
async def test_one_question_serves_many_targets_at_the_same_time(question: Question) -> None:
    async with ToyEndpoint(GOOD[question.name]) as good, ToyEndpoint(silent) as gone:
        closed = Target.of("api", gone.found())
        await gone.__aexit__(None, None, None)
        up = Target.of("api", good.found())
        outcomes = await asyncio.gather(
            *(question.ask(target) for target in (up, closed) * 20), return_exceptions=True
        )
    assert {str(it) for it in outcomes[::2] if isinstance(it, BaseException)} == set()
    assert [type(it) for it in outcomes[1::2]] == [CheckFailed] * 20
