"""Who writes to a Redis through the balancer while its master changes sees a pause, and no other master."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.support.eventually import eventually
from tests.support.examples import with_servers
from tests.support.program import Bascule
from tests.support.redis import PASSWORD, SERVICE, Redis, Sentinel
from tests.support.standing import standing, up
from tests.support.steady import Steady


@contextmanager
def connection(address: str) -> Iterator[Callable[[int], str]]:
    """To a Redis: writes a number, and says who has taken it."""
    host, _, port = address.rpartition(":")
    never = Retry(NoBackoff(), 0)
    # One connection, so that whoever is at its other end stays the same.
    with closing(
        redis.Redis(host, int(port), password=PASSWORD, single_connection_client=True, retry=never)
    ) as client:
        who = f"127.0.0.1:{client.info('server')['tcp_port']}"

        def write(number: int) -> str:
            client.rpush("written", number)
            return who

        yield write


def writing(address: str) -> Steady:
    """Somebody who writes one thing after the other."""
    return Steady(lambda: connection(address), redis.RedisError)


def hasty(address: str) -> Steady:
    """Somebody who writes each thing over another connection."""

    def write(number: int) -> str:
        with connection(address) as connected:
            return connected(number)

    return Steady(lambda: nullcontext(write), redis.RedisError)


def left(server: Redis) -> int:
    """What is written in a server, once nobody is connected to it who could write more."""

    def clients() -> str:
        return str(server.ask("CLIENT", "LIST", "TYPE", "normal"))

    eventually(lambda: "cmd=rpush" not in clients(), clients)
    return int(server.ask("LLEN", "written"))


@contextmanager
def scene(folder: Path, one: Redis, other: Redis, asked: str = "") -> Iterator[tuple[Bascule, Steady]]:
    """A master and its replica behind the balancer, and a writer. `asked`: more for the master's check."""
    with ExitStack() as ending:
        enter = ending.enter_context
        other.until(other.is_linked)
        enter(pytest.MonkeyPatch.context()).setenv("REDIS_PASSWORD", PASSWORD)
        text = with_servers("redis.yaml", 6379, [one.address, other.address], "2s")
        (folder / "bascule.yaml").write_text(
            text.replace("redis: {role: primary", f"redis: {{{asked}role: primary")
        )
        running = enter(Bascule(folder, "run")).ready()
        yield running, enter(writing(running.addresses()[0])).wait_done(one.address)


def test_a_redis_that_claims_beside_another_one_is_written_to_no_more(folder: Path) -> None:
    with Redis() as one, Redis(of=one) as other, scene(folder, one, other) as (running, writer):
        with ExitStack() as ending:
            address = running.addresses()[0]
            others = [ending.enter_context(hasty(address)).wait_done(one.address) for _ in range(8)]
            other.promote()
            running.wait_said('"endpoint is down"', one.address, '"primary"')
            written = left(one)
            writer.wait_broken(1).wait_held()
            assert up(folder, "primary") == []
            assert left(one) == written

            one.follow(other)
            writer.wait_done(other.address)
            for it in others:
                it.wait_done(other.address)
                # What was under way when the old one was given up, and nothing since.
                assert len(it.broken) <= 1, it.broken
        assert up(folder, "primary") == [other.address]
        assert (writer.refused, len(writer.broken)) == ([], 1)
        writer.report_pause("two claim to be the master", one.address, other.address)


def test_a_redis_that_comes_back_disturbs_nobody_where_sentinels_decide(folder: Path) -> None:
    with Redis() as one, Redis(of=one) as other, Sentinel(one) as sentinel:
        sentinel.until(lambda: sentinel.knows(other))
        asked = f'sentinel: ["{sentinel.address}"], service: {SERVICE}, '
        with scene(folder, one, other, asked) as (running, writer):
            one.freeze()
            writer.wait_done(other.address)
            assert up(folder, "primary") == [other.address]
            # It believes to be what it was until a sentinel tells it, ten seconds later.
            one.thaw()
            claimed = f"says it is the primary, the sentinels say that {other.address} is"
            said = (claimed, "is a replica, wanted the primary")
            running.until(lambda: standing(folder, "primary")[one.address]["reason"] in said)
            writer.wait_done(other.address)
            assert up(folder, "primary") == [other.address]
            assert (writer.refused, len(writer.broken)) == ([], 1)
            writer.report_pause("the master hangs", one.address, other.address)
