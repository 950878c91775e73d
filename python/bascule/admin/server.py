"""Serves an ASGI application on sockets that are already bound, in the event loop that is already running."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import uvicorn

KEEP_ALIVE_S = 75
"""Longer than the intervals at which monitoring asks, so that it may keep its connection."""


class Server:
    """From `start` to `stop`. Requests in flight at `stop` get `grace_s` to finish."""

    def __init__(self, app: Any, sockets: Sequence[socket.socket], *, grace_s: int = 1) -> None:
        self._sockets = list(sockets)
        for listening in self._sockets:
            if listening.family != socket.AF_UNIX:
                # Connections inherit it. Uvicorn writes head and body apart; without it the body waits
                # 40 ms for the peer's delayed acknowledgement of the head.
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server = _Quiet(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=grace_s,
            )
        )

    async def run(self) -> None:
        """Serves until cancelled or stopped."""
        await self._server.serve(sockets=self._sockets)

    def stop(self) -> None:
        """Lets `run` return, once requests in flight have ended."""
        self._server.leave.set()


class _Quiet(uvicorn.Server):
    """Uvicorn without its own signals, which are ours, and without waking ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.leave = asyncio.Event()

    async def main_loop(self) -> None:
        await self.leave.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
