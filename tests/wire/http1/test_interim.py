"""`Expect: 100-continue` and interim answers (RFC 9110, 10.1.1 and 15.2): who waits, and who is told."""

import threading

import pytest
from tests.support.endpoints import OK, Step, answering, play, response
from tests.support.plane import client_limits, client_timeouts, listener, prefix, route, serving
from tests.support.raw import request
from tests.wire.http1.malformed import CANARY

from bascule import contract

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
EXPECTING = request("POST", "/", "Expect: 100-continue", "Content-Length: 5")
EXPECTING_CHUNKS = request("POST", "/", "Expect: 100-continue", "Transfer-Encoding: chunked")
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "body"), [(EXPECTING, b"hello"), (EXPECTING_CHUNKS, CHUNKS)], ids=["length", "chunked"]
)
def test_a_client_is_told_to_continue_when_the_endpoint_says_so(head: bytes, body: bytes) -> None:
    with serving(play(Step.HEAD, CONTINUE, Step.BODY, OK)) as (endpoint, plane), plane.connect() as client:
        client.send(head)
        assert client.head().status == 100
        client.send(body)
        answer = client.response()
        assert (answer.status, answer.interim) == (200, ())
    assert endpoint.requests[0].body == b"hello"
    assert endpoint.requests[0].fields.one("expect") == "100-continue"


def test_nobody_tells_a_client_to_continue_before_the_endpoint_does() -> None:
    go = threading.Event()
    script = play(Step.HEAD, go, CONTINUE, Step.BODY, OK)
    with serving(script) as (endpoint, plane), plane.connect() as client:
        client.send(EXPECTING)
        endpoint.wait_conversations(1)
        plane.wait_stats(lambda stats: stats.endpoints[0].in_flight == 1)
        assert client.gets_nothing()
        go.set()
        assert client.head().status == 100
        client.send(b"hello")
        assert client.response().status == 200


@pytest.mark.parametrize("status", ["417 Expectation Failed", "413 Content Too Large", "401 Unauthorized"])
def test_a_client_that_waits_gets_the_endpoints_refusal_and_need_not_send_its_body(status: str) -> None:
    with serving(play(Step.HEAD, response(status, b"no"))) as (endpoint, plane), plane.connect() as client:
        client.send(EXPECTING)
        answer = client.response()
        assert (answer.status, answer.body) == (int(status[:3]), b"no")
        # Whether the body still comes is unknown, so nothing can follow on either connection.
        assert answer.fields.one("connection") == "close"
        client.send(CANARY)
        assert client.rest() == b""
        endpoint.conversations[0].wait_end()
        assert plane.endings(1) == {"ok": 1}
        assert plane.endpoint(endpoint).picked == 1


def test_a_client_that_does_not_wait_for_long_is_served_by_an_endpoint_that_never_says_continue() -> None:
    with serving() as (endpoint, plane), plane.connect() as client:
        client.send(EXPECTING)
        endpoint.wait_conversations(1)
        client.send(b"hello")
        assert client.response().status == 200
    assert endpoint.requests[0].body == b"hello"


def test_a_client_and_an_endpoint_that_wait_for_each_other_do_not_wait_for_ever() -> None:
    only = listener(timeouts=client_timeouts(body_ms=100))
    with serving(play(Step.HEAD, Step.BODY), only) as (endpoint, plane), plane.connect() as client:
        client.send(EXPECTING)
        assert client.response().status == 408
        assert plane.endings(1) == {"client_too_slow": 1}
        endpoint.conversations[0].wait_end()


def test_a_refusal_of_ours_does_not_wait_for_the_body() -> None:
    only = listener(route(match=[prefix("/known")]), limits=client_limits(body_bytes=4))
    with serving(only=only) as (endpoint, plane):
        assert plane.ask(EXPECTING).status == 413
        unknown = request("POST", "/unknown", "Expect: 100-continue", "Content-Length: 4")
        answer = plane.ask(unknown)
        assert (answer.status, answer.fields.one("connection")) == (404, "close")
        assert plane.endpoint(endpoint).picked == 0


def test_a_response_of_ours_does_not_wait_for_the_body() -> None:
    only = listener(route(contract.RespondAction(status=200, headers=(), body="hi")))
    with serving(only=only) as (_, plane):
        answer = plane.ask(EXPECTING)
    assert (answer.status, answer.interim, answer.fields.one("connection")) == (200, (), "close")


def test_a_client_of_http_1_0_expects_nothing() -> None:
    sent = b"POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
    with serving(play(Step.HEAD, CONTINUE, HINTS, Step.BODY, OK)) as (endpoint, plane):
        answer = plane.ask(sent)
    assert (answer.status, answer.interim) == (200, ())
    assert endpoint.requests[0].fields.one("expect") is None


def test_hints_reach_the_client_before_the_answer_does() -> None:
    go = threading.Event()
    with serving(play(Step.READ, HINTS, go, OK)) as (_, plane), plane.connect() as client:
        client.send(request())
        hints = client.head()
        assert (hints.status, hints.fields.one("link")) == (103, "</style.css>; rel=preload")
        assert client.gets_nothing()
        go.set()
        assert client.response().body == b"ok"


def test_several_interim_answers_keep_their_order_and_both_connections() -> None:
    script = answering(b"HTTP/1.1 102 Processing\r\n\r\n" + HINTS + HINTS + OK)
    with serving(script) as (endpoint, plane), plane.connect() as client:
        for _ in range(2):
            answer = client.ask(request())
            assert [interim.status for interim in answer.interim] == [102, 103, 103]
            assert answer.body == b"ok"
        assert len(endpoint.conversations) == 1


def test_what_ends_at_a_hop_ends_also_in_interim_answers() -> None:
    hints = b"HTTP/1.1 103 Early\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: max=5\r\nLink: <a>\r\n\r\n"
    with serving(answering(hints + OK)) as (_, plane):
        (interim,) = plane.ask(request()).interim
    assert interim.fields.names() == {"link"}


def test_edits_of_the_answer_leave_interim_answers_alone() -> None:
    edits = contract.HeaderEdits(set=(contract.HeaderValue("X-Set", "1"),))
    with serving(answering(HINTS + OK), listener(route(response_headers=edits))) as (_, plane):
        answer = plane.ask(request())
    assert answer.fields.one("x-set") == "1"
    assert "x-set" not in answer.interim[0].fields.names()


def test_interim_answers_while_a_body_is_on_its_way_reach_the_client() -> None:
    with serving(play(Step.HEAD, HINTS, Step.BODY, OK)) as (_, plane), plane.connect() as client:
        client.send(request("POST", "/", "Content-Length: 10"), b"hello")
        assert client.head().status == 103
        client.send(b"world")
        assert client.response().status == 200
