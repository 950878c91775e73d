"""One unary gRPC call to an endpoint on a connection of its own, and as much of the answer as may matter."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from bascule import __version__
from bascule.health.check import CheckFailed, Target
from bascule.health.fetch import host_of
from bascule.wording import in_words

HEAD_BYTES = 16 * 1024
"""The longest head and the longest trailers that are read, as HTTP/2 counts them."""

ANSWER_BYTES = 64 * 1024
"""No more is read, frames of any kind counted: a question must not cost what the endpoint chooses."""

_CHUNK = 16 * 1024
_STREAM = 1
_PREFIX = 5
_FRAME_HEAD = 9
_SETTINGS = b"\x04"


@dataclass(slots=True)
class Answered:
    """What came back, once it is complete."""

    http_status: int = 0
    content_type: str = ""
    body: bytes = b""
    """All that came of the messages, each with its prefix."""
    status: int | None = None
    """The grpc-status; `None` when the endpoint told none, or nonsense."""
    message: str = ""
    """The grpc-message, percent-encoded as it came."""
    ended: bool = field(default=False, repr=False)

    def first_message(self) -> bytes | None:
        """The first message; `None` when there is none, when it is cut off, or compressed unasked."""
        length = int.from_bytes(self.body[1:_PREFIX])
        whole = len(self.body) >= _PREFIX + length and self.body[:1] == b"\0"
        return self.body[_PREFIX : _PREFIX + length] if whole else None

    def read_fields(self, fields: Mapping[str, str]) -> None:
        """Takes the status in: it stands in the head when no message was sent, in trailers otherwise."""
        told = fields.get("grpc-status", "")
        if told.isascii() and told.isdigit() and len(told) <= 2:
            self.status = int(told)
        self.message = fields.get("grpc-message", self.message)


async def call(
    target: Target, method: str, message: bytes, *, authority: str | None, metadata: Mapping[str, str]
) -> Answered:
    """Sends one message and reads the answer. `method` is `/package.Service/Method`.

    Raises `CheckFailed` when there is no complete answer. h2 on a plain stream, as `fetch` has h11 on one: a
    channel of grpcio would bring its own threads, names, retries and connections that outlive the check.
    """
    asked = _Asked(target, method)
    connection, first = _begin(target, method, authority, metadata, message)
    reader, writer = await target.connect(alpn="h2")
    try:
        asked.expect_http2(writer.get_extra_info("ssl_object"))
        writer.write(first)
        while not asked.answer.ended:
            chunk = await reader.read(_CHUNK)
            asked.receive(connection, chunk)
            writer.write(connection.data_to_send())
    except OSError as error:
        raise CheckFailed(f"{asked}: {in_words(error)}") from error
    finally:
        # Cannot wait and cannot be cancelled, and the answer is over either way.
        writer.transport.abort()
    return asked.answer


def _begin(
    target: Target, method: str, authority: str | None, metadata: Mapping[str, str], message: bytes
) -> tuple[h2.connection.H2Connection, bytes]:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.local_settings = h2.settings.Settings(
        client=True,
        initial_values={
            h2.settings.SettingCodes.ENABLE_PUSH: 0,
            h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: HEAD_BYTES,
        },
    )
    connection.decoder.max_header_list_size = HEAD_BYTES
    connection.initiate_connection()
    fields = {
        ":method": "POST",
        ":scheme": "http" if target.tls is None else "https",
        ":path": method,
        ":authority": authority or host_of(target),
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": f"bascule-check/{__version__}",
        **metadata,
    }
    connection.send_headers(_STREAM, list(fields.items()))
    connection.send_data(_STREAM, b"\0" + len(message).to_bytes(4) + message, end_stream=True)
    return connection, connection.data_to_send()


class _Asked:
    """A call under way: what has come of its answer so far."""

    def __init__(self, target: Target, method: str) -> None:
        self.answer = Answered()
        self._target = target
        self._method = method
        self._received = 0
        self._began = b""

    def __str__(self) -> str:
        return f"{self._method} to {self._target}"

    def expect_http2(self, tls: object) -> None:
        """Within TLS the endpoint says beforehand what it speaks."""
        agreed = None if tls is None else tls.selected_alpn_protocol()  # type: ignore[attr-defined]
        if tls is not None and agreed != "h2":
            spoken = f"it speaks {agreed}" if agreed else "it has not agreed on HTTP/2 within TLS (ALPN)"
            raise CheckFailed(f"{self}: {spoken}, gRPC needs h2")

    def receive(self, connection: h2.connection.H2Connection, chunk: bytes) -> None:
        if not chunk:
            raise CheckFailed(f"{self}: {self._why_closed()}")
        self._received += len(chunk)
        # h2 would wait for all of a frame, however long nonsense makes it seem.
        if len(self._began) < _FRAME_HEAD:
            self._began = (self._began + chunk)[:_FRAME_HEAD]
            if self._began[3:4] not in (b"", _SETTINGS):
                raise CheckFailed(f"{self}: {self._why_broken('it does not begin with SETTINGS')}")
        try:
            for event in connection.receive_data(chunk):
                self._take(event, connection)
        except (h2.exceptions.ProtocolError, ValueError) as error:
            raise CheckFailed(f"{self}: {self._why_broken(str(error))}") from error
        if self.answer.ended:
            return
        if self._received >= ANSWER_BYTES:
            raise CheckFailed(f"{self}: no complete answer in the first {self._received} bytes")

    def _take(self, event: h2.events.Event, connection: h2.connection.H2Connection) -> None:
        match event:
            case h2.events.ResponseReceived(headers=fields):
                told = _texts(fields)
                self.answer.http_status = int(told[":status"])
                self.answer.content_type = told.get("content-type", "")
                self.answer.read_fields(told)
            case h2.events.DataReceived(data=data, flow_controlled_length=length):
                self.answer.body += data
                if length:
                    connection.acknowledge_received_data(length, _STREAM)
            case h2.events.TrailersReceived(headers=fields):
                self.answer.read_fields(_texts(fields))
            case h2.events.StreamEnded():
                self.answer.ended = True
            case h2.events.StreamReset(error_code=code):
                raise CheckFailed(f"{self}: the call was broken off with RST_STREAM ({_name(code)})")
            case h2.events.ConnectionTerminated(error_code=code, last_stream_id=last):
                if code or (last or 0) < _STREAM:
                    raise CheckFailed(f"{self}: the connection was ended with GOAWAY ({_name(code)})")

    def _why_closed(self) -> str:
        if not self._received:
            return "closed without an answer; it may speak TLS (`tls: on`) or no HTTP/2"
        return "closed before the answer was complete"

    def _why_broken(self, error: str) -> str:
        if self._began.startswith(b"HTTP/"):
            return "it speaks HTTP/1.1, gRPC needs HTTP/2; name the port of the gRPC server, or check by http"
        if self._began[:2] == b"\x15\x03":
            return "it speaks TLS: set `tls: on` and `protocol: h2` on its pool"
        return f"broken HTTP/2: {error}"


def _texts(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}


def _name(code: object) -> str:
    return str(getattr(code, "name", code))
