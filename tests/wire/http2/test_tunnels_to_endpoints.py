"""WebSocket to endpoints of HTTP/2 (RFC 8441): an Upgrade or CONNECT becomes an extended CONNECT."""

import pytest
from h2.errors import ErrorCodes
from tests.support.eventually import eventually
from tests.support.http2 import socket_head
from tests.support.http2_endpoint import Call, Http2Endpoint
from tests.support.plane import RunningPlane, listener, pool, route, route_timeouts
from tests.support.raw import request
from tests.support.websocket import WebSocketEndpoint, open_socket

KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
OFFER = request("GET", "/chat", "Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}")
CONNECT = socket_head()


def accept(call: Call) -> None:
    """Opens a tunnel for whoever asks for one, and answers other requests."""
    if call[":method"] == "CONNECT" and not call.ended:
        call.respond(200, fields=[("x-two", "2")], ends=False)
    elif call.ended and call[":method"] != "CONNECT":
        call.respond(body=b"ok")


def test_an_upgrade_becomes_an_extended_connect_and_then_a_tunnel() -> None:
    with Http2Endpoint(accept, tunnels=True) as endpoint:
        site = pool(endpoint.contract(), protocol="http2")
        with RunningPlane([site]) as plane, plane.connect() as client:
            answer = client.ask(OFFER)
            assert (answer.status, answer.fields.one("upgrade")) == (101, "websocket")
            assert (answer.fields.one("sec-websocket-accept"), answer.fields.one("x-two")) == (ACCEPT, "2")
            (call,) = endpoint.calls
            assert (call[":protocol"], call[":scheme"], call[":path"]) == ("websocket", "http", "/chat")
            assert call[":authority"] == "bascule.test"
            assert not {"connection", "upgrade", "sec-websocket-key", "host"} & dict(call.fields).keys()
            client.send(b"\0ping")
            eventually(lambda: call.body == b"\0ping", "nothing came through")
            with call.link.lock:
                call.send(b"pong\xff")
            assert client.stream.exactly(5) == b"pong\xff"
            assert plane.ask(request()).status == 200
            assert len(endpoint.links) == 1
            client.finish()
            eventually(lambda: call.ended, "the endpoint does not know that the client has ended")
            with call.link.lock:
                call.send(b"bye", ends=True)
            assert client.rest() == b"bye"
            assert plane.endings(2) == {"tunnelled": 1, "ok": 1}


def test_an_extended_connect_stays_one() -> None:
    with Http2Endpoint(accept, tunnels=True) as endpoint:
        site = pool(endpoint.contract(), protocol="http2")
        with RunningPlane([site]) as plane, plane.connect_http2() as client:
            stream = client.request(CONNECT, ends=False)
            answer = client.answers[stream]
            client.until(lambda: answer.status != 0)
            assert (answer.status, answer.fields) == (200, {"x-two": "2"})
            (call,) = endpoint.calls
            assert (call[":method"], call[":protocol"]) == ("CONNECT", "websocket")
            client.send(stream, bytes(50_000))
            eventually(lambda: len(call.body) == 50_000, "bytes are missing")
            with call.link.lock:
                call.send(bytes(50_000), ends=True)
            client.until(lambda: answer.ended)
            client.end(stream)
            assert len(answer.body) == 50_000
            assert plane.endings(1) == {"tunnelled": 1}


def test_messages_of_the_websockets_library_pass_through_two_balancers() -> None:
    with WebSocketEndpoint() as endpoint, RunningPlane([pool(endpoint.name)]) as inner:
        with RunningPlane([pool(inner.address(), protocol="http2")]) as outer, open_socket(outer) as client:
            for message in ("ping", bytes(300_000), "pong"):
                client.send(message)
                assert client.recv() == message


@pytest.mark.parametrize("http2", [False, True], ids=["from HTTP/1.1", "from HTTP/2"])
def test_an_endpoint_that_offers_none_is_not_asked(http2: bool) -> None:
    with Http2Endpoint(accept) as endpoint:
        with RunningPlane([pool(endpoint.contract(), protocol="http2")]) as plane:
            if http2:
                with plane.connect_http2() as client:
                    assert client.answer(client.request(CONNECT, ends=False)).status == 502
            else:
                assert plane.ask(OFFER).status == 502
            assert not endpoint.calls
            assert plane.endings(1) == {"no_tunnel": 1}
            assert plane.ask(request()).status == 200
            assert len(endpoint.links) == 1


def test_another_endpoint_that_offers_them_is_found() -> None:
    with Http2Endpoint(accept) as without, Http2Endpoint(accept, tunnels=True) as offering:
        site = pool(without.contract(), offering.contract(), protocol="http2")
        with RunningPlane([site]) as plane:
            for _ in range(4):
                with plane.connect() as client:
                    assert client.ask(OFFER).status == 101
        assert (len(without.calls), len(offering.calls)) == (0, 4)


def test_an_endpoint_that_does_not_switch_answers_in_its_own_words() -> None:
    def behave(call: Call) -> None:
        if not call.ended:
            call.respond(403, b"no")

    with Http2Endpoint(behave, tunnels=True) as endpoint:
        site = pool(endpoint.contract(), protocol="http2")
        with RunningPlane([site]) as plane:
            answer = plane.ask(OFFER)
            assert (answer.status, answer.body) == (403, b"no")
            eventually(lambda: endpoint.calls[0].ended, "the endpoint waits for more")


def test_nothing_that_the_client_says_ahead_reaches_the_endpoint_before_it_has_switched() -> None:
    with Http2Endpoint(lambda _: None, tunnels=True) as endpoint:
        site = pool(endpoint.contract(), protocol="http2")
        with RunningPlane([site]) as plane, plane.connect() as client:
            client.send(OFFER, b"too soon")
            (call,) = endpoint.wait_calls(1)
            assert call.body == b""
            with call.link.lock:
                call.respond(200, ends=False)
            eventually(lambda: call.body == b"too soon", "it did not come at all")


@pytest.mark.parametrize("ended_by", ["a reset", "silence"])
def test_a_tunnel_that_breaks_off_ends_the_endpoints_stream_alone(ended_by: str) -> None:
    only = listener(route(timeouts=route_timeouts(tunnel_ms=200 if ended_by == "silence" else 60_000)))
    with Http2Endpoint(accept, tunnels=True) as endpoint:
        site = pool(endpoint.contract(), protocol="http2")
        with RunningPlane([site], [only]) as plane, plane.connect() as client:
            assert client.ask(OFFER).status == 101
            if ended_by == "a reset":
                client.reset()
            (call,) = endpoint.calls
            eventually(lambda: call.reset == ErrorCodes.CANCEL, "the stream is still open")
            assert plane.ask(request()).status == 200
            assert len(endpoint.links) == 1
