"""Signals that come while the program starts: they mean already what they will mean once it runs."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

LEAVE = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
NOTHING_YET = (signal.SIGUSR1, signal.SIGUSR2)
SIGNALS = (*LEAVE, signal.SIGHUP, *NOTHING_YET)


@contextmanager
def signals() -> "Iterator[EarlySignals]":
    """Holds signals for the length of the block, which a wish to stop ends early and in order."""
    held = EarlySignals()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    held.hold()
    try:
        with suppress(Left):
            yield held
    finally:
        for number, meaning in before.items():
            signal.signal(number, meaning)


class Left(BaseException):
    """Somebody asked to stop before anything ran.

    Not an `Exception`: a configuration that is a program must not be able to catch it.
    """


class EarlySignals:
    """Answers signals from `hold` on, until the event loop listens to them and after it has ended.

    For the main thread only.
    """

    def __init__(self) -> None:
        self._reload_wanted = False

    def hold(self) -> None:
        """A wish to stop raises `Left`; one to reload is remembered; nothing ends the program by default."""
        for number in LEAVE:
            signal.signal(number, self._leave)
        signal.signal(signal.SIGHUP, self._remember)
        for number in NOTHING_YET:
            signal.signal(number, signal.SIG_IGN)

    def repeat(self) -> None:
        """Sends again what somebody asked for too early. Called once signals are listened to."""
        if self._reload_wanted:
            self._reload_wanted = False
            os.kill(os.getpid(), signal.SIGHUP)

    def _leave(self, _number: int, _frame: FrameType | None) -> None:
        raise Left

    def _remember(self, _number: int, _frame: FrameType | None) -> None:
        self._reload_wanted = True
