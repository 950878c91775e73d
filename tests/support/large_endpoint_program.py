"""An HTTP/1.1 endpoint whose every response is large, and that sends no faster than it is read.

Prints its port, then answers each request with so many bytes. `python large_endpoint_program.py BYTES`
"""

import asyncio
import socket
import sys

PIECE = bytes(16_384)
SEND_BUFFER = 16_384


class Large(asyncio.Protocol):
    """Answers one request. Little waits here, whoever reads: thousands of these fit into one process."""

    def __init__(self, size: int) -> None:
        self._left = self._size = size
        self._may_write = True
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        transport.set_write_buffer_limits(high=len(PIECE))
        self._transport = transport

    def data_received(self, received: bytes) -> None:
        if received.endswith(b"\r\n\r\n"):
            assert self._transport is not None
            size = 2 if b" /canary " in received else self._size
            self._left = size
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            self._go_on()

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._go_on()

    def _go_on(self) -> None:
        assert self._transport is not None
        while self._may_write and self._left and not self._transport.is_closing():
            piece = PIECE[: self._left]
            self._left -= len(piece)
            self._transport.write(piece)


async def serve(size: int) -> None:
    """Listens on a free port of 127.0.0.1 until the process is killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Large(size), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
