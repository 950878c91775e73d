"""Is anything listening, and does it say what it should? Opens a connection, and closes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target
from bascule.health.expected import MOST_BYTES, Expected, quoted, read_content
from bascule.wording import in_words

_CHUNK = 16 * 1024


@dataclass(frozen=True, slots=True)
class TcpCheck:
    """Passes when the endpoint accepts a connection and, if asked for, answers as expected.

    Options: `send`, what it is sent first; `expect`, what must be found in the first `MOST_BYTES` that it
    says, in as many pieces as it likes. Where TLS is spoken to the endpoint, all of this is within TLS.
    """

    name: ClassVar[str] = "tcp"

    send: bytes = b""
    expect: Expected | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        if unknown := options.keys() - {"send", "expect"}:
            raise BasculeError(f"a tcp check has no option {', '.join(sorted(unknown))}")
        send, expect = options.get("send"), options.get("expect")
        return cls(
            b"" if send is None else read_content("send", send),
            None if expect is None else Expected.from_options(expect),
        )

    async def run(self, target: Target) -> None:
        reader, writer = await target.connect()
        try:
            if self.send:
                writer.write(self.send)
                await writer.drain()
            received = b""
            while self.expect is not None and not await self.expect.is_in(received):
                if len(received) >= MOST_BYTES:
                    raise self._unexpected(f"more than {MOST_BYTES // 1024} KiB", received)
                chunk = await reader.read(_CHUNK)
                if not chunk:
                    raise self._unexpected("closed", received)
                received = (received + chunk)[:MOST_BYTES]
        except OSError as error:
            raise CheckFailed(f"{target}: {in_words(error)}") from error
        finally:
            # Aborted rather than closed: all that matters was said, so there is nothing to wait for.
            writer.transport.abort()

    def _unexpected(self, how: str, received: bytes) -> CheckFailed:
        said = f"after {quoted(received)}" if received else "without a word"
        return CheckFailed(f"{how} {said}, wanted {self.expect}")
