"""UDP: endpoints that echo, clients that ask, and how one knows that a balancer is there for datagrams."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.load import BUILT, Failed, pinned
from bench.measure import LOAD_CPU
from bench.wanted import FIRST_PORT, PORTS, Load

PROGRAM = BUILT / "datagrams"
SOCKETS = Path("/proc/net/udp")


@contextmanager
def echoing() -> Iterator[int]:
    """Runs endpoints that send every datagram back, and gives their process id."""
    command = [str(PROGRAM), "echo", str(FIRST_PORT), str(PORTS)]
    with pinned(LOAD_CPU):
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with running:
        assert running.stdout is not None
        assert running.stderr is not None
        if running.stdout.readline() != "ready\n":
            raise Failed(f"the echo does not start (another benchmark?): {running.stderr.read().strip()}")
        try:
            yield running.pid
        finally:
            running.terminate()


def receives(port: int) -> bool:
    """Whether a socket for datagrams is bound to the port, on whatever address."""
    lines = SOCKETS.read_text().splitlines()[1:]
    return any(int(line.split()[1].rpartition(":")[2], 16) == port for line in lines)


def send(load: Load, port: int, seconds: float) -> Mapping[str, float]:
    """Asks for `seconds`, and gives the same as `bench.load.send`."""
    command = [str(PROGRAM), "ask", "-p", str(port), "-d", str(seconds), "-c", str(load.connections)]
    command += ["-w", str(load.datagrams), "-s", str(load.datagram_bytes), *(["-k"] if load.fresh else [])]
    with pinned(LOAD_CPU):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise Failed(f"the clients gave up: {ran.stderr.strip()}")
    counted: dict[str, float] = json.loads(ran.stdout)
    return counted
