"""WebSockets on the streams of an HTTP/2 connection (RFC 8441), with frames by the library `websockets`."""

from tests.support.http2 import Answer, Http2Client
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side, State

_MESSAGES = {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}


class Http2WebSocket:
    """One WebSocket. It reads for all streams of its connection, so one thread at a time may use them."""

    def __init__(self, client: Http2Client, path: str = "/chat", scheme: str = "http") -> None:
        """Asks for it, and returns once it is open."""
        self.client = client
        fields = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", scheme),
            (":authority", "bascule.test"),
            (":path", path),
            ("sec-websocket-version", "13"),
        ]
        self.stream = client.request(fields, ends=False)
        self.answer: Answer = client.answers[self.stream]
        client.until(lambda: self.answer.status != 0 or self.answer.reset is not None)
        assert self.answer.status == 200, self.answer
        self._protocol = Protocol(Side.CLIENT, state=State.OPEN, max_size=None)
        self._frames: list[Frame] = []
        self._pongs: list[bytes] = []

    def send(self, message: str | bytes) -> None:
        """Sends one message in one frame."""
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        self._flush()

    def recv(self) -> str | bytes:
        """The next message, once it is whole."""
        while not (self._frames and self._frames[-1].fin):
            before = len(self._frames)
            while len(self._frames) == before:
                self._read()
        frames, self._frames = self._frames, []
        content = b"".join(frame.data for frame in frames)
        return content.decode() if frames[0].opcode is Opcode.TEXT else content

    def ping(self, content: bytes) -> bool:
        """Whether the other side answers."""
        self._protocol.send_ping(content)
        self._flush()
        while content not in self._pongs:
            self._read()
        return True

    def close(self, code: int, reason: str = "") -> Close | None:
        """Says goodbye; returns with what, once the stream has ended on both sides."""
        self._protocol.send_close(code, reason)
        self._flush()
        return self.ending()

    def ending(self) -> Close | None:
        """What the other side said last, once it has ended the stream; `None`: it said no word."""
        while not (self.answer.ended or self.answer.reset is not None):
            self._read()
        if self.answer.reset is None:
            # As a client of HTTP/1 would close its connection now.
            self.client.end(self.stream)
        return self._protocol.close_rcvd

    def _read(self) -> None:
        assert not self.client.closed, f"the connection ended: {self.client.goodbye}"
        if not self.answer.body and not self.answer.ended:
            assert self.answer.reset is None, self.answer.reset
            self.client.read()
        came, self.answer.body = self.answer.body, b""
        if came:
            self._protocol.receive_data(came)
        for frame in self._protocol.events_received():
            assert isinstance(frame, Frame)
            if frame.opcode is Opcode.PONG:
                self._pongs.append(bytes(frame.data))
            elif frame.opcode in _MESSAGES:
                self._frames.append(frame)
        self._flush()

    def _flush(self) -> None:
        for content in self._protocol.data_to_send():
            if content:
                self.client.send(self.stream, content)
            else:
                self.client.end(self.stream)
