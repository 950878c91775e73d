"""A toy endpoint: answers every request with what it saw, as JSON, and says who it is."""

import asyncio
import json
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send

from bascule.admin.server import Server
from bascule.errors import BasculeError
from bascule.tasks import Tasks
from bascule.wording import in_words


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How an endpoint answers everything but its health check."""

    delay_s: float = 0.0
    status: int = 200


class ToyEndpoint:
    """An ASGI application. `/healthz` is always 200 and never delayed."""

    def __init__(self, name: str, behaviour: Behaviour) -> None:
        self._name = name
        self._behaviour = behaviour
        self.served = 0
        """Requests answered, health checks not counted."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = await _length_of_body(receive)
        if scope["path"] == "/healthz":
            await self._answer(send, 200, {"served_by": self._name, "healthy": True})
            return
        await asyncio.sleep(self._behaviour.delay_s)
        self.served += 1
        seen = {
            "served_by": self._name,
            "method": scope["method"],
            "path": scope["raw_path"].decode("latin-1"),
            "query": scope["query_string"].decode("latin-1"),
            "headers": [
                [name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]
            ],
            "body_bytes": length,
        }
        await self._answer(send, self._behaviour.status, seen)

    async def _answer(self, send: Send, status: int, what: dict[str, Any]) -> None:
        body = json.dumps(what, indent=2).encode() + b"\n"
        headers = [(b"x-served-by", self._name.encode())]
        # Neither has a body, and a 204 has no length either (RFC 9110, 8.6, 15.3.5 and 15.4.5).
        if status in (204, 304):
            body = b""
        else:
            headers.append((b"content-type", b"application/json"))
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True, slots=True)
class Running:
    """A toy endpoint that accepts connections."""

    address: str
    """`127.0.0.1:9001`"""
    endpoint: ToyEndpoint


async def start(
    binds: Sequence[tuple[str, int]], behaviour: Behaviour, tasks: Tasks, ending: AsyncExitStack
) -> list[Running]:
    """Starts one endpoint for each host and port (0: any free one); `ending` stops them.

    Raises `BasculeError` when an address cannot be had; then none is left running.
    """
    started = []
    for host, port in binds:
        listening = _bind(host, port)
        shown = f"[{host}]" if ":" in host else host
        address = f"{shown}:{listening.getsockname()[1]}"
        endpoint = ToyEndpoint(address, behaviour)
        server = Server(endpoint, [listening])
        ending.callback(listening.close)
        ending.push_async_callback(_stop, server, tasks.start(f"toy {address}", server.run()))
        started.append(Running(address, endpoint))
    return started


async def _stop(server: Server, serving: "asyncio.Task[None]") -> None:
    server.stop()
    await serving


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise BasculeError(f"cannot listen on {host}:{port}: {in_words(error)}") from error


async def _length_of_body(receive: Receive) -> int:
    length = 0
    while True:
        message = await receive()
        length += len(message.get("body", b""))
        if not message.get("more_body", False):
            return length
