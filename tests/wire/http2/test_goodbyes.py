"""How connections end: idle ones soon, others when they are told to, and none under an open stream."""

import threading

from h2.errors import ErrorCodes
from tests.support.endpoints import Step, play, response
from tests.support.eventually import eventually
from tests.support.http2 import PREFACE, head
from tests.support.plane import client_limits, client_timeouts, listener, pool, serving


def test_an_idle_connection_is_told_goodbye_and_closed() -> None:
    only = listener(timeouts=client_timeouts(keep_alive_ms=200))
    with serving(None, only) as (_, plane), plane.connect_http2() as client:
        assert client.ask().status == 200
        client.wait_close()
        assert client.goodbye == ErrorCodes.NO_ERROR
        eventually(lambda: plane.stats().listeners[0].open == 0, "the connection is still counted")


def test_a_connection_that_never_asks_is_closed_after_the_time_of_a_head() -> None:
    only = listener(timeouts=client_timeouts(head_ms=200))
    with serving(None, only) as (_, plane):
        with plane.connect_http2() as client:
            client.wait_close()
        with plane.connect() as half:
            half.send(PREFACE[:10])
            assert half.response().status == 408


def test_pings_do_not_keep_an_idle_connection() -> None:
    only = listener(timeouts=client_timeouts(keep_alive_ms=50))
    with serving(None, only) as (_, plane), plane.connect_http2() as client:
        assert client.ask().status == 200
        for _ in range(500):
            seen = client.pongs
            client.h2.ping(b"12345678")
            try:
                client.flush()
            except (BrokenPipeError, ConnectionResetError):
                break
            while not client.closed and client.pongs == seen:
                client.read()
        client.wait_close()
        assert client.goodbye == ErrorCodes.NO_ERROR


def test_the_last_request_that_a_connection_may_have_is_answered_and_then_it_ends() -> None:
    only = listener(limits=client_limits(requests_per_connection=2))
    with serving(None, only) as (_, plane), plane.connect_http2() as client:
        assert client.ask().status == 200
        assert client.goodbye is None
        assert client.ask().status == 200
        client.wait_close()
        assert client.goodbye == ErrorCodes.NO_ERROR


def test_a_listener_that_goes_lets_open_streams_finish_and_takes_no_new_ones() -> None:
    go = threading.Event()
    with serving(play(Step.READ, go, response(body=b"ok"))) as (endpoint, plane):
        with plane.connect_http2() as client:
            stream = client.request(head("GET", "/old"))
            endpoint.wait_requests(1)
            plane.apply([pool(endpoint)], [listener(id="other")])
            client.until(lambda: client.goodbye is not None)
            assert client.goodbye == ErrorCodes.NO_ERROR
            go.set()
            assert client.answer(stream).body == b"ok"
            client.wait_close()


def test_a_reload_that_keeps_the_listener_keeps_the_connection() -> None:
    with serving() as (endpoint, plane), plane.connect_http2() as client:
        assert client.ask().status == 200
        plane.apply([pool(endpoint)], [listener()])
        assert client.ask().status == 200
        assert client.goodbye is None


def test_a_stop_lets_open_streams_finish_within_its_grace() -> None:
    go = threading.Event()
    with serving(play(Step.READ, go, response(body=b"ok"))) as (endpoint, plane):
        with plane.connect_http2() as client:
            stream = client.request(head("GET", "/old"))
            endpoint.wait_requests(1)
            plane.stop(10_000)
            client.until(lambda: client.goodbye is not None)
            go.set()
            assert client.answer(stream).body == b"ok"
            client.wait_close()
        plane.wait_event("stopped")


def test_a_stop_does_not_wait_for_idle_connections() -> None:
    with serving() as (_, plane), plane.connect_http2() as client:
        assert client.ask().status == 200
        plane.stop(10_000)
        client.wait_close()
        plane.wait_event("stopped", patience=5)
