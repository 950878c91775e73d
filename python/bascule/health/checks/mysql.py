"""Is it a MySQL or MariaDB in the role that is wanted, and how far behind? Logs in and asks."""

import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from bascule.health.check import CheckFailed, Target
from bascule.health.databases import PRIMARY, REPLICA, Login, Wanted, know_options, need_library
from bascule.tasks import insist
from bascule.wording import in_words

_LONGEST_S = 3600
"""Of our own there is a time limit, which also cancels what is under way."""

_NO_SUCH_STATEMENT = 1064
_CANNOT_CONNECT = 2003


@dataclass(frozen=True, slots=True)
class MysqlCheck:
    """Passes when a log-in succeeds, the server has the role, and a replica is not too far behind.

    The primary is writable and replicates from nobody; a replica replicates. Options: `role`, `max_lag_ms`,
    `user`, `password`, `database`. The user needs the right to see replication: `REPLICA MONITOR` in
    MariaDB, `REPLICATION CLIENT` in MySQL.
    """

    name: ClassVar[str] = "mysql"

    wanted: Wanted
    login: Login

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        know_options(cls.name, options, {"role", "max_lag_ms", "user", "password", "database"})
        need_library("asyncmy.connection", cls.name)
        return cls(Wanted.from_options(options), Login.from_options(options))

    async def run(self, target: Target) -> None:
        from asyncmy.connection import Connection  # noqa: PLC0415 (an extra; it is imported already)
        from asyncmy.errors import MySQLError  # noqa: PLC0415

        connection = Connection(  # type: ignore[no-untyped-call]
            user=self.login.user,
            password=self.login.password or "",
            database=self.login.database,
            connect_timeout=_LONGEST_S,
            autocommit=True,
            program_name="bascule-check",
            **_address(target),
        )
        try:
            is_read_only, replication = await insist(_ask(connection))
        except MySQLError as error:
            raise CheckFailed(self._in_words(target, error)) from error
        except OSError as error:
            raise CheckFailed(f"connect to {target}: {in_words(error)}") from error
        finally:
            # Cannot wait and cannot be cancelled.
            connection.close()
        self._judge(is_read_only, replication)

    def _judge(self, is_read_only: bool, replication: Mapping[str, object] | None) -> None:
        if replication is None:
            # Neither: one that was set up, or stopped, on its way to become one of both.
            if is_read_only and self.wanted.role == PRIMARY:
                raise CheckFailed("is read-only, wanted the primary")
            if is_read_only and self.wanted.role == REPLICA:
                raise CheckFailed("replicates from nobody, wanted a replica")
            self.wanted.judge(PRIMARY, 0)
            return
        lag = next((it for key, it in replication.items() if key.startswith("Seconds_Behind_")), None)
        why = next((str(it) for key, it in replication.items() if key.endswith("_Error") and it), "")
        unknown = f"does not replicate{': ' if why else ''}{why}"
        self.wanted.judge(REPLICA, float(str(lag)) if lag is not None else None, unknown)

    def _in_words(self, target: Target, error: Exception) -> str:
        code = error.args[0] if error.args else None
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            return f"TLS to {target}: its certificate is refused: {error.__cause__.verify_message}"
        if isinstance(error.__cause__, ssl.SSLError):
            return f"TLS to {target}: {error.__cause__.reason}"
        if code == _CANNOT_CONNECT and isinstance(error.__cause__, OSError):
            return f"connect to {target}: {in_words(error.__cause__)}"
        said = error.args[1] if len(error.args) > 1 else error
        return f"{target}: {self.login.without_secrets(said)}"


def _address(target: Target) -> dict[str, Any]:
    if target.path is not None:
        return {"unix_socket": target.path}
    address: dict[str, Any] = {"host": target.host, "port": target.port}
    if target.tls is None:
        return address
    from bascule.certificates.fault import CertificateRefused  # noqa: PLC0415 (few databases speak TLS)
    from bascule.health.secure import secure  # noqa: PLC0415

    try:
        return {**address, "ssl": secure(target.tls).context}
    except CertificateRefused as refused:
        raise CheckFailed(str(refused)) from refused


async def _ask(connection: Any) -> tuple[bool, Mapping[str, object] | None]:
    """Connects. Whether it is read-only, and what it says about whom it replicates from, if anybody."""
    from asyncmy.cursors import DictCursor  # noqa: PLC0415
    from asyncmy.errors import MySQLError  # noqa: PLC0415

    await connection.connect()
    async with connection.cursor(DictCursor) as cursor:
        await cursor.execute("SELECT @@global.read_only AS is_read_only")
        is_read_only = bool((await cursor.fetchone())["is_read_only"])
        with suppress(_UnknownStatement):
            return is_read_only, await _replication(cursor, "SHOW REPLICA STATUS", MySQLError)
        # Before MariaDB 10.5 and MySQL 8.0.22.
        return is_read_only, await _replication(cursor, "SHOW SLAVE STATUS", MySQLError)


class _UnknownStatement(Exception):  # noqa: N818 (an outcome)
    """The server is older than that."""


async def _replication(cursor: Any, statement: str, refusal: type[Exception]) -> Mapping[str, object] | None:
    try:
        await cursor.execute(statement)
    except refusal as error:
        if error.args[:1] == (_NO_SUCH_STATEMENT,):
            raise _UnknownStatement from error
        raise
    found: Mapping[str, object] | None = await cursor.fetchone()
    return found
