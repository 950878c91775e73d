"""Endpoints that play a script: bytes, waits, closes and resets, with every byte that arrived on record."""

import contextlib
import enum
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.eventually import PATIENCE, eventually, send_apart
from tests.support.strict import (
    Ended,
    Request,
    Stream,
    read_request,
    read_request_body,
    read_request_head,
    requests_in,
)

from bascule import contract

_LINGER_NOT = struct.pack("ii", 1, 0)


def response(
    status: str = "200 OK", body: bytes = b"", *fields: str, length: bool = True, version: str = "1.1"
) -> bytes:
    """A response as bytes: `fields` ("Name: value"), then `Content-Length` unless `length` is false."""
    lines = [f"HTTP/{version} {status}", *fields]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


OK = response(body=b"ok")


class Step(enum.Enum):
    """What a script can do besides sending bytes and waiting for an event."""

    READ = "reads one whole request"
    HEAD = "reads the head of a request"
    BODY = "reads the body of the request whose head was read last"
    FINISH = "sends no more, still reads"
    CLOSE = "closes"
    RESET = "breaks off with a RST"


class Conversation:
    """One connection that the balancer opened to the endpoint."""

    def __init__(self, endpoint: "ScriptedEndpoint", number: int, connected: socket.socket) -> None:
        self.endpoint = endpoint
        self.number = number
        """0 for the first connection."""
        self.socket = connected
        self.stream = Stream(lambda: connected.recv(65536))
        self.ended = threading.Event()
        """Set when the balancer has closed or reset the connection, or the script has."""
        self.was_reset = False
        """The balancer reset it rather than closing it."""
        self._head: Request | None = None

    @property
    def received(self) -> bytes:
        """Every byte that arrived so far."""
        return bytes(self.stream.received)

    def requests(self) -> list[Request]:
        """What arrived so far, strictly parsed; raises when it is anything but whole requests."""
        return requests_in(self.received)

    def read(self) -> Request:
        """Reads one whole request."""
        request = read_request(self.stream)
        self.endpoint.note(request)
        return request

    def head(self) -> Request:
        """Reads the head of a request."""
        self._head = read_request_head(self.stream)
        return self._head

    def body(self) -> Request:
        """Reads the body behind the last head. Returns the whole request."""
        assert self._head is not None, "there is no head whose body could be read"
        request = read_request_body(self.stream, self._head)
        self.endpoint.note(request)
        return request

    def send(self, *pieces: bytes) -> None:
        """Sends `pieces` in one go."""
        self.socket.sendall(b"".join(pieces))

    def send_apart(self, *pieces: bytes) -> None:
        """Sends each piece only when the balancer has read the one before (Unix sockets only)."""
        send_apart(self.socket, pieces)

    def finish(self) -> None:
        """Sends no more, still reads."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Closes both directions."""
        self.socket.close()

    def reset(self) -> None:
        """Breaks the connection off with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.socket.close()

    def wait_end(self) -> None:
        """Returns when the connection has ended; fails if it stays open."""
        assert self.ended.wait(PATIENCE), f"connection {self.number} stays open; it got {self.received!r}"

    def watch(self) -> None:
        """Reads and records until the balancer ends the connection."""
        try:
            self.stream.rest()
        except ConnectionResetError:
            self.was_reset = True


Script = Callable[[Conversation], None]
"""What an endpoint does on one connection. After it, the endpoint reads until the balancer has closed."""


def answering(*responses: bytes) -> Script:
    """Answers the n-th request of the endpoint with the n-th response; the last one repeats."""
    left = list(responses) or [OK]
    lock = threading.Lock()

    def script(conversation: Conversation) -> None:
        while True:
            conversation.read()
            with lock:
                answer = left.pop(0) if len(left) > 1 else left[0]
            conversation.send(answer)

    return script


def echo_targets(conversation: Conversation) -> None:
    """Answers each request with its target, so that a test sees whose answer it got."""
    while True:
        conversation.send(response(body=conversation.read().target.encode()))


def play(*steps: bytes | threading.Event | Step | Script) -> Script:
    """Does one step after the other on each connection: sends bytes, waits for an event, or a `Step`."""

    def script(conversation: Conversation) -> None:
        for step in steps:
            if isinstance(step, bytes):
                conversation.send(step)
            elif isinstance(step, threading.Event):
                assert step.wait(PATIENCE), "the test never set the event"
            elif isinstance(step, Step):
                getattr(conversation, step.name.lower())()
            else:
                step(conversation)

    return script


def each(*scripts: Script) -> Script:
    """The n-th connection plays the n-th script; the last one repeats."""

    def script(conversation: Conversation) -> None:
        scripts[min(conversation.number, len(scripts) - 1)](conversation)

    return script


class ScriptedEndpoint:
    """Listens on a free port of `host`, or at a path, while the `with` lasts, one thread per connection.

    At the end it raises what went wrong in its scripts, also a request that was not strict HTTP/1.1.
    That the balancer closed or reset a connection is nothing wrong.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        path: Path | None = None,
        host: str = "127.0.0.1",
        backlog: int = 128,
        receive_buffer: int | None = None,
    ) -> None:
        """Answers every request with 200 unless a `script` is given. `receive_buffer` is in bytes."""
        self.script = script or answering()
        self.conversations: list[Conversation] = []
        """In the order in which they were accepted."""
        self.requests: list[Request] = []
        """Those that a script has read, over all connections."""
        self._problems: list[BaseException] = []
        self._path = path
        self._listening = socket.socket(_family(host) if path is None else socket.AF_UNIX)
        if receive_buffer is not None:
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listening.bind((host, 0) if path is None else str(path))
        self._listening.listen(backlog)
        bracketed = f"[{host}]" if ":" in host else host
        self.name = str(path) if path else f"{bracketed}:{self._listening.getsockname()[1]}"
        """Its `ip:port` or path, and its id in pools."""
        self._threads = [threading.Thread(target=self._accept, name=f"endpoint {self.name}", daemon=True)]

    def contract(self, weight: int = 1) -> contract.Endpoint:
        """This endpoint in a pool of a snapshot."""
        address = contract.UnixAddress(self.name) if self._path else contract.TcpAddress(self.name)
        return contract.Endpoint(id=self.name, address=address, weight=weight)

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
        for conversation in self.conversations:
            # Wakes a thread that still reads.
            with contextlib.suppress(OSError):
                conversation.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(PATIENCE)
        if self._problems and error is None:
            raise self._problems[0]

    def note(self, request: Request) -> None:
        """Remembers a request that a script has read."""
        self.requests.append(request)

    def wait_conversations(self, count: int) -> list[Conversation]:
        """The connections, once there are `count`."""
        eventually(lambda: len(self.conversations) >= count, lambda: f"{len(self.conversations)} connections")
        return self.conversations

    def wait_requests(self, count: int) -> list[Request]:
        """The requests that scripts have read, once there are `count`."""
        eventually(lambda: len(self.requests) >= count, lambda: f"requests: {self.requests}")
        return self.requests

    def received(self) -> bytes:
        """Every byte of every connection so far, one connection after the other."""
        return b"".join(conversation.received for conversation in self.conversations)

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listening.accept()
            except OSError:
                return
            connected.settimeout(PATIENCE)
            if self._path is None:
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conversation = Conversation(self, len(self.conversations), connected)
            thread = threading.Thread(target=self._serve, args=(conversation,), daemon=True)
            self._threads.append(thread)
            self.conversations.append(conversation)
            thread.start()

    def _serve(self, conversation: Conversation) -> None:
        try:
            self.script(conversation)
            if conversation.socket.fileno() >= 0:
                conversation.watch()
        except (Ended, BrokenPipeError):
            pass
        except ConnectionResetError:
            conversation.was_reset = True
        except BaseException as problem:
            self._problems.append(problem)
        finally:
            conversation.socket.close()
            conversation.ended.set()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
