"""Does it answer as it should? Sends one HTTP/1.1 request and looks at the status and the body."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, cast

import h11

from bascule import __version__
from bascule.errors import BasculeError
from bascule.health.body import PATIENCE_S, BodyPattern, TooSlow
from bascule.health.check import CheckFailed, Target
from bascule.wording import in_words

HEAD_BYTES = 16 * 1024
"""The longest head of a response that is read."""

BODY_BYTES = 64 * 1024
"""No more of a body is read or compared: a check must not cost what the endpoint chooses."""

_CHUNK = 16 * 1024


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """Passes when the status is one of those expected and the body, if asked for, matches.

    Each check is a connection of its own. Redirects are answers like any other and are not followed. The
    answer must also be complete: a body that ends before its length, or HTTP that h11 refuses, has failed.

    h11 on a plain stream, not an HTTP client: a client takes four times the CPU per check, which matters
    at 500 checks a second, and would choose the address and the `Host` by one and the same URL.
    """

    name: ClassVar[str] = "http"

    path: str
    """Request target, with its query."""
    method: str = "GET"
    host: str | None = None
    """`Host`; `None`: the name the endpoint was found by, else its address."""
    expect_status: tuple[tuple[int, int], ...] = ((200, 399),)
    """Ranges, both ends included."""
    expect_body: BodyPattern | None = None
    """Searched for in the first `BODY_BYTES` of the body, read as UTF-8."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent as they are; they replace ours of the same name."""

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        known = {"path", "method", "host", "expect_status", "expect_body", "headers"}
        if unknown := options.keys() - known:
            raise BasculeError(f"an http check has no option {', '.join(sorted(unknown))}")
        if not isinstance(path := options.get("path"), str):
            raise BasculeError("an http check needs a path such as /healthz")
        body = cast("str | None", options.get("expect_body"))
        try:
            pattern = None if body is None else BodyPattern.read(body)
        except BasculeError as error:
            raise BasculeError(f"expect_body is {error}") from error
        ranges = cast("Sequence[tuple[int, int]]", options.get("expect_status", ((200, 399),)))
        return cls(
            path=path,
            method=str(options.get("method", "GET")),
            host=cast("str | None", options.get("host")),
            expect_status=tuple((low, high) for low, high in ranges),
            expect_body=pattern,
            headers=tuple(cast("Mapping[str, str]", options.get("headers") or {}).items()),
        )

    async def run(self, target: Target) -> None:
        what = f"{self.method} {self.path}"
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        request = self._request(connection, target)
        reader, writer = await target.connect()
        try:
            writer.write(request)
            answer = _Answer(connection)
            while not answer.is_enough:
                answer.receive(await reader.read(_CHUNK))
        except OSError as error:
            raise CheckFailed(f"{what} to {target}: {in_words(error)}") from error
        except h11.RemoteProtocolError as error:
            raise CheckFailed(f"{what} to {target}: broken or cut-off answer: {error}") from error
        finally:
            # Cannot wait and cannot be cancelled, and the answer is over either way.
            writer.transport.abort()
        await self._judge(what, answer)

    def _request(self, connection: h11.Connection, target: Target) -> bytes:
        fields = {
            "host": self.host or _host_of(target),
            "user-agent": f"bascule-check/{__version__}",
            "accept": "*/*",
            **{name.lower(): value for name, value in self.headers},
            "connection": "close",
        }
        request = h11.Request(method=self.method, target=self.path, headers=list(fields.items()))
        return (connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b"")

    async def _judge(self, what: str, answer: "_Answer") -> None:
        if answer.status is None:
            raise CheckFailed(f"{what}: no response in the first {answer.received} bytes")
        if not any(low <= answer.status <= high for low, high in self.expect_status):
            wanted = ", ".join(
                f"{low}-{high}" if low != high else f"{low}" for low, high in self.expect_status
            )
            raise CheckFailed(f"HTTP {answer.status} from {what}, wanted {wanted}")
        if self.expect_body is not None:
            body = bytes(answer.body[:BODY_BYTES]).decode("utf-8", "replace")
            await self._compare(what, body, self.expect_body)

    async def _compare(self, what: str, body: str, wanted: BodyPattern) -> None:
        try:
            if await wanted.is_in(body):
                return
        except TooSlow as error:
            limit = f"{PATIENCE_S * 1000:.0f} ms"
            raise CheckFailed(
                f"body of {what} takes longer than {limit} to search for {wanted.pattern!r}"
            ) from error
        begins = f"begins with {body[:60]!r}" if body else "is empty"
        raise CheckFailed(f"body of {what} {begins}, wanted a match of {wanted.pattern!r}")


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


def _host_of(target: Target) -> str:
    if target.path is not None:
        return target.name or "localhost"
    if target.name is None:
        return str(target)
    # RFC 9110, 7.2: the port is left out when it is the scheme's own.
    return target.name if target.port == 80 else f"{target.name}:{target.port}"
