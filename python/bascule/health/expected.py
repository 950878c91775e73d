"""What an answer must hold: text, bytes written in hex, or a match of a regular expression."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from bascule.errors import BasculeError
from bascule.health.body import PATIENCE_S, BodyPattern, TooSlow
from bascule.health.check import CheckFailed

MOST_BYTES = 64 * 1024
"""No more of an answer is looked at: a question must not cost what the endpoint chooses."""

_FORMS = ("text", "hex", "regex")


@dataclass(frozen=True, slots=True)
class Expected:
    """Found anywhere in what came."""

    content: bytes | None
    pattern: BodyPattern | None = None
    """Searched for in the answer read as UTF-8; instead of `content`."""

    @classmethod
    def from_options(cls, written: object) -> Self:
        """From a text, or `{text}`, `{hex}` or `{regex}`. Raises `BasculeError` when it is none of them."""
        if isinstance(written, Mapping) and len(written) == 1 and "regex" in written:
            return cls(None, BodyPattern.read(str(written["regex"])))
        return cls(read_content("expect", written))

    async def is_in(self, received: bytes) -> bool:
        """Whether `received` is an answer that passes. Raises `CheckFailed` when that takes too long."""
        if self.pattern is None:
            return bool(self.content) and (self.content or b"") in received
        try:
            return await self.pattern.is_in(received.decode("utf-8", "replace"))
        except TooSlow as error:
            limit = f"{PATIENCE_S * 1000:.0f} ms"
            raise CheckFailed(f"the answer takes longer than {limit} to search for {self}") from error

    def __str__(self) -> str:
        """As a reason quotes it."""
        if self.pattern is not None:
            return f"a match of {self.pattern.pattern!r}"
        return quoted(self.content or b"")


def read_content(option: str, written: object) -> bytes:
    """Bytes from a text, `{text}` or `{hex}`. Raises `BasculeError` when they are nothing or nonsense."""
    form, value = "text", written
    if isinstance(written, Mapping) and len(written) == 1:
        ((form, value),) = written.items()
    if form not in _FORMS or not isinstance(value, str) or not value:
        raise BasculeError(f"{option} must be a text, {{text}} or {{hex}}, not {written!r}")
    try:
        return bytes.fromhex(value) if form == "hex" else value.encode()
    except ValueError as error:
        raise BasculeError(f"{option} is not hex: {value!r}", "write two digits for each byte") from error


def quoted(content: bytes) -> str:
    """Bytes as a reason shows them: text where they are text, else hex; the beginning of what is long."""
    beginning = content[:60]
    try:
        text = beginning.decode()
    except UnicodeDecodeError as error:
        # Cut within a character is no reason to show the rest in hex.
        if len(content) <= 60 or error.start < 57:
            return f"0x{beginning[:30].hex()}"
        text = beginning[: error.start].decode()
    return repr(text)
