"""A connection of HTTP/2 whose endpoint is gone without a word is found out by a PING, and left."""

import threading
from collections.abc import Callable

from tests.support.eventually import eventually
from tests.support.http2 import head
from tests.support.http2_endpoint import Call, Http2Endpoint
from tests.support.plane import RunningPlane, listener, pool, prefix, route, route_timeouts
from tests.support.raw import request


def frozen_by(path: str, thaw: threading.Event) -> Callable[[Call], None]:
    """Answers; but a request for `path` has its connection say nothing until `thaw`, which ends it."""

    def behave(call: Call) -> None:
        if call.ended and call[":path"] == path:
            thaw.wait(30)
            raise ConnectionResetError
        if call.ended:
            call.respond(body=str(call.link.number).encode())

    return behave


def test_a_connection_that_let_a_request_time_out_and_answers_no_ping_is_left() -> None:
    thaw = threading.Event()
    only = listener(route(timeouts=route_timeouts(response_ms=200)))
    with Http2Endpoint(frozen_by("/freeze", thaw)) as endpoint:
        site = pool(endpoint.contract(), protocol="http2")
        with RunningPlane([site], [only]) as plane:
            assert plane.ask(request()).body == b"0"
            assert plane.ask(request("GET", "/freeze")).status == 504
            eventually(lambda: plane.ask(request()).status == 200, "it is still asked", patience=20)
            assert plane.ask(request()).body == b"1"
        thaw.set()


def test_what_waits_on_a_silent_connection_is_asked_anew_long_before_its_time_is_up() -> None:
    thaw = threading.Event()
    short = route(id="short", match=[prefix("/short")], timeouts=route_timeouts(response_ms=200))
    only = listener(short, route(timeouts=route_timeouts(response_ms=60_000)))
    with Http2Endpoint(frozen_by("/freeze", thaw)) as endpoint:
        site = pool(endpoint.contract(), protocol="http2")
        with RunningPlane([site], [only]) as plane, plane.connect_http2() as client:
            assert client.ask().body == b"0"
            frozen = client.request(head("POST", "/freeze"))
            endpoint.wait_calls(2)
            waiting = client.request(head())
            # One that ends without a byte of an answer casts the doubt.
            assert client.ask(head("POST", "/short")).status == 504
            assert client.answer(waiting).body == b"1"
            assert client.answer(frozen).status == 502
        thaw.set()


def test_an_endpoint_that_is_slow_but_there_is_not_left() -> None:
    def behave(call: Call) -> None:
        if call.ended and call[":path"] != "/slow":
            call.respond(body=b"ok")

    only = listener(route(timeouts=route_timeouts(response_ms=200)))
    with Http2Endpoint(behave) as endpoint:
        site = pool(endpoint.contract(), protocol="http2")
        with RunningPlane([site], [only]) as plane:
            assert plane.ask(request()).status == 200
            assert plane.ask(request("GET", "/slow")).status == 504
            eventually(lambda: endpoint.links[0].pings == 1, "it was not asked")
            assert plane.ask(request()).status == 200
            assert len(endpoint.links) == 1
