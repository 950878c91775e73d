"""Programs beside the test: endpoints to be killed and frozen, servers and load generators of others."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from tests.support.eventually import PATIENCE, eventually
from tests.support.raw import RawClient

from bascule import contract

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent


def _environment() -> dict[str, str]:
    paths = [str(_ROOT), str(_ROOT / "python"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


class Program:
    """A process that runs for as long as the `with` lasts, and is always gone and reaped then."""

    def __init__(self, command: Sequence[str | Path], *, standard_input: bytes = b"") -> None:
        self.command = [str(word) for word in command]
        self._standard_input = standard_input
        self._lines: list[str] = []
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
        )
        assert self._process.stdin is not None
        self._process.stdin.write(self._standard_input)
        self._process.stdin.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._reader.join(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def line(self, number: int = 0) -> str:
        """A line of its output (0 is the first), once it is there."""
        eventually(lambda: len(self._lines) > number or not self.is_running(), self.said)
        assert len(self._lines) > number, self.said()
        return self._lines[number]

    def has_said(self, number: int) -> bool:
        """Whether that line of its output is there already."""
        return len(self._lines) > number

    def is_running(self) -> bool:
        """Whether the process is there (frozen counts)."""
        return self._process.poll() is None

    def terminate(self) -> None:
        """Asks it to end (SIGTERM) and waits until it has."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE)

    def kill(self) -> None:
        """Ends it without a word (SIGKILL); the kernel closes its connections."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def freeze(self) -> None:
        """Stops it (SIGSTOP) until `thaw`: the kernel still accepts for it, nothing is answered."""
        os.kill(self._process.pid, signal.SIGSTOP)
        eventually(lambda: self._state() == "T", "the process does not stop")

    def thaw(self) -> None:
        """Lets it go on."""
        os.kill(self._process.pid, signal.SIGCONT)

    def _state(self) -> str:
        status = Path(f"/proc/{self._process.pid}/stat").read_text()
        return status.rpartition(")")[2].split()[0]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line.decode(errors="replace").rstrip("\n"))

    def said(self) -> str:
        return f"{self.command} said: {self._lines}"


class EndpointProgram(Program):
    """An HTTP/1.1 endpoint in a process of its own; answers 200 with its name."""

    def __init__(self, name: str, *, delay_ms: int = 0) -> None:
        super().__init__([sys.executable, _HERE / "endpoint_program.py", name, str(delay_ms)])
        self.name = name

    def contract(self, weight: int = 1) -> contract.Endpoint:
        """This endpoint in a pool of a snapshot."""
        address = contract.TcpAddress(f"127.0.0.1:{self.line()}")
        return contract.Endpoint(id=self.name, address=address, weight=weight)


class HostedPlane(Program):
    """A data plane in a process whose Python is stuck for so long right after the start.

    `descriptors`: how many file descriptors the process may have, when not as many as this one.
    """

    def __init__(self, snapshot: bytes, *, stuck_for: float, descriptors: int | None = None) -> None:
        limit: list[str | Path] = [] if descriptors is None else [str(descriptors)]
        command: list[str | Path] = [sys.executable, _HERE / "plane_program.py", str(stuck_for), *limit]
        super().__init__(command, standard_input=snapshot)

    @property
    def address(self) -> str:
        """Where its first listener accepts."""
        return self.line(0)

    def is_stuck(self) -> bool:
        """Whether Python is still busy."""
        return self.is_running() and not self.has_said(1)


def tool(name: str) -> str:
    """The path of an installed program. Fails, and says which package has it, when it is missing."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    package = {"h2load": "nghttp2-client", "testssl": "testssl.sh"}.get(name, name)
    assert found is not None, f"{name} is not installed: apt-get install {package}"
    return found


def run_tool(*command: str | Path) -> str:
    """Runs an installed program to its end and returns what it said. Fails unless it ends well."""
    name, *arguments = map(str, command)
    done = subprocess.run(
        [tool(name), *arguments], capture_output=True, text=True, timeout=PATIENCE * 2, check=False
    )
    if done.returncode != 0:
        pytest.fail(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def nginx(server: str, *, outside: str = "", bind: str = "", stream: str = "") -> Iterator[str]:
    """nginx with one server that listens on a Unix socket; yields the socket's path.

    `server` is what stands in its `server` block, `outside` what stands beside it, `bind` what follows the
    socket's path in `listen`, `stream` what stands in that block.
    """
    # Not pytest's folder: the path of a Unix socket is short, and nginx's workers must get through.
    with tempfile.TemporaryDirectory(prefix="nginx") as name:
        folder = Path(name)
        folder.chmod(0o755)
        paths = "".join(
            f"{kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        written = folder / "nginx.conf"
        written.write_text(
            f"{_with_stream(stream)}daemon off; worker_processes 1; pid {folder}/pid;\n"
            "error_log stderr error;\n"
            "events { worker_connections 512; }\n"
            f"http {{ access_log off; {paths} {outside}\n"
            f"server {{ listen unix:{folder}/socket {bind}; {server} }} }}\n"
        )
        command: list[str | Path] = [tool("nginx"), "-e", "stderr", "-p", folder, "-c", written]
        with Program(command) as program:
            _wait_for_socket(program, f"unix:{folder}/socket")
            try:
                yield f"{folder}/socket"
            finally:
                # Not killed: its workers would stay.
                program.terminate()


def _with_stream(stream: str) -> str:
    if not stream:
        return ""
    module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    assert module.exists(), "nginx has no module for streams: apt-get install libnginx-mod-stream"
    return f"load_module {module}; stream {{ {stream} }}\n"


@contextlib.contextmanager
def haproxy(settings: str, *, bind: str = "") -> Iterator[str]:
    """HAProxy with one `listen` section on a Unix socket; yields the socket's path.

    `settings` are its lines, `bind` what follows the socket's path in `bind`.
    """
    with tempfile.TemporaryDirectory(prefix="haproxy") as name:
        folder = Path(name)
        written = folder / "haproxy.cfg"
        written.write_text(
            "defaults\ntimeout connect 5s\ntimeout client 10s\ntimeout server 10s\n"
            f"listen test\nbind unix@{folder}/socket {bind}\n{settings}\n"
        )
        with Program([tool("haproxy"), "-db", "-f", written]) as program:
            _wait_for_socket(program, f"unix:{folder}/socket")
            yield f"{folder}/socket"


@contextlib.contextmanager
def haproxy_over_http2(endpoint: str) -> Iterator[str]:
    """HAProxy that speaks HTTP/2 with prior knowledge on a Unix socket, and passes all on to `ip:port`.

    Yields the socket's path.
    """
    with tempfile.TemporaryDirectory(prefix="haproxy") as name:
        written = Path(name) / "haproxy.cfg"
        written.write_text(
            "defaults\n mode http\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n"
            f"listen all\n bind unix@{name}/socket proto h2\n server one {endpoint}\n"
        )
        with Program([tool("haproxy"), "-db", "-f", written]) as program:
            _wait_for_socket(program, f"unix:{name}/socket")
            yield f"{name}/socket"
            program.terminate()


def _wait_for_socket(program: Program, address: str) -> None:
    def accepts() -> bool:
        assert program.is_running(), program.said()
        try:
            RawClient(address).close()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    eventually(accepts, program.said)
