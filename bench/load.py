"""The two ends of a trial: the origin, and the clients. Both are C (bench/c), built here."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
def origin() -> Iterator[int]:
    """Runs the origin on 1,000 loopback addresses, and gives its process id."""
    command = [str(BUILT / "origin"), str(FIRST_PORT), str(PORTS), str(HOSTS)]
    with pinned(LOAD_CPU):
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with running:
        assert running.stdout is not None
        assert running.stderr is not None
        if running.stdout.readline() != "ready\n":
            raise Failed(f"the origin does not start (another benchmark?): {running.stderr.read().strip()}")
        try:
            yield running.pid
        finally:
            running.terminate()


def send(load: Load, port: int, seconds: float) -> Mapping[str, float]:
    """Makes requests for `seconds`: requests, seconds, errors, bytes; c/load.c adds p50, p99, max."""
    if load.streams:
        return _send_over_http2(load, port, seconds)
    command = [str(BUILT / "load"), "-p", str(port), "-d", str(seconds), *load.arguments()]
    with pinned(LOAD_CPU):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise Failed(f"the client gave up: {ran.stderr.strip()}")
    counted: dict[str, float] = json.loads(ran.stdout)
    return counted


BROWSER = (
    "user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-language: en-US,en;q=0.5",
    "accept-encoding: gzip, deflate",
    "cookie: session=0123456789abcdef0123456789abcdef",
    "referer: http://lab.test/",
    "dnt: 1",
)
"""What a browser says with each request."""


def _send_over_http2(load: Load, port: int, seconds: float) -> Mapping[str, float]:
    """The same by h2load, which counts in whole requests: about as many as fit into `seconds`."""
    command = ["h2load", "-c", str(load.connections), "-m", str(load.streams)]
    fields = [part for field in BROWSER for part in ("-H", field)]
    url = f"http://127.0.0.1:{port}{load.path}"
    with pinned(LOAD_CPU):
        timed = ["-D", str(max(1, round(seconds)))]
        ran = subprocess.run([*command, *timed, *fields, url], capture_output=True, text=True, check=False)
    done = re.search(
        r"finished in ([\d.]+)s.*?requests: .*? (\d+) succeeded, (\d+) failed", ran.stdout, re.DOTALL
    )
    size = re.search(r"traffic: .*?\((\d+)\) total", ran.stdout)
    if ran.returncode or done is None or size is None:
        raise Failed(f"h2load gave up: {ran.stderr.strip() or ran.stdout.strip()}")
    return {
        "requests": float(done[2]),
        "seconds": float(done[1]),
        "errors": float(done[3]),
        "bytes": float(size[1]),
    }
