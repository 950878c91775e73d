"""The balancers that are compared: how each is started, takes up new endpoints, and is stopped."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.load import BUILT, Failed
from bench.peers import Target, render, wait_for
from bench.quality.fleet import address
from bench.wanted import Wanted

CONFIGS = Path(__file__).parent / "configs"
PATH = os.environ.get("PATH", "") + ":/usr/sbin"
"""Debian keeps the servers where the PATH of a plain user does not lead."""
START_SECONDS = 20
STOP_SECONDS = 5
SETTLE_SECONDS = 1.5
"""Time for the first checks of all endpoints."""
QUEUE_SECONDS = 0.15
"""How long HAProxy keeps a request for an endpoint with room, where it is told how many each can take."""
PROBE = b"GET /work HTTP/1.1\r\nHost: lab.test\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a balancer is told about its surroundings."""

    threads: int
    workers: int
    """How many requests an endpoint works on at once. Only a balancer with `told` makes use of it."""


@dataclass(frozen=True, slots=True)
class Balancer:
    """One that can be measured."""

    target: Target
    files: tuple[str, ...]
    """Templates, in configs; the first is the configuration. All are written anew when it reloads."""
    reload: signal.Signals | None = None
    """What makes it read its configuration again; nothing when it watches its files."""
    told: bool = False
    """Whether it is told how many requests an endpoint works on at once."""

    @property
    def name(self) -> str:
        return self.target.name


def _haproxy(name: str, port: int, endpoint: str, told: bool = False) -> Balancer:
    arguments = ("-W", "-db", "-f", "@CONFIG@")
    target = Target(name, "haproxy", port, arguments, endpoint=endpoint, version=("-v",))
    return Balancer(target, ("haproxy.cfg",), signal.SIGUSR2, told)


BALANCERS = (
    Balancer(
        Target(
            name="nginx",
            program="nginx",
            port=22210,
            arguments=("-p", "@FOLDER@", "-c", "@CONFIG@"),
            endpoint="server {host}:{port} max_fails=3 fail_timeout=3s;",
            version=("-v",),
        ),
        ("nginx.conf",),
        signal.SIGHUP,
    ),
    _haproxy("haproxy", 22220, "server s{number} {host}:{port}"),
    _haproxy("haproxy-maxconn", 22230, "server s{number} {host}:{port} maxconn @WORKERS@", told=True),
    Balancer(
        Target(
            name="envoy",
            program=str(BUILT / "envoy" / "envoy" / "_bin" / "envoy"),
            port=22240,
            arguments=(
                *("-c", "@CONFIG@", "--concurrency", "@THREADS@", "-l", "critical", "--disable-hot-restart"),
            ),
            endpoint="- endpoint: {{address: {{socket_address: {{address: {host}, port_value: {port}}}}}}}",
            version=("--version",),
            optional=True,
        ),
        ("envoy.yaml", "endpoints.yaml"),
    ),
    Balancer(
        Target(
            name="bascule",
            program=str(Path(sys.executable).parent / "bascule"),
            port=22250,
            arguments=("run", "--quiet", "--admin", "unix:@FOLDER@/admin.sock", "@CONFIG@"),
            endpoint="- {host}:{port}",
            version=("version",),
        ),
        ("bascule.yaml",),
        signal.SIGHUP,
    ),
)


@dataclass(frozen=True, slots=True)
class Running:
    """A balancer that answers requests."""

    balancer: Balancer
    setting: Setting
    process: "subprocess.Popen[bytes]"
    folder: Path

    @property
    def port(self) -> int:
        return self.balancer.target.port

    def serve(self, endpoints: Sequence[int]) -> None:
        """Makes it balance over these from now on, without a restart, in its own way. Does not wait."""
        write_files(self.balancer, self.setting, self.folder, endpoints)
        if self.balancer.reload:
            self.process.send_signal(self.balancer.reload)


@contextmanager
def running(
    balancer: Balancer, setting: Setting, folder: Path, endpoints: Sequence[int]
) -> Iterator[Running]:
    """Starts a balancer and waits until it has answered. Nothing of it is left at the end."""
    target = balancer.target
    if _answers(target.port) is not None:
        raise Failed(f"port {target.port} is taken: does another benchmark run?")
    write_files(balancer, setting, folder, endpoints)
    program = shutil.which(target.program, path=PATH) or target.program
    command = [program, *(_fill(it, balancer, setting, folder) for it in target.arguments)]
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, process_group=0)
    try:
        wait_for(lambda: process.poll() is not None or _answers(target.port) is True, START_SECONDS)
        if process.poll() is not None or not _answers(target.port):
            raise Failed(f"{target.name} does not start: {(folder / 'output').read_text()[-1500:].strip()}")
        time.sleep(SETTLE_SECONDS)
        yield Running(balancer, setting, process, folder)
    finally:
        _stop(process)


def write_files(balancer: Balancer, setting: Setting, folder: Path, endpoints: Sequence[int]) -> None:
    """Writes the configuration, each file by renaming another over it."""
    wanted = Wanted(endpoints=tuple(address(it) for it in endpoints))
    for name in balancer.files:
        text = render((CONFIGS / name).read_text(), balancer.target, wanted, folder)
        partial = folder / f"{name}.partial"
        partial.write_text(_fill(text, balancer, setting, folder))
        partial.rename(folder / name)


def _fill(text: str, balancer: Balancer, setting: Setting, folder: Path) -> str:
    values = {
        "FOLDER": folder,
        "CONFIG": folder / balancer.files[0],
        "THREADS": setting.threads,
        "WORKERS": setting.workers,
        "QUEUE": f"{1e3 * QUEUE_SECONDS:.0f}ms" if balancer.told else "3s",
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def _answers(port: int) -> bool | None:
    """Whether a request is answered with 200; nothing when no connection can be made."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as one:
            one.sendall(PROBE)
            return one.recv(64).startswith(b"HTTP/1.1 200")
    except ConnectionRefusedError:
        return None
    except OSError:
        return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    # It leads a group of its own, so this reaches workers that outlived it, and nobody else.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
