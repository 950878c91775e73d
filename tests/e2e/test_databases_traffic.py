"""Who writes to a PostgreSQL through the balancer while its primary changes sees a pause, and no old one."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.eventually import eventually
from tests.support.examples import with_servers
from tests.support.postgres import PASSWORD, Postgres
from tests.support.program import Bascule, command
from tests.support.standing import standing, up
from tests.support.steady import HELD, Steady

AT_ONCE = 1.0
"""Seconds that what happens at once takes at most, on a machine that does much else."""


def said_at(running: Bascule, *words: str) -> float:
    """When the balancer first said a line with all these words, by the system's clock."""
    line = next(line for line in running.said if all(word in line for word in words))
    return datetime.fromisoformat(json.loads(line)["time"]).timestamp()


@contextmanager
def connection(address: str, name: str) -> Iterator[psycopg.Connection]:
    """To a PostgreSQL, as one that may do everything."""
    host, _, port = address.rpartition(":")
    where = f"host={host} port={port} user=postgres dbname=postgres sslmode=disable gssencmode=disable"
    with closing(psycopg.connect(where, autocommit=True, application_name=name)) as connected:
        yield connected


def writing(address: str) -> Steady:
    """Somebody who writes one row after the other."""

    @contextmanager
    def connect() -> Iterator[Callable[[int], str]]:
        with connection(address, "writer") as connected:
            insert = "INSERT INTO written VALUES (%s) RETURNING '127.0.0.1:' || inet_server_port()"
            yield lambda number: str(only(connected.execute(insert, (number,))))

    return Steady(connect, psycopg.Error)


def reading(address: str) -> Steady:
    """Somebody who reads, each time over another connection."""

    def read(_: int) -> str:
        with connection(address, "reader") as connected:
            return server_of(connected)

    @contextmanager
    def connect() -> Iterator[Callable[[int], str]]:
        yield read

    return Steady(connect, psycopg.Error)


@dataclass
class Scene:
    """A primary with two replicas behind the balancer, and clients that are at work."""

    folder: Path
    running: Bascule
    one: Postgres
    """The primary, at first."""
    other: Postgres
    third: Postgres
    writes: str
    """Where to write."""
    writer: Steady
    reader: Steady

    def wait_down(self, pool: str = "primary") -> float:
        """When `one` was taken out of a pool, once it is."""
        words = ('"endpoint is down"', self.one.address, f'"{pool}"')
        self.running.wait_said(*words)
        return said_at(self.running, *words)

    def wait_ended(self, listener: str, endpoint: str) -> dict[str, Any]:
        """What the access log says of the first connection to this endpoint that has ended, once it has."""
        words = (f'"listener":"{listener}"', f'"endpoint":"{endpoint}"')

        def lines() -> list[str]:
            return [line for line in self.running.written if all(word in line for word in words)]

        self.running.until(lambda: bool(lines()))
        told: dict[str, Any] = json.loads(lines()[0])
        return told

    def wait_left(self, direct: psycopg.Connection) -> int:
        """How many rows there are in `one`, once nobody is connected who could write more of them."""
        asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('writer', 'bystander')"
        eventually(lambda: only(direct.execute(asked)) == 0, "connections to the old primary are open")
        return rows(direct)

    def report(self, what: str) -> None:
        """The pause that the writer saw, for whoever reads the results."""
        self.writer.report_pause(what, self.one.address, self.other.address)


def only(found: psycopg.Cursor) -> Any:
    """The only value that was found."""
    ((value,),) = found
    return value


def rows(direct: psycopg.Connection) -> int:
    """How many were written."""
    return int(only(direct.execute("SELECT count(*) FROM written")))


def latest_row(direct: psycopg.Connection) -> float:
    """When the latest one was written, by the system's clock."""
    return float(only(direct.execute("SELECT extract(epoch FROM max(at)) FROM written")))


def server_of(connected: psycopg.Connection) -> str:
    """Who is at the other end."""
    return str(only(connected.execute("SELECT '127.0.0.1:' || inet_server_port()")))


@contextmanager
def scene(folder: Path, timeout: str = "10s") -> Iterator[Scene]:
    with ExitStack() as ending:
        enter = ending.enter_context
        one = enter(Postgres())
        one.execute("CREATE TABLE written (number int, at timestamptz DEFAULT clock_timestamp())")
        other, third = enter(Postgres(of=one)), enter(Postgres(of=one))
        servers = [it.address for it in (one, other, third)]
        enter(pytest.MonkeyPatch.context()).setenv("DB_PASSWORD", PASSWORD)
        (folder / "bascule.yaml").write_text(with_servers("postgres.yaml", 5432, servers, timeout))
        running = enter(Bascule(folder, "run")).ready()
        writes, reads = running.addresses()
        writer, reader = enter(writing(writes)), enter(reading(reads))
        writer.wait_done(one.address)
        reader.wait_done(other.address).wait_done(third.address)
        yield Scene(folder, running, one, other, third, writes, writer, reader)


def test_a_writer_sees_a_pause_when_the_primary_dies(folder: Path) -> None:
    with scene(folder) as it:
        it.one.stop()
        it.wait_down()
        # Whom the dying server had taken already, it has let down.
        refused = len(it.writer.wait_broken(1).wait_held().refused)
        assert up(folder, "primary") == []
        it.reader.wait_done(it.third.address)

        it.other.promote()
        promoted = time.time()
        it.writer.wait_done(it.other.address)
        assert up(folder, "primary") == [it.other.address]
        followed = it.writer.by(it.other.address)[0].ended - promoted
        assert followed < AT_ONCE
        print(f"the new primary got its first write {followed:.3f} s after it was promoted")
        assert (len(it.writer.refused), len(it.writer.broken)) == (refused, 1)

        # Nobody reads from the new primary any more, and nobody was told that there is nothing to read from.
        it.running.wait_said('"endpoint is down"', it.other.address, '"replicas"')
        it.reader.wait_done(it.third.address)
        assert (it.reader.refused, it.reader.broken) == ([], [])
        it.report("the primary dies")


def test_no_write_reaches_an_old_primary_that_still_takes_them(folder: Path) -> None:
    with scene(folder) as it, connection(it.one.address, "idle") as direct:
        with connection(it.writes, "bystander") as bystander:
            assert server_of(bystander) == it.one.address
            # Nobody tells the old one, which goes on to take what comes.
            it.other.promote()
            down_at = it.wait_down()
            it.writer.wait_broken(1).wait_held()
            with pytest.raises(psycopg.OperationalError):
                server_of(bystander)
        left = it.wait_left(direct)
        assert latest_row(direct) - down_at < 0.1

        both = " and ".join(sorted([it.one.address, it.other.address]))
        claimed = f"{both} pass a check that only one may pass: none of them is used"
        assert up(folder, "primary") == []
        said = standing(folder, "primary")
        assert [said[address]["reason"] for address in (it.one.address, it.other.address)] == [claimed] * 2
        assert f"{both} pass a check that only one may pass" in command(folder, "status").out
        assert it.writer.by(it.other.address) == []
        direct.execute("INSERT INTO written VALUES (0)")
        assert rows(direct) == left + 1
        it.reader.wait_done(it.third.address)

        it.one.stop()
        it.writer.wait_done(it.other.address)
        assert up(folder, "primary") == [it.other.address]
        assert (it.writer.refused, len(it.writer.broken)) == ([], 1)
        assert (it.reader.refused, it.reader.broken) == ([], [])
        it.report("two claim to be the primary")


def test_no_write_reaches_an_old_primary_that_comes_back(folder: Path) -> None:
    with scene(folder, timeout="2s") as it, connection(it.one.address, "idle") as direct:
        # No log-in is answered any more. Who is logged in is served as before, until the check has noticed.
        it.one.freeze()
        it.writer.wait_done(it.one.address, more=20)
        down_at = it.wait_down()
        it.writer.wait_broken(1).wait_held()
        left = it.wait_left(direct)
        assert latest_row(direct) - down_at < 0.1

        it.other.promote()
        it.writer.wait_done(it.other.address)
        assert up(folder, "primary") == [it.other.address]
        it.report("the primary hangs")

        it.one.thaw()
        it.running.wait_said('"endpoint is down"', it.other.address, '"primary"')
        it.writer.wait_broken(2).wait_held()
        assert up(folder, "primary") == []
        assert rows(direct) == left
        # The connection that was held says so in the access log, now that it has ended.
        flow = it.wait_ended("writes", it.other.address)
        assert flow["ending"] == "endpoint_down"
        assert flow["queue_ms"] >= HELD * 1000
        it.one.stop()
        it.writer.wait_done(it.other.address)
        assert (it.writer.refused, len(it.writer.broken)) == ([], 2)
        assert (it.reader.refused, it.reader.broken) == ([], [])
