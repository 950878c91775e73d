"""HTTP/2 to endpoints: few connections for many requests, whatever clients speak, and what goes wrong."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from h2.errors import ErrorCodes
from tests.support.endpoints import ScriptedEndpoint
from tests.support.eventually import eventually
from tests.support.http2 import head
from tests.support.http2_endpoint import Behaviour, Call, Http2Endpoint, answer_ended
from tests.support.plane import RunningPlane, client_timeouts, listener, pool, route, route_timeouts
from tests.support.raw import request


@contextmanager
def before(
    behave: Behaviour = answer_ended, only: object = None, **options: Any
) -> Iterator[tuple[Http2Endpoint, RunningPlane]]:
    """One endpoint that speaks HTTP/2 and a plane in front of it."""
    with Http2Endpoint(behave, **options) as endpoint:
        site = pool(endpoint.contract(), protocol="http2")
        with RunningPlane([site], None if only is None else [only]) as plane:  # type: ignore[list-item]
            yield endpoint, plane


@pytest.mark.parametrize("http2", [False, True], ids=["from HTTP/1.1", "from HTTP/2"])
def test_a_request_arrives_as_one_of_http2_and_its_answer_comes_back(http2: bool) -> None:
    def behave(call: Call) -> None:
        if call.ended:
            call.respond(201, b"body", [("x-two", "2")])

    with before(behave) as (endpoint, plane):
        if http2:
            with plane.connect_http2() as client:
                new = client.ask(head("POST", "/a?b=c", ("x-one", "1"), ("cookie", "a=b")), b"hello")
                assert (new.status, new.body, new.fields["x-two"]) == (201, b"body", "2")
        else:
            old = plane.ask(request("POST", "/a?b=c", "X-One: 1", "Cookie: a=b", body=b"hello"))
            assert (old.status, old.body, old.fields.one("x-two")) == (201, b"body", "2")
            assert old.fields.one("transfer-encoding") == "chunked"
        (call,) = endpoint.calls
    assert (call[":method"], call[":path"], call[":scheme"]) == ("POST", "/a?b=c", "http")
    assert call[":authority"] == "bascule.test"
    assert (call["x-one"], call["cookie"], call["te"], call.body) == ("1", "a=b", "trailers", b"hello")
    assert not {"host", "connection", "transfer-encoding", "upgrade"} & dict(call.fields).keys()


def test_many_requests_of_many_clients_share_one_connection() -> None:
    go = threading.Event()
    waiting: list[Call] = []

    def behave(call: Call) -> None:
        if call.ended:
            waiting.append(call)
            if go.is_set():
                call.respond(body=call[":path"].encode())

    with before(behave) as (endpoint, plane):
        clients = [plane.connect_http2() for _ in range(4)]
        streams = [(client, client.request(head("GET", f"/{at}"))) for at, client in enumerate(clients * 5)]
        endpoint.wait_calls(20)
        eventually(lambda: len(waiting) == 20, "requests are missing")
        with endpoint.links[0].lock:
            for call in waiting:
                call.respond(body=call[":path"].encode())
        for at, (client, stream) in enumerate(streams):
            assert client.answer(stream).body == f"/{at}".encode()
        assert len(endpoint.links) == 1
        assert plane.endpoint(endpoint.name).connects == 1
        for client in clients:
            client.socket.close()


def test_an_endpoint_that_allows_few_streams_gets_more_connections_and_never_more_streams() -> None:
    most = [0]

    def behave(call: Call) -> None:
        most[0] = max(most[0], call.link.h2.open_inbound_streams)
        if call.ended:
            call.respond(body=b"ok")

    with before(behave, streams=2) as (endpoint, plane), plane.connect_http2() as client:
        assert client.ask().status == 200
        streams = [client.request(head()) for _ in range(20)]
        assert all(client.answer(stream).status == 200 for stream in streams)
        assert most[0] <= 2
        assert len(endpoint.links) > 1


def test_bodies_of_any_size_go_both_ways() -> None:
    body = bytes(range(256)) * 8_000

    def behave(call: Call) -> None:
        if call.ended:
            call.respond(200, ends=False)
            call.send(call.body[:60_000], ends=True)

    with before(behave) as (endpoint, plane):
        answer = plane.ask(request("POST", "/", body=body))
        assert answer.body == body[:60_000]
        assert endpoint.calls[0].body == body


def test_an_endpoint_that_takes_nothing_stalls_its_own_request_alone() -> None:
    def behave(call: Call) -> None:
        if call.ended and call[":path"] == "/soon":
            call.respond(body=b"ok")

    with before(behave, reads=False) as (_, plane), plane.connect_http2() as client:
        stream = client.request(head("POST", "/late"), bytes(65_535), ends=False)
        assert client.ask(head("GET", "/soon")).status == 200
        assert client.answers[stream].status == 0


def test_trailers_and_interim_responses_come_through() -> None:
    def behave(call: Call) -> None:
        if call.ended:
            call.link.h2.send_headers(call.stream, [(":status", "103"), ("link", "<a>")])
            call.respond(200, b"ok", trailers=[("x-sum", "2")])

    with before(behave) as (endpoint, plane):
        with plane.connect_http2() as client:
            stream = client.request(head("POST", "/"), b"hello", ends=False)
            client.end(stream, [("x-sum", "1")])
            answer = client.answer(stream)
        assert (answer.interim, answer.body, answer.trailers) == ([103], b"ok", {"x-sum": "2"})
        assert endpoint.calls[0].trailers == {"x-sum": "1"}
        old = plane.ask(request())
        assert old.trailers is not None
        assert list(old.trailers) == [("x-sum", "2")]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stream_that_was_refused_is_tried_again(method: str) -> None:
    def behave(call: Call) -> None:
        if len(call.link.endpoint.calls) == 1:
            if call.ended:
                call.refuse()
        elif call.ended:
            call.respond(body=b"ok")

    with before(behave) as (endpoint, plane), plane.connect_http2() as client:
        assert client.ask(head(method)).status == 200
        assert len(endpoint.calls) == 2


def test_streams_behind_a_goodbye_are_tried_again_and_those_before_it_end() -> None:
    def behave(call: Call) -> None:
        if call.link.number == 1 and call.ended:
            call.respond(body=b"second")

    with before(behave) as (endpoint, plane), plane.connect_http2() as client:
        first, second = client.request(head("GET", "/1")), client.request(head("POST", "/2"))
        endpoint.wait_calls(2)
        eventually(lambda: all(call.ended for call in endpoint.calls), "the requests are not whole")
        kept = next(call for call in endpoint.calls if call[":path"] == "/1")
        endpoint.links[0].leave(min(call.stream for call in endpoint.calls))
        lost = max(endpoint.calls, key=lambda call: call.stream)
        again = second if lost is not kept else first
        assert client.answer(again).body == b"second"
        stays = min(endpoint.calls[:2], key=lambda call: call.stream)
        with endpoint.links[0].lock:
            stays.respond(body=b"first")
        other = first if again == second else second
        assert client.answer(other).body == b"first"
        assert client.ask().body == b"second"
        assert len(endpoint.links) == 2


def test_a_connection_that_breaks_takes_only_what_it_may_with_it() -> None:
    def behave(call: Call) -> None:
        if call.link.number == 0 and call.ended:
            call.link.socket.shutdown(2)
        elif call.ended:
            call.respond(body=b"ok")

    with before(behave) as (endpoint, plane), plane.connect_http2() as client:
        # A fresh connection that breaks is the endpoint's fault; there is no other to be asked.
        assert client.ask(head("POST", "/")).status == 502
        assert client.ask(head("POST", "/")).status == 200
        assert len(endpoint.links) == 2


def test_a_client_that_gives_up_cancels_its_stream_and_the_connection_goes_on() -> None:
    def behave(call: Call) -> None:
        if call.ended and call[":path"] == "/soon":
            call.respond(body=b"ok")

    with before(behave) as (endpoint, plane), plane.connect_http2() as client:
        stream = client.request(head("GET", "/never"))
        (call,) = endpoint.wait_calls(1)
        client.reset(stream)
        eventually(lambda: call.reset == ErrorCodes.CANCEL, "the stream is still open")
        assert client.ask(head("GET", "/soon")).status == 200
        assert len(endpoint.links) == 1


@pytest.mark.parametrize("http2", [False, True], ids=["to HTTP/1.1", "to HTTP/2"])
def test_a_response_that_the_endpoint_resets_reaches_no_client_as_a_whole_one(http2: bool) -> None:
    def behave(call: Call) -> None:
        if call.ended:
            call.respond(200, b"half", [("content-length", "10")], ends=False)
            call.refuse(ErrorCodes.INTERNAL_ERROR)

    with before(behave) as (_, plane):
        if http2:
            with plane.connect_http2() as client:
                assert client.ask().reset == ErrorCodes.INTERNAL_ERROR
        else:
            with plane.connect() as old:
                old.send(request())
                assert not old.rest().endswith(b"0\r\n\r\n")
        assert plane.endings(1).keys() <= {"response_cut", "endpoint_reset"}


def test_a_silent_endpoint_costs_the_request_its_time_and_no_more() -> None:
    only = listener(route(timeouts=route_timeouts(response_ms=200)))
    with before(lambda _: None, only) as (endpoint, plane), plane.connect_http2() as client:
        assert client.ask().status == 504
        (call,) = endpoint.calls
        eventually(lambda: call.reset == ErrorCodes.CANCEL, "the stream is still open")


def test_an_endpoint_that_does_not_speak_http2_is_a_bad_one() -> None:
    with ScriptedEndpoint(lambda conversation: conversation.send(b"HTTP/1.1 400 Bad\r\n\r\n")) as endpoint:
        with RunningPlane([pool(endpoint, protocol="http2")]) as plane:
            assert plane.ask(request()).status == 502


def test_an_endpoint_that_is_gone_is_left_for_another() -> None:
    with Http2Endpoint() as endpoint:
        gone = Http2Endpoint()
        gone._listening.close()
        site = pool(gone.contract(), endpoint.contract(), protocol="http2")
        with RunningPlane([site]) as plane, plane.connect_http2() as client:
            assert all(client.ask(head("POST", "/")).status == 200 for _ in range(4))


def test_an_idle_connection_is_closed_in_time() -> None:
    with Http2Endpoint() as endpoint:
        site = pool(endpoint.contract(), protocol="http2", idle_ms=100)
        with RunningPlane([site]) as plane:
            assert plane.ask(request()).status == 200
            assert endpoint.links[0].closed.wait(10)
            assert plane.ask(request()).status == 200


def test_a_pool_that_changes_its_protocol_is_asked_in_the_new_one() -> None:
    with ScriptedEndpoint() as old, Http2Endpoint() as new:
        with RunningPlane([pool(old)], [listener(timeouts=client_timeouts())]) as plane:
            assert plane.ask(request()).status == 200
            plane.apply([pool(new.contract(), protocol="http2")], [listener()])
            assert plane.ask(request()).status == 200
            assert len(new.calls) == 1
