"""UDP: endpoints that echo, clients that ask, and how one knows that a balancer is there for datagrams."""

import json
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from bench.load import BUILT, Failed, pinned, serving
from bench.measure import LOAD_CPU
from bench.wanted import FIRST_PORT, PORTS, Load

PROGRAM = BUILT / "datagrams"
SOCKETS = Path("/proc/net/udp")


def echoing() -> AbstractContextManager[int]:
    """Runs endpoints that send every datagram back, and gives their process id."""
    return serving("the echo", str(PROGRAM), "echo", str(FIRST_PORT), str(PORTS))


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
