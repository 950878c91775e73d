"""Signals and file changes → what they ask for."""

import asyncio
import enum
import signal
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from pathlib import Path


class Trigger(enum.Enum):
    """What somebody outside the program wants."""

    STOP = "drain for the grace time and stop; asked twice, stop now"
    DRAIN = "drain without a time limit and stop"
    RELOAD = "read the configuration again"
    REOPEN_LOGS = "open the access log again"
    NOTHING = "nothing yet"


SIGNALS: Mapping[signal.Signals, Trigger] = {
    signal.SIGTERM: Trigger.STOP,
    signal.SIGINT: Trigger.STOP,
    signal.SIGQUIT: Trigger.DRAIN,
    signal.SIGHUP: Trigger.RELOAD,
    signal.SIGUSR1: Trigger.REOPEN_LOGS,
    # Its default is to end the program, which a stray `kill -USR2` for an nginx should not do to us.
    signal.SIGUSR2: Trigger.NOTHING,
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


Print = tuple[tuple[str, int, int, int], ...]
"""What tells one state of some files from another."""


def fingerprint(files: Iterable[Path]) -> Print:
    """Changes when a file is written, replaced, or its symbolic link leads elsewhere."""
    prints = []
    for file in sorted(files):
        try:
            status = file.stat()
        except OSError:
            prints.append((str(file), 0, 0, 0))
        else:
            prints.append((str(file), status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(prints)


async def file_changes(files: Callable[[], Iterable[Path]]) -> AsyncGenerator[None, None]:
    """Yields whenever one of `files()` has changed. The set may change as well; it is asked each time."""
    from watchfiles import awatch  # noqa: PLC0415 (a tenth of a second at start, for --watch only)

    seen = fingerprint(files())
    while True:
        folders = _folders(files())
        # Folders, not files: editors and Kubernetes replace files, and a watch on the old inode goes blind.
        async for _ in awatch(*folders, debounce=300, recursive=False):
            now = fingerprint(files())
            if now != seen:
                seen = now
                yield
            if _folders(files()) != folders:
                break


def _folders(files: Iterable[Path]) -> set[Path]:
    """Where to look for changes: a directory itself, since files may appear in it, and where a file is."""
    absolute = [file.absolute() for file in files]
    folders = {file if file.is_dir() else file.parent for file in absolute}
    return {folder for folder in folders if folder.is_dir()}
