"""Another process of this program takes over: it is left our sockets, serves, and then we may go."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import structlog

from bascule.control.inheritance import READY, VARIABLE, Left
from bascule.errors import BasculeError
from bascule.plane.plane import Plane

log = structlog.get_logger("bascule.control")

PATIENCE_S = 120.0
"""How long a successor may take until it serves: large configurations take seconds to read."""


def program() -> list[str]:
    """How this process was started, for another one: as it is installed now."""
    script = Path(sys.argv[0])
    if script.suffix != ".py" and os.access(script, os.X_OK):
        # By its own first line: a newer installation may have another Python.
        return [os.path.abspath(script), *sys.argv[1:]]  # noqa: PTH100 (a link may lead elsewhere by now)
    return [sys.executable, *sys.orig_argv[1:]]


class Succession:
    """At most one successor at a time."""

    def __init__(
        self,
        plane: Plane,
        claimed: Callable[[], dict[str, socket.socket]],
        leave: Callable[[], None],
        command: Callable[[], list[str]] = program,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._plane = plane
        self._claimed = claimed
        self._leave = leave
        self._command = command
        self._patience_s = patience_s
        self._under_way = False

    async def begin(self) -> int:
        """Starts a successor and returns its process once it serves; the admin side is its own then.

        Raises `BasculeError` when it does not get that far: it is gone then, and we serve on.
        """
        if self._under_way:
            raise BasculeError("a successor is being started already")
        self._under_way = True
        try:
            process = await self._start()
        finally:
            self._under_way = False
        self._plane.bequeath()
        self._leave()
        return process

    async def _start(self) -> int:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            ours.setblocking(False)
            with theirs:
                command = self._command()
                log.info("starting a successor", command=" ".join(command))
                started = _start(command, theirs)
            try:
                await asyncio.wait_for(self._hand_over(ours, started), self._patience_s)
            except TimeoutError as error:
                started.kill()
                raise BasculeError(
                    f"the successor did not serve within {self._patience_s:g} s; this process serves on",
                    "its log may say why",
                ) from error
            except BaseException:
                started.kill()
                raise
        return started.pid

    async def _hand_over(self, ours: socket.socket, started: "subprocess.Popen[bytes]") -> None:
        left = Left(
            self._plane.sockets(),
            {address: os.dup(it.fileno()) for address, it in self._claimed().items()},
            os.getpid(),
        )
        # A copy that blocks, for a thread: the successor reads when it is there.
        with ours.dup() as blocking:
            blocking.setblocking(True)
            try:
                await asyncio.to_thread(left.give, blocking)
            except OSError:
                pass  # It is gone; its exit status says more.
            finally:
                left.close()
        ours.setblocking(False)
        if await _said(ours) != READY:
            code = await asyncio.to_thread(started.wait)
            raise BasculeError(
                f"the successor ended with exit status {code} before it served; this process serves on",
                "its reasons are in the log",
            )


async def _said(channel: socket.socket) -> bytes:
    try:
        return await asyncio.get_running_loop().sock_recv(channel, len(READY))
    except ConnectionError:
        # It went away with something unread.
        return b""


def _start(command: list[str], channel: socket.socket) -> "subprocess.Popen[bytes]":
    """Not by asyncio, which would end the process when our event loop ends."""
    environment = os.environ | {VARIABLE: str(channel.fileno())}
    try:
        return subprocess.Popen(command, env=environment, pass_fds=(channel.fileno(),))
    except OSError as error:
        raise BasculeError(f"{command[0]} cannot be started: {error.strerror}") from error
