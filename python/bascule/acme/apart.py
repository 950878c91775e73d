"""Blocking work off the event loop, in a thread that holds nobody up: a stop does not wait for it."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Apart(Protocol):
    """Runs `work` somewhere, and gives what it returns or raises."""

    async def __call__(self, work: Callable[..., T], *arguments: Any) -> T: ...


async def in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """In a thread of its own. Whoever stops waiting leaves it to its end; the program does not wait.

    The threads of `asyncio.to_thread` would be waited for at the end of the program, and an authority may
    take minutes.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def tell(result: T | None, error: BaseException | None) -> None:
        if ended.cancelled():
            return
        if error is not None:
            ended.set_exception(error)
        else:
            ended.set_result(result)  # type: ignore[arg-type]  # it is T when there is no error

    def run() -> None:
        try:
            told = (context.run(work, *arguments), None)
        except BaseException as error:
            told = (None, error)  # type: ignore[assignment]
        # The loop may have ended meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, *told)

    threading.Thread(target=run, name="acme", daemon=True).start()
    return await ended
