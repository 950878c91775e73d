"""WebSocket through us, between two sides of the `websockets` library: what is said, how it ends."""

import socket
import struct
import threading
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from tests.support.eventually import PATIENCE
from tests.support.plane import RunningPlane, listener, pool, route, route_timeouts
from tests.support.websocket import WebSocketEndpoint, chatting, ending_of, names, open_socket
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.frames import Close
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

CLOSES = [
    Close(1000, "bye"),
    Close(1001, ""),
    Close(1011, "it broke"),
    Close(3000, "a" * 123),
    Close(4999, "ø"),
]


def test_messages_of_every_length_and_kind_come_back_as_they_went() -> None:
    messages: list[str | bytes] = [
        "",
        b"",
        "hello",
        "ø" * 125,
        b"\0" * 126,
        b"\xff" * 65_536,
        "x" * 1_000_000,
    ]
    with chatting() as (_, plane):
        for compression in ("deflate", None):
            with open_socket(plane, compression=compression) as client:
                for message in messages:
                    client.send(message)
                    assert client.recv(PATIENCE) == message
        assert plane.endings(2) == {"tunnelled": 2}


def test_fragments_arrive_one_by_one_and_not_when_the_message_is_whole() -> None:
    arrived = threading.Semaphore(0)

    def read_fragments(connection: ServerConnection) -> None:
        for fragment in connection.recv_streaming():
            if fragment:
                arrived.release()

    def fragments() -> Iterator[bytes]:
        for fragment in (b"one", b"two", b"three"):
            yield fragment
            assert arrived.acquire(timeout=PATIENCE), (
                "the fragment does not arrive before the next one is sent"
            )

    with chatting(read_fragments) as (_, plane), open_socket(plane, compression=None) as client:
        client.send(fragments())
        assert ending_of(client) == Close(1000, "")


def test_each_side_answers_the_pings_of_the_other() -> None:
    def ping_first(connection: ServerConnection) -> None:
        assert connection.ping(b"from the endpoint").wait(PATIENCE)
        connection.send("heard it")
        connection.recv()

    with chatting(ping_first) as (_, plane), open_socket(plane) as client:
        assert client.recv(PATIENCE) == "heard it"
        assert client.ping(b"").wait(PATIENCE)
        assert client.ping(b"x" * 125).wait(PATIENCE)


@pytest.mark.parametrize("close", CLOSES, ids=lambda it: str(it.code))
def test_the_code_and_the_reason_of_a_client_that_closes_reach_the_endpoint(close: Close) -> None:
    with chatting() as (endpoint, plane):
        with open_socket(plane) as client:
            client.close(close.code, close.reason)
            assert client.protocol.close_rcvd == close, "the endpoint answers with the same"
        assert endpoint.closed_with() == close
        assert plane.endings(1) == {"tunnelled": 1}


@pytest.mark.parametrize("close", CLOSES, ids=lambda it: str(it.code))
def test_the_code_and_the_reason_of_an_endpoint_that_closes_reach_the_client(close: Close) -> None:
    with chatting(lambda connection: connection.close(close.code, close.reason)) as (_, plane):
        with open_socket(plane) as client:
            assert ending_of(client) == close
        assert plane.endings(1) == {"tunnelled": 1}


@pytest.mark.parametrize("broken_off", ["closed", "reset"])
def test_an_endpoint_that_is_gone_ends_the_connection_of_the_client(broken_off: str) -> None:
    def vanish(connection: ServerConnection) -> None:
        connection.recv()
        if broken_off == "reset":
            linger = struct.pack("ii", 1, 0)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close_socket()

    with chatting(vanish) as (_, plane), open_socket(plane) as client:
        client.send("go")
        assert ending_of(client) is None
        assert plane.endings(1) == {"tunnelled": 1}


def test_a_client_that_is_gone_ends_the_connection_of_the_endpoint() -> None:
    with chatting() as (endpoint, plane), open_socket(plane) as client:
        client.socket.shutdown(socket.SHUT_RDWR)
        assert endpoint.closed_with() is None
        assert plane.endings(1) == {"tunnelled": 1}


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(("v1", "v2"), "v2"), (("v1",), "v1"), (("v9", "v1"), "v1")],
)
def test_the_subprotocol_is_agreed_between_client_and_endpoint(offered: tuple[str, ...], chosen: str) -> None:
    with (
        WebSocketEndpoint(subprotocols=names("v2", "v1")) as endpoint,
        RunningPlane([pool(endpoint.name)]) as plane,
        open_socket(plane, subprotocols=names(*offered)) as client,
    ):
        assert (client.subprotocol, endpoint.wait_connections(1)[0].subprotocol) == (chosen, chosen)


@pytest.mark.parametrize("status", [401, 403, 404, 426, 503])
def test_an_upgrade_that_the_endpoint_refuses_is_an_answer_like_any_other(status: int) -> None:
    def refuse(_connection: ServerConnection, _request: Request) -> Response:
        fields = Headers({"X-Why": "not today", "Content-Length": "6"})
        return Response(status, HTTPStatus(status).phrase, fields, b"not so")

    with (
        WebSocketEndpoint(process_request=refuse) as endpoint,
        RunningPlane([pool(endpoint.name)]) as plane,
    ):
        with pytest.raises(InvalidStatus) as refused:
            open_socket(plane)
        answer = refused.value.response
        assert (answer.status_code, answer.headers["X-Why"], answer.body) == (status, "not today", b"not so")
        assert plane.endings(1) == {"ok": 1}
        assert plane.stats().listeners[0].tunnels == 0


def test_an_endpoint_that_cannot_be_reached_is_502_and_no_close_code() -> None:
    with WebSocketEndpoint() as endpoint:
        pass
    with RunningPlane([pool(endpoint.name)]) as plane, pytest.raises(InvalidStatus) as refused:
        open_socket(plane)
    assert refused.value.response.status_code == 502


def test_a_connection_on_which_nothing_is_said_is_closed_after_the_limit_of_its_route() -> None:
    only = listener(route(timeouts=route_timeouts(tunnel_ms=100)))
    with WebSocketEndpoint() as endpoint, RunningPlane([pool(endpoint.name)], [only]) as plane:
        with open_socket(plane) as client:
            assert ending_of(client) is None
            assert endpoint.closed_with() is None
        assert plane.endings(1) == {"tunnelled": 1}


def test_pings_keep_a_connection_open_beyond_its_limit() -> None:
    only = listener(route(timeouts=route_timeouts(tunnel_ms=600)))
    over = threading.Event()
    with (
        WebSocketEndpoint() as endpoint,
        RunningPlane([pool(endpoint.name)], [only]) as plane,
        open_socket(plane) as client,
    ):
        for _ in range(10):
            assert not over.wait(0.1)
            assert client.ping().wait(PATIENCE)
        client.send("still here")
        assert client.recv(PATIENCE) == "still here"


def test_the_limit_of_a_whole_exchange_is_one_for_tunnels_too() -> None:
    only = listener(route(timeouts=route_timeouts(total_ms=150)))
    with WebSocketEndpoint() as endpoint, RunningPlane([pool(endpoint.name)], [only]) as plane:
        with open_socket(plane) as client:
            assert ending_of(client) is None
        assert plane.endings(1) == {"total_timed_out": 1}


def test_other_requests_go_on_beside_connections_that_say_much() -> None:
    """Many at once, of one thread: each gets its own answers."""
    with chatting() as (_, plane):
        clients = [open_socket(plane) for _ in range(20)]
        for number, client in enumerate(clients):
            client.send(f"{number} " * 10_000)
        for number, client in enumerate(clients):
            assert client.recv(PATIENCE) == f"{number} " * 10_000
        assert plane.stats().listeners[0].tunnels == 20
        for client in clients:
            client.close()
        plane.wait_stats(lambda stats: stats.listeners[0].tunnels == 0)
