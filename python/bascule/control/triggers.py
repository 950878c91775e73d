"""Signals and file changes → what they ask for."""

import asyncio
import enum
import signal
from collections.abc import AsyncGenerator, Callable, Mapping

from bascule.clock import Clock
from bascule.control.origin import Origin, Print


class Trigger(enum.Enum):
    """What somebody outside the program wants."""

    STOP = "drain for the grace time and stop; asked twice, stop now"
    DRAIN = "drain without a time limit and stop"
    RELOAD = "read the configuration again"
    REOPEN_LOGS = "open the access log again"
    UPGRADE = "start a successor, hand the sockets over, and drain"


SIGNALS: Mapping[signal.Signals, Trigger] = {
    signal.SIGTERM: Trigger.STOP,
    signal.SIGINT: Trigger.STOP,
    signal.SIGQUIT: Trigger.DRAIN,
    signal.SIGHUP: Trigger.RELOAD,
    signal.SIGUSR1: Trigger.REOPEN_LOGS,
    signal.SIGUSR2: Trigger.UPGRADE,
}
"""nginx's set, which administrators know by heart."""


def listen(act: Callable[[signal.Signals, Trigger], None]) -> Callable[[], None]:
    """Calls `act` on the event loop for every signal of `SIGNALS`.

    What is returned ends that: signals then mean again what they meant before.
    """
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, trigger in SIGNALS.items():
        loop.add_signal_handler(number, act, number, trigger)

    def deafen() -> None:
        for number, meaning in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, meaning)

    return deafen


LOOK_EVERY_S = 0.5
"""Between two looks at the files of a configuration, with `--watch`."""


async def file_changes(origin: Origin, clock: Clock) -> AsyncGenerator[None, None]:
    """Yields when a file of the configuration is another than the one that was read, and stays like that.

    The files are looked at again and again rather than watched by the system: a look costs microseconds,
    sees replaced files and swapped links on every file system, and misses nothing that happened before it.
    """
    before: Print | None = None
    while True:
        await clock.sleep(LOOK_EVERY_S)
        now = origin.files_now()
        # Editors write in steps: the new state counts when it is found twice.
        if now != origin.files_read() and now == before:
            yield
        before = now
