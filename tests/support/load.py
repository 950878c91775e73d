"""Many clients at once on asyncio: each asks again and again on a connection that is kept open."""

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.support.eventually import PATIENCE


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request."""

    status: int
    """0: the connection broke before a whole response was there."""
    body: bytes
    seconds: float


class Load:
    """`clients` clients that ask for `target` for as long as the `async with` lasts.

    A client whose connection was announced to close opens another one. A connection that ends without a
    word, also between two requests, is an outcome of status 0.
    """

    def __init__(self, address: str, *, clients: int, method: str = "GET", target: str = "/") -> None:
        host, port = address.rsplit(":", 1)
        self._where = (host, int(port))
        self._clients = clients
        self._request = f"{method} {target} HTTP/1.1\r\nHost: load.test\r\n\r\n".encode()
        self.outcomes: list[Outcome] = []
        self._more = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving = False

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving = True
        done, late = await asyncio.wait(self._tasks, timeout=PATIENCE)
        for task in late:
            task.cancel()
        if error is None:
            assert not late, f"{len(late)} clients got no end of their last response"
            for task in done:
                task.result()

    async def more(self, count: int) -> list[Outcome]:
        """Waits for the next `count` outcomes and returns them."""
        start = len(self.outcomes)
        async with asyncio.timeout(PATIENCE):
            while len(self.outcomes) < start + count:
                self._more.clear()
                await self._more.wait()
        return self.outcomes[start:]

    def statuses(self) -> Counter[int]:
        """How often each status came so far."""
        return Counter(outcome.status for outcome in self.outcomes)

    async def _client(self) -> None:
        while not self._leaving:
            reader, writer = await asyncio.open_connection(*self._where)
            try:
                while not self._leaving and await self._exchange(reader, writer):
                    pass
            finally:
                writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Asks once. False when the connection ends with it."""
        began = time.monotonic()
        status, body, kept = 0, b"", False
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            writer.write(self._request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = head.partition("content-length:")[2].partition("\r\n")[0]
            body = await reader.readexactly(int(length))
            status, kept = int(head[9:12]), "connection: close" not in head
        self.outcomes.append(Outcome(status, body, time.monotonic() - began))
        self._more.set()
        return kept
