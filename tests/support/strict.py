"""HTTP/1 messages read as a suspicious peer reads them (RFC 9112): one meaning, or `NotStrict`.

Written from the RFC and not from the balancer's own parser, so that the two can disagree.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-\"$-~]+) HTTP/1\.1")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")


class NotStrict(AssertionError):  # noqa: N818 (a verdict)
    """These bytes are not HTTP/1.1, or could be read in two ways."""


class Ended(Exception):  # noqa: N818 (what peers do)
    """The stream ended where a message was to go on."""


class Fields(tuple[tuple[str, str], ...]):
    """Header or trailer fields, in the order in which they came."""

    __slots__ = ()

    def all(self, name: str) -> list[str]:
        """The values of all fields of that name, whatever the case."""
        return [value for other, value in self if other.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        """The value of the only field of that name; `NotStrict` when there are several."""
        values = self.all(name)
        if len(values) > 1:
            raise NotStrict(f"several {name}: {values}")
        return values[0] if values else None

    def names(self) -> set[str]:
        """All names, in lower case."""
        return {name.lower() for name, _ in self}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it arrived."""

    method: str
    target: str
    fields: Fields
    body: bytes = b""
    trailers: Fields = field(default_factory=Fields)
    chunks: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Response:
    """One final response, with the interim ones that came before it."""

    status: int
    reason: str
    fields: Fields
    body: bytes = b""
    trailers: Fields = field(default_factory=Fields)
    interim: tuple["Response", ...] = ()
    to_end: bool = False
    """The body ended with the connection."""


class Stream:
    """Bytes that arrive, taken exactly as far as asked. Remembers all of them."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._at = 0
        self.received = bytearray()
        """Every byte that ever arrived."""

    def line(self) -> bytes:
        """The next line without its CRLF. A CR or LF by itself is refused."""
        while (end := self.received.find(b"\n", self._at)) < 0:
            self._more()
        line = bytes(self.received[self._at : end + 1])
        self._at = end + 1
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise NotStrict(f"a line that does not end with CRLF: {line!r}")
        return line[:-2]

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes."""
        while len(self.received) - self._at < count:
            self._more()
        taken = bytes(self.received[self._at : self._at + count])
        self._at += count
        return taken

    def to_end(self) -> bytes:
        """Everything up to the end of the stream."""
        while not self.is_at_end():
            self._at = len(self.received)
        return bytes(self.received[self._at :])

    def rest(self) -> bytes:
        """All that is still to come, up to the end of the stream."""
        start = self._at
        self.to_end()
        return bytes(self.received[start:])

    def is_at_end(self) -> bool:
        """Whether nothing comes any more. Waits for the next byte or the end."""
        if self._at < len(self.received):
            return False
        try:
            self._more()
        except Ended:
            return True
        return False

    def _more(self) -> None:
        came = self._receive()
        if not came:
            raise Ended(f"the stream ended after {bytes(self.received[-200:])!r}")
        self.received += came


def stream_of(content: bytes) -> Stream:
    """A stream of bytes that are all there."""
    pieces = iter([content])
    return Stream(lambda: next(pieces, b""))


def requests_in(content: bytes) -> list[Request]:
    """All requests in `content`, which must hold nothing else and end with one."""
    stream = stream_of(content)
    found = []
    while not stream.is_at_end():
        found.append(read_request(stream))
    return found


def read_request(stream: Stream) -> Request:
    """Reads one whole request."""
    request = read_request_head(stream)
    return read_request_body(stream, request)


def read_request_head(stream: Stream) -> Request:
    """Reads the head of a request and leaves its body in the stream."""
    line = stream.line()
    parts = _REQUEST_LINE.fullmatch(line)
    if parts is None:
        raise NotStrict(f"not a request line: {line!r}")
    fields = _read_fields(stream)
    if len(fields.all("host")) != 1:
        raise NotStrict(f"not exactly one Host: {fields}")
    return Request(parts[1].decode(), parts[2].decode("latin-1"), fields)


def read_request_body(stream: Stream, head: Request) -> Request:
    """Reads the body that belongs to `head`."""
    length, chunked = _framing(head.fields)
    if chunked:
        chunks, trailers = _read_chunks(stream)
        return Request(head.method, head.target, head.fields, b"".join(chunks), trailers, chunks)
    return Request(head.method, head.target, head.fields, stream.exactly(length or 0))


def read_response(stream: Stream, *, to: str = "GET") -> Response:
    """Reads one whole response to a request of method `to`, and the interim ones before it."""
    interim: list[Response] = []
    while True:
        head = read_response_head(stream)
        if head.status >= 200 or head.status == 101:
            break
        interim.append(head)
    body, trailers, to_end = _read_response_body(stream, head, to)
    return Response(head.status, head.reason, head.fields, body, trailers, tuple(interim), to_end)


def read_response_head(stream: Stream) -> Response:
    """Reads the head of a response, interim or final, and leaves its body in the stream."""
    line = stream.line()
    parts = _STATUS_LINE.fullmatch(line)
    if parts is None:
        raise NotStrict(f"not a status line: {line!r}")
    fields = _read_fields(stream)
    status = int(parts[1])
    length, chunked = _framing(fields)
    if (status < 200 or status == 204) and (chunked or length is not None):
        raise NotStrict(f"a {status} with a length: {fields}")
    return Response(status, parts[2].decode("latin-1"), fields)


def _read_response_body(stream: Stream, head: Response, to: str) -> tuple[bytes, Fields, bool]:
    length, chunked = _framing(head.fields)
    if to == "HEAD" or head.status in (101, 204, 304):
        return b"", Fields(), False
    if chunked:
        chunks, trailers = _read_chunks(stream)
        return b"".join(chunks), trailers, False
    if length is not None:
        return stream.exactly(length), Fields(), False
    return stream.rest(), Fields(), True


def _read_fields(stream: Stream) -> Fields:
    return Fields(_field_lines(stream))


def _field_lines(stream: Stream) -> Iterator[tuple[str, str]]:
    while line := stream.line():
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise NotStrict(f"not a field: {line!r}")
        yield name.decode(), value.strip(b" \t").decode("latin-1")


def _framing(fields: Fields) -> tuple[int | None, bool]:
    length, coding = fields.one("content-length"), fields.one("transfer-encoding")
    if coding is not None and (coding.lower() != "chunked" or length is not None):
        raise NotStrict(f"Transfer-Encoding {coding!r} beside Content-Length {length!r}")
    if length is not None and not re.fullmatch("[0-9]{1,19}", length):
        raise NotStrict(f"Content-Length {length!r}")
    return (None if length is None else int(length)), coding is not None


def _read_chunks(stream: Stream) -> tuple[tuple[bytes, ...], Fields]:
    chunks: list[bytes] = []
    while True:
        line = stream.line()
        if not _CHUNK_SIZE.fullmatch(line):
            raise NotStrict(f"not a chunk size: {line!r}")
        size = int(line, 16)
        if size == 0:
            return tuple(chunks), _read_fields(stream)
        chunks.append(stream.exactly(size))
        if stream.exactly(2) != b"\r\n":
            raise NotStrict("a chunk that goes on after its end")
