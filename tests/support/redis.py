"""Redis servers for tests: a master, replicas of it, and sentinels that watch over them."""

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
from tests.support.certificates import Issued
from tests.support.processes import tool
from tests.support.program import free_port
from tests.support.servers import Server

PASSWORD = "a-long-password"
SERVICE = "mymaster"
"""What the sentinels call what they watch."""


class Redis(Server):
    """A master; with `of`, a replica of that one."""

    def __init__(self, of: "Redis | None" = None, certificate: Issued | None = None) -> None:
        super().__init__("redis", signal.SIGKILL)
        self.port = free_port()
        self._of = of
        self.tls_port = free_port() if certificate is not None else 0
        self._shown = self.show(certificate)

    @property
    def address(self) -> str:
        """As a pool lists it."""
        return f"127.0.0.1:{self.port}"

    def command(self) -> Sequence[str | Path]:
        following = () if self._of is None else ("--replicaof", f"127.0.0.1 {self._of.port}")
        files = self._shown
        shown = () if files is None else ("--tls-cert-file", files[0], "--tls-key-file", files[1])
        return [
            *(tool("redis-server"), "--tls-port", str(self.tls_port), "--tls-auth-clients", "no", *shown),
            *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.folder),
            *("--save", "", "--requirepass", PASSWORD, "--masterauth", PASSWORD),
            *("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", *following),
        ]

    def ask(self, *words: str) -> Any:
        """What it answers to a command."""
        with redis.Redis(port=self.port, password=PASSWORD) as client:
            return client.execute_command(*words)

    def is_ready(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except redis.exceptions.RedisError:
            return False

    def is_linked(self) -> bool:
        """Whether a replica has all that its master had."""
        told: str = self.ask("INFO", "replication")["master_link_status"]
        return told == "up"

    def promote(self) -> None:
        """Makes a master of a replica."""
        self.ask("REPLICAOF", "NO", "ONE")

    def follow(self, master: "Redis") -> None:
        """Makes a replica of a master."""
        self.ask("REPLICAOF", "127.0.0.1", str(master.port))


class Sentinel(Server):
    """One sentinel that watches over `master` as `SERVICE`; alone it may decide."""

    def __init__(self, master: Redis) -> None:
        super().__init__("redis", signal.SIGKILL)
        self.port = free_port()
        written = self.folder / "sentinel.conf"
        written.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 1\n"
            f"sentinel auth-pass {SERVICE} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {SERVICE} 300\n"
        )
        self.give(written)

    @property
    def address(self) -> str:
        """As a check lists it."""
        return f"127.0.0.1:{self.port}"

    def command(self) -> Sequence[str | Path]:
        return [tool("redis-server"), self.folder / "sentinel.conf", "--sentinel"]

    def ask(self, *words: str) -> Any:
        """What it answers to a command."""
        with redis.Redis(port=self.port) as client:
            return client.execute_command(*words)

    def is_ready(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except redis.exceptions.RedisError:
            return False

    def knows(self, replica: Redis) -> bool:
        """Whether it has found a replica, which it could make the master."""
        found = self.ask("SENTINEL", "REPLICAS", SERVICE)
        return str(replica.port) in str(found)
