"""What the counters say after traffic of every kind, and that what is in flight always returns to zero."""

import threading
import time
from collections.abc import Callable

import pytest
from tests.support.endpoints import OK, ScriptedEndpoint, Step, answering, each, play, response
from tests.support.plane import RunningPlane, client_timeouts, listener, pool, prefix, route, route_timeouts
from tests.support.raw import RawClient, request
from tests.support.routes import own

from bascule import contract

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"


def counted(series: contract.Series) -> tuple[dict[int, int], dict[str, int]]:
    """The statuses and endings of one series."""
    return {one.code: one.count for one in series.codes}, {one.ending: one.count for one in series.endings}


def test_each_route_and_endpoint_has_its_own_counters() -> None:
    with (
        ScriptedEndpoint() as one,
        ScriptedEndpoint(play(Step.READ, response("404 Not Found"))) as two,
        RunningPlane(
            [pool(one, id="a"), pool(two, id="b")],
            [
                listener(
                    route("a", id="to a", match=[prefix("/a")]),
                    route("b", id="to b", match=[prefix("/b")]),
                    route(contract.RespondAction(204, (), ""), id="own", match=[prefix("/own")]),
                )
            ],
        ) as plane,
    ):
        for target in ("/a", "/a/1", "/b", "/own", "/nowhere"):
            plane.ask(request("GET", target))
        plane.ask(b"nonsense\r\n\r\n")
        plane.endings(6)
        found = {(one.route, one.pool, one.endpoint): counted(one) for one in plane.stats().series}
        assert found == {
            ("to a", "a", one.name): ({200: 2}, {"ok": 2}),
            ("to b", "b", two.name): ({404: 1}, {"ok": 1}),
            ("own", None, None): ({204: 1}, {"answered": 1}),
            ("", None, None): ({404: 1, 400: 1}, {"no_route": 1, "bad_request": 1}),
        }


def test_bytes_are_counted_as_they_cross_the_wire_heads_included() -> None:
    # Without a body, so that the same answer does for HEAD.
    script = answering(response("200 OK"))
    with (
        ScriptedEndpoint(script) as endpoint,
        RunningPlane([pool(endpoint)]) as plane,
        plane.connect() as client,
    ):
        sent = {"GET": request(), "POST": request("POST", body=b"x" * 50_000), "HEAD": request("HEAD")}
        client.send(*sent.values())
        for method in sent:
            assert client.response(to=method).status == 200
        plane.endings(3)
        (series,) = plane.stats().series
        assert series.received_bytes == sum(map(len, sent.values()))
        assert series.sent_bytes == len(client.stream.received)


def test_a_response_of_ours_is_counted_with_its_bytes() -> None:
    with RunningPlane([], [listener(own(204))]) as plane, plane.connect() as client:
        assert client.ask(request()).status == 204
        plane.endings(1)
        (series,) = plane.stats().series
        assert (series.received_bytes, series.sent_bytes) == (len(request()), len(client.stream.received))


def test_durations_are_those_that_the_client_waited() -> None:
    go = threading.Event()
    with (
        ScriptedEndpoint(play(Step.READ, go, OK)) as endpoint,
        RunningPlane([pool(endpoint)]) as plane,
        plane.connect() as client,
    ):
        began = time.monotonic()
        client.send(request())
        endpoint.wait_requests(1)
        asked = time.monotonic()
        threading.Timer(0.05, go.set).start()
        go.wait()
        answered = time.monotonic()
        assert client.response().status == 200
        plane.endings(1)
        waited = time.monotonic() - began
        (series,) = plane.stats().series
        assert (answered - asked) * 1e6 <= series.response.sum_us <= series.duration.sum_us <= waited * 1e6
        for histogram in (series.response, series.duration):
            (bucket,) = histogram.buckets
            assert (histogram.count, bucket.count) == (1, 1)
            # Four buckets per power of two.
            assert bucket.upper_us * 0.8 <= histogram.sum_us < bucket.upper_us


def test_what_no_endpoint_answered_is_not_in_the_histogram_of_responses() -> None:
    with (
        ScriptedEndpoint(play(Step.READ, Step.CLOSE)) as bad,
        RunningPlane([pool(bad, attempts=0)]) as plane,
    ):
        assert plane.ask(request()).status == 502
        plane.endings(1)
        (series,) = plane.stats().series
        assert (series.duration.count, series.response.count) == (1, 0)


def test_listeners_count_connections_and_requests_well_formed_or_not() -> None:
    with RunningPlane([], [listener(own(204))]) as plane, plane.connect() as client:
        assert client.ask(request()).status == 204
        assert client.ask(request()).status == 204
        assert plane.ask(b"nonsense\r\n\r\n").status == 400
        stats = plane.wait_stats(lambda stats: stats.listeners[0].open == 1).listeners[0]
        assert (stats.accepted, stats.requests, stats.in_flight) == (2, 3, 0)
        client.close()
        plane.wait_stats(lambda stats: stats.listeners[0].open == 0)


def test_endpoints_count_connections_that_are_opened_and_kept() -> None:
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)]) as plane, plane.connect() as client:
        for _ in range(5):
            assert client.ask(request()).status == 200
        plane.wait_stats(lambda stats: stats.endpoints[0].idle == 1)
        seen = plane.endpoint(endpoint)
        assert (seen.picked, seen.connects, seen.connect_failures, seen.retried) == (5, 1, 0, 0)


def test_the_threads_are_added_up() -> None:
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)], threads=3) as plane:
        for _ in range(30):
            assert plane.ask(request()).status == 200
        assert plane.endings(30) == {"ok": 30}
        stats = plane.stats()
        assert len(stats.series) == 1
        assert (stats.listeners[0].accepted, stats.endpoints[0].picked) == (30, 30)


def test_clients_cannot_invent_series() -> None:
    with RunningPlane([], [listener(own(204))]) as plane, plane.connect() as client:
        for number in range(300):
            sent = f"M{number} /{number}?{number} HTTP/1.1\r\nHost: h{number}.test\r\nX-{number}: 1\r\n\r\n"
            assert client.ask(sent.encode()).status == 204
        plane.endings(300)
        assert len(plane.stats().series) == 1


def test_an_endpoint_that_invents_statuses_does_not_invent_counters() -> None:
    answers = [response(f"{status} Odd") for status in range(400, 440)]
    with (
        ScriptedEndpoint(play(*(step for answer in answers for step in (Step.READ, answer)))) as endpoint,
        RunningPlane([pool(endpoint)]) as plane,
        plane.connect() as client,
    ):
        assert [client.ask(request()).status for _ in answers] == list(range(400, 440))
        codes = plane.codes(40)
        assert len(codes) == 16
        assert codes[999] == 25


def reset_while_it_waits(client: RawClient, endpoint: ScriptedEndpoint) -> None:
    client.send(request())
    endpoint.wait_requests(1)
    client.reset()


def reset_within_the_body(client: RawClient, endpoint: ScriptedEndpoint) -> None:
    client.send(request("POST", "/", "Content-Length: 100"), b"half")
    endpoint.wait_conversations(1)
    client.reset()


def close_within_the_body(client: RawClient, endpoint: ScriptedEndpoint) -> None:
    client.send(request("POST", "/", "Transfer-Encoding: chunked"), b"5\r\nab")
    endpoint.wait_conversations(1)
    client.close()


def malformed_body(client: RawClient, endpoint: ScriptedEndpoint) -> None:
    client.send(request("POST", "/", "Transfer-Encoding: chunked"), b"5\r\nabcdeXX")
    assert client.response().status == 400


def reset_within_the_head(client: RawClient, endpoint: ScriptedEndpoint) -> None:
    client.send(b"GET / HT")
    client.reset()


def say_nothing_and_leave(client: RawClient, endpoint: ScriptedEndpoint) -> None:
    client.close()


def leave_pipelined_requests_behind(client: RawClient, endpoint: ScriptedEndpoint) -> None:
    client.send(request() * 5)
    endpoint.wait_requests(1)
    client.reset()


def cut_within_the_response(client: RawClient, endpoint: ScriptedEndpoint) -> None:
    client.send(request("GET", "/"))
    endpoint.wait_requests(1)
    endpoint.conversations[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    client.head()
    endpoint.conversations[0].socket.shutdown(2)
    assert client.rest() == b"half"


def reset_within_the_response(client: RawClient, endpoint: ScriptedEndpoint) -> None:
    client.send(request("GET", "/"))
    endpoint.wait_requests(1)
    endpoint.conversations[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    client.head()
    client.reset()


def wait_too_long(client: RawClient, endpoint: ScriptedEndpoint) -> None:
    client.send(request("GET", "/brief"))
    assert client.response().status == 504


def reset_a_tunnel(client: RawClient, endpoint: ScriptedEndpoint) -> None:
    client.send(request("GET", "/", "Connection: upgrade", "Upgrade: echo"))
    endpoint.wait_requests(1)
    endpoint.conversations[0].send(SWITCHED)
    assert client.head().status == 101
    client.reset()


Abort = Callable[[RawClient, ScriptedEndpoint], None]
ABORTS: list[Abort] = [
    reset_while_it_waits,
    reset_within_the_body,
    close_within_the_body,
    malformed_body,
    reset_within_the_head,
    say_nothing_and_leave,
    leave_pipelined_requests_behind,
    cut_within_the_response,
    reset_within_the_response,
    wait_too_long,
    reset_a_tunnel,
]


@pytest.mark.parametrize("abort", ABORTS, ids=lambda abort: abort.__name__)
def test_nothing_stays_in_flight_after(abort: Abort) -> None:
    with (
        ScriptedEndpoint(each(play(Step.READ))) as endpoint,
        RunningPlane(
            [pool(endpoint, attempts=0)],
            [
                listener(
                    route(id="brief", match=[prefix("/brief")], timeouts=route_timeouts(response_ms=50)),
                    route(),
                    timeouts=client_timeouts(head_ms=10_000),
                )
            ],
        ) as plane,
    ):
        client = plane.connect()
        abort(client, endpoint)
        client.close()
        stats = plane.wait_stats(lambda stats: stats.listeners[0].open == 0)
        assert stats.listeners[0].in_flight == 0
        assert (stats.endpoints[0].in_flight, stats.endpoints[0].idle) == (0, 0)
        for conversation in endpoint.conversations:
            conversation.wait_end()
        # Whatever it was: it is written down as often as it happened.
        heads = stats.listeners[0].requests
        assert sum(one.count for series in stats.series for one in series.endings) == heads
