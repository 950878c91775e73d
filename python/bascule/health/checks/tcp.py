"""Is anything listening? Opens a connection and closes it."""

from collections.abc import Mapping
from typing import ClassVar, Self

from bascule.errors import BasculeError
from bascule.health.check import Target


class TcpCheck:
    """Passes when the endpoint accepts a connection. Takes no options."""

    name: ClassVar[str] = "tcp"

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        if options:
            raise BasculeError(f"a tcp check takes no options, but got {', '.join(sorted(options))}")
        return cls()

    async def run(self, target: Target) -> None:
        _, writer = await target.connect()
        # Aborted rather than closed: nothing was sent, so there is nothing to wait for.
        writer.transport.abort()
