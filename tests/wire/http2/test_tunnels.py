"""WebSocket over HTTP/2 (RFC 8441): an extended CONNECT becomes an Upgrade at the endpoint, then a tunnel."""

import base64
import threading

from tests.support.endpoints import Conversation, Step, play, response
from tests.support.http2 import Answer, Http2Client, socket_head
from tests.support.plane import listener, route, route_timeouts, serving

CONNECT = socket_head("/chat", ("sec-websocket-protocol", "chat"))
ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
)


def echo(conversation: Conversation) -> None:
    conversation.read()
    conversation.send(ACCEPTED)
    while received := conversation.socket.recv(65_536):
        conversation.send(received)


def opened(client: Http2Client) -> tuple[int, Answer]:
    stream = client.request(CONNECT, ends=False)
    answer = client.answers[stream]
    client.until(lambda: answer.status != 0)
    return stream, answer


def test_the_settings_say_that_it_may_be_asked_for() -> None:
    with serving() as (_, plane), plane.connect_http2() as client:
        client.ask()
        assert client.h2.remote_settings.enable_connect_protocol == 1


def test_bytes_go_both_ways_until_the_client_ends() -> None:
    with serving(echo) as (endpoint, plane), plane.connect_http2() as client:
        stream, answer = opened(client)
        assert (answer.status, answer.fields) == (200, {"sec-websocket-protocol": "chat"})
        seen = endpoint.conversations[0].received
        assert seen.startswith(b"GET /chat HTTP/1.1\r\n")
        key = next(line for line in seen.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        assert len(base64.b64decode(key.partition(b":")[2].strip(), validate=True)) == 16
        for piece in (b"ping", bytes(300_000), b"pong"):
            before = len(answer.body)
            client.send(stream, piece)
            client.until(lambda before=before, piece=piece: len(answer.body) == before + len(piece))  # type: ignore[misc]
        client.end(stream)
        client.answer(stream)
        assert (answer.ended, answer.reset) == (True, None)
        assert plane.endings(1) == {"tunnelled": 1}


def test_other_streams_go_on_beside_a_tunnel() -> None:
    def script(conversation: Conversation) -> None:
        if conversation.number == 0:
            return echo(conversation)
        conversation.read()
        return conversation.send(response(body=b"ok"))

    with serving(script) as (_, plane), plane.connect_http2() as client:
        stream, answer = opened(client)
        assert client.ask().body == b"ok"
        client.send(stream, b"still there")
        client.until(lambda: answer.body == b"still there")


def test_an_endpoint_that_closes_ends_the_stream() -> None:
    with serving(play(Step.READ, ACCEPTED, b"bye", Step.FINISH)) as (_, plane):
        with plane.connect_http2() as client:
            stream, answer = opened(client)
            client.until(lambda: answer.ended)
            assert answer.body == b"bye"
            client.end(stream)
            assert plane.endings(1) == {"tunnelled": 1}


def test_a_client_that_resets_the_stream_ends_the_endpoints_connection() -> None:
    with serving(echo) as (endpoint, plane), plane.connect_http2() as client:
        stream, _ = opened(client)
        client.reset(stream)
        endpoint.conversations[0].wait_end()


def test_a_tunnel_in_which_nothing_moves_ends() -> None:
    only = listener(route(timeouts=route_timeouts(tunnel_ms=200)))
    with serving(echo, only) as (_, plane), plane.connect_http2() as client:
        stream, answer = opened(client)
        client.until(lambda: answer.ended or answer.reset is not None)
        assert plane.endings(1) == {"tunnelled": 1}
        assert stream


def test_an_endpoint_that_does_not_switch_answers_in_its_own_words() -> None:
    with serving(play(Step.READ, response("403 Forbidden", b"no"))) as (_, plane):
        with plane.connect_http2() as client:
            stream = client.request(CONNECT, ends=False)
            answer = client.answer(stream)
            assert (answer.status, answer.body) == (403, b"no")


def test_nothing_that_the_client_says_ahead_reaches_the_endpoint_before_it_has_switched() -> None:
    go = threading.Event()
    with serving(play(Step.READ, go, ACCEPTED)) as (endpoint, plane), plane.connect_http2() as client:
        stream = client.request(CONNECT, b"too soon", ends=False)
        endpoint.wait_requests(1)
        assert b"too soon" not in endpoint.received()
        go.set()
        client.until(lambda: client.answers[stream].status == 200)
