"""What a request over HTTP/2 becomes for an endpoint of HTTP/1.1, and its response for the client."""

import json
import threading
from pathlib import Path

import pytest
from tests.support.endpoints import OK, Step, play, response
from tests.support.eventually import eventually
from tests.support.http2 import head
from tests.support.plane import RunningPlane, client_limits, forwarded, listener, pool, serving
from tests.support.raw import request

from bascule import contract


def test_a_request_becomes_one_of_http1_and_its_answer_comes_back() -> None:
    fields = head("GET", "/a?b=c", ("cookie", "a=1"), ("x-one", "1"), ("cookie", "b=2"), ("te", "trailers"))
    with serving(play(Step.READ, response("201 Created", b"body", "X-Two: 2"))) as (endpoint, plane):
        with plane.connect_http2() as client:
            answer = client.ask(fields)
    assert (answer.status, answer.body, answer.fields["x-two"]) == (201, b"body", "2")
    (seen,) = endpoint.requests
    assert (seen.method, seen.target) == ("GET", "/a?b=c")
    assert seen.fields.one("host") == "bascule.test"
    assert seen.fields.one("cookie") == "a=1; b=2"
    assert seen.fields.one("x-one") == "1"
    assert seen.fields.one("te") is None


def test_many_requests_share_a_client_connection_and_answers_come_as_they_are_ready() -> None:
    late = threading.Event()

    def script(conversation: object) -> None:
        target = conversation.read().target  # type: ignore[attr-defined]
        if target == "/late":
            assert late.wait(10)
        conversation.send(response(body=target.encode()))  # type: ignore[attr-defined]

    with serving(script) as (_, plane), plane.connect_http2() as client:
        first = client.request(head("GET", "/late"))
        assert client.ask(head("GET", "/soon")).body == b"/soon"
        assert not client.answers[first].ended
        late.set()
        assert client.answer(first).body == b"/late"
        assert plane.stats().listeners[0].accepted == 1


@pytest.mark.parametrize("told", [True, False], ids=["length told", "length open"])
def test_a_body_arrives_whole_in_the_framing_that_the_endpoint_needs(told: bool) -> None:
    body = bytes(range(256)) * 2_000
    fields = [("content-length", str(len(body)))] if told else []
    with serving() as (endpoint, plane), plane.connect_http2() as client:
        assert client.ask(head("POST", "/", *fields), body).body == b"ok"
    (seen,) = endpoint.requests
    assert seen.body == body
    assert seen.fields.one("transfer-encoding") == (None if told else "chunked")


def test_a_small_body_leaves_together_with_its_head(tmp_path: Path) -> None:
    with serving() as (endpoint, plane), plane.connect_http2() as client:
        client.h2.send_headers(1, head("POST", "/"))
        client.h2.send_data(1, b"all of it", end_stream=True)
        client.answers.clear()
        client.flush()
        client.until(lambda: client.answers.get(1) is not None and client.answers[1].ended)
    assert endpoint.received().endswith(b"\r\n\r\n9\r\nall of it\r\n0\r\n\r\n")


def test_trailers_travel_both_ways() -> None:
    sent = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n"
    with serving(play(Step.READ, sent)) as (endpoint, plane), plane.connect_http2() as client:
        stream = client.request(head("POST", "/"), b"hello", ends=False)
        client.end(stream, [("x-sum", "1"), ("content-length", "9")])
        answer = client.answer(stream)
    assert (answer.body, answer.trailers) == (b"ok", {"x-sum": "2"})
    (seen,) = endpoint.requests
    assert seen.body == b"hello"
    assert list(seen.trailers) == [("x-sum", "1")]


def test_interim_responses_travel_ahead() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"
    with serving(play(Step.READ, hints, OK)) as (_, plane), plane.connect_http2() as client:
        answer = client.ask()
    assert (answer.interim, answer.status) == ([103], 200)


@pytest.mark.parametrize(
    ("method", "sent", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "10"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", "10"),
        ("GET", response(), "0"),
    ],
)
def test_a_response_without_a_body_ends_with_its_head(method: str, sent: bytes, length: str | None) -> None:
    with serving(play(Step.READ, sent)) as (_, plane), plane.connect_http2() as client:
        answer = client.ask(head(method))
        assert (answer.body, answer.ended, answer.fields.get("content-length")) == (b"", True, length)


def test_what_belongs_to_the_endpoints_connection_stays_there() -> None:
    sent = response("200 OK", b"ok", "Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "Upgrade: h2c")
    with serving(play(Step.READ, sent)) as (_, plane), plane.connect_http2() as client:
        answer = client.ask()
    assert {"connection", "x-hop", "keep-alive", "upgrade", "transfer-encoding"}.isdisjoint(answer.fields)


def test_a_body_that_ends_with_the_endpoints_connection_ends_with_the_stream() -> None:
    sent = b"HTTP/1.1 200 OK\r\n\r\nall"
    with serving(play(Step.READ, sent, Step.CLOSE)) as (_, plane), plane.connect_http2() as client:
        answer = client.ask()
        assert (answer.body, answer.ended, answer.reset) == (b"all", True, None)


def test_our_own_answers_are_those_of_http1() -> None:
    only = listener(limits=client_limits(body_bytes=10))
    with serving(None, only) as (_, plane), plane.connect_http2() as client:
        too_large = client.ask(head("POST", "/", ("content-length", "11")), b"x" * 11)
        assert too_large.status == 413
        assert too_large.body.startswith(b"413 Content Too Large")
        assert client.ask(head("TRACE")).status == 405
        assert client.ask().status == 200
        assert "connection" not in too_large.fields


def test_the_version_is_in_the_access_log_and_the_client_is_told_to_the_endpoint(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with serving() as (endpoint, plane):
        plane.apply(
            [pool(endpoint)],
            [listener(forwarded=forwarded(x_forwarded=True))],
            access_log=contract.AccessLog("json", str(log)),
        )
        with plane.connect_http2() as client:
            client.ask(head("GET", "/x"))
        eventually(lambda: log.exists() and log.read_text().endswith("\n"), "no line is written")
    line = json.loads(log.read_text())
    assert (line["protocol"], line["method"], line["target"]) == ("HTTP/2.0", "GET", "/x")
    assert endpoint.requests[0].fields.one("x-forwarded-for") == "127.0.0.1"


def test_where_http2_is_off_its_preface_is_a_version_that_is_not_supported() -> None:
    only = listener(http2=contract.Http2(enabled=False))
    with serving(None, only) as (_, plane):
        assert plane.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status == 505
        assert plane.ask(request()).status == 200


def test_a_preface_may_come_byte_by_byte() -> None:
    with serving() as (_, plane), plane.connect_http2(begin=False) as client:
        for byte in client.h2.data_to_send():
            client.socket.sendall(bytes([byte]))
        assert client.ask().status == 200


def test_a_request_without_an_endpoint_is_answered_while_others_go_on() -> None:
    with RunningPlane([pool()]) as plane, plane.connect_http2() as client:
        assert client.ask().status == 503
        assert client.ask().status == 503
        assert plane.endings(2) == {"no_endpoint": 2}
