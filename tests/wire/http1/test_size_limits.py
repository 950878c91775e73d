"""How much a client may send: each limit to the byte, with its status, and what happens beyond it."""

import pytest
from tests.support.endpoints import Step, play
from tests.support.plane import RunningPlane, client_limits, listener, serving
from tests.support.raw import RawClient, request

from bascule import contract


def limited(**limits: int) -> contract.Listener:
    return listener(limits=client_limits(**limits))


def of_length(length: int) -> bytes:
    """A request whose head is `length` bytes long."""
    short = request("GET", "/", "X: ")
    return request("GET", "/", "X: " + "y" * (length - len(short)))


def assert_refused(plane: RunningPlane, content: bytes, status: int) -> None:
    with plane.connect() as client:
        answer = client.ask(content)
        assert (answer.status, answer.fields.one("connection")) == (status, "close")
        assert client.rest() == b""


@pytest.mark.parametrize("limit", [200, 1_000, 20_000, 60_000])
def test_a_head_may_be_as_long_as_its_limit_and_no_longer(limit: int) -> None:
    with serving(only=limited(head_bytes=limit)) as (endpoint, plane):
        assert plane.ask(of_length(limit)).status == 200
        assert_refused(plane, of_length(limit + 1), 431)
        assert plane.endings(2) == {"ok": 1, "too_large": 1}
        assert len(endpoint.requests[0].fields.one("x") or "") > limit - 100


def test_a_target_may_be_as_long_as_its_limit_and_no_longer() -> None:
    with serving(only=limited(target_bytes=100)) as (endpoint, plane):
        assert plane.ask(request("GET", "/" + "a" * 99)).status == 200
        assert_refused(plane, request("GET", "/" + "a" * 100), 414)
        assert_refused(plane, request("GET", "/?" + "a" * 99), 414)
        assert plane.endings(3) == {"ok": 1, "too_large": 2}
        assert endpoint.requests[0].target == "/" + "a" * 99


def test_a_head_may_have_as_many_fields_as_its_limit_and_no_more() -> None:
    with serving(only=limited(headers=10)) as (_, plane):
        assert plane.ask(request("GET", "/", *["X: y"] * 9)).status == 200
        assert_refused(plane, request("GET", "/", *["X: y"] * 10), 431)
        assert plane.endings(2) == {"ok": 1, "too_large": 1}


def test_a_body_may_be_as_long_as_its_limit_and_no_longer() -> None:
    with serving(only=limited(body_bytes=10)) as (endpoint, plane):
        assert plane.ask(request("POST", "/", body=b"x" * 10)).status == 200
        # The length alone says it: no endpoint is troubled, and nothing is waited for.
        assert_refused(plane, request("POST", "/", "Content-Length: 11"), 413)
        assert plane.endings(2) == {"ok": 1, "too_large": 1}
        assert plane.endpoint(endpoint).picked == 1


def test_a_body_of_chunks_may_be_as_long_as_its_limit_and_no_longer() -> None:
    head = request("POST", "/", "Transfer-Encoding: chunked")
    with serving(only=limited(body_bytes=10)) as (endpoint, plane):
        assert plane.ask(head + b"5\r\nhello\r\n" * 2 + b"0\r\n\r\n").status == 200
        assert_refused(plane, head + b"5\r\nhello\r\n" * 2 + b"1\r\n!\r\n0\r\n\r\n", 413)
        assert plane.endings(2) == {"ok": 1, "too_large": 1}
        assert len(endpoint.requests) == 1


def test_a_body_of_chunks_beyond_its_limit_is_no_whole_request_for_the_endpoint() -> None:
    head = request("POST", "/", "Transfer-Encoding: chunked")
    with serving(play(Step.HEAD, Step.BODY), limited(body_bytes=10)) as (endpoint, plane):
        with plane.connect() as client:
            client.send(head, b"5\r\nhello\r\n")
            endpoint.wait_conversations(1)
            client.send(b"6\r\nworld!\r\n")
            assert client.response().status == 413
        endpoint.conversations[0].wait_end()
        assert endpoint.requests == []


def test_a_client_beyond_the_limit_of_connections_waits_for_its_turn() -> None:
    with serving(only=limited(connections=2)) as (_, plane):
        first, second = plane.connect(), plane.connect()
        assert [client.ask(request()).status for client in (first, second)] == [200, 200]
        event = plane.wait_event("accept_paused")
        assert isinstance(event.what, contract.AcceptPaused)
        assert (event.what.listener, plane.stats().listeners[0].open) == ("web", 2)
        with plane.connect() as third:
            third.send(request())
            # The others are served, the third is not even looked at.
            assert [client.ask(request()).status for client in (first, second)] == [200, 200]
            assert third.gets_nothing()
            first.close()
            assert third.response().status == 200
        second.close()
        plane.wait_stats(lambda stats: stats.listeners[0].open == 0)
        assert plane.ask(request()).status == 200
        plane.wait_event("accept_resumed")


def test_a_client_that_is_refused_can_read_why_though_it_goes_on_sending() -> None:
    def flood(client: RawClient) -> None:
        client.send(request("POST", "/", "Content-Length: 900000"))
        client.send(b"x" * 900_000)

    with serving(only=limited(body_bytes=10)) as (_, plane), plane.connect() as client:
        flood(client)
        assert client.response().status == 413
        assert client.rest() == b""
