"""Is it a PostgreSQL in the role that is wanted, and how far behind? Logs in and asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from bascule import __version__
from bascule.health.check import CheckFailed, Target
from bascule.health.databases import PRIMARY, REPLICA, Login, Wanted, know_options, need_library

if TYPE_CHECKING:
    import psycopg

_SOCKET = ".s.PGSQL."

# Behind is what has come and is not replayed: on a primary that is idle, the latest transaction is old and
# still the latest. Where nobody sends, nobody knows, and its age is the best that can be said.
_QUESTION = """
SELECT pg_is_in_recovery(),
    CASE WHEN EXISTS (SELECT FROM pg_stat_wal_receiver)
            AND pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() THEN 0
         ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())
    END::float8
"""


@dataclass(frozen=True, slots=True)
class PostgresCheck:
    """Passes when a log-in succeeds, the server has the role, and a replica is not too far behind.

    Options: `role` (`primary`, `replica` or `any`), `max_lag_ms`, `user`, `password`, `database`. The user
    needs no rights beyond the log-in. TLS is what the target's says; its certificates are one file each.
    """

    name: ClassVar[str] = "postgres"

    wanted: Wanted
    login: Login

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        know_options(cls.name, options, {"role", "max_lag_ms", "user", "password", "database"})
        need_library("psycopg", cls.name)
        return cls(Wanted.from_options(options), Login.from_options(options))

    async def run(self, target: Target) -> None:
        import psycopg  # noqa: PLC0415 (an extra; it is imported already)

        try:
            connection = await psycopg.AsyncConnection.connect(
                autocommit=True,
                user=self.login.user or "",
                password=self.login.password or "",
                dbname=self.login.database or "postgres",
                application_name=f"bascule-check/{__version__}",
                # Which servers are wanted is for us to say, whatever the environment says.
                target_session_attrs="any",
                # Of our own there is a time limit, which also cancels what is under way.
                connect_timeout="3600",
                **_address(target),
                **_tls(target),
            )
        except psycopg.Error as error:
            raise CheckFailed(self._not_connected(target, error)) from error
        try:
            found = await (await connection.execute(_QUESTION)).fetchone()
        except psycopg.Error as error:
            raise CheckFailed(f"{target}: {self.login.without_secrets(error)}") from error
        finally:
            # Only closes a descriptor.
            await connection.close()
        assert found is not None
        is_replica, lag_s = found
        self.wanted.judge(REPLICA if is_replica else PRIMARY, lag_s, "has replayed nothing yet")

    def _not_connected(self, target: Target, error: "psycopg.Error") -> str:
        said = self.login.without_secrets(error)
        if "FATAL: " in said:
            return f"log-in to {target}: {said.rpartition('FATAL: ')[2].strip()}"
        # What stands before it names the address once more.
        why = said.rpartition(" failed: ")[2].partition(" Is the server ")[0]
        return f"connect to {target}: {why[:1].lower()}{why[1:]}"


def _address(target: Target) -> dict[str, Any]:
    if target.path is not None:
        folder, file = Path(target.path).parent, Path(target.path).name
        if not file.startswith(_SOCKET):
            raise CheckFailed(f"connect to {target}: PostgreSQL listens on sockets named {_SOCKET}5432")
        return {"host": str(folder), "port": file.removeprefix(_SOCKET)}
    name = target.tls.server_name if target.tls is not None else None
    return {"host": name or target.host or "", "hostaddr": target.host or "", "port": str(target.port)}


def _tls(target: Target) -> dict[str, Any]:
    # Authentication by Kerberos would look for its tickets first.
    parameters = {"gssencmode": "disable", "sslmode": "disable"}
    if (tls := target.tls) is None or target.path is not None:
        return parameters
    parameters["sslmode"] = "require"
    if tls.authorities is not None:
        parameters["sslmode"] = "verify-full"
        parameters["sslrootcert"] = tls.authorities.files[0] if tls.authorities.files else "system"
        if tls.authorities.revoked:
            parameters["sslcrl"] = tls.authorities.revoked[0]
    if tls.certificate is not None:
        parameters["sslcert"] = tls.certificate.certificate
        parameters["sslkey"] = tls.certificate.key or tls.certificate.certificate
    return parameters
