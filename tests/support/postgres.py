"""PostgreSQL servers for tests: a primary, and replicas that stream from it and can be promoted."""

import atexit
import functools
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from tests.support.certificates import Issued
from tests.support.program import free_port
from tests.support.servers import Server

USER, PASSWORD = "bascule", "a-long-password"
"""Who checks log in as: without any rights. On 127.0.0.1 the password is asked for."""

_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = '{folder}'
fsync = off
shared_buffers = 16MB
max_connections = 50
wal_retrieve_retry_interval = 100ms
wal_receiver_status_interval = 1s
"""
_ACCESS = f"""
local all,replication all trust
host all {USER} 127.0.0.1/32 scram-sha-256
host all,replication all 127.0.0.1/32 trust
"""


class Postgres(Server):
    """A primary; with `of`, a replica of that one, which must be running. Within the `with` it answers."""

    def __init__(self, of: "Postgres | None" = None, certificate: Issued | None = None) -> None:
        super().__init__("postgres", signal.SIGQUIT)
        shown = self.show(certificate)
        self._tls = ""
        if shown is not None:
            self._tls = f"ssl = on\nssl_cert_file = '{shown[0]}'\nssl_key_file = '{shown[1]}'\n"
        self.port = free_port()
        self.data = self.folder / "data"
        if of is None:
            self.run("cp", "-r", _fresh(), self.data)
        else:
            self.follow(of)
        self._is_new = of is None

    @property
    def address(self) -> str:
        """As a pool lists it."""
        return f"127.0.0.1:{self.port}"

    @property
    def socket(self) -> str:
        """The path of its Unix socket."""
        return f"{self.folder}/.s.PGSQL.{self.port}"

    def follow(self, primary: "Postgres") -> None:
        """While it is stopped: throws away what it has, to begin anew as a replica of `primary`."""
        self.run("rm", "-rf", self.data)
        self.run(
            *(_binary("pg_basebackup"), "-D", self.data, "-R", "-X", "stream", "--no-sync"),
            *("--checkpoint=fast", "-d", f"host=127.0.0.1 port={primary.port} user=postgres"),
        )

    def command(self) -> Sequence[str | Path]:
        for name, content in (
            ("postgresql.conf", _SETTINGS.format(folder=self.folder) + self._tls),
            ("pg_hba.conf", _ACCESS),
        ):
            (self.data / name).write_text(content)
            self.give(self.data / name)
        return [_binary("postgres"), "-D", self.data, "-p", str(self.port)]

    def is_ready(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        if self._is_new:
            self.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
            self._is_new = False
        return True

    def execute(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        """Runs a statement as the superuser, in a transaction of its own; the rows, if it has any."""
        with psycopg.connect(
            host=str(self.folder), port=self.port, user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description is not None else []

    def promote(self) -> None:
        """Makes a primary of a replica; returns once it is one."""
        self.run(_binary("pg_ctl"), "promote", "-w", "-D", self.data)

    def has_caught_up(self, primary: "Postgres") -> bool:
        """Whether a replica has replayed all that `primary` has written so far."""
        ((written,),) = primary.execute("SELECT pg_current_wal_lsn()::text")
        replayed = "SELECT pg_last_wal_replay_lsn() >= '%s'::pg_lsn" % written  # noqa: UP031
        return self.execute(replayed) == [(True,)]


@functools.cache
def _fresh() -> Path:
    """What a new primary has. Made once: that takes longer than all of a test."""
    maker = Server("postgres", signal.SIGQUIT)
    atexit.register(shutil.rmtree, maker.folder)
    maker.run(
        *(_binary("initdb"), "-D", maker.folder / "data", "-U", "postgres", "--auth=trust"),
        *("--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C"),
    )
    return maker.folder / "data"


@functools.cache
def _binary(name: str) -> str:
    """Debian has them beside the path, by version. Fails, and says which package, when there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda it: int(it.parts[4]))
    assert found, f"{name} is not installed: apt-get install postgresql"
    return str(found[-1])
