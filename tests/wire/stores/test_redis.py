"""Several balancers remember sessions and count requests in one real redis-server, and go on without it."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.endpoints import ScriptedEndpoint, answering, response
from tests.support.eventually import PATIENCE, eventually
from tests.support.plane import RunningPlane, listener, pool, route
from tests.support.raw import request

from bascule import contract
from bascule.contract import codec

USER = request("GET", "/", "X-User: ada")
LIMIT = contract.RateLimit("all", None, requests=10, per_ms=3_600_000, burst=4, store="shared")
SESSIONS = contract.Sessions(
    contract.ByKey(contract.HeaderKey("X-User"), contract.SessionTable(60_000, 100, "shared")), strict=False
)


class Redis:
    """Debian's redis-server on a Unix socket, without a trace on disk."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        assert program, "redis-server is missing: apt-get install redis-server"
        self.path = folder / "redis.sock"
        quiet = ["--save", "", "--appendonly", "no", "--port", "0", "--dir", str(folder)]
        self._process = subprocess.Popen(
            [program, "--unixsocket", str(self.path), *quiet], stdout=subprocess.DEVNULL
        )
        eventually(self.path.exists, lambda: "redis-server to listen")

    def store(self, wait_ms: int = 5_000) -> contract.Store:
        """As long a wait as a loaded machine may need."""
        return contract.Store("shared", contract.UnixAddress(str(self.path)), None, None, 0, "test:", wait_ms)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()

    def hang(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    yield server
    server.stop()


@contextmanager
def named(count: int) -> Iterator[list[ScriptedEndpoint]]:
    with ExitStack() as ending:
        endpoints = [ending.enter_context(ScriptedEndpoint()) for _ in range(count)]
        for endpoint in endpoints:
            endpoint.script = answering(response(body=endpoint.name.encode()))
        yield endpoints


def balancer(endpoints: list[ScriptedEndpoint], store: contract.Store, threads: int = 1) -> RunningPlane:
    listening = listener(route(limits=()))
    return RunningPlane([pool(*endpoints, sessions=SESSIONS)], [listening], stores=[store], threads=threads)


def test_another_balancer_finds_a_session_where_the_first_one_put_it(redis: Redis) -> None:
    with named(5) as endpoints, balancer(endpoints, redis.store()) as one:
        home = one.ask(USER).body
        assert {one.ask(USER).body for _ in range(4)} == {home}
        # Nobody waits for a session to be written: the second balancer is asked until it is there.
        with balancer(endpoints, redis.store()) as other:
            eventually(
                lambda: other.ask(request("GET", "/", "X-User: ada")).body == home,
                lambda: "the session to be shared",
            )
            assert {other.ask(USER).body for _ in range(4)} == {home}


def test_two_balancers_count_together(redis: Redis) -> None:
    listening = listener(route(limits=(LIMIT,)))
    with (
        ScriptedEndpoint() as endpoint,
        RunningPlane([pool(endpoint)], [listening], stores=[redis.store()]) as one,
        RunningPlane([pool(endpoint)], [listening], stores=[redis.store()]) as other,
    ):
        statuses = [plane.ask(request()).status for _ in range(4) for plane in (one, other)]
        assert statuses == [200] * 4 + [429] * 4
        assert int(one.ask(request()).fields.one("Retry-After") or 0) > 300


@pytest.mark.parametrize("how", ["stop", "hang"])
def test_a_store_that_is_down_fails_no_request_and_is_told_once(redis: Redis, how: str) -> None:
    listening = listener(route(limits=(LIMIT,)))
    with named(2) as endpoints:
        pools = [pool(*endpoints, sessions=SESSIONS)]
        with RunningPlane(pools, [listening], stores=[redis.store(wait_ms=2_000)]) as plane:
            assert plane.ask(USER).status == 200
            getattr(redis, how)()
            # Each balancer counts for itself from now on: its own bucket is still full.
            assert [plane.ask(USER).status for _ in range(4)] == [200] * 4
            assert plane.ask(USER).status == 429
            assert isinstance(plane.wait_event("store_failed").what, contract.StoreFailed)
            assert [event.what.kind for event in plane.events].count("store_failed") == 1


def test_a_store_that_comes_back_is_told_once_by_all_threads_and_shares_sessions_again(redis: Redis) -> None:
    with named(5) as endpoints, ExitStack() as ending:
        one, other = (
            ending.enter_context(balancer(endpoints, redis.store(wait_ms=1_000), threads=2)) for _ in range(2)
        )
        assert one.ask(USER).status == other.ask(USER).status == 200
        redis.hang()
        for plane in (one, other):
            # Another client each time: a session that is known here needs no store.
            assert {plane.ask(user(f"hanging-{at}")).status for at in range(20)} == {200}
        redis.resume()
        for plane in (one, other):
            wait_for_the_store(plane)
        home = one.ask(user("grace")).body
        eventually(lambda: other.ask(user("grace")).body == home, "the session to be shared")
        for plane in (one, other):
            kinds = [event.what.kind for event in plane.events]
            assert kinds.count("store_failed") == kinds.count("store_recovered") == 1


def user(name: str) -> bytes:
    return request("GET", "/", f"X-User: {name}")


def wait_for_the_store(plane: RunningPlane) -> None:
    """Asks until it has recovered: trials are made when there are requests that would use the store."""

    def is_back() -> bool:
        assert plane.ask(user("somebody")).status == 200
        plane.events += codec.decode(tuple[contract.Event, ...], plane.plane.events(100))
        return any(event.what.kind == "store_recovered" for event in plane.events)

    eventually(is_back, lambda: f"the store to come back: {plane.events}", PATIENCE * 2)


def test_a_reload_goes_on_in_the_store_and_database_that_it_names(redis: Redis) -> None:
    listening = listener(route(limits=(LIMIT,)))
    with (
        ScriptedEndpoint() as endpoint,
        RunningPlane([pool(endpoint)], [listening], stores=[redis.store()]) as plane,
    ):
        assert [plane.ask(request()).status for _ in range(5)] == [200] * 4 + [429]
        plane.apply([pool(endpoint)], [listening], stores=[redis.store()])
        assert plane.ask(request()).status == 429
        plane.apply([pool(endpoint)], [listening], stores=[replace(redis.store(), database=1)])
        assert [plane.ask(request()).status for _ in range(5)] == [200] * 4 + [429]


def test_a_store_that_was_never_there_fails_no_request(tmp_path: Path) -> None:
    nowhere = contract.Store(
        "shared", contract.UnixAddress(str(tmp_path / "no")), None, None, 0, "test:", 100
    )
    with named(3) as endpoints, balancer(endpoints, nowhere) as plane:
        assert len({plane.ask(USER).body for _ in range(6)}) == 1
