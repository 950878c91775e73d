"""A plain HTTP/1.1 endpoint as a program of its own, for tests that kill and freeze it.

Prints its port, then answers every request with its name. `python endpoint_program.py NAME DELAY_MS`
"""

import asyncio
import sys


class Endpoint(asyncio.Protocol):
    """Answers requests without a body, one after the other, each after the delay."""

    def __init__(self, name: str, delay: float) -> None:
        self._body = name.encode()
        self._delay = delay
        self._buffer = b""
        self._asked = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, received: bytes) -> None:
        *whole, self._buffer = (self._buffer + received).split(b"\r\n\r\n")
        for _ in whole:
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        assert self._transport is not None
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self._body)
        self._transport.write(head + self._body)


async def serve(name: str, delay: float) -> None:
    """Listens on a free port of 127.0.0.1 until the process is killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Endpoint(name, delay), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]) / 1000))
