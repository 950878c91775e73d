"""The only place that starts asyncio tasks: each has a name and an owner, and is awaited in the end."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any, TypeVar

import structlog

log = structlog.get_logger("bascule.tasks")

T = TypeVar("T")

INSIST_S = 5.0
"""How long a cancelled task may take to clean up before it is cancelled again."""

OnCrash = Callable[[str, BaseException], None]
"""Told the name of the task and what it raised."""


class Tasks:
    """Background work that ends with its owner.

    A task that raises is logged and reported to `on_crash` at once, not when somebody happens to await it.
    Only for the thread that runs the event loop.
    """

    def __init__(self, on_crash: OnCrash | None = None) -> None:
        self._on_crash = on_crash
        # A dict keeps the order in which they started; stop() goes backwards through it.
        self._running: dict[asyncio.Task[Any], None] = {}
        self._stopped = False

    def start(self, name: str, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Runs `work` in the background until it returns, raises, or is ended; a stopped owner refuses."""
        if self._stopped:
            work.close()
            raise RuntimeError(f"cannot start {name}: its owner has stopped")
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running[task] = None
        task.add_done_callback(self._has_ended)
        return task

    def names(self) -> tuple[str, ...]:
        """What is running, in the order in which it was started."""
        return tuple(task.get_name() for task in self._running)

    async def end(self, *tasks: "asyncio.Task[Any]") -> None:
        """Cancels these and returns once all have ended; what they raise on the way out counts as a crash."""
        remaining: Collection[asyncio.Task[Any]] = tasks
        while remaining:
            for task in remaining:
                task.cancel()
            # Again and again: code of others may lose a cancellation (see `heed_cancellation`).
            _, remaining = await asyncio.wait(remaining, timeout=INSIST_S)

    async def stop(self) -> None:
        """Ends everything, last started first, and refuses to start more. May be called twice."""
        self._stopped = True
        for task in reversed(tuple(self._running)):
            # The one that calls stop() must not wait for itself.
            if task is not asyncio.current_task():
                await self.end(task)

    def _has_ended(self, task: "asyncio.Task[Any]") -> None:
        self._running.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        log.error("task crashed", task=task.get_name(), error=repr(error), exc_info=error)
        if self._on_crash is not None:
            self._on_crash(task.get_name(), error)


async def insist(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises; when this is cancelled it has ended, even if it lost a cancellation.

    For code of others that can be stopped only by asking again (see `heed_cancellation`), and that would wait
    for ever otherwise.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait([task])
        return task.result()
    finally:
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        if not task.cancelled():
            # Looked at, or asyncio would say that nobody has.
            task.exception()


def heed_cancellation() -> None:
    """Raises `CancelledError` when this task was asked to end but what it awaited has swallowed that.

    `asyncio.wait_for` does so before Python 3.12 when the answer and the cancellation arrive together, and
    any code of others may use it. Called after awaiting such code, where a loop would otherwise go on.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
