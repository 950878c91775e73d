"""A block of a coroutine that somebody else may end early, without ending the coroutine."""

import asyncio
from types import TracebackType


class Leave:
    """Enter it once. `now`, before or during the block, takes the coroutine to the end of the block."""

    def __init__(self) -> None:
        # As `asyncio.Timeout`, whose time comes when somebody says so.
        self._limit = asyncio.Timeout(None)
        self._is_inside = False
        self.was_asked = False

    def now(self) -> None:
        self.was_asked = True
        if self._is_inside:
            self._limit.reschedule(0)

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()
        self._is_inside = True
        if self.was_asked:
            self._limit.reschedule(0)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._is_inside = False
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            if self._limit.expired():
                return True
            raise
        return False
