"""A client that sends no more while it waits has gone, where its route says so (`half_closed: abort`)."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

import pytest
from tests.support.certificates import Authority
from tests.support.endpoints import Conversation, ScriptedEndpoint, Step, play, response
from tests.support.plane import RunningPlane, listener, pool, route, serving
from tests.support.raw import RawClient, request
from tests.support.tls import TlsClient, listener_tls, material, trusting

from bascule import contract

ABORT = listener(route(half_closed="abort"))


@pytest.mark.parametrize("leave", [RawClient.finish, RawClient.close, RawClient.reset])
@pytest.mark.parametrize("content", [request(), request("POST", body=b"hello")], ids=["GET", "POST"])
def test_a_client_that_leaves_while_it_waits_frees_the_endpoint(
    leave: Callable[[RawClient], None], content: bytes
) -> None:
    with serving(play(Step.READ, Conversation.watch), ABORT) as (endpoint, plane), plane.connect() as client:
        client.send(content)
        endpoint.wait_requests(1)
        leave(client)
        endpoint.conversations[0].wait_end()
        assert (plane.endings(1), plane.codes(1)) == ({"client_aborted": 1}, {0: 1})
        plane.wait_stats(lambda stats: stats.listeners[0].in_flight == stats.endpoints[0].in_flight == 0)


def test_a_client_that_leaves_within_an_endless_answer_frees_the_endpoint() -> None:
    script = play(Step.READ, response(body=b"x" * 10)[:-5], Conversation.watch)
    with serving(script, ABORT) as (endpoint, plane), plane.connect() as client:
        client.send(request())
        client.head()
        client.close()
        endpoint.conversations[0].wait_end()
        assert plane.endings(1) == {"client_aborted": 1}


def test_a_client_that_leaves_the_line_makes_room_in_it() -> None:
    go = threading.Event()
    full = contract.Protection(limit=contract.FixedLimit(1), queue=contract.Queue(9, 10_000, None))
    with serving(play(Step.READ, go, response()), ABORT, protection=full) as (endpoint, plane):
        with plane.connect() as first, plane.connect() as second:
            first.send(request())
            endpoint.wait_requests(1)
            second.send(request())
            plane.wait_stats(lambda stats: stats.pools[0].waiting == 1)
            second.finish()
            plane.wait_stats(lambda stats: stats.pools[0].waiting == 0)
            go.set()
            assert first.response().status == 200
            assert plane.endings(2) == {"client_aborted": 1, "ok": 1}


def test_a_client_that_stays_gets_its_answers() -> None:
    go = threading.Event()

    def script(conversation: Conversation) -> None:
        for at in range(2):
            conversation.read()
            if at:
                go.wait(10)
            conversation.send(response(body=b"ok"))

    with serving(script, ABORT) as (endpoint, plane), plane.connect() as client:
        assert client.ask(request()).body == b"ok"
        # From its second request on a client is watched at once.
        client.send(request())
        endpoint.wait_requests(2)
        go.set()
        assert client.response().body == b"ok"


def test_what_a_client_sends_ahead_is_no_end() -> None:
    go = threading.Event()
    with serving(play(Step.READ, go, response(body=b"ok")), ABORT) as (endpoint, plane):
        with plane.connect() as client:
            client.send(request())
            endpoint.wait_requests(1)
            client.send(request())
            client.finish()
            go.set()
            assert client.response().body == b"ok"


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda it: it.name)
@pytest.mark.parametrize("says_goodbye", [True, False], ids=["with a goodbye", "without a word"])
def test_a_client_that_leaves_over_tls_frees_the_endpoint(newest: ssl.TLSVersion, says_goodbye: bool) -> None:
    authority = Authority()
    only = listener(route(half_closed="abort"), tls=listener_tls(("a", ("a.test",))))
    material_of_it = (material("a", authority.issue("a.test")),)
    with (
        ScriptedEndpoint(play(Step.READ, Conversation.watch)) as endpoint,
        RunningPlane([pool(endpoint)], [only], material=material_of_it) as plane,
        TlsClient(plane.address(), trusting(authority, newest=newest)) as client,
    ):
        client.send(request())
        endpoint.wait_requests(1)
        if says_goodbye:
            with contextlib.suppress(OSError):
                client.socket.settimeout(0)
                client.socket.unwrap()
        else:
            client.socket.shutdown(socket.SHUT_WR)
        endpoint.conversations[0].wait_end()
        assert plane.endings(1) == {"client_aborted": 1}
