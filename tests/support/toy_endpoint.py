"""An endpoint on a real socket that answers, misbehaves or keeps silent, as a test says."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from bascule.contract import Address, TcpAddress, UnixAddress
from bascule.plan.found import FoundEndpoint

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class ToyEndpoint:
    """Listens on a free port of 127.0.0.1, or at `path`, for as long as the `async with` lasts."""

    def __init__(self, behaviour: Behaviour, path: Path | None = None) -> None:
        self.behaviour = behaviour
        self.requests: list[str] = []
        """Heads of the requests that arrived, if the behaviour reads them."""
        self.connections = 0
        self._path = path
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> Address:
        assert self._server is not None
        if self._path is not None:
            return UnixAddress(str(self._path))
        host, port = self._server.sockets[0].getsockname()[:2]
        return TcpAddress(f"{host}:{port}")

    def found(self, *, name: str | None = None) -> FoundEndpoint:
        """This endpoint, as a source would report it."""
        return FoundEndpoint("toy", self.address, 1, name)

    async def __aenter__(self) -> Self:
        if self._path is not None:
            self._server = await asyncio.start_unix_server(self._serve, self._path)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        # Before Python 3.12 a connection that is being accepted while the server closes is never closed.
        await _let_turn()
        self._server.close()
        for serving in self._serving:
            serving.cancel()
        if self._serving:
            await asyncio.wait(self._serving)
        await _let_turn()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self.behaviour(reader, writer)
        finally:
            self._serving.discard(task)
            writer.close()

    def answering(self, response: bytes) -> Self:
        """From now on reads a head, remembers it, sends `response` and closes."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(response)
            await writer.drain()

        self.behaviour = answer
        return self


async def _let_turn() -> None:
    """Time for the loop to accept what has connected and to close what was aborted."""
    for _ in range(10):
        await asyncio.sleep(0)


def http_endpoint(response: bytes, path: Path | None = None) -> ToyEndpoint:
    """One that answers every request with these bytes."""
    return ToyEndpoint(silent, path).answering(response)


def response(status: int = 200, body: bytes = b"ok", *fields: str) -> bytes:
    """A complete response with its length."""
    head = [f"HTTP/1.1 {status} Because", f"content-length: {len(body)}", *fields]
    return "\r\n".join([*head, "", ""]).encode() + body


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Accepts, and says nothing until the other side goes away."""
    while await reader.read(65536):
        pass


def dripping(head: bytes) -> Behaviour:
    """Sends `head`, then one byte at a time without end, as fast as the other side's loop turns."""

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.001)

    return drip


def endless(head: bytes, rest: bytes) -> Behaviour:
    """Sends `head`, then `rest` over and over until the other side goes away."""

    async def pour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(rest)
            await writer.drain()

    return pour
