"""Mirrors, splits, what endpoints are told about time, and how many connections one client may have."""

from collections import Counter

import pytest
from tests.support.endpoints import ScriptedEndpoint, Step, answering, play, response
from tests.support.eventually import eventually
from tests.support.places import closed_port
from tests.support.plane import RunningPlane, client_limits, forwarded, listener, pool, route, route_timeouts
from tests.support.raw import request

from bascule import contract

MIRROR = contract.Mirror("shadow", 1000)


@pytest.mark.parametrize("sent", [request("GET", "/a?b=1"), request("POST", "/a", body=b"twelve bytes")])
def test_a_mirror_gets_what_the_pool_gets_and_the_client_never_hears_of_it(sent: bytes) -> None:
    with ScriptedEndpoint() as real, ScriptedEndpoint(answering(response("500 No", b"shadow"))) as shadow:
        pools = [pool(real), pool(shadow, id="shadow")]
        with RunningPlane(pools, [listener(route(mirror=MIRROR))]) as plane:
            with plane.connect() as client:
                assert [client.ask(sent).status for _ in range(3)] == [200] * 3
            eventually(lambda: len(shadow.requests) == 3, lambda: f"three copies: {shadow.requests}")
            assert shadow.requests == real.requests
            plane.wait_stats(lambda it: it.endpoints[1].in_flight == 0)
            assert plane.pool("shadow").mirrored == 3


def test_a_mirror_that_is_gone_or_silent_costs_the_client_nothing() -> None:
    with (
        closed_port() as gone,
        ScriptedEndpoint(play(Step.READ, Step.READ)) as silent,
        ScriptedEndpoint() as real,
    ):
        pools = [pool(real), pool(gone, silent, id="shadow")]
        with RunningPlane(pools, [listener(route(mirror=MIRROR))]) as plane, plane.connect() as client:
            assert [client.ask(request()).status for _ in range(6)] == [200] * 6


def test_a_split_sends_each_pool_its_share() -> None:
    shares = contract.SplitAction(
        (contract.Share("site", 3), contract.Share("canary", 1), contract.Share("off", 0))
    )
    with ScriptedEndpoint() as stable, ScriptedEndpoint() as canary, ScriptedEndpoint() as off:
        pools = [pool(stable), pool(canary, id="canary"), pool(off, id="off")]
        with RunningPlane(pools, [listener(route(shares))]) as plane, plane.connect() as client:
            assert Counter(client.ask(request()).status for _ in range(400)) == {200: 400}
        assert 60 <= len(canary.requests) <= 140
        assert len(stable.requests) + len(canary.requests) == 400
        assert not off.requests


def deadlines(*sent: bytes, total_ms: int | None, trusted: bool) -> list[str | None]:
    timeouts = route_timeouts(total_ms=total_ms, deadline_header="X-Time-Left")
    networks = ["127.0.0.0/8"] if trusted else []
    with ScriptedEndpoint() as endpoint:
        listening = listener(route(timeouts=timeouts), forwarded=forwarded(trusted=networks))
        with RunningPlane([pool(endpoint)], [listening]) as plane:
            for each in sent:
                assert plane.ask(each).status == 200
        return [request.fields.one("X-Time-Left") for request in endpoint.requests]


def test_endpoints_are_told_how_long_anybody_will_wait() -> None:
    told = deadlines(request(), total_ms=8_000, trusted=False)
    assert told[0] is not None and 7_000 < int(told[0]) <= 8_000
    assert deadlines(request(), total_ms=None, trusted=False) == [None]


def test_only_a_trusted_client_may_shorten_the_time() -> None:
    hurried = request("GET", "/", "X-Time-Left: 5000")
    [believed] = deadlines(hurried, total_ms=8_000, trusted=True)
    [ignored] = deadlines(hurried, total_ms=8_000, trusted=False)
    assert believed is not None and ignored is not None
    assert 4_000 < int(believed) <= 5_000
    assert int(ignored) > 7_000


def test_a_client_has_so_many_connections_and_no_more() -> None:
    limits = client_limits(connections_per_client=2)
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)], [listener(limits=limits)]) as plane:
        with plane.connect() as one, plane.connect() as other:
            assert one.ask(request()).status == other.ask(request()).status == 200
            with plane.connect() as third:
                assert third.rest() == b""
            plane.wait_stats(lambda it: it.listeners[0].turned_away == 1)
            assert one.ask(request()).status == 200
        plane.wait_stats(lambda it: it.listeners[0].open == 0)
        with plane.connect() as again:
            assert again.ask(request()).status == 200
