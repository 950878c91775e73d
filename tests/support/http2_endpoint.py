"""An endpoint that speaks HTTP/2 with prior knowledge and does what the test says on each request."""

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
import h2.settings
from h2.errors import ErrorCodes
from hyperframe.frame import GoAwayFrame
from tests.support.eventually import PATIENCE, eventually

from bascule import contract


@dataclass
class Call:
    """One request, as far as it has come."""

    link: "Link"
    stream: int
    fields: list[tuple[str, str]]
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    """The balancer has said all that there is to say."""
    reset: ErrorCodes | None = None
    """How the balancer gave it up."""

    def __getitem__(self, name: str) -> str:
        return dict(self.fields)[name]

    def respond(
        self,
        status: int = 200,
        body: bytes = b"",
        fields: Sequence[tuple[str, str]] = (),
        *,
        ends: bool = True,
        trailers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Sends a response, or its beginning."""
        ends = ends and not trailers
        self.link.h2.send_headers(
            self.stream, [(":status", str(status)), *fields], end_stream=ends and not body
        )
        if body:
            self.send(body, ends=ends)
        if trailers:
            self.link.h2.send_headers(self.stream, list(trailers), end_stream=True)
        self.link.flush()

    def send(self, body: bytes, *, ends: bool = False) -> None:
        """Sends payload, which has to fit into the window."""
        most = self.link.h2.max_outbound_frame_size
        pieces = [body[at : at + most] for at in range(0, len(body), most)] or [b""]
        for at, piece in enumerate(pieces):
            self.link.h2.send_data(self.stream, piece, end_stream=ends and at == len(pieces) - 1)
        self.link.flush()

    def refuse(self, code: ErrorCodes = ErrorCodes.REFUSED_STREAM) -> None:
        """Breaks the stream off."""
        self.link.h2.reset_stream(self.stream, code)
        self.link.flush()


Behaviour = Callable[[Call], None]
"""What an endpoint does with a request; called when its head has come, and again when it has ended."""


def answer_ended(call: Call) -> None:
    """Answers 200 with "ok" once the request is whole."""
    if call.ended:
        call.respond(body=b"ok")


class Link:
    """One connection that the balancer opened."""

    def __init__(self, endpoint: "Http2Endpoint", number: int, connected: socket.socket) -> None:
        self.endpoint, self.number, self.socket = endpoint, number, connected
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=endpoint.settings)
        self.calls: dict[int, Call] = {}
        self.lock = threading.RLock()
        self.closed = threading.Event()
        self.pings = 0
        """How often the balancer has asked whether anybody is there."""

    def flush(self) -> None:
        """Sends what the library has to say."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(self.h2.data_to_send())

    def leave(self, last: int, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Says goodbye; streams beyond `last` were not looked at."""
        with self.lock:
            # The library would call the connection closed; its streams are to end first.
            frame = GoAwayFrame(0, last_stream_id=last, error_code=int(code))
            self.socket.sendall(self.h2.data_to_send() + frame.serialize())

    def serve(self) -> None:
        """Takes note of what comes, and has the endpoint behave."""
        self.h2.initiate_connection()
        self.flush()
        with contextlib.suppress(ConnectionResetError, OSError):
            while received := self.socket.recv(1 << 16):
                with self.lock:
                    for event in self.h2.receive_data(received):
                        self._note(event)
                    self.flush()
        self.closed.set()

    def _note(self, event: Any) -> None:
        behave = self.endpoint.behave
        match event:
            case h2.events.RequestReceived(stream_id=stream, headers=fields):
                call = Call(self, stream, [(str(name), str(value)) for name, value in fields])
                self.calls[stream] = call
                self.endpoint.calls.append(call)
                behave(call)
            case h2.events.DataReceived(stream_id=stream, data=data, flow_controlled_length=length):
                self.calls[stream].body += data
                if self.endpoint.reads:
                    self.h2.acknowledge_received_data(length, stream)
            case h2.events.TrailersReceived(stream_id=stream, headers=fields):
                self.calls[stream].trailers = {str(name): str(value) for name, value in fields}
            case h2.events.StreamEnded(stream_id=stream):
                self.calls[stream].ended = True
                behave(self.calls[stream])
            case h2.events.StreamReset(stream_id=stream, error_code=code):
                self.calls[stream].reset = ErrorCodes(code)
            case h2.events.PingReceived():
                self.pings += 1


class Http2Endpoint:
    """Listens on a free port of 127.0.0.1 while the `with` lasts, one thread per connection."""

    def __init__(
        self,
        behave: Behaviour = answer_ended,
        *,
        streams: int = 100,
        window: int = 65_535,
        reads: bool = True,
        tunnels: bool = False,
    ) -> None:
        """`streams` and `window` are what it allows, and `tunnels` lets it be asked for WebSockets.

        Without `reads` the window never opens again.
        """
        self.behave, self.reads = behave, reads
        self.settings = {
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: streams,
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window,
            h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: int(tunnels),
        }
        self.links: list[Link] = []
        self.calls: list[Call] = []
        """Over all connections, in the order in which they came."""
        self.problems: list[BaseException] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.name = ":".join(map(str, self._listening.getsockname()))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def contract(self, weight: int = 1) -> contract.Endpoint:
        """This endpoint in a pool of a snapshot."""
        return contract.Endpoint(id=self.name, address=contract.TcpAddress(self.name), weight=weight)

    def wait_calls(self, count: int) -> list[Call]:
        """The requests, once there are `count`."""
        eventually(lambda: len(self.calls) >= count, lambda: f"calls: {self.calls}")
        return self.calls

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(PATIENCE)
        self._listening.close()
        for link in self.links:
            with contextlib.suppress(OSError):
                link.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(PATIENCE)
        if self.problems and error is None:
            raise self.problems[0]

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listening.accept()
            except OSError:
                return
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(self, len(self.links), connected)
            self.links.append(link)
            thread = threading.Thread(target=self._serve, args=(link,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, link: Link) -> None:
        try:
            link.serve()
        except BaseException as problem:
            self.problems.append(problem)
        finally:
            link.closed.set()
            link.socket.close()
