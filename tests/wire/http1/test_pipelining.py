"""Several requests on one client connection: their order, and where the last one is."""

import threading

import pytest
from tests.support.endpoints import OK, ScriptedEndpoint, Step, answering, echo_targets, play, response
from tests.support.plane import RunningPlane, client_limits, listener, pool, prefix, route, serving
from tests.support.raw import request
from tests.wire.http1.malformed import CANARY


def test_fifty_requests_in_one_segment_are_answered_in_their_order() -> None:
    targets = [f"/{number}" for number in range(50)]
    with serving(echo_targets) as (endpoint, plane), plane.connect() as client:
        client.send(*(request(target=target) for target in targets))
        assert [client.response().body.decode() for _ in targets] == targets
        assert plane.endings(50) == {"ok": 50}
        assert [len(seen.requests()) for seen in endpoint.conversations] == [50]


def test_requests_with_bodies_in_one_segment_keep_to_themselves() -> None:
    chunks = request("POST", "/chunks", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n"
    with serving(echo_targets) as (endpoint, plane), plane.connect() as client:
        client.send(request("POST", "/length", body=b"world"), chunks, request(target="/none"))
        assert [client.response().body for _ in range(3)] == [b"/length", b"/chunks", b"/none"]
    assert [seen.body for seen in endpoint.requests] == [b"world", b"hello", b""]


def test_a_fast_answer_waits_for_the_slow_one_before_it() -> None:
    go = threading.Event()
    with ScriptedEndpoint(play(Step.READ, go, OK)) as slow, ScriptedEndpoint(echo_targets) as fast:
        routes = [route("fast", id="fast", match=[prefix("/fast")]), route("slow")]
        pools = [pool(fast, id="fast"), pool(slow, id="slow")]
        with RunningPlane(pools, [listener(*routes)]) as plane, plane.connect() as client:
            client.send(request(target="/slow"), request(target="/fast"))
            slow.wait_requests(1)
            assert client.gets_nothing()
            go.set()
            assert [client.response().body for _ in range(2)] == [b"ok", b"/fast"]


@pytest.mark.parametrize(
    "last",
    [
        request("GET", "/", "Connection: close"),
        request("GET", "/", "Connection: CLOSE"),
        request("GET", "/", "Connection: keep-alive, close"),
        request("GET", "/", "Connection: x", "Connection: close"),
        request(version="1.0"),
        request("GET", "/", "Connection: x", version="1.0"),
        request("POST", "/", "Connection: close", body=b"hello"),
    ],
)
def test_what_follows_the_last_request_is_not_served(last: bytes) -> None:
    with serving() as (endpoint, plane), plane.connect() as client:
        client.send(last, CANARY)
        answer = client.response()
        assert (answer.status, answer.fields.one("connection")) == (200, "close")
        assert client.rest() == b""
        assert plane.endpoint(endpoint).picked == 1
    assert [seen.target for seen in endpoint.requests] == ["/"]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_client_that_asks_to_keep_its_connection_keeps_it(version: str) -> None:
    with serving() as (_, plane), plane.connect() as client:
        for _ in range(3):
            answer = client.ask(request("GET", "/", "Connection: Keep-Alive", version=version))
            assert answer.fields.one("connection") == ("keep-alive" if version == "1.0" else None)


def test_the_last_of_the_requests_that_a_connection_may_have_is_announced() -> None:
    only = listener(limits=client_limits(requests_per_connection=3))
    with serving(only=only) as (endpoint, plane), plane.connect() as client:
        client.send(*[request()] * 4)
        assert [client.response().fields.one("connection") for _ in range(3)] == [None, None, "close"]
        assert client.rest() == b""
        assert plane.endpoint(endpoint).picked == 3


def test_an_answer_of_ours_leaves_the_connection_for_the_next_request() -> None:
    only = listener(route(match=[prefix("/known")]))
    with serving(echo_targets, only) as (_, plane), plane.connect() as client:
        client.send(request(target="/unknown"), request("HEAD", "/unknown"), request(target="/known"))
        assert client.response().status == 404
        assert client.response(to="HEAD").status == 404
        assert client.response().body == b"/known"


def test_an_answer_of_ours_to_a_request_with_a_body_is_the_last_one() -> None:
    only = listener(route(match=[prefix("/known")]))
    with serving(echo_targets, only) as (endpoint, plane), plane.connect() as client:
        client.send(request("POST", "/unknown", body=CANARY), CANARY)
        answer = client.response()
        assert (answer.status, answer.fields.one("connection")) == (404, "close")
        assert client.rest() == b""
        assert plane.endpoint(endpoint).picked == 0


def test_requests_of_several_clients_share_the_connections_of_an_endpoint() -> None:
    with serving(echo_targets) as (endpoint, plane):
        for number in range(5):
            assert plane.ask(request(target=f"/{number}")).body == f"/{number}".encode()
        assert len(endpoint.conversations) == 1
        assert plane.endpoint(endpoint).connects == 1


def test_a_pool_without_idle_connections_opens_one_for_each_request() -> None:
    with serving(echo_targets, idle=0) as (endpoint, plane):
        assert [plane.ask(request()).status for _ in range(3)] == [200, 200, 200]
        for conversation in endpoint.wait_conversations(3):
            conversation.wait_end()
            assert len(conversation.requests()) == 1


def test_an_idle_connection_is_closed_when_its_time_is_up() -> None:
    with serving(idle_ms=50) as (endpoint, plane):
        plane.ask(request())
        endpoint.conversations[0].wait_end()
        plane.wait_stats(lambda stats: stats.endpoints[0].idle == 0)


def test_a_large_answer_before_a_small_one_does_not_change_their_order() -> None:
    large = response(body=b"x" * 1_000_000)
    with serving(play(Step.READ, large, Step.READ, OK)) as (_, plane), plane.connect() as client:
        client.send(request(), request())
        assert [len(client.response().body) for _ in range(2)] == [1_000_000, 2]


@pytest.mark.parametrize("rest", [b"", b"GET / HT"], ids=["whole requests", "a part of another"])
def test_a_client_that_half_closes_behind_its_requests_gets_all_answers(rest: bytes) -> None:
    with serving(echo_targets) as (_, plane), plane.connect() as client:
        client.send(*(request(target=f"/{number}") for number in range(3)), rest)
        client.finish()
        assert [client.response().body for _ in range(3)] == [b"/0", b"/1", b"/2"]
        assert client.rest() == b""
        assert plane.endings(3) == {"ok": 3}


def padded(message: bytes, length: int) -> bytes:
    """The message with one more field, so that it is `length` bytes long."""
    first, rest = message.split(b"\r\n", 1)
    return first + b"\r\nX-Pad: " + b"y" * (length - len(message) - len("X-Pad: \r\n")) + b"\r\n" + rest


@pytest.mark.parametrize("around", range(-2, 3))
@pytest.mark.parametrize("buffer", [16 * 1024, 128 * 1024])
def test_messages_that_end_where_a_buffer_does_come_through_whole(buffer: int, around: int) -> None:
    """The balancer reads so much at a time: 16 KiB of a head, 128 KiB of everything else."""
    size = buffer + around
    long_heads = listener(limits=client_limits(head_bytes=65_536))
    body = b"x" * (size - 300)
    asked = [
        padded(request("POST", "/", f"Content-Length: {len(body)}"), 300) + body,
        padded(request("POST", "/", "Content-Length: 60000"), 16 * 1024 + around) + b"x" * 60_000,
        padded(request(), 16 * 1024 + around),
    ]
    answers = [
        padded(response(body=body), size),
        padded(response(body=b"x" * 60_000), 60_000 + 16 * 1024 + around),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
    ]
    assert len(asked[0]) == len(answers[0]) == size
    with serving(answering(*answers), long_heads) as (endpoint, plane), plane.connect() as client:
        client.send(*asked)
        assert [len(client.response().body) for _ in asked] == [len(body), 60_000, len(body)]
    assert [len(seen.body) for seen in endpoint.requests] == [len(body), 60_000, 0]
