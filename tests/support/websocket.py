"""WebSocket endpoints and clients of the `websockets` library: not ours, so they may disagree with us."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from tests.support.eventually import PATIENCE, eventually
from tests.support.plane import RunningPlane, pool
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

_CLIENT: dict[str, Any] = {"max_size": None, "ping_interval": None, "legacy": True}

Handler = Callable[[ServerConnection], None]
"""What the endpoint does on one connection; after it, the connection is closed with 1000."""


def send_back(connection: ServerConnection) -> None:
    """Sends back each message that arrives, to the end."""
    for message in connection:
        connection.send(message)


class WebSocketEndpoint:
    """Listens on a free port of 127.0.0.1 while the `with` lasts, one thread per connection."""

    def __init__(self, handler: Handler = send_back, **options: Any) -> None:
        """`options` are those of the library's `serve`."""
        self._handler = handler
        self.connections: list[ServerConnection] = []
        """Whose handshake was accepted, in that order."""
        self.problems: list[BaseException] = []
        """What went wrong in handlers."""
        self._server: Server = serve(self._serve, "127.0.0.1", 0, **{"max_size": None} | options)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.name = "{}:{}".format(*self._server.socket.getsockname())
        """Its `ip:port`, and its id in pools."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join(PATIENCE)
        for connection in self.connections:
            connection.close_socket()
        if self.problems and error[1] is None:
            raise self.problems[0]

    def wait_connections(self, count: int) -> list[ServerConnection]:
        """The connections, once there are `count`: a client knows a moment earlier."""
        eventually(lambda: len(self.connections) >= count, lambda: f"{len(self.connections)} connections")
        return self.connections

    def closed_with(self, number: int = 0) -> Close | None:
        """What the client said last, once its connection has ended; `None`: it broke off without a word."""
        connection = self.wait_connections(number + 1)[number]
        connection.recv_events_thread.join(PATIENCE)
        assert not connection.recv_events_thread.is_alive(), "the connection stays open"
        return connection.protocol.close_rcvd

    def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        try:
            self._handler(connection)
        except ConnectionClosed:
            pass
        except BaseException as problem:
            self.problems.append(problem)


def open_socket(plane: RunningPlane, path: str = "/chat", **options: Any) -> ClientConnection:
    """A WebSocket through the balancer. `options` are those of the library's `connect`."""
    socket: ClientConnection = connect(f"ws://{plane.address()}{path}", **_CLIENT | options)
    return socket


def ending_of(socket: ClientConnection) -> Close | None:
    """What the endpoint said last, once the connection has ended; `None`: it broke off without a word."""
    try:
        while True:
            socket.recv(PATIENCE)
    except ConnectionClosed as closed:
        return closed.rcvd


@contextmanager
def chatting(
    handler: Handler = send_back, **options: Any
) -> Iterator[tuple[WebSocketEndpoint, RunningPlane]]:
    """One WebSocket endpoint and a plane in front of it. `options` are those of the plane's pool."""
    with WebSocketEndpoint(handler) as endpoint, RunningPlane([pool(endpoint.name, **options)]) as plane:
        yield endpoint, plane


def names(*protocols: str) -> Sequence[Subprotocol]:
    """Subprotocols as the library wants them."""
    return [Subprotocol(name) for name in protocols]
