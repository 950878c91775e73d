"""The two ends of a trial: the origin, and the clients. Both are C (bench/c), built here."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench.measure import LOAD_CPU
from bench.wanted import FIRST_PORT, HOSTS, PORTS, Load

SOURCES = Path(__file__).parent / "c"
BUILT = Path(__file__).parent.parent / "build" / "bench"


class Failed(Exception):  # noqa: N818 (what became of a measurement)
    """A measurement could not be made. The text says why."""


@contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """What is started inside runs on `cpu` only, as all that it starts does."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def build() -> None:
    """Compiles the programs whose source is newer. Raises `Failed` with what the compiler said."""
    BUILT.mkdir(parents=True, exist_ok=True)
    for source in SOURCES.glob("*.c"):
        program = BUILT / source.stem
        if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
            continue
        if shutil.which("gcc") is None:
            raise Failed("gcc is not installed")
        command = ["gcc", "-O2", "-o", str(program), str(source)]
        compiled = subprocess.run(command, capture_output=True, text=True, check=False)
        if compiled.returncode:
            raise Failed(f"{source.name} does not compile:\n{compiled.stderr}")


@contextmanager
def serving(what: str, *command: str) -> Iterator[int]:
    """Runs a program that says when it is ready, on the load's core. Gives its id; raises `Failed`."""
    with pinned(LOAD_CPU):
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with running:
        assert running.stdout is not None
        assert running.stderr is not None
        if running.stdout.readline() != "ready\n":
            raise Failed(f"{what} does not start (another benchmark?): {running.stderr.read().strip()}")
        try:
            yield running.pid
        finally:
            running.terminate()


def origin() -> AbstractContextManager[int]:
    """Runs the origin on 1,000 loopback addresses, and gives its process id."""
    return serving("the origin", str(BUILT / "origin"), str(FIRST_PORT), str(PORTS), str(HOSTS))


def send(load: Load, port: int, seconds: float) -> Mapping[str, float]:
    """Makes requests for `seconds`: requests, seconds, errors, bytes, p50_us, p99_us, max_us."""
    command = [str(BUILT / "load"), "-p", str(port), "-d", str(seconds), *load.arguments()]
    with pinned(LOAD_CPU):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise Failed(f"the client gave up: {ran.stderr.strip()}")
    counted: dict[str, float] = json.loads(ran.stdout)
    return counted
