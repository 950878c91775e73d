"""What checks make of real databases: roles, lag, log-ins, and what they say about it."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support import mariadb, postgres, redis
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.mariadb import MariaDb
from tests.support.postgres import Postgres
from tests.support.redis import SERVICE, Redis, Sentinel

from bascule.health.check import Check, CheckFailed, Target
from bascule.health.checks.mysql import MysqlCheck
from bascule.health.checks.postgres import PostgresCheck
from bascule.health.checks.redis import RedisCheck
from bascule.plan.plan import PlannedAuthorities, PlannedPoolTls

PASSED = "passed"
UNVERIFIED = PlannedPoolTls(authorities=None, server_name=None, certificate=None, alpn=())


def target_of(address: str, tls: PlannedPoolTls | None = None) -> Target:
    if address.startswith("unix:"):
        return Target("db", address, path=address.removeprefix("unix:"))
    host, _, port = address.rpartition(":")
    return Target("db", address, host=host, port=int(port), tls=tls)


def outcome(check: Check, *targets: Target) -> str | list[str]:
    """How the check ends: `passed`, or the reason; of several targets, asked at the same time, of each."""

    async def ask(target: Target) -> str:
        try:
            async with asyncio.timeout(5):
                await check.run(target)
        except CheckFailed as failed:
            return failed.reason
        return PASSED

    async def ask_all() -> list[str]:
        return await asyncio.gather(*map(ask, targets))

    outcomes = asyncio.run(ask_all())
    return outcomes if len(outcomes) > 1 else outcomes[0]


def ask_postgres(address: str, **options: Any) -> str | list[str]:
    login = {"user": postgres.USER, "password": postgres.PASSWORD}
    return outcome(PostgresCheck.from_options({**login, **options}), target_of(address))


def ask_redis(address: str, **options: Any) -> str | list[str]:
    return outcome(RedisCheck.from_options({"password": redis.PASSWORD, **options}), target_of(address))


def ask_mysql(address: str, **options: Any) -> str | list[str]:
    login = {"user": mariadb.USER, "password": mariadb.PASSWORD}
    return outcome(MysqlCheck.from_options({**login, **options}), target_of(address))


Ask = Callable[..., str | list[str]]


@contextmanager
def two_postgres() -> Iterator[tuple[Postgres, Postgres]]:
    with Postgres() as primary, Postgres(of=primary) as replica:
        yield primary, replica


@contextmanager
def two_redis() -> Iterator[tuple[Redis, Redis]]:
    with Redis() as primary, Redis(of=primary) as replica:
        replica.until(replica.is_linked)
        yield primary, replica


@contextmanager
def two_mariadb() -> Iterator[tuple[MariaDb, MariaDb]]:
    with MariaDb() as primary, MariaDb() as replica:
        replica.follow(primary)
        yield primary, replica


@pytest.mark.parametrize(
    ("servers", "ask"),
    [(two_postgres, ask_postgres), (two_redis, ask_redis), (two_mariadb, ask_mysql)],
    ids=["postgres", "redis", "mariadb"],
)
def test_an_endpoint_passes_while_it_has_the_role(servers: Any, ask: Ask) -> None:
    with servers() as (primary, replica):
        assert ask(primary.address, role="primary") == PASSED
        assert ask(primary.address, role="replica") == "is the primary, wanted a replica"
        assert ask(replica.address, role="primary") == "is a replica, wanted the primary"
        eventually(lambda: ask(replica.address, role="replica", max_lag_ms=5000) == PASSED, "it lags")
        assert [ask(it.address) for it in (primary, replica)] == [PASSED, PASSED]

        replica.promote()
        assert ask(replica.address, role="primary") == PASSED
        primary.stop()
        assert ask(primary.address, role="primary") == f"connect to {primary.address}: connection refused"

        # Not in what is said, whatever the server says itself.
        said = ask(replica.address, role="primary", password="not-the-password")
        assert said != PASSED
        assert "not-the-password" not in said


def test_postgres_tells_how_far_it_is_behind_and_nothing_to_replay_is_not_behind() -> None:
    with two_postgres() as (primary, replica):
        primary.execute("CREATE TABLE orders (number int)")
        replica.until(lambda: replica.has_caught_up(primary))
        # The latest transaction gets older and older, and there is still none to replay.
        replica.execute("SELECT pg_sleep(0.3)")
        assert ask_postgres(replica.address, role="replica", max_lag_ms=200) == PASSED

        replica.execute("SELECT pg_wal_replay_pause()")
        primary.execute("INSERT INTO orders VALUES (1)")
        behind = re.compile(r"is [0-9]+\.[0-9] s behind, allowed are 0\.2 s")
        eventually(
            lambda: (
                behind.fullmatch(str(ask_postgres(replica.address, role="replica", max_lag_ms=200)))
                is not None
            ),
            lambda: str(ask_postgres(replica.address, role="replica", max_lag_ms=200)),
        )
        replica.execute("SELECT pg_wal_replay_resume()")
        replica.until(lambda: ask_postgres(replica.address, role="replica", max_lag_ms=200) == PASSED)

        # Nobody sends any more: nobody knows what there would be.
        primary.stop()
        eventually(
            lambda: ask_postgres(replica.address, role="replica", max_lag_ms=200) != PASSED,
            "it is taken for up to date",
        )
        assert ask_postgres(replica.address, role="replica") == PASSED


def test_postgres_refuses_in_its_own_words() -> None:
    with Postgres() as server:
        at = server.address
        assert ask_postgres(at, password="wrong-password") == (
            f'log-in to {at}: password authentication failed for user "bascule"'
        )
        assert ask_postgres(at, database="nowhere") == f'log-in to {at}: database "nowhere" does not exist'
        by_socket = f"unix:{server.socket}"
        assert ask_postgres(by_socket, role="primary") == PASSED
        assert ask_postgres("unix:/run/x.sock") == (
            "connect to unix:/run/x.sock: PostgreSQL listens on sockets named .s.PGSQL.5432"
        )
        check = PostgresCheck.from_options({"user": postgres.USER, "password": postgres.PASSWORD})
        said = outcome(check, target_of(at, UNVERIFIED))
        assert said == f"connect to {at}: server does not support SSL, but SSL was required"


def test_a_check_asks_many_databases_at_the_same_time() -> None:
    with Postgres() as server, Redis() as cache:
        targets = [target_of(server.address), target_of("127.0.0.1:1")] * 10
        check: Check = PostgresCheck.from_options({"user": postgres.USER, "password": postgres.PASSWORD})
        assert [it == PASSED for it in outcome(check, *targets)] == [True, False] * 10
        targets = [target_of(cache.address), target_of("127.0.0.1:1")] * 10
        check = RedisCheck.from_options({"password": redis.PASSWORD})
        assert [it == PASSED for it in outcome(check, *targets)] == [True, False] * 10


def test_a_redis_replica_is_behind_by_time_or_by_bytes() -> None:
    with two_redis() as (primary, replica):
        at = replica.address
        primary.ask("SET", "x", "y" * 1000)
        replica.until(lambda: ask_redis(at, role="replica", max_lag_ms=3000, max_lag_bytes=0) == PASSED)
        primary.freeze()
        replica.until(lambda: ask_redis(at, role="replica", max_lag_ms=1000) != PASSED)
        assert str(ask_redis(at, role="replica", max_lag_ms=1000)).endswith(" s behind, allowed are 1 s")
        primary.thaw()


def test_a_redis_that_does_not_let_one_in_says_why() -> None:
    with Redis() as server:
        at = server.address
        assert ask_redis(at, password=None) == f"{at}: Authentication required."
        wrong = f"{at}: invalid username-password pair or user is disabled."
        assert ask_redis(at, password="wrong-password") == wrong
        server.ask("ACL", "SETUSER", "checker", "on", ">another-password", "+info")
        assert ask_redis(at, user="checker", password="another-password", role="primary") == PASSED


def test_the_primary_of_a_redis_is_whom_the_sentinels_name() -> None:
    with two_redis() as (primary, replica), Sentinel(primary) as sentinel:
        asked = {"role": "primary", "sentinels": [sentinel.address], "service": SERVICE}
        assert ask_redis(primary.address, **asked) == PASSED
        assert ask_redis(replica.address, **asked) == "is a replica, wanted the primary"
        sentinel.until(lambda: sentinel.knows(replica))
        primary.freeze()
        replica.until(lambda: ask_redis(replica.address, **asked) == PASSED)
        # It has not heard the news, and believes to be what it was.
        primary.thaw()
        said = ask_redis(primary.address, **asked)
        assert said in (
            f"says it is the primary, the sentinels say that {replica.address} is",
            "is a replica, wanted the primary",
        )
        sentinel.stop()
        assert str(ask_redis(replica.address, **asked)).startswith(
            f"no sentinel answers: connect to {sentinel.address}: "
        )


def test_a_mariadb_on_its_way_is_neither_a_primary_nor_a_replica() -> None:
    with two_mariadb() as (primary, replica):
        primary.execute("SET GLOBAL read_only = 1")
        assert ask_mysql(primary.address, role="primary") == "is read-only, wanted the primary"
        assert ask_mysql(primary.address, role="replica") == "replicates from nobody, wanted a replica"
        # Its rows are still those of a replica, however writable it is.
        replica.execute("STOP REPLICA", "SET GLOBAL read_only = 0")
        assert ask_mysql(replica.address, role="primary") == "is a replica, wanted the primary"
        assert ask_mysql(replica.address, role="replica", max_lag_ms=5000) == "does not replicate"
        assert ask_mysql(f"unix:{replica.socket}") == PASSED
        assert "privilege" in ask_mysql(replica.address, user="follower")


LOGINS: dict[type, dict[str, str]] = {
    PostgresCheck: {"user": postgres.USER, "password": postgres.PASSWORD},
    RedisCheck: {"password": redis.PASSWORD},
    MysqlCheck: {"user": mariadb.USER, "password": mariadb.PASSWORD},
}


@pytest.mark.parametrize(
    ("kind", "server"),
    [(PostgresCheck, Postgres), (RedisCheck, Redis), (MysqlCheck, MariaDb)],
    ids=lambda it: it.__name__,
)
def test_over_tls_a_database_must_prove_who_it_is(kind: Any, server: Any, tmp_path: Path) -> None:
    authority = Authority()
    ca, other = authority.write(tmp_path), Authority("Other").write(tmp_path, "other")
    check = kind.from_options(LOGINS[kind])
    with server(certificate=authority.issue("db.example")) as running:
        at = f"127.0.0.1:{getattr(running, 'tls_port', running.port)}"

        def ask(file: Path | None, name: str | None) -> str | list[str]:
            authorities = None if file is None else PlannedAuthorities((str(file),))
            return outcome(check, target_of(at, PlannedPoolTls(authorities, name, None, ())))

        assert ask(ca, "db.example") == PASSED
        assert ask(None, None) == PASSED
        refused = (ask(ca, None), ask(ca, "else.example"), ask(other, "db.example"))
        assert PASSED not in refused
        assert all("certificate" in it for it in refused), refused


def test_a_password_is_not_sent_in_the_clear_where_tls_is_wanted() -> None:
    with MariaDb() as server:
        check = MysqlCheck.from_options(LOGINS[MysqlCheck])
        said = outcome(check, target_of(server.address, UNVERIFIED))
        assert said != PASSED, "it went on without TLS"
