"""An HTTP/2 client under full control of the test: well-behaved by the `h2` library, or any frame at all."""

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
import h2.settings
from h2.errors import ErrorCodes
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, SettingsFrame
from tests.support.eventually import PATIENCE

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HeaderList = Sequence[tuple[str, str]]
WINDOW = 1 << 30


def head(method: str = "GET", path: str = "/", *fields: tuple[str, str]) -> list[tuple[str, str]]:
    """The header list of a well-formed request."""
    pseudo = [(":method", method), (":scheme", "http"), (":authority", "bascule.test"), (":path", path)]
    return [*pseudo, *fields]


def socket_head(path: str = "/chat", *fields: tuple[str, str]) -> list[tuple[str, str]]:
    """The header list that asks for a WebSocket (RFC 8441)."""
    connect = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http")]
    authority = [(":authority", "bascule.test"), (":path", path), ("sec-websocket-version", "13")]
    return [*connect, *authority, *fields]


@dataclass
class Answer:
    """What came back on one stream."""

    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    interim: list[int] = field(default_factory=list)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    """The peer has said all that there is to say."""
    reset: ErrorCodes | None = None
    """How the peer broke the stream off."""


class Http2Client:
    """One connection with prior knowledge. Blocks for `PATIENCE` seconds at most, then fails."""

    def __init__(
        self,
        address: str,
        *,
        window: int = WINDOW,
        settings: dict[int, int] | None = None,
        begin: bool = True,
        within: tuple[ssl.SSLContext, str] | None = None,
    ) -> None:
        """Connects to `ip:port` and shakes hands. `window` is what the peer may send ahead, of one stream.

        Without `begin` nothing is said yet: for tests that say everything themselves.
        `within`: TLS to this name.
        """
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(PATIENCE)
        if within is not None:
            within[0].set_alpn_protocols(["h2"])
            self.socket = within[0].wrap_socket(self.socket, server_hostname=within[1])
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: min(window, WINDOW),
                **{h2.settings.SettingCodes(code): value for code, value in (settings or {}).items()},
            },
        )
        self.h2.initiate_connection()
        if window > 65_535:
            self.h2.increment_flow_control_window(WINDOW)
        self.answers: dict[int, Answer] = {}
        self.goodbye: ErrorCodes | None = None
        """The code of the GOAWAY that came."""
        self.closed = False
        """The connection has ended."""
        self.pongs = 0
        self._unread = b""
        if begin:
            self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def flush(self) -> None:
        """Sends what the library has to say."""
        self.socket.sendall(self.h2.data_to_send())

    def send_frames(self, *frames: Frame | bytes) -> None:
        """Sends frames as they are, whatever the library thinks of them."""
        parts = [frame if isinstance(frame, bytes) else frame.serialize() for frame in frames]
        self.socket.sendall(self.h2.data_to_send() + b"".join(parts))

    def request(self, fields: HeaderList, body: bytes = b"", *, ends: bool = True) -> int:
        """Begins a stream with these headers. Returns its number."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, list(fields), end_stream=ends and not body)
        self.answers[stream] = Answer()
        self.flush()
        if body:
            self.send(stream, body, ends=ends)
        return stream

    def encoded(self, fields: HeaderList) -> bytes:
        """A header block."""
        return self.h2.encoder.encode(list(fields))

    def raw_head(self, stream: int, fields: HeaderList, *flags: str) -> HeadersFrame:
        """A HEADERS frame that the library does not know of; `flags` are those beside END_HEADERS."""
        frame = HeadersFrame(stream, self.encoded(fields))
        frame.flags.add("END_HEADERS")
        for flag in flags:
            frame.flags.add(flag)
        return frame

    def send(self, stream: int, body: bytes, *, ends: bool = False) -> None:
        """Sends payload as the peer lets us."""
        left = memoryview(body)
        while left:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(left))
            if room == 0:
                self.read()
                continue
            self.h2.send_data(stream, bytes(left[:room]), end_stream=ends and room == len(left))
            left = left[room:]
            self.flush()

    def end(self, stream: int, trailers: HeaderList = ()) -> None:
        """Says that no more comes."""
        if trailers:
            self.h2.send_headers(stream, list(trailers), end_stream=True)
        else:
            self.h2.end_stream(stream)
        self.flush()

    def reset(self, stream: int, code: ErrorCodes = ErrorCodes.CANCEL) -> None:
        """Gives a stream up."""
        self.h2.reset_stream(stream, code)
        self.flush()

    def take(self, stream: int, count: int) -> None:
        """Lets the peer send so much more."""
        self.h2.increment_flow_control_window(count, stream)
        self.h2.increment_flow_control_window(count)
        self.flush()

    def read(self) -> None:
        """Reads once, and takes note of what came."""
        try:
            received = self.socket.recv(1 << 20)
        except ConnectionResetError:
            received = b""
        if not received:
            self.closed = True
            return
        self._unread += received
        for event in self.h2.receive_data(self._without_goodbyes()):
            self._note(event)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.flush()

    def _without_goodbyes(self) -> bytes:
        """The frames that are whole. The library takes a GOAWAY for the end, so it is told of none."""
        told = b""
        while len(self._unread) >= 9 and len(self._unread) >= (
            length := 9 + int.from_bytes(self._unread[:3], "big")
        ):
            frame, self._unread = self._unread[:length], self._unread[length:]
            if frame[3] == GoAwayFrame.type:
                self.goodbye = ErrorCodes(int.from_bytes(frame[13:17], "big"))
            else:
                told += frame
        return told

    def until(self, holds: Callable[[], bool]) -> None:
        """Reads until `holds()`; fails when the connection ends before."""
        while not holds():
            assert not self.closed, f"the connection ended; goodbye: {self.goodbye}, {self.answers}"
            self.read()

    def wait_close(self) -> None:
        """Reads until the connection ends."""
        while not self.closed:
            self.read()

    def answer(self, stream: int) -> Answer:
        """What came on a stream, once it has ended or was reset."""
        answer = self.answers[stream]
        self.until(lambda: answer.ended or answer.reset is not None)
        return answer

    def ask(self, fields: HeaderList | None = None, body: bytes = b"") -> Answer:
        """Sends one request and reads its response."""
        return self.answer(self.request(head() if fields is None else fields, body))

    def _note(self, event: Any) -> None:
        answer = self.answers.setdefault(getattr(event, "stream_id", 0) or 0, Answer())
        match event:
            case h2.events.InformationalResponseReceived(headers=fields):
                answer.interim.append(int(_texts(fields)[":status"]))
            case h2.events.ResponseReceived(headers=fields):
                answer.fields = _texts(fields)
                answer.status = int(answer.fields.pop(":status"))
            case h2.events.DataReceived(data=data):
                answer.body += data
            case h2.events.TrailersReceived(headers=fields):
                answer.trailers = _texts(fields)
            case h2.events.StreamEnded():
                answer.ended = True
            case h2.events.StreamReset(error_code=code):
                answer.reset = ErrorCodes(code) if code is not None else None
            case h2.events.PingAckReceived():
                self.pongs += 1


def _texts(fields: Iterable[Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in fields}


def settings_frame(values: dict[int, int] | None = None, *, ack: bool = False) -> SettingsFrame:
    """A SETTINGS frame."""
    frame = SettingsFrame(0, settings=values or {})
    if ack:
        frame.flags.add("ACK")
    return frame


def repeated(frame: Frame | bytes, count: int) -> Iterable[bytes]:
    """The same frame, so often, in pieces that are good to send."""
    one = frame if isinstance(frame, bytes) else frame.serialize()
    step = max(1, 65_536 // len(one))
    for at in range(0, count, step):
        yield one * min(step, count - at)
