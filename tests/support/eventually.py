"""Waits for what other threads bring about: until it holds, and never longer than a test may take."""

import fcntl
import socket
import termios
import time
from collections.abc import Callable, Iterable

PATIENCE = 10.0
"""Seconds after which a test gives up. Only failing tests wait that long."""


def eventually(
    holds: Callable[[], bool], what: Callable[[], object] | str, patience: float = PATIENCE
) -> None:
    """Returns as soon as `holds()`; fails with `what` after `patience` seconds."""
    give_up = time.monotonic() + patience
    while not holds():
        if time.monotonic() > give_up:
            raise AssertionError(f"waited {patience} s in vain: {what if isinstance(what, str) else what()}")
        time.sleep(0.0005)


def send_apart(to: socket.socket, pieces: Iterable[bytes]) -> None:
    """Sends each piece only when the peer has read the one before, on a Unix socket: only those tell.

    Stops early when the peer has closed: what it said is there to be read.
    """
    assert to.family == socket.AF_UNIX
    try:
        for piece in pieces:
            to.sendall(piece)
            eventually(lambda: unread(to) == 0, f"the peer does not read {piece!r}")
    except (BrokenPipeError, ConnectionResetError):
        return


def unread(to: socket.socket) -> int:
    """How much of what was sent on a Unix socket the peer has not read: bytes of memory, 0 when none."""
    return int.from_bytes(fcntl.ioctl(to, termios.TIOCOUTQ, b"\0\0\0\0"), "little")
