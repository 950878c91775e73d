"""Who writes to a MariaDB through the balancer while another one takes over sees a pause."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from asyncmy.connection import Connection
from asyncmy.errors import MySQLError
from tests.support.examples import with_servers
from tests.support.mariadb import PASSWORD, MariaDb
from tests.support.program import Bascule
from tests.support.standing import standing, up
from tests.support.steady import Steady


async def run(connection: Any, statement: str) -> Any:
    """The first row, if there is one."""
    async with connection.cursor() as cursor:
        await cursor.execute(statement)
        return await cursor.fetchone()


@contextmanager
def connection(address: str) -> Iterator[Callable[[str], Any]]:
    """To a MariaDB, as one whom `read_only` does not stop: runs a statement, and gives its first row."""
    host, _, port = address.rpartition(":")
    with asyncio.Runner() as runner:
        connected: Any = Connection(  # type: ignore[no-untyped-call]
            host=host, port=int(port), user="writer", password=PASSWORD, autocommit=True, connect_timeout=60
        )
        try:
            runner.run(connected.connect())
            yield lambda statement: runner.run(run(connected, statement))
        finally:
            connected.close()


def writing(address: str) -> Steady:
    """Somebody who writes one row after the other."""

    @contextmanager
    def connect() -> Iterator[Callable[[int], str]]:
        with connection(address) as execute:
            (port,) = execute("SELECT @@port")

            def write(number: int) -> str:
                execute(f"INSERT INTO site.written VALUES ({number})")
                return f"127.0.0.1:{port}"

            yield write

    return Steady(connect, MySQLError, OSError)


def rows(server: MariaDb) -> int:
    """How many were written."""
    return int(server.execute("SELECT count(*) FROM site.written").split()[1])


def test_a_planned_change_of_the_primary_is_a_pause(folder: Path) -> None:
    with ExitStack() as ending:
        enter = ending.enter_context
        one, other = enter(MariaDb()), enter(MariaDb())
        other.follow(one)
        one.execute(
            "CREATE DATABASE site",
            "CREATE TABLE site.written (number int)",
            f"CREATE USER writer@'%' IDENTIFIED BY '{PASSWORD}'",
            "GRANT ALL ON *.* TO writer@'%'",
        )
        enter(pytest.MonkeyPatch.context()).setenv("DB_PASSWORD", PASSWORD)
        (folder / "bascule.yaml").write_text(with_servers("mariadb.yaml", 3306, [one.address, other.address]))
        running = enter(Bascule(folder, "run")).ready()
        writes, reads = running.addresses()
        writer = enter(writing(writes)).wait_done(one.address)
        with connection(reads) as execute:
            assert execute("SELECT @@port") == (other.port,)

        # The first step of a change by hand. It does not stop everybody, and ends no connection.
        one.execute("SET GLOBAL read_only = 1")
        writer.wait_broken(1).wait_held()
        assert standing(folder, "primary")[one.address]["reason"] == "is read-only, wanted the primary"
        assert up(folder, "primary") == []
        written = rows(one)
        other.until(lambda: rows(other) == written)

        other.promote()
        writer.wait_done(other.address)
        assert up(folder, "primary") == [other.address]
        assert rows(one) == written
        assert (writer.refused, len(writer.broken)) == ([], 1)
        one.follow(other)
        running.wait_said('"endpoint is up"', one.address, '"replicas"')
        with connection(reads) as execute:
            assert execute("SELECT @@port") == (one.port,)
        writer.report_pause("a planned change of the primary", one.address, other.address)
