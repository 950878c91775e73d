"""The endpoints: a process each, that can be slowed, silenced, drained, killed and started again."""

import mmap
import struct
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.load import BUILT, Failed
from bench.quality.figures import Hit
from bench.quality.oracle import COLD_SECONDS
from bench.quality.timeline import Event

FIRST_PORT = 22001
"""Below the range from which the kernel takes ports for connections, so that none is taken by chance."""
MOST = 150
HEAD = struct.Struct("=QQ")
HIT = struct.Struct("=QII")
"""As c/endpoint.c writes them."""
LEAVE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Size:
    """How many endpoints there are, and how many requests each can work on at once."""

    endpoints: int = 10
    workers: int = 4


def address(endpoint: int) -> str:
    """`ip:port` of an endpoint, counted from 0."""
    return f"127.0.0.1:{FIRST_PORT + endpoint}"


class Fleet:
    """Running endpoints. Ends them all when it is left."""

    def __init__(self, size: Size, slowness: Sequence[float], cold: int, room: int, folder: Path) -> None:
        """The last `cold` endpoints start slow. `room` is how many requests each can note."""
        self._size = size
        self._slowness = slowness
        self._cold_from = size.endpoints - cold
        self._folder = folder
        self._processes: list[subprocess.Popen[str]] = []
        for number in range(size.endpoints):
            with self._hits_of(number).open("wb") as file:
                file.truncate(HEAD.size + HIT.size * room)

    def __enter__(self) -> Self:
        try:
            for number in range(self._size.endpoints):
                self._processes.append(self._start(number))
                self._tell_slowness(number)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def carry_out(self, event: Event) -> None:
        """Does one thing to one endpoint, at once."""
        number = event.endpoint
        match event.order:
            case "kill":
                self._processes[number].kill()
                self._processes[number].wait()
            case "start":
                # One that was asked to leave may still finish what it has.
                self._wait_for_end(number)
                self._processes[number] = self._start(number)
                self._tell_slowness(number)
            case "slow":
                self._tell(number, f"slow {event.slowness * self._slowness[number]}")
            case "normal":
                self._tell(number, "normal")
                self._tell_slowness(number)
            case _:
                self._tell(number, event.order)

    def hits(self, start_us: int) -> Sequence[Hit]:
        """Every request that came to an endpoint's door, in no certain order; times count from the start."""
        found: list[Hit] = []
        for number in range(self._size.endpoints):
            with (
                self._hits_of(number).open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as noted,
            ):
                count, _ = HEAD.unpack_from(noted)
                entries = noted[HEAD.size : HEAD.size + count * HIT.size]
            found += [
                Hit((at_us - start_us) / 1e6, number, request)
                for at_us, request, _ in HIT.iter_unpack(entries)
            ]
        return found

    def _hits_of(self, number: int) -> Path:
        return self._folder / f"hits-{number}"

    def _start(self, number: int) -> "subprocess.Popen[str]":
        command = [BUILT / "endpoint", FIRST_PORT + number, number + 1, self._size.workers]
        command += [
            self._hits_of(number),
            *([round(1e3 * COLD_SECONDS)] if number >= self._cold_from else []),
        ]
        process = subprocess.Popen(
            [str(it) for it in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise Failed(f"endpoint {address(number)} does not start: does another benchmark run?")
        return process

    def _tell(self, number: int, order: str) -> None:
        orders = self._processes[number].stdin
        assert orders is not None
        orders.write(order + "\n")
        orders.flush()

    def _tell_slowness(self, number: int) -> None:
        if self._slowness[number] != 1:
            self._tell(number, f"slow {self._slowness[number]}")

    def _wait_for_end(self, number: int) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._processes[number].wait(LEAVE_SECONDS)
        self._processes[number].kill()
        self._processes[number].wait()

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()
