"""What the kernel knows about CPU time and memory, read from /proc."""

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
BALANCER_CPU, LOAD_CPU = 0, 1
"""The balancer has a core of its own; clients and origin share the other."""
QUIET_PERCENT = 15
"""More of one core than this, spent by others, disturbs a measurement."""


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds."""

    user: float = 0.0
    system: float = 0.0

    @property
    def total(self) -> float:
        return self.user + self.system

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.user + other.user, self.system + other.system)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.user - other.user, self.system - other.system)


@dataclass(frozen=True, slots=True)
class Stat:
    """The parts of a line of /proc/PID/stat that matter here."""

    parent: int
    spent: Spent


def parse_stat(line: str) -> Stat:
    """Reads a line of /proc/PID/stat (proc(5)). The name in it may hold blanks and parentheses."""
    fields = line[line.rindex(")") + 2 :].split()
    return Stat(int(fields[1]), Spent(int(fields[11]) / TICKS, int(fields[12]) / TICKS))


@dataclass(frozen=True, slots=True)
class Core:
    """Seconds that a core was busy since the start of the system, all and without niced work."""

    busy: float
    busy_for_foreground: float


def parse_cores(text: str) -> tuple[Core, ...]:
    """Reads the lines `cpu0`, `cpu1` … of /proc/stat."""
    cores = []
    for numbers in re.findall(r"^cpu\d+ (.+)$", text, re.MULTILINE):
        user, nice, system, _idle, _wait, *interrupts = (int(it) / TICKS for it in numbers.split()[:8])
        busy = user + system + sum(interrupts)
        cores.append(Core(busy + nice, busy))
    return tuple(cores)


def parse_shared_memory(text: str) -> int:
    """The proportional set size in a smaps_rollup file, in bytes: shared pages count by their share."""
    found = re.search(r"^Pss:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def cores() -> tuple[Core, ...]:
    """What every core has done so far."""
    return parse_cores((PROC / "stat").read_text())


def tree(root: int) -> list[int]:
    """A program's id and those of all that descend from it."""
    children: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (line := _read(folder / "stat")):
            children.setdefault(parse_stat(line).parent, []).append(int(folder.name))
    found = [root]
    for one in found:
        found.extend(children.get(one, []))
    return found


def spent(root: int) -> Spent:
    """CPU time of a program and all that descend from it, in steps of a tick (10 ms)."""
    lines = [_read(PROC / str(one) / "stat") for one in tree(root)]
    return sum((parse_stat(line).spent for line in lines if line), Spent())


def spent_by_thread(root: int) -> Mapping[str, float]:
    """CPU seconds by the name of the thread, to the nanosecond."""
    found: dict[str, float] = {}
    for folder in (PROC / str(root) / "task").iterdir():
        name, numbers = _read(folder / "comm").strip(), _read(folder / "schedstat").split()
        if numbers:
            found[name] = found.get(name, 0.0) + int(numbers[0]) / 1e9
    return found


def memory(root: int) -> int:
    """Proportional set size of a program and all that descend from it, in bytes."""
    return sum(parse_shared_memory(_read(PROC / str(one) / "smaps_rollup")) for one in tree(root))


def foreign_percent(
    before: Sequence[Core], after: Sequence[Core], ours: Mapping[int, float], seconds: float
) -> float:
    """What others took of the core that they took most of, in percent of a core.

    `ours` is what we spent, by core. Niced work does not count: it gives way.
    """
    taken = (
        after[core].busy_for_foreground - before[core].busy_for_foreground - spent
        for core, spent in ours.items()
    )
    return max(0.0, 100 * max(taken) / seconds)


def wait_until_quiet(patience: float) -> None:
    """Returns when others have left both cores alone for a moment, or after `patience` seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        before, began = cores(), time.monotonic()
        time.sleep(0.3)
        idle = {BALANCER_CPU: 0.0, LOAD_CPU: 0.0}
        if foreign_percent(before, cores(), idle, time.monotonic() - began) < QUIET_PERCENT:
            return


def _read(path: Path) -> str:
    """A file of /proc, or nothing when its program or thread has just ended."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
