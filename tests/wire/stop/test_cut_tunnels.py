"""Tunnels that a stop or a time limit cuts off: what they carried is counted, and how they end is said."""

import json
from pathlib import Path

import pytest
from h2.errors import ErrorCodes
from tests.support.endpoints import Conversation, ScriptedEndpoint, Step, play, response
from tests.support.eventually import eventually
from tests.support.http2 import socket_head
from tests.support.http2_endpoint import Call, Http2Endpoint
from tests.support.plane import RunningPlane, listener, pool, route, route_timeouts
from tests.support.raw import request

from bascule import contract

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
OFFER = request("GET", "/", "Connection: upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}")
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
CONNECT = socket_head()


def echo(conversation: Conversation) -> None:
    conversation.read()
    conversation.send(SWITCHED)
    while received := conversation.socket.recv(65_536):
        conversation.send(received)


def carried(plane: RunningPlane) -> tuple[int, int]:
    """Bytes received from and sent to clients, in all."""
    series = plane.stats().series
    return sum(one.received_bytes for one in series), sum(one.sent_bytes for one in series)


@pytest.mark.parametrize("cut_by", ["cut_by_stop", "total_timed_out"])
def test_a_tunnel_that_is_cut_has_its_bytes_and_its_status_in_counters_and_log(
    cut_by: str, tmp_path: Path
) -> None:
    path = tmp_path / "access.log"
    total = 1_000 if cut_by == "total_timed_out" else None
    only = listener(route(timeouts=route_timeouts(total_ms=total)))
    log = contract.AccessLog("json", str(path))
    with ScriptedEndpoint(echo) as endpoint:
        with RunningPlane([pool(endpoint)], [only], access_log=log) as plane, plane.connect() as client:
            assert client.ask(OFFER).status == 101
            client.send(b"x" * 5_000)
            client.stream.exactly(5_000)
            if cut_by == "cut_by_stop":
                plane.stop(0)
            assert client.is_closed()
            assert (plane.endings(1), plane.codes(1)) == ({cut_by: 1}, {101: 1})
            received, sent = carried(plane)
            assert received == len(OFFER) + 5_000
            assert sent >= len(SWITCHED) + 5_000
            plane.stop(0)
            plane.wait_event("stopped")
            (line,) = map(json.loads, path.read_text().splitlines())
            assert (line["status"], line["received_bytes"], line["sent_bytes"]) == (101, received, sent)


def test_an_answer_that_a_time_limit_cuts_has_its_bytes_counted() -> None:
    only = listener(route(timeouts=route_timeouts(total_ms=500)))
    cut = response(body=b"x" * 6_000)[:-1_000]
    with ScriptedEndpoint(play(Step.READ, cut, Conversation.watch)) as endpoint:
        with RunningPlane([pool(endpoint)], [only]) as plane, plane.connect() as client:
            client.send(request())
            client.head()
            assert plane.endings(1) == {"total_timed_out": 1}
            assert carried(plane)[1] >= 5_000


def test_a_stop_gives_a_tunnel_its_grace_and_then_cancels_its_stream() -> None:
    with ScriptedEndpoint(echo) as endpoint, RunningPlane([pool(endpoint)]) as plane:
        with plane.connect_http2() as client:
            stream = client.request(CONNECT, ends=False)
            answer = client.answers[stream]
            client.until(lambda: answer.status == 200)
            plane.stop(60_000)
            client.until(lambda: client.goodbye is not None)
            client.send(stream, b"still here")
            client.until(lambda: answer.body == b"still here")
            plane.stop(0)
            client.wait_close()
            assert (client.goodbye, answer.reset) == (ErrorCodes.NO_ERROR, ErrorCodes.CANCEL)


def test_a_stop_cancels_the_endpoints_stream_too() -> None:
    def accept(call: Call) -> None:
        if not call.ended:
            call.respond(200, ends=False)

    with Http2Endpoint(accept, tunnels=True) as endpoint:
        site = pool(endpoint.contract(), protocol="http2")
        with RunningPlane([site]) as plane, plane.connect() as client:
            assert client.ask(OFFER).status == 101
            plane.stop(0)
            assert client.is_closed()
            assert endpoint.links[0].closed.wait(10)
            (call,) = endpoint.calls
            eventually(lambda: call.reset == ErrorCodes.CANCEL, lambda: f"it was told {call.reset}")
