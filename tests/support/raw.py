"""Client sockets under full control of the test: bytes out as they are, answers in strictly parsed."""

import socket
import struct
from types import TracebackType
from typing import Self

from tests.support.eventually import PATIENCE, send_apart, unread
from tests.support.strict import Ended, Response, Stream, read_response, read_response_head

_LINGER_NOT = struct.pack("ii", 1, 0)


def request(
    method: str = "GET", target: str = "/", *fields: str, body: bytes = b"", version: str = "1.1"
) -> bytes:
    """A well-formed request: `Host`, then `fields` ("Name: value"), then the length if there is a body."""
    lines = [f"{method} {target} HTTP/{version}", "Host: bascule.test", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class RawClient:
    """One client connection. Blocks for `PATIENCE` seconds at most, then fails."""

    def __init__(self, address: str, *, receive_buffer: int | None = None) -> None:
        """Connects to `ip:port` (IPv6 in brackets) or `unix:/path`.

        With a small `receive_buffer` (bytes) it fills up soon.
        """
        path = address.removeprefix("unix:")
        self._unix = path != address
        v6 = path.startswith("[")
        family = socket.AF_UNIX if self._unix else socket.AF_INET6 if v6 else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(PATIENCE)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if self._unix:
            self.socket.connect(path)
        else:
            host, port = address.rsplit(":", 1)
            self.socket.connect((host.strip("[]"), int(port)))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = Stream(lambda: self.socket.recv(65536))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        """Sends `pieces` in one go."""
        self.socket.sendall(b"".join(pieces))

    def send_apart(self, *pieces: bytes) -> None:
        """Sends each piece only when the balancer has read the one before (Unix sockets only).

        Stops early when the balancer has closed: the answer is there to be read.
        """
        send_apart(self.socket, pieces)

    def unread(self) -> int:
        """How much of what was sent the balancer has not read (Unix sockets only)."""
        return unread(self.socket)

    def finish(self) -> None:
        """Sends no more, still reads (a half-closed client)."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Closes both directions."""
        self.socket.close()

    def reset(self) -> None:
        """Breaks the connection off with a RST (on a Unix socket: closes it)."""
        if not self._unix:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.socket.close()

    def response(self, *, to: str = "GET") -> Response:
        """Reads one whole response, and the interim ones before it."""
        return read_response(self.stream, to=to)

    def head(self) -> Response:
        """Reads the head of the next response, interim or final."""
        return read_response_head(self.stream)

    def ask(self, content: bytes, *, to: str = "GET") -> Response:
        """Sends one request and reads its response."""
        self.send(content)
        return self.response(to=to)

    def rest(self) -> bytes:
        """Reads to the end of the connection, which may also be a reset."""
        try:
            return self.stream.rest()
        except ConnectionResetError:
            return b""

    def is_closed(self) -> bool:
        """Whether the balancer ends the connection without a further byte. Waits for either."""
        try:
            return self.stream.is_at_end()
        except ConnectionResetError:
            return True

    def gets_nothing(self) -> bool:
        """Whether no byte and no end has arrived up to now. Does not wait."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        finally:
            self.socket.settimeout(PATIENCE)
        return False

    def cut_response(self, *, to: str = "GET") -> bytes:
        """Reads a response that must break off, and returns all bytes of it."""
        start = len(self.stream.received)
        try:
            whole = read_response(self.stream, to=to)
        except (Ended, ConnectionResetError):
            return bytes(self.stream.received[start:])
        raise AssertionError(f"the response is whole: {whole}")
