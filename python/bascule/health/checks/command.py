"""Asks a program of the operator's own."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, cast

from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target
from bascule.wording import in_words

MOST_OUTPUT = 16 * 1024
"""Bytes of its output that are kept; the rest is read and thrown away."""

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""Nothing else of our environment: there may be secrets in it."""

_PLACES = re.compile(r"\{(address|host|port|name|pool|path)\}")
_CHUNK = 4096
_REAP_S = 0.1


@dataclass(frozen=True, slots=True)
class CommandCheck:
    """Passes when the program ends with exit status 0; the last line of its output is the reason otherwise.

    Options: `command`, the program and its words, in which `{address}`, `{host}`, `{port}`, `{name}`,
    `{pool}` and `{path}` are those of the endpoint; `env`, more for its environment, which has the same as
    `BASCULE_ADDRESS` and so on. There is no shell. When the check ends, so does its whole process group.
    """

    name: ClassVar[str] = "command"

    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        if unknown := options.keys() - {"command", "env"}:
            raise BasculeError(f"a command check has no option {', '.join(sorted(unknown))}")
        command = options.get("command")
        if isinstance(command, str) or not command:
            raise BasculeError("a command check needs a list: the program, and its words")
        env = cast("Mapping[str, str]", options.get("env") or {})
        return cls(tuple(map(str, cast("Sequence[object]", command))), tuple(env.items()))

    async def run(self, target: Target) -> None:
        places = _places(target)
        words = [_PLACES.sub(lambda found: places[found[1]], word) for word in self.command]
        inherited = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        ours = {f"BASCULE_{key.upper()}": value for key, value in places.items()}
        try:
            # Nothing is awaited between the start and `finally`: a cancelled check leaves nothing running.
            process = subprocess.Popen(  # noqa: ASYNC220 (for the same reason; it takes a millisecond)
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=inherited | ours | dict(self.env),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = in_words(error) if isinstance(error, OSError) else str(error)
            raise CheckFailed(f"{words[0]} cannot be run: {why}") from error
        try:
            output = await _output(process)
        finally:
            _end(process)
        if process.returncode != 0:
            raise CheckFailed(f"{words[0]} {_ending(process.returncode)}{_last_line(output)}")


def _places(target: Target) -> dict[str, str]:
    return {
        "address": str(target),
        "host": target.host or "",
        "port": "" if target.port is None else str(target.port),
        "name": target.name or target.host or "",
        "pool": target.pool,
        "path": target.path or "",
    }


async def _output(process: "subprocess.Popen[bytes]") -> bytes:
    """Reads until the program itself has ended, whoever else holds its output open."""
    assert process.stdout is not None
    loop, pipe = asyncio.get_running_loop(), process.stdout.fileno()
    os.set_blocking(pipe, False)
    output, has_ended = bytearray(), asyncio.Event()

    def read() -> bool:
        try:
            chunk = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return False
        if not chunk:
            loop.remove_reader(pipe)
            return False
        output.extend(chunk)
        del output[:-MOST_OUTPUT]
        return True

    ended = os.pidfd_open(process.pid)
    try:
        loop.add_reader(ended, has_ended.set)
        loop.add_reader(pipe, read)
        await has_ended.wait()
        # At most what a pipe holds: it may have children that go on talking.
        for _ in range(64 * 1024 // _CHUNK):
            if not read():
                break
        return bytes(output)
    finally:
        loop.remove_reader(pipe)
        loop.remove_reader(ended)
        os.close(ended)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends what is left of the group, and takes note of its end."""
    with contextlib.suppress(ProcessLookupError):
        # Not reaped yet, so that the number is still that of this group and of no other.
        os.killpg(process.pid, signal.SIGKILL)
    assert process.stdout is not None
    process.stdout.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        # Else it is stuck in the kernel, and Popen itself looks again whenever another is started.
        process.wait(_REAP_S)


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit status {code}"


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1].strip()}" if lines else ""
