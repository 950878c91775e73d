"""How long each side may take: what the client gets when a limit passes, and what it is called then."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.endpoints import OK, Conversation, Step, answering, each, play
from tests.support.plane import RunningPlane, client_timeouts, listener, pool, route, route_timeouts, serving
from tests.support.raw import request

from bascule import contract

LIMIT = 100
"""Milliseconds. The other limits of a test are a hundred times that: what passes is never one of those."""


def client_may_take(**timeouts: int) -> contract.Listener:
    return listener(timeouts=client_timeouts(**timeouts))


def endpoint_may_take(**timeouts: Any) -> contract.Listener:
    return listener(route(timeouts=route_timeouts(**timeouts)))


def test_a_client_that_says_nothing_is_left_without_a_word() -> None:
    with serving(only=client_may_take(head_ms=LIMIT)) as (_, plane), plane.connect() as client:
        assert client.rest() == b""
        plane.wait_stats(lambda stats: stats.listeners[0].open == 0)
        assert plane.stats().listeners[0].requests == 0


@pytest.mark.parametrize("part", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\n"])
def test_a_client_that_stops_within_its_head_gets_408(part: bytes) -> None:
    with serving(only=client_may_take(head_ms=LIMIT)) as (endpoint, plane), plane.connect() as client:
        client.send(part)
        assert client.response().status == 408
        assert client.rest() == b""
        assert plane.endings(1) == {"client_too_slow": 1}
        assert plane.endpoint(endpoint).picked == 0


def test_a_client_that_sends_its_head_drop_by_drop_has_no_more_time_for_that() -> None:
    with serving(only=client_may_take(head_ms=2 * LIMIT)) as (_, plane), plane.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nX: ")
        # A drop every 20 ms for as long as there is no answer.
        while not select.select([client.socket], [], [], 0.02)[0]:
            client.send(b"y")
        assert client.response().status == 408


def test_the_time_for_a_second_head_begins_with_its_first_byte() -> None:
    only = client_may_take(head_ms=LIMIT)
    with serving(only=only) as (_, plane), plane.connect() as client:
        client.ask(request())
        assert not select.select([client.socket], [], [], 2 * LIMIT / 1000)[0]
        assert client.ask(request()).status == 200
        client.send(b"GET")
        assert client.response().status == 408


@pytest.mark.parametrize("body", [b"", b"hel"], ids=["nothing", "a part"])
@pytest.mark.parametrize("head", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_a_client_that_stops_within_its_body_gets_408(head: str, body: bytes) -> None:
    sent = request("POST", "/", head) + (body if "Length" in head else b"5\r\n" + body)
    script = play(Step.HEAD, Step.BODY)
    with serving(script, client_may_take(body_ms=LIMIT)) as (endpoint, plane), plane.connect() as client:
        client.send(sent)
        assert client.response().status == 408
        assert client.rest() == b""
        assert plane.endings(1) == {"client_too_slow": 1}
        endpoint.conversations[0].wait_end()
        assert endpoint.requests == []


def test_a_client_that_goes_on_with_its_body_may_take_its_time() -> None:
    with serving(only=client_may_take(body_ms=5 * LIMIT)) as (endpoint, plane), plane.connect() as client:
        client.send(request("POST", "/", "Content-Length: 7"))
        for letter in b"slowly!":
            assert not select.select([client.socket], [], [], LIMIT / 1000)[0]
            client.send(bytes([letter]))
        assert client.response().status == 200
    assert endpoint.requests[0].body == b"slowly!"


def test_a_client_that_stops_within_its_body_when_the_answer_has_begun_is_cut_off() -> None:
    script = play(Step.HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
    with serving(script, client_may_take(body_ms=LIMIT)) as (_, plane), plane.connect() as client:
        client.send(request("POST", "/", "Content-Length: 5"))
        assert client.cut_response().endswith(b"\r\n\r\nhe")
        assert plane.endings(1) == {"client_too_slow": 1}


def test_an_idle_client_is_left_without_a_word() -> None:
    with serving(only=client_may_take(keep_alive_ms=LIMIT)) as (_, plane), plane.connect() as client:
        assert client.ask(request()).fields.one("connection") is None
        assert client.rest() == b""
        assert plane.endings(1) == {"ok": 1}


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nX: "], ids=["nothing", "half a head"])
@pytest.mark.parametrize("content", [request(), request("POST", body=b"hello")], ids=["GET", "POST"])
def test_an_endpoint_that_does_not_answer_in_time_costs_504_and_its_connection(
    part: bytes, content: bytes
) -> None:
    script = each(play(Step.READ, part), answering())
    with serving(script, endpoint_may_take(response_ms=LIMIT)) as (endpoint, plane):
        with plane.connect() as client:
            assert client.ask(content).status == 504
            assert plane.endings(1) == {"response_timed_out": 1}
            endpoint.conversations[0].wait_end()
            # The client is not to blame.
            if content == request():
                assert client.ask(request()).status == 200
        assert len(endpoint.conversations[0].requests()) == 1


def test_interim_answers_do_not_stop_the_clock_for_ever() -> None:
    over = threading.Event()

    def hint(conversation: Conversation) -> None:
        conversation.read()
        while not over.wait(0.01):
            conversation.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")

    with serving(hint, endpoint_may_take(response_ms=2 * LIMIT)) as (_, plane):
        answer = plane.ask(request())
        assert answer.status in (502, 504)
        over.set()


def test_an_endpoint_that_stops_within_its_body_is_cut_off() -> None:
    script = each(play(Step.READ, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"), answering())
    with serving(script, endpoint_may_take(idle_ms=LIMIT)) as (endpoint, plane), plane.connect() as client:
        client.send(request())
        assert client.cut_response().endswith(b"\r\n\r\nhe")
        assert plane.endings(1) == {"response_stalled": 1}
        assert plane.codes(1) == {200: 1}
        endpoint.conversations[0].wait_end()


def test_an_endpoint_that_goes_on_with_its_body_may_take_its_time() -> None:
    steps: list[threading.Event | bytes] = []
    events = [threading.Event() for _ in range(7)]
    for event, letter in zip(events, b"slowly!", strict=True):
        steps += [event, bytes([letter])]
    script = play(Step.READ, b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", *steps)
    only = endpoint_may_take(idle_ms=5 * LIMIT, response_ms=LIMIT)
    with serving(script, only) as (_, plane), plane.connect() as client:
        client.send(request())
        client.head()
        for event in events:
            assert not select.select([client.socket], [], [], LIMIT / 1000)[0]
            event.set()
            client.stream.exactly(1)
        assert plane.endings(1) == {"ok": 1}


def test_a_whole_exchange_that_takes_too_long_before_its_answer_gets_504() -> None:
    with serving(play(Step.READ), endpoint_may_take(total_ms=LIMIT)) as (endpoint, plane):
        assert plane.ask(request()).status == 504
        assert plane.endings(1) == {"total_timed_out": 1}
        endpoint.conversations[0].wait_end()
        assert len(endpoint.conversations) == 1


def test_a_whole_exchange_that_takes_too_long_within_its_answer_is_cut_off() -> None:
    def drip(conversation: Conversation) -> None:
        conversation.read()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not conversation.ended.wait(0.01):
            conversation.send(b"x")

    with serving(drip, endpoint_may_take(total_ms=2 * LIMIT)) as (_, plane), plane.connect() as client:
        client.send(request())
        assert client.cut_response().startswith(b"HTTP/1.1 200 OK\r\n")
        assert plane.endings(1) == {"total_timed_out": 1}
        assert plane.codes(1) == {200: 1}


def test_a_whole_exchange_within_its_time_is_left_alone() -> None:
    with serving(only=endpoint_may_take(total_ms=100 * LIMIT)) as (_, plane), plane.connect() as client:
        assert [client.ask(request()).status for _ in range(3)] == [200] * 3


@contextmanager
def full_endpoint() -> Iterator[str]:
    """An address that takes no connection and refuses none: its accept queue is full for good."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        # The first one is in: the queue, which holds one, is full.
        select.select([], waiting[:1], [], 10)
        host, port = listening.getsockname()
        yield f"{host}:{port}"
        for one in waiting:
            one.close()


def test_an_endpoint_that_does_not_take_the_connection_in_time_costs_504() -> None:
    with full_endpoint() as full, RunningPlane([pool(full, connect_ms=LIMIT)]) as plane:
        assert plane.ask(request("POST", "/", body=b"hello")).status == 504
        assert plane.endings(1) == {"connect_timed_out": 1}
        counted = plane.endpoint(full)
        assert (counted.connects, counted.connect_failures, counted.in_flight) == (0, 1, 0)


def test_an_endpoint_whose_port_is_closed_costs_502() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host, port = closed.getsockname()
        with RunningPlane([pool(f"{host}:{port}")]) as plane, plane.connect() as client:
            assert [client.ask(request()).status for _ in range(2)] == [502, 502]
            assert plane.endings(2) == {"endpoint_refused": 2}


def test_an_endpoint_that_cannot_be_reached_costs_502(tmp_path: Path) -> None:
    nowhere = contract.Endpoint("gone", contract.UnixAddress(str(tmp_path / "gone")), 1)
    with RunningPlane([pool(nowhere)]) as plane:
        assert plane.ask(request()).status == 502
        assert plane.endings(1) == {"endpoint_unreachable": 1}


def test_a_pool_without_endpoints_costs_503() -> None:
    with RunningPlane([pool()]) as plane, plane.connect() as client:
        assert [client.ask(request()).status for _ in range(2)] == [503, 503]
        assert plane.endings(2) == {"no_endpoint": 2}


def test_time_limits_of_one_exchange_do_not_reach_into_the_next() -> None:
    """A timer that was set for one thing and is left over must not end another."""
    only = listener(
        route(timeouts=route_timeouts(response_ms=LIMIT, idle_ms=LIMIT, total_ms=2 * LIMIT)),
        timeouts=client_timeouts(head_ms=LIMIT, body_ms=LIMIT),
    )
    with serving(answering(OK), only) as (_, plane), plane.connect() as client:
        for _ in range(3):
            assert client.ask(request("POST", "/", body=b"hello")).status == 200
            assert not select.select([client.socket], [], [], 3 * LIMIT / 1000)[0]
