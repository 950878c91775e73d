"""Load from programs that were not written for us: not one error, and every request is counted."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.plane import RunningPlane, pool
from tests.support.processes import nginx, run_tool

from bascule import contract


@contextmanager
def in_front_of_nginx(threads: int) -> Iterator[RunningPlane]:
    """nginx answers 1 KiB to everything."""
    with nginx(f'keepalive_requests 1000000; location / {{ return 200 "{"x" * 1024}"; }}') as path:
        endpoint = contract.Endpoint("nginx", contract.UnixAddress(path), weight=1)
        with RunningPlane([pool(endpoint, idle=64)], threads=threads) as plane:
            yield plane


def test_two_seconds_of_wrk_end_without_an_error() -> None:
    with in_front_of_nginx(threads=1) as plane:
        said = run_tool("wrk", "-t1", "-c64", "-d2s", f"http://{plane.address()}/")
        assert "Socket errors" not in said, said
        assert "Non-2xx" not in said, said
        done = re.search(r"(\d+) requests in", said)
        assert done is not None
        # wrk leaves in the middle: what it had under way then has an ending too.
        assert plane.endings(int(done[1])).keys() <= {"ok", "client_aborted"}
        stats = plane.wait_stats(lambda stats: stats.listeners[0].open == 0)
        assert (stats.listeners[0].in_flight, stats.endpoints[0].in_flight) == (0, 0)


@pytest.mark.parametrize("pipelined", [1, 8])
def test_h2load_over_http_1_gets_an_answer_to_every_request(pipelined: int) -> None:
    with in_front_of_nginx(threads=2) as plane:
        said = run_tool(
            "h2load", "--h1", "-n", "20000", "-c", "40", "-m", str(pipelined), f"http://{plane.address()}/"
        )
        assert "20000 succeeded, 0 failed, 0 errored, 0 timeout" in said, said
        assert "status codes: 20000 2xx, 0 3xx, 0 4xx, 0 5xx" in said, said
        assert plane.endings(20_000) == {"ok": 20_000}


@pytest.mark.parametrize(("clients", "streams"), [(1, 100), (20, 10)])
def test_h2load_over_http_2_gets_an_answer_to_every_request(clients: int, streams: int) -> None:
    with in_front_of_nginx(threads=2) as plane:
        said = run_tool(
            "h2load", "-n", "20000", "-c", str(clients), "-m", str(streams), f"http://{plane.address()}/"
        )
        assert "20000 succeeded, 0 failed, 0 errored, 0 timeout" in said, said
        assert plane.endings(20_000) == {"ok": 20_000}
        assert plane.stats().listeners[0].accepted == clients
