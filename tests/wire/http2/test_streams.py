"""Streams side by side: none stalls another, and each breaks off alone, with its reason."""

import contextlib
import threading

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from tests.support.endpoints import Conversation, ScriptedEndpoint, Step, play, response
from tests.support.eventually import eventually
from tests.support.http2 import head
from tests.support.plane import (
    RunningPlane,
    client_limits,
    client_timeouts,
    listener,
    pool,
    prefix,
    route,
    route_timeouts,
    serving,
)

from bascule import contract

BIG = bytes(1_000) * 4_000


def by_target(answers: dict[str, bytes]) -> object:
    """Answers each request by its target."""

    def script(conversation: Conversation) -> None:
        while True:
            conversation.send(answers[conversation.read().target])

    return script


def test_a_stream_whose_client_does_not_read_stalls_no_other_and_holds_little_memory() -> None:
    script = by_target({"/big": response(body=BIG), "/small": response(body=b"small")})
    with serving(script) as (endpoint, plane), plane.connect_http2(window=0) as client:  # type: ignore[arg-type]
        stuck = [client.request(head("GET", "/big")) for _ in range(20)]
        client.until(lambda: all(client.answers[stream].status == 200 for stream in stuck))
        small = client.request(head("GET", "/small"))
        client.take(small, 100)
        assert client.answer(small).body == b"small"
        assert all(client.answers[stream].body == b"" for stream in stuck)
        for stream in stuck:
            client.take(stream, len(BIG))
        assert all(client.answer(stream).body == BIG for stream in stuck)
    assert len(endpoint.requests) == 21


def test_what_an_endpoint_does_not_take_the_client_may_not_send() -> None:
    go = threading.Event()
    script = play(Step.HEAD, go, Step.BODY, response(body=b"ok"))
    with ScriptedEndpoint(script, receive_buffer=4_096) as slow, ScriptedEndpoint() as other:
        routes = (route("slow", id="slow", match=[prefix("/slow")]), route("site"))
        with RunningPlane([pool(slow, id="slow"), pool(other)], [listener(*routes)]) as plane:
            with plane.connect_http2() as client:
                stream = client.request(head("POST", "/slow"), ends=False)
                slow.wait_conversations(1)
                sent = _send_what_fits(client, stream)
                # The window of the stream, and what lies in buffers of the kernel and ours.
                assert sent < 8_000_000
                assert client.ask(head("POST", "/"), BIG).status == 200
                go.set()
                client.send(stream, b"end", ends=True)
                assert client.answer(stream).status == 200
    assert len(slow.requests[0].body) == sent + 3


def _send_what_fits(client: object, stream: int) -> int:
    """Sends until the window stays shut for a while."""
    sent = 0
    client.socket.settimeout(0.3)  # type: ignore[attr-defined]
    with contextlib.suppress(TimeoutError):
        while True:
            room = client.h2.local_flow_control_window(stream)  # type: ignore[attr-defined]
            if room == 0:
                client.read()  # type: ignore[attr-defined]
                continue
            piece = bytes(min(room, 16_384))
            client.h2.send_data(stream, piece)  # type: ignore[attr-defined]
            client.flush()  # type: ignore[attr-defined]
            sent += len(piece)
    client.socket.settimeout(10)  # type: ignore[attr-defined]
    return sent


def test_a_client_that_gives_up_cancels_the_request_to_the_endpoint_and_nothing_else() -> None:
    with serving(play(Step.READ)) as (endpoint, plane), plane.connect_http2() as client:
        stream = client.request(head("GET", "/never"))
        (asked,) = endpoint.wait_conversations(1)
        endpoint.wait_requests(1)
        client.reset(stream)
        asked.wait_end()
        assert plane.endings(1) == {"client_aborted": 1}
        endpoint.script = play(Step.READ, response(body=b"ok"))
        assert client.ask().body == b"ok"


def test_a_response_that_breaks_off_breaks_its_stream_off_and_no_other() -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    with serving(play(Step.READ, cut, Step.CLOSE)) as (endpoint, plane), plane.connect_http2() as client:
        answer = client.ask()
        # What was on its way may go with the stream (RFC 9113, 5.1).
        assert answer.body in (b"", b"half")
        assert answer.reset == ErrorCodes.INTERNAL_ERROR
        assert plane.endings(1) == {"response_cut": 1}
        endpoint.script = play(Step.READ, response(body=b"ok"))
        assert client.ask().body == b"ok"


def test_a_client_that_takes_nothing_for_too_long_is_given_up() -> None:
    only = listener(timeouts=client_timeouts(send_ms=200))
    with serving(play(Step.READ, response(body=BIG)), only) as (endpoint, plane):
        with plane.connect_http2(window=0) as client:
            assert client.ask().reset == ErrorCodes.CANCEL
            assert plane.endings(1) == {"client_not_reading": 1}
        endpoint.conversations[0].wait_end()


def test_an_upload_that_pauses_for_too_long_gets_a_408() -> None:
    only = listener(timeouts=client_timeouts(body_ms=200))
    with serving(None, only) as (_, plane), plane.connect_http2() as client:
        stream = client.request(head("POST", "/", ("content-length", "9")), b"half", ends=False)
        assert client.answer(stream).status == 408


def test_an_answer_that_comes_before_the_body_is_whole_reaches_the_client() -> None:
    script = play(Step.HEAD, response("413 Content Too Large", b"no"))
    with serving(script) as (_, plane), plane.connect_http2() as client:
        stream = client.request(head("POST", "/"), b"some", ends=False)
        answer = client.answer(stream)
        assert (answer.status, answer.body) == (413, b"no")
        assert client.h2.open_outbound_streams == 0 or answer.reset in (None, ErrorCodes.NO_ERROR)


def test_more_streams_than_allowed_are_refused_and_may_come_again() -> None:
    go = threading.Event()
    only = listener(http2=contract.Http2(streams=2))
    with serving(play(Step.READ, go, response(body=b"ok")), only) as (endpoint, plane):
        with plane.connect_http2() as client:
            taken = [client.request(head("GET", f"/{number}")) for number in range(2)]
            endpoint.wait_requests(2)
            # The library has been told of the limit, too, and would keep it.
            client.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 100
            client.h2.remote_settings.acknowledge()
            assert client.ask(head("GET", "/third")).reset == ErrorCodes.REFUSED_STREAM
            go.set()
            assert all(client.answer(stream).status == 200 for stream in taken)
            assert len(endpoint.requests) == 2


def test_a_limit_of_the_whole_exchange_holds_for_each_stream() -> None:
    only = listener(route(timeouts=route_timeouts(total_ms=200)))
    with serving(play(Step.READ), only) as (_, plane), plane.connect_http2() as client:
        assert client.ask().status == 504
    with serving(play(Step.READ, response(body=b"", length=False) + b"half"), only) as (_, plane):
        with plane.connect_http2() as client:
            answer = client.ask()
            assert (answer.body, answer.reset) == (b"half", ErrorCodes.CANCEL)


@pytest.mark.parametrize("seed", range(3))
def test_many_streams_at_once_all_get_their_own_answer(seed: int) -> None:
    def script(conversation: Conversation) -> None:
        while True:
            seen = conversation.read()
            conversation.send(response(body=seen.target.encode() * 500 + seen.body))

    with serving(script) as (_, plane), plane.connect_http2() as client:
        streams = {}
        for number in range(90):
            body = bytes([number]) * (number * 37 * (seed + 1))
            streams[client.request(head("POST", f"/{number}"), body)] = f"/{number}".encode() * 500 + body
        for stream, expected in streams.items():
            assert client.answer(stream).body == expected
        assert plane.endings(90) == {"ok": 90}
        eventually(lambda: plane.stats().listeners[0].in_flight == 0, "exchanges are left")


def test_a_client_is_limited_by_the_listener_as_over_http1() -> None:
    only = listener(limits=client_limits(body_bytes=100))
    with serving(None, only) as (_, plane), plane.connect_http2() as client:
        stream = client.request(head("POST", "/"), bytes(200), ends=False)
        assert client.answer(stream).status == 413
