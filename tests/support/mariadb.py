"""MariaDB servers for tests: a primary, and replicas of it."""

import atexit
import functools
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.certificates import Issued
from tests.support.processes import tool
from tests.support.program import free_port
from tests.support.servers import Server

USER, PASSWORD = "bascule", "a-long-password"
"""Who checks log in as: may see replication, and no data."""


@functools.cache
def _fresh() -> Path:
    """What a new server has. Made once: that takes longer than all of a test."""
    maker = Server("mysql", signal.SIGKILL)
    atexit.register(shutil.rmtree, maker.folder)
    maker.run(
        *(tool("mariadb-install-db"), "--no-defaults", f"--datadir={maker.folder}/data", "--skip-test-db"),
        *("--auth-root-authentication-method=normal", "--skip-name-resolve"),
    )
    return maker.folder / "data"


class MariaDb(Server):
    """Writable, and replicates from nobody until it is told to `follow`. Within the `with` it answers."""

    def __init__(self, certificate: Issued | None = None) -> None:
        super().__init__("mysql", signal.SIGKILL)
        self._shown = self.show(certificate)
        self.port = free_port()
        self.data = self.folder / "data"
        self.run("cp", "-r", _fresh(), self.data)
        self._is_new = True

    @property
    def address(self) -> str:
        """As a pool lists it."""
        return f"127.0.0.1:{self.port}"

    @property
    def socket(self) -> Path:
        """The path of its Unix socket."""
        return self.folder / "socket"

    def command(self) -> Sequence[str | Path]:
        files = self._shown
        return [
            *(tool("mariadbd"), "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}"),
            *(f"--port={self.port}", "--bind-address=127.0.0.1", f"--server-id={self.port}", "--log-bin"),
            *("--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M"),
            *("--innodb-log-file-size=8M", "--pid-file=pid", "--slave-net-timeout=2"),
            *(() if files is None else (f"--ssl-cert={files[0]}", f"--ssl-key={files[1]}")),
        ]

    def execute(self, *statements: str) -> str:
        """Runs statements as root; what they say, columns apart by tabs."""
        client = (tool("mariadb"), "--no-defaults", f"--socket={self.socket}", "--user=root", "--batch")
        done = subprocess.run(
            [*client, "-e", ";".join(statements)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise OSError(done.stderr)
        return done.stdout

    def is_ready(self) -> bool:
        self.execute("SELECT 1")
        if self._is_new:
            self.execute(
                "SET sql_log_bin = 0",
                f"CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}'",
                f"GRANT REPLICA MONITOR ON *.* TO {USER}@'%'",
                f"CREATE USER follower@'%' IDENTIFIED BY '{PASSWORD}'",
                "GRANT REPLICATION SLAVE ON *.* TO follower@'%'",
            )
            self._is_new = False
        return True

    def follow(self, primary: "MariaDb") -> None:
        """Makes a read-only replica of it."""
        self.execute(
            f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={primary.port}, MASTER_USER='follower',"
            f" MASTER_PASSWORD='{PASSWORD}', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1",
            "START REPLICA",
            "SET GLOBAL read_only = 1",
        )

    def promote(self) -> None:
        """Makes a primary of a replica."""
        self.execute("STOP REPLICA", "RESET REPLICA ALL", "SET GLOBAL read_only = 0")
