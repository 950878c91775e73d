"""One HTTP/1.1 request to an endpoint on a connection of its own, and as much of the answer as may matter."""

from collections.abc import Mapping
from dataclasses import dataclass

import h11

from bascule import __version__
from bascule.health.check import CheckFailed, Target
from bascule.wording import in_words

HEAD_BYTES = 16 * 1024
"""The longest head of a response that is read."""

BODY_BYTES = 64 * 1024
"""No more of a body is read: a question must not cost what the endpoint chooses."""

_CHUNK = 16 * 1024


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came back."""

    status: int
    body: str
    """The first `BODY_BYTES`, read as UTF-8."""


async def fetch(target: Target, method: str, path: str, fields: Mapping[str, str]) -> Fetched:
    """Sends one request and reads the answer; redirects are answers like any other.

    `fields` replace ours of the same name. Raises `CheckFailed` when there is no complete answer: none at
    all, a body that ends before its length, or HTTP that h11 refuses.

    h11 on a plain stream, not an HTTP client: a client takes four times the CPU per request, which matters
    at 500 checks a second, and would choose the address and the `Host` by one and the same URL.
    """
    what = f"{method} {path}"
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
    request = _request(connection, target, method, path, fields)
    reader, writer = await target.connect()
    answer = _Answer(connection)
    try:
        writer.write(request)
        while not answer.is_enough:
            answer.receive(await reader.read(_CHUNK))
    except OSError as error:
        raise CheckFailed(f"{what} to {target}: {in_words(error)}") from error
    except h11.RemoteProtocolError as error:
        raise CheckFailed(f"{what} to {target}: broken or cut-off answer: {error}") from error
    finally:
        # Cannot wait and cannot be cancelled, and the answer is over either way.
        writer.transport.abort()
    if answer.status is None:
        raise CheckFailed(f"{what}: no response in the first {answer.received} bytes")
    return Fetched(answer.status, bytes(answer.body[:BODY_BYTES]).decode("utf-8", "replace"))


def _request(
    connection: h11.Connection, target: Target, method: str, path: str, fields: Mapping[str, str]
) -> bytes:
    headers = {
        "host": host_of(target),
        "user-agent": f"bascule-check/{__version__}",
        "accept": "*/*",
        **{name.lower(): value for name, value in fields.items()},
        "connection": "close",
    }
    request = h11.Request(method=method, target=path, headers=list(headers.items()))
    return (connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b"")


class _Answer:
    """What has been read so far, and whether reading on could change the outcome."""

    def __init__(self, connection: h11.Connection) -> None:
        self._connection = connection
        self.status: int | None = None
        self.body = bytearray()
        self.received = 0
        self.is_enough = False

    def receive(self, chunk: bytes) -> None:
        self.received += len(chunk)
        self._connection.receive_data(chunk)
        while not self.is_enough:
            event = self._connection.next_event()
            if event is h11.NEED_DATA:
                # Counted in raw bytes: interim responses and one-byte chunks are bounded too.
                self.is_enough = self.received >= HEAD_BYTES + BODY_BYTES
                return
            if isinstance(event, h11.Response):
                self.status = event.status_code
            elif isinstance(event, h11.Data):
                self.body += event.data
            self.is_enough = isinstance(event, h11.EndOfMessage | h11.ConnectionClosed)


def host_of(target: Target) -> str:
    """The `Host` of a target for which none is configured."""
    if target.path is not None:
        return target.name or "localhost"
    name = target.name or (target.tls.server_name if target.tls is not None else None)
    if name is None:
        return str(target)
    # RFC 9110, 7.2: the port is left out when it is the scheme's own.
    return name if target.port == (80 if target.tls is None else 443) else f"{name}:{target.port}"
