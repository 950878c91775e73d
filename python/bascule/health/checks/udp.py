"""Does it answer over UDP? Sends one datagram and looks at what comes back."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target
from bascule.health.datagrams import sent
from bascule.health.expected import Expected, quoted, read_content


@dataclass(frozen=True, slots=True)
class UdpCheck:
    """Passes when the endpoint answers with a datagram that holds what is expected.

    Options: `send`; `expect` (without it any answer passes); `silence_ms`, after which no answer is as good
    as one. A refusal (ICMP) fails in any case.
    """

    name: ClassVar[str] = "udp"

    send: bytes
    expect: Expected | None = None
    silence_ms: int | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        if unknown := options.keys() - {"send", "expect", "silence_ms"}:
            raise BasculeError(f"a udp check has no option {', '.join(sorted(unknown))}")
        expect, silence = options.get("expect"), options.get("silence_ms")
        if silence is not None and (not isinstance(silence, int) or silence < 1):
            raise BasculeError(f"silence_ms must be a number of milliseconds, not {silence!r}")
        return cls(
            read_content("send", options.get("send")),
            None if expect is None else Expected.from_options(expect),
            silence,
        )

    async def run(self, target: Target) -> None:
        async with sent(target, self.send) as receive:
            if self.silence_ms is None:
                await self._judge(target, await receive())
                return
            try:
                async with asyncio.timeout(self.silence_ms / 1000):
                    answer = await receive()
            except TimeoutError:
                return
            await self._judge(target, answer)

    async def _judge(self, target: Target, answer: bytes) -> None:
        # One that does not fit may not be the last, but a server that answers wrongly has answered.
        if self.expect is not None and not await self.expect.is_in(answer):
            raise CheckFailed(f"{target} answers {quoted(answer)}, wanted {self.expect}")
