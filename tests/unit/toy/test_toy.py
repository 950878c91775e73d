"""Toy endpoints and toy traffic, with each other."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx2
import pytest

from bascule.clock import ManualClock
from bascule.errors import BasculeError
from bascule.tasks import Tasks
from bascule.toy import endpoint
from bascule.toy.load import BadAnswer, Outcome, Traffic, quantile, read_answer, send


@pytest.fixture
async def ending() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as ending:
        yield ending


async def started(ending: AsyncExitStack, status: int = 200) -> endpoint.Running:
    (running,) = await endpoint.start([("127.0.0.1", 0)], endpoint.Behaviour(0.0, status), Tasks(), ending)
    return running


async def test_an_endpoint_answers_with_what_it_saw_on_one_connection(ending: AsyncExitStack) -> None:
    running = await started(ending)
    async with httpx2.AsyncClient(base_url=f"http://{running.address}") as client:
        answer = await client.post("/a%20b?x=1", content=b"hello", headers={b"X-Mine": b"\xe9"})
        seen = answer.json()
        assert (seen["served_by"], answer.headers["x-served-by"]) == (running.address, running.address)
        assert (seen["method"], seen["path"], seen["query"], seen["body_bytes"]) == (
            "POST",
            "/a%20b",
            "x=1",
            5,
        )
        assert (await client.get("/")).status_code == 200
    assert running.endpoint.served == 2


@pytest.mark.parametrize("status", [204, 304, 503])
async def test_an_endpoint_is_healthy_whatever_it_answers(ending: AsyncExitStack, status: int) -> None:
    running = await started(ending, status)
    async with httpx2.AsyncClient(base_url=f"http://{running.address}") as client:
        answer = await client.get("/")
        assert answer.status_code == status
        assert (answer.content == b"") == (status != 503)
        assert (await client.head("/")).content == b""
        assert json.loads((await client.get("/healthz")).content)["healthy"]


async def test_an_address_in_use_is_named(ending: AsyncExitStack) -> None:
    running = await started(ending)
    host, _, port = running.address.rpartition(":")
    with pytest.raises(BasculeError, match=f"cannot listen on {running.address}"):
        await endpoint.start([(host, int(port))], endpoint.Behaviour(), Tasks(), ending)


async def sent(address: str, answers: int) -> Outcome:
    """Traffic of two clients until so many requests have had an outcome."""
    clock = ManualClock()
    host, _, port = address.rpartition(":")
    advances: list[asyncio.Task[None]] = []

    def enough(outcome: Outcome) -> None:
        if outcome.answered + outcome.errors.total() >= answers and not advances:
            advances.append(asyncio.create_task(clock.advance(1)))

    outcome = Outcome()
    await send(Traffic((host, int(port)), clients=2, seconds=1, on_answer=enough), clock, outcome)
    await asyncio.gather(*advances)
    return outcome


async def test_traffic_counts_answers_by_the_endpoint_that_gave_them(ending: AsyncExitStack) -> None:
    running = await started(ending)
    outcome = await sent(running.address, 20)
    assert outcome.answered >= 20 and not outcome.errors
    assert outcome.by_endpoint[running.address] == running.endpoint.served == len(outcome.all_latencies())


async def test_answers_that_blame_the_server_are_errors(ending: AsyncExitStack) -> None:
    running = await started(ending, 503)
    outcome = await sent(running.address, 5)
    assert outcome.answered == 0
    assert outcome.errors["status 503"] == running.endpoint.served


async def read(content: bytes) -> int:
    reader = asyncio.StreamReader()
    reader.feed_data(content)
    reader.feed_eof()
    return (await read_answer(reader)).status


async def test_what_is_no_answer_is_not_taken_for_one() -> None:
    assert await read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") == 200
    for content in (
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 OK\r\ncontent-length: 1\r\n\r\nx",
    ):
        with pytest.raises(BadAnswer):
            await read(content)
    for content in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"):
        with pytest.raises(asyncio.IncompleteReadError):
            await read(content)


def test_quantiles_of_few_latencies_are_latencies() -> None:
    assert quantile([], 0.5) is None
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([3.0, 1.0, 2.0], 0.99) == 3.0
