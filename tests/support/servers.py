"""Servers of others that tests start in a folder of their own, without the rights of root."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.certificates import Issued
from tests.support.eventually import PATIENCE, eventually


class Server:
    """A server that runs for as long as the `with` lasts. It may be stopped, frozen and started again.

    `user`: who it runs as when the tests are root. `ends_by`: the signal after which it ends at once.
    """

    def __init__(self, user: str, ends_by: signal.Signals) -> None:
        self._user = user if os.geteuid() == 0 else None
        self._ends_by = ends_by
        self._process: subprocess.Popen[bytes] | None = None
        # Not pytest's folder: paths of Unix sockets are short, and other users must get through.
        self.folder = Path(tempfile.mkdtemp(prefix=f"{user}-"))
        self.give(self.folder)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self) -> Sequence[str | Path]:
        """What runs in the foreground."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Whether it answers. Asked again and again after a start; may raise `OSError`."""
        raise NotImplementedError

    def start(self) -> None:
        """Starts it, and returns once it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(word) for word in self.command()],
                cwd=self.folder,
                user=self._user,
                group=self._user and pwd.getpwnam(self._user).pw_gid,
                extra_groups=[] if self._user else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.until(self.is_ready)

    def stop(self) -> None:
        """Ends it without ceremony, as a crash would; what it has promised to keep is there afterwards."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(self._ends_by)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(PATIENCE)

    def freeze(self) -> None:
        """Nothing is answered until `thaw`; the kernel still accepts for it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def until(self, holds: Callable[[], bool]) -> None:
        """Returns as soon as it `holds()`. Fails with the log when the server ends before, or in vain."""

        def check() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self._log()
            try:
                return holds()
            except OSError:
                return False

        eventually(check, self._log)

    def run(self, *command: str | Path) -> str:
        """Runs a program as the user of the server to its end; what it said. Fails unless it ends well."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            user=self._user,
            extra_groups=[] if self._user else None,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 3,
            check=False,
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def give(self, path: Path) -> None:
        """Hands a file over to the user of the server."""
        if self._user is not None:
            shutil.chown(path, self._user)

    def show(self, issued: Issued | None) -> tuple[Path, Path] | None:
        """Writes a certificate and its key where only the server can read them."""
        if issued is None:
            return None
        files = issued.write_apart(self.folder, "shown")
        for file in files:
            file.chmod(0o600)
            self.give(file)
        return files

    def _log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-4000:]
