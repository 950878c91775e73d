"""WebSocket over HTTP/2 between the `websockets` library on both sides: what is said, and how it ends."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.certificates import Authority
from tests.support.eventually import PATIENCE
from tests.support.http2 import head
from tests.support.plane import RunningPlane, listener, pool, route, route_timeouts
from tests.support.tls import listener_tls, material, trusting
from tests.support.websocket import WebSocketEndpoint, chatting
from tests.support.websocket_http2 import Http2WebSocket
from websockets.frames import Close
from websockets.sync.server import ServerConnection

MESSAGES: list[str | bytes] = ["", b"", "hello", "ø" * 125, b"\0" * 126, b"\xff" * 65_536, "x" * 1_000_000]
CLOSES = [
    Close(1000, "bye"),
    Close(1001, ""),
    Close(1011, "it broke"),
    Close(3000, "a" * 123),
    Close(4999, "ø"),
]


@contextmanager
def talking(plane: RunningPlane) -> Iterator[Http2WebSocket]:
    with plane.connect_http2() as client:
        yield Http2WebSocket(client)


def test_messages_of_every_length_and_kind_come_back_as_they_went() -> None:
    with chatting() as (_, plane), talking(plane) as socket:
        for message in MESSAGES:
            socket.send(message)
            assert socket.recv() == message
        assert socket.close(1000) == Close(1000, "")
        assert plane.endings(1) == {"tunnelled": 1}


def test_sockets_and_requests_of_one_connection_do_not_mix() -> None:
    with chatting() as (_, plane), plane.connect_http2() as client:
        sockets = [Http2WebSocket(client) for _ in range(50)]
        order = random.Random(1)
        for number in range(500):
            socket = order.choice(sockets)
            socket.send(f"{number}")
            assert socket.recv() == f"{number}"
        # The library's server has a word for those who come without a WebSocket.
        assert client.ask(head("GET", "/")).status == 426
        for socket in sockets:
            assert socket.close(4000, "enough") == Close(4000, "enough")
        assert (client.goodbye, client.closed) == (None, False)


def test_each_side_answers_the_pings_of_the_other() -> None:
    def ping_first(connection: ServerConnection) -> None:
        assert connection.ping(b"from the endpoint").wait(PATIENCE)
        connection.send("heard it")
        connection.recv()

    with chatting(ping_first) as (_, plane), talking(plane) as socket:
        assert socket.recv() == "heard it"
        assert socket.ping(b"")
        assert socket.ping(b"x" * 125)


@pytest.mark.parametrize("close", CLOSES, ids=lambda it: str(it.code))
def test_the_code_and_the_reason_of_a_client_that_closes_reach_the_endpoint(close: Close) -> None:
    with chatting() as (endpoint, plane), talking(plane) as socket:
        assert socket.close(close.code, close.reason) == close
        assert endpoint.closed_with() == close


@pytest.mark.parametrize("close", CLOSES, ids=lambda it: str(it.code))
def test_the_code_and_the_reason_of_an_endpoint_that_closes_reach_the_client(close: Close) -> None:
    with chatting(lambda connection: connection.close(close.code, close.reason)) as (_, plane):
        with talking(plane) as socket:
            assert socket.ending() == close


def test_a_socket_in_which_nothing_is_said_ends_and_a_ping_is_something() -> None:
    only = listener(route(timeouts=route_timeouts(tunnel_ms=400)))
    with WebSocketEndpoint() as endpoint, RunningPlane([pool(endpoint.name)], [only]) as plane:
        with plane.connect_http2() as client:
            spoken, silent = Http2WebSocket(client), Http2WebSocket(client)
            while silent.answer.reset is None and not silent.answer.ended:
                assert spoken.ping(b"still here")
            assert silent.ending() is None
            assert spoken.ping(b"and still")
        assert endpoint.closed_with(1) is None


def test_a_socket_whose_client_does_not_read_holds_up_no_other() -> None:
    def say_much(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(bytes(20_000_000) if message == "much" else message)

    with chatting(say_much) as (_, plane), plane.connect_http2(window=100_000) as client:
        client.h2.increment_flow_control_window(1 << 29)
        stuck, other = Http2WebSocket(client), Http2WebSocket(client)
        stuck.send("much")
        client.until(lambda: len(stuck.answer.body) == 100_000)
        for number in range(20):
            other.send(f"{number}")
            assert other.recv() == f"{number}"


def test_a_socket_within_tls_is_asked_for_as_https() -> None:
    authority = Authority()
    web = listener(tls=listener_tls(("a", ("a.test",))))
    given = (material("a", authority.issue("a.test")),)
    with WebSocketEndpoint() as endpoint, RunningPlane([pool(endpoint.name)], [web], material=given) as plane:
        with plane.connect_http2(within=(trusting(authority), "a.test")) as client:
            socket = Http2WebSocket(client, scheme="https")
            socket.send("within")
            assert socket.recv() == "within"
            assert socket.close(1000, "bye") == Close(1000, "bye")
