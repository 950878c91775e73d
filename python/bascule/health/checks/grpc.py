"""Does it say that it serves? Asks the health service of gRPC (`grpc.health.v1.Health/Check`)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, cast
from urllib.parse import unquote

from bascule.errors import BasculeError
from bascule.health.call import Answered, call
from bascule.health.check import CheckFailed, Target

METHOD = "/grpc.health.v1.Health/Check"

CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
"""The codes of gRPC, by their numbers."""

_NEEDS_CREDENTIALS = "checks are anonymous: let them call it, or give the check `headers`"
_HINTS = {
    "UNIMPLEMENTED": "it has no health service: register grpc.health.v1.Health with it, or use `check: tcp`",
    "PERMISSION_DENIED": _NEEDS_CREDENTIALS,
    "UNAUTHENTICATED": _NEEDS_CREDENTIALS,
}

_SERVING = 1
_STATUSES = {
    0: "UNKNOWN: its health is not set yet",
    2: "NOT_SERVING: by its own word it takes no calls",
}
_SERVICE_UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class GrpcCheck:
    """Passes when the service says SERVING.

    Over HTTP/2 in the clear, or within TLS where the pool speaks it. Each check is a connection of its own.
    """

    name: ClassVar[str] = "grpc"

    service: str = ""
    """As the server reports on it; empty: the whole server."""
    authority: str | None = None
    """`:authority`; `None`: the name the endpoint was found by, else its address."""
    headers: tuple[tuple[str, str], ...] = ()
    """Metadata, sent as it is."""

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        if unknown := options.keys() - {"service", "authority", "headers"}:
            raise BasculeError(f"a grpc check has no option {', '.join(sorted(unknown))}")
        fields = cast("Mapping[str, str]", options.get("headers") or {})
        return cls(
            service=str(options.get("service", "")),
            authority=cast("str | None", options.get("authority")),
            headers=tuple((name.lower(), value) for name, value in fields.items()),
        )

    async def run(self, target: Target) -> None:
        answer = await call(
            target,
            METHOD,
            encode_request(self.service),
            authority=self.authority,
            metadata=dict(self.headers),
        )
        if (reason := self._why_not(answer)) is not None:
            raise CheckFailed(f"grpc health of {self._whom}: {reason}")

    @property
    def _whom(self) -> str:
        return f'"{self.service}"' if self.service else "the server"

    def _why_not(self, answer: Answered) -> str | None:
        """What speaks against an endpoint that answered so; `None` when it passes."""
        if answer.status is None:
            if answer.http_status != 200 or not answer.content_type.startswith("application/grpc"):
                return f"HTTP {answer.http_status} without a grpc-status: this is no gRPC server"
            return "its answer has no grpc-status"
        if answer.status != 0:
            return self._why_refused(answer)
        message = answer.first_message()
        return "its answer holds no whole message" if message is None else self._why_told(message)

    def _why_told(self, message: bytes) -> str | None:
        try:
            status = decode_status(message)
        except ValueError:
            return "its answer is no HealthCheckResponse"
        if status == _SERVING:
            return None
        if status == _SERVICE_UNKNOWN:
            return self._unknown("SERVICE_UNKNOWN")
        return _STATUSES.get(status, f"the status {status}, which is none of grpc.health.v1")

    def _why_refused(self, answer: Answered) -> str:
        number = answer.status or 0
        code = CODES[number] if number < len(CODES) else f"grpc-status {number}"
        if code == "NOT_FOUND":
            return self._unknown(code)
        said = unquote(answer.message, errors="replace")
        return ", ".join(
            [code, *([f"{said!r}"] if said else []), *([_HINTS[code]] if code in _HINTS else [])]
        )

    def _unknown(self, word: str) -> str:
        if not self.service:
            return f"{word}: the server does not report on itself as a whole; name a service"
        return f"{word}: the server does not report on this service; name one that it knows, or `check: grpc`"


def encode_request(service: str) -> bytes:
    """A `HealthCheckRequest`: field 1 is the name, left out when empty."""
    name = service.encode()
    return b"\x0a" + _varint(len(name)) + name if name else b""


def decode_status(message: bytes) -> int:
    """The status in a `HealthCheckResponse`: field 1, 0 when left out. Raises `ValueError` if it is none."""
    status = 0
    for number, value in _fields(message):
        if number == 1 and isinstance(value, int):
            status = value
    return status


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message of protobuf, each with its number."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        value: int | bytes
        if tag & 7 == 0:
            value, at = _read_varint(message, at)
        elif tag & 7 in (1, 2, 5):
            length = {1: 8, 5: 4}.get(tag & 7)
            if length is None:
                length, at = _read_varint(message, at)
            value, at = message[at : at + length], at + length
        else:
            raise ValueError(f"wire type {tag & 7}")
        if at > len(message):
            raise ValueError("cut off")
        yield tag >> 3, value


def _varint(number: int) -> bytes:
    low = bytearray()
    while number > 0x7F:
        low.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*low, number])


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where the next thing begins."""
    number = 0
    for position, byte in enumerate(message[at : at + 10]):
        number |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return number, at + position + 1
    raise ValueError("a number that does not end")
