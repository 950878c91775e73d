"""Upgrades (RFC 9110, 7.8): both sides become one tunnel, and nothing slips through before they have."""

import hashlib
import random
import threading
from pathlib import Path

import pytest
from tests.support.endpoints import OK, Conversation, Step, answering, each, play, response
from tests.support.plane import listener, prefix, route, route_timeouts, serving
from tests.support.raw import RawClient, request

from bascule import contract

OFFER = request("GET", "/chat", "Connection: Upgrade", "Upgrade: websocket")
ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX: y\r\n\r\n"


def echo(conversation: Conversation) -> None:
    """Sends back what arrives, byte for byte, to its end."""
    while not conversation.stream.is_at_end():
        conversation.send(conversation.stream.exactly(1))
    conversation.finish()


def test_an_upgrade_that_is_accepted_becomes_a_tunnel() -> None:
    with serving(play(Step.READ, ACCEPTED, echo)) as (endpoint, plane), plane.connect() as client:
        answer = client.ask(OFFER)
        assert (answer.status, answer.fields.one("upgrade"), answer.fields.one("x")) == (
            101,
            "websocket",
            "y",
        )
        assert answer.fields.one("connection") == "upgrade"
        client.send(b"GET / HTTP/1.1\n\0\xff")
        assert client.stream.exactly(17) == b"GET / HTTP/1.1\n\0\xff"
        client.finish()
        assert client.rest() == b""
        assert plane.endings(1) == {"tunnelled": 1}
        assert plane.codes(1) == {101: 1}
        assert plane.endpoint(endpoint).idle == 0
    (seen,) = endpoint.requests
    assert (seen.fields.one("connection"), seen.fields.one("upgrade")) == ("upgrade", "websocket")


def test_bytes_behind_the_answer_that_accepts_are_the_tunnels() -> None:
    with serving(play(Step.READ, ACCEPTED + b"hello")) as (_, plane), plane.connect() as client:
        client.ask(OFFER)
        assert client.stream.exactly(5) == b"hello"


def test_what_a_client_says_before_its_upgrade_is_accepted_waits(tmp_path: Path) -> None:
    go = threading.Event()
    only = listener(bind=f"unix:{tmp_path}/web")
    with serving(play(Step.READ, go, ACCEPTED), only) as (endpoint, plane), plane.connect() as client:
        client.send(OFFER, b"EARLY")
        endpoint.wait_requests(1)
        assert client.unread() == 0
        assert endpoint.received().endswith(b"\r\n\r\n")
        go.set()
        assert client.response().status == 101
        client.finish()
        endpoint.conversations[0].wait_end()
        assert endpoint.received().endswith(b"\r\n\r\nEARLY")


@pytest.mark.parametrize("refusal", [response("403 Forbidden", b"no"), OK], ids=["403", "200"])
def test_what_a_client_says_behind_an_upgrade_that_is_refused_is_a_request_like_any_other(
    refusal: bytes,
) -> None:
    deny = contract.RespondAction(status=403, headers=(), body="denied")
    only = listener(route(deny, id="deny", match=[prefix("/admin")]), route())
    script = each(play(Step.READ, refusal, Step.READ, OK))
    with serving(script, only) as (endpoint, plane), plane.connect() as client:
        client.send(OFFER, request(target="/admin"), request(target="/next"))
        assert client.response().body in (b"no", b"ok")
        assert client.response().body == b"denied"
        assert client.response().body == b"ok"
    assert [seen.target for seen in endpoint.requests] == ["/chat", "/next"]


@pytest.mark.parametrize(
    "fields",
    [
        ["Upgrade: websocket"],
        ["Connection: keep-alive", "Upgrade: websocket"],
        ["Connection: Upgrade"],
        ["Connection: Upgrade", "Upgrade:"],
        ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"],
        ["Connection: Upgrade", "Upgrade: H2C"],
        ["Connection: Upgrade", "Upgrade: websocket, h2c"],
        ["Connection: Upgrade", "Upgrade: h2c, websocket"],
        ["Connection: Upgrade", "Upgrade: h2c-17"],
    ],
    ids=" | ".join,
)
def test_an_offer_that_is_none_or_would_slip_http_2_past_us_is_not_passed_on(fields: list[str]) -> None:
    with serving() as (endpoint, plane):
        assert plane.ask(request("GET", "/", *fields)).status == 200
    assert {"connection", "upgrade", "http2-settings"}.isdisjoint(endpoint.requests[0].fields.names())


@pytest.mark.parametrize("offers", [["h2c", "websocket"], ["websocket", "h2c"]])
def test_an_offer_in_several_fields_does_not_hide_http_2(offers: list[str]) -> None:
    with serving() as (endpoint, plane):
        assert plane.ask(request("GET", "/", "Connection: upgrade", *(f"Upgrade: {one}" for one in offers)))
    assert endpoint.requests[0].fields.one("upgrade") in (None, "websocket")


@pytest.mark.parametrize(
    "content",
    [
        request("GET", "/", "Connection: Upgrade", "Upgrade: websocket", version="1.0"),
        request("POST", "/", "Connection: Upgrade", "Upgrade: websocket", body=b"hello"),
        request("POST", "/", "Connection: Upgrade", "Upgrade: websocket", "Transfer-Encoding: chunked")
        + b"0\r\n\r\n",
    ],
    ids=["HTTP/1.0", "a length", "chunks"],
)
def test_an_offer_that_nobody_may_accept_is_not_passed_on(content: bytes) -> None:
    with serving() as (endpoint, plane):
        assert plane.ask(content).status == 200
    assert {"connection", "upgrade"}.isdisjoint(endpoint.requests[0].fields.names())


@pytest.mark.parametrize(
    "accepted",
    [
        b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n",
        b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\n\r\n",
    ],
    ids=["another protocol", "h2c", "no protocol"],
)
def test_an_answer_that_accepts_what_was_not_offered_is_a_bad_one(accepted: bytes) -> None:
    with (
        serving(each(play(Step.READ, accepted), answering())) as (endpoint, plane),
        plane.connect() as client,
    ):
        client.send(OFFER)
        assert client.response().status == 502
        assert plane.endings(1) == {"bad_response": 1}
        endpoint.conversations[0].wait_end()


def test_a_client_that_has_finished_still_hears_the_endpoint() -> None:
    def script(conversation: Conversation) -> None:
        conversation.read()
        conversation.send(ACCEPTED)
        assert conversation.stream.rest() == b"question"
        conversation.send(b"answer")
        conversation.close()

    with serving(script) as (_, plane), plane.connect() as client:
        client.ask(OFFER)
        client.send(b"question")
        client.finish()
        assert client.rest() == b"answer"
        assert plane.endings(1) == {"tunnelled": 1}


def test_an_endpoint_that_has_finished_still_hears_the_client() -> None:
    with serving(play(Step.READ, ACCEPTED, b"bye", Step.FINISH)) as (endpoint, plane):
        with plane.connect() as client:
            client.ask(OFFER)
            assert client.rest() == b"bye"
            client.send(b"later")
            client.finish()
            endpoint.conversations[0].wait_end()
        assert endpoint.received().endswith(b"\r\n\r\nlater")
        assert plane.endings(1) == {"tunnelled": 1}


def test_a_client_that_resets_ends_the_tunnel_for_the_endpoint() -> None:
    with serving(play(Step.READ, ACCEPTED)) as (endpoint, plane), plane.connect() as client:
        client.ask(OFFER)
        client.reset()
        endpoint.conversations[0].wait_end()
        assert plane.endings(1) == {"tunnelled": 1}


def test_an_endpoint_that_resets_ends_the_tunnel_for_the_client() -> None:
    go = threading.Event()
    with serving(play(Step.READ, ACCEPTED, go, Step.RESET)) as (_, plane), plane.connect() as client:
        client.ask(OFFER)
        go.set()
        assert client.is_closed()
        assert plane.endings(1) == {"tunnelled": 1}


def test_a_tunnel_in_which_nothing_moves_ends_in_time() -> None:
    only = listener(route(timeouts=route_timeouts(tunnel_ms=100)))
    with serving(play(Step.READ, ACCEPTED), only) as (endpoint, plane), plane.connect() as client:
        client.ask(OFFER)
        assert client.is_closed()
        endpoint.conversations[0].wait_end()
        assert plane.endings(1) == {"tunnelled": 1}


def test_a_tunnel_outlives_the_time_limits_of_exchanges() -> None:
    only = listener(route(timeouts=route_timeouts(response_ms=50, idle_ms=50)))
    go = threading.Event()
    with serving(play(Step.READ, ACCEPTED, go, b"late"), only) as (_, plane), plane.connect() as client:
        client.ask(OFFER)
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(10)
        go.set()
        assert client.stream.exactly(4) == b"late"


def test_a_tunnel_carries_megabytes_both_ways() -> None:
    content = random.Random(7).randbytes(3_000_000)
    arrived: list[bytes] = []

    def script(conversation: Conversation) -> None:
        conversation.read()
        conversation.send(ACCEPTED)
        sending = threading.Thread(target=conversation.send, args=(content,))
        sending.start()
        arrived.append(conversation.stream.exactly(len(content)))
        sending.join()

    with serving(script) as (_, plane), plane.connect() as client:
        client.ask(OFFER)
        sending = threading.Thread(target=client.send, args=(content,))
        sending.start()
        assert digest(client.stream.exactly(len(content))) == digest(content)
        sending.join()
        client.finish()
        assert client.is_closed()
    assert digest(arrived[0]) == digest(content)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_tunnels_of_several_clients_keep_to_themselves() -> None:
    with serving(play(Step.READ, ACCEPTED, echo)) as (_, plane):
        clients = [RawClient(plane.address()) for _ in range(5)]
        for client in clients:
            client.ask(OFFER)
        for number, client in enumerate(clients):
            client.send(b"%d" % number)
        assert [client.stream.exactly(1) for client in clients] == [b"%d" % number for number in range(5)]
        for client in clients:
            client.close()
