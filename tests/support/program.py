"""The program from the outside: `bascule` in a process of its own, and what it says."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.support.endpoints import Conversation, ScriptedEndpoint, response
from tests.support.eventually import PATIENCE, eventually

_ROOT = Path(__file__).parents[2]

PROGRAM = (sys.executable, "-P", "-m", "bascule")
"""Without `-P` a `bascule.py` in the current directory would be taken for the package."""


def environment(folder: Path, packages: Path | None = None) -> dict[str, str]:
    """Ours, with an admin address of the test's own; `packages` is where another build is installed."""
    paths = [str(packages or _ROOT / "python"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "BASCULE_ADMIN": f"unix:{folder}/admin.sock",
        "TMPDIR": str(folder),
        "XDG_STATE_HOME": f"{folder}/state",
        "COLUMNS": "100",
    }


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def command(folder: Path, *words: str) -> Done:
    """Runs `bascule` with these words in `folder`, to its end."""
    done = subprocess.run(
        [*PROGRAM, *words],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


class Bascule:
    """`bascule` with these words, running for as long as the `with` lasts."""

    def __init__(
        self, folder: Path, *words: str, limit_files: str | None = None, packages: Path | None = None
    ) -> None:
        self._folder = folder
        self._words = words
        self._packages = packages
        self._limit = ["prlimit", f"--nofile={limit_files}"] if limit_files else []
        self.said: list[str] = []
        """Lines on standard error so far."""
        self.written: list[str] = []
        """Lines on standard output so far."""
        self._process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [*self._limit, *PROGRAM, *self._words],
            cwd=self._folder,
            env=environment(self._folder, self._packages),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=_read, args=(stream, lines), daemon=True)
            for stream, lines in ((self._process.stdout, self.written), (self._process.stderr, self.said))
        ]
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready(self) -> Self:
        """Itself, once it accepts traffic."""
        return self.wait_said("  admin      ")

    def wait_said(self, *words: str, count: int = 1) -> Self:
        """Itself, once `count` lines on standard error hold all these words."""
        self.until(lambda: sum(all(word in line for word in words) for line in self.said) >= count)
        return self

    def until(self, holds: Callable[[], bool]) -> None:
        """Returns as soon as `holds()`. Fails with what was said when the program ends before."""

        def check() -> bool:
            # In this order: what it said last is there when it has ended.
            has_ended = self._process.poll() is not None
            return holds() or (has_ended and self._fail())

        eventually(check, self._story)

    def addresses(self) -> list[str]:
        """What its listeners accept on, as it said at the start."""
        return [it[1] for line in self.said if (it := re.match(r"  listening +(?:\w+://)?(\S+)", line))]

    def address(self) -> str:
        """What its first listener accepts on."""
        return self.addresses()[0]

    def send(self, number: signal.Signals) -> Self:
        self._process.send_signal(number)
        return self

    def catches(self, number: signal.Signals) -> bool:
        """Whether it has an answer of its own to a signal."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
        return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)

    def threads(self) -> list[str]:
        """The names of its threads."""
        return [it.read_text().strip() for it in Path(f"/proc/{self.pid}/task").glob("*/comm")]

    def cpu_ticks(self) -> int:
        """Hundredths of a second that it has computed, all threads together."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def quiet_for(self, seconds: float) -> int:
        """Hundredths of a second that it computes while nobody wants anything of it for so long.

        Begins once what it did before is over. The wait is what is measured: there is nothing to wait for.
        """
        before = -1
        while before != (before := self.cpu_ticks()):
            time.sleep(0.05)
        time.sleep(seconds)
        return self.cpu_ticks() - before

    def is_running(self) -> bool:
        return self._process.poll() is None

    def code(self) -> int:
        """Its exit code, once it has ended. Minus the number of a signal that ended it."""
        code = self._process.wait(PATIENCE * 2)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def _fail(self) -> bool:
        raise AssertionError(self._story())

    def _story(self) -> str:
        return "\n".join([f"{self._words} ({self._process.poll()}) said:", *self.said, *self.written])


def _read(stream: IO[str], lines: list[str]) -> None:
    for line in stream:
        lines.append(line.rstrip("\n"))
    stream.close()


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    headers: dict[str, str]
    """By lower-case name."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, address: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._address = address

    def connect(self) -> None:
        if self._address.startswith("unix:"):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(PATIENCE)
            self.sock.connect(self._address.removeprefix("unix:"))
            return
        host, _, port = self._address.rpartition(":")
        self.sock = socket.create_connection((host.strip("[]"), int(port)), PATIENCE)


def get(address: str, path: str = "/", **headers: str) -> Answer:
    """One GET on a connection of its own, to `ip:port` or `unix:/path`."""
    connection = _Connection(address)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, answer.read(), fields)
    finally:
        connection.close()


def reload(folder: Path) -> None:
    """Has the balancer of `folder` read its configuration again, without a process for the command."""
    connection = _Connection(f"unix:{folder}/admin.sock")
    try:
        connection.request("POST", "/reload")
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
    finally:
        connection.close()


class Getting:
    """A GET that somebody waits for in a thread of their own."""

    def __init__(self, address: str, path: str = "/") -> None:
        self._result: list[Answer | BaseException] = []
        self._thread = threading.Thread(target=self._get, args=(address, path), daemon=True)
        self._thread.start()

    def outcome(self) -> Answer | BaseException:
        """The answer, or what came instead of one, once it is there."""
        self._thread.join(PATIENCE * 2)
        assert self._result, "no answer, and no end"
        return self._result[0]

    def _get(self, address: str, path: str) -> None:
        try:
            self._result.append(get(address, path))
        except (OSError, http.client.HTTPException) as error:
            self._result.append(error)


class ToyEndpoint(ScriptedEndpoint):
    """Answers with its name. Its health can be switched, and its answers be held back."""

    def __init__(self) -> None:
        super().__init__(self._serve_requests)
        self.health = "200 OK"
        self.may_answer = threading.Event()
        self.may_answer.set()

    def asked(self) -> int:
        """Requests so far, health checks not counted."""
        return sum(request.target != "/healthz" for request in self.requests)

    def _serve_requests(self, conversation: Conversation) -> None:
        while True:
            request = conversation.read()
            if request.target == "/healthz":
                conversation.send(response(self.health, b"health"))
                continue
            assert self.may_answer.wait(PATIENCE * 2), "the test never let it answer"
            conversation.send(response(body=self.name.encode()))


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def written(endpoints: list[ToyEndpoint], more: str = "", *, pool: str = "") -> str:
    """A configuration with one listener on a free port and one pool of these endpoints."""
    names: list[Any] = [it.name for it in endpoints]
    return (
        'listeners: {web: {bind: "127.0.0.1:0", pool: site}}\n'
        f"pools: {{site: {{endpoints: {names}{pool}}}}}\n"
        f"access_log: off\n{more}"
    )
