"""Listening sockets go from one process to the next, so that no connection is lost in between."""

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from bascule.errors import BasculeError

VARIABLE = "BASCULE_INHERIT"
"""Names the descriptor over which a process is left its sockets."""

FORMAT = 1
"""Of what is said over it. A successor that does not know it says so, and nothing is lost."""

AT_ONCE = 200
"""Descriptors in one message; the system takes 253."""

READY = b"ready"
_LARGEST = 1 << 22


@dataclass(frozen=True, slots=True)
class Left:
    """What a process leaves to the next one. The descriptors are its own copies."""

    sockets: Sequence[tuple[str, Sequence[int]]] = ()
    """Of the data plane, by the names that it gives them."""
    admin: Mapping[str, int] = field(default_factory=dict)
    """Of the admin side, by their addresses."""
    process: int = 0
    """Who leaves them."""

    def descriptors(self) -> list[int]:
        """All of them, in the order in which they are told."""
        return [*(each for _, some in self.sockets for each in some), *self.admin.values()]

    def close(self) -> None:
        """Closes the copies."""
        for descriptor in self.descriptors():
            os.close(descriptor)

    def give(self, channel: socket.socket) -> None:
        """Sends everything. Blocks while the other side does not read."""
        told = {
            "format": FORMAT,
            "process": self.process,
            "sockets": [[name, len(some)] for name, some in self.sockets],
            "admin": list(self.admin),
        }
        channel.send(json.dumps(told).encode())
        descriptors = self.descriptors()
        for start in range(0, len(descriptors), AT_ONCE):
            socket.send_fds(channel, [b"f"], descriptors[start : start + AT_ONCE])

    @classmethod
    def take(cls, channel: socket.socket) -> Self:
        """Receives everything. Raises `BasculeError` when it is not understood."""
        message = channel.recv(_LARGEST)
        try:
            told = json.loads(message)
            known = told["format"] == FORMAT
            counts = [(str(name), int(count)) for name, count in told["sockets"]] if known else []
            admin, process = ([str(it) for it in told["admin"]], int(told["process"])) if known else ([], 0)
        except (ValueError, KeyError, TypeError) as error:
            raise BasculeError("what the process before this one says is not understood") from error
        if not known:
            raise BasculeError(f"the process before this one speaks format {told['format']} of handing over")
        left = _receive(channel, sum(count for _, count in counts) + len(admin))
        sockets = []
        for name, count in counts:
            sockets.append((name, left[:count]))
            left = left[count:]
        return cls(sockets, dict(zip(admin, left, strict=True)), process)


class Inheritance:
    """What this process was left, and the way to tell that it has begun to serve."""

    def __init__(self, left: Left, channel: socket.socket) -> None:
        self.left = left
        self._channel = channel

    @classmethod
    def ours(cls) -> Self | None:
        """What was left to this process; `None`: it was started by nobody of our kind."""
        named = os.environ.pop(VARIABLE, None)
        if named is None:
            return None
        # Not for the programs that we start: hooks, and the process after us.
        os.set_inheritable(int(named), False)
        channel = socket.socket(fileno=int(named))
        return cls(Left.take(channel), channel)

    def admin(self, address: str) -> socket.socket | None:
        """The admin socket of this address, if there is one."""
        descriptor = self.left.admin.get(address)
        return None if descriptor is None else socket.socket(fileno=os.dup(descriptor))

    def tell_ready(self) -> None:
        """We serve: the process before us may go."""
        self._channel.send(READY)
        self._channel.close()
        self.left.close()


def _receive(channel: socket.socket, count: int) -> list[int]:
    received: list[int] = []
    while len(received) < count:
        message, some, _, _ = socket.recv_fds(channel, 1, AT_ONCE)
        if not message:
            raise BasculeError("the process before this one went away while it handed over its sockets")
        received += some
    return received
