"""The handshake of WebSocket is between client and endpoint: what they tell each other is not touched."""

from contextlib import ExitStack

from tests.support.endpoints import Step, play
from tests.support.plane import RunningPlane, listener, pool, route, serving
from tests.support.raw import request
from tests.support.websocket import WebSocketEndpoint, open_socket

from bascule import contract

KEY = contract.Secret("a key of thirty-two characters!!")
ASKED = (
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-VERSION: 13",
    'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-own;  a="b,c"',
    "Sec-WebSocket-Protocol: v2.chat , v1.chat",
    "Sec-WebSocket-Protocol: superchat",
    "Origin: https://example.org",
)
ANSWERED = (
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    "SEC-WEBSOCKET-PROTOCOL: v1.chat",
    "Sec-WebSocket-Extensions: permessage-deflate",
)


def test_the_fields_of_the_handshake_travel_letter_by_letter_and_in_their_order() -> None:
    accepted = "\r\n".join(
        ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", *ANSWERED, "", ""]
    ).encode()
    with serving(play(Step.READ, accepted)) as (endpoint, plane), plane.connect() as client:
        client.send(
            request("GET", "/chat?a=1", "Connection: keep-alive, Upgrade", "Upgrade: websocket", *ASKED)
        )
        answer = client.head()
        asked = endpoint.requests[0]
        assert (asked.method, asked.target, answer.status) == ("GET", "/chat?a=1", 101)
        assert [f"{name}: {value}" for name, value in asked.fields if f"{name}: {value}" in ASKED] == [*ASKED]
        kept = [f"{name}: {value}" for name, value in answer.fields if f"{name}: {value}" in ANSWERED]
        assert kept == [*ANSWERED]
        assert [answer.fields.one(name) for name in ("connection", "upgrade")] == ["upgrade", "websocket"]


def test_a_session_cookie_keeps_the_sockets_of_a_client_on_one_endpoint() -> None:
    cookie = contract.IssuedCookie(
        keys=(KEY,),
        name="bascule",
        path="/",
        domain=None,
        secure=False,
        http_only=True,
        same_site="lax",
        lifetime_ms=None,
        encrypted=False,
    )
    sessions = contract.Sessions(contract.BySessionCookie(cookie), strict=False)
    with ExitStack() as ending:
        endpoints = [ending.enter_context(WebSocketEndpoint()) for _ in range(4)]
        together = pool(*(it.name for it in endpoints), sessions=sessions)
        plane = ending.enter_context(RunningPlane([together]))
        with open_socket(plane) as first:
            assert first.response is not None
            given = first.response.headers["Set-Cookie"].partition(";")[0]
        for _ in range(7):
            with open_socket(plane, additional_headers={"Cookie": given}) as again:
                assert again.response is not None
                assert "Set-Cookie" not in again.response.headers
        used = [it for it in endpoints if it.connections]
        assert [len(it.wait_connections(8)) for it in used] == [8]


def test_sockets_are_spread_by_how_many_each_endpoint_has_open() -> None:
    """They stay for long: who came when says nothing, who is there does."""
    with ExitStack() as ending:
        endpoints = [ending.enter_context(WebSocketEndpoint()) for _ in range(3)]
        together = pool(*(it.name for it in endpoints), algorithm="least_busy")
        plane = ending.enter_context(RunningPlane([together]))
        clients = [open_socket(plane) for _ in range(9)]
        assert [len(it.wait_connections(3)) for it in endpoints] == [3, 3, 3]
        for client in clients[:6]:
            client.close()
        plane.wait_stats(lambda stats: stats.listeners[0].tunnels == 3)
        clients += [open_socket(plane) for _ in range(6)]
        plane.wait_stats(lambda stats: {it.in_flight for it in stats.endpoints} == {3})
        for client in clients:
            client.close()


def test_fields_that_a_route_adds_for_the_endpoint_are_there_and_its_edits_of_answers_are_not() -> None:
    edited = route(
        request_headers=contract.HeaderEdits(set=(contract.HeaderValue("X-Tenant", "blue"),)),
        response_headers=contract.HeaderEdits(set=(contract.HeaderValue("X-Frame-Options", "DENY"),)),
    )
    with (
        WebSocketEndpoint() as endpoint,
        RunningPlane([pool(endpoint.name)], [listener(edited)]) as plane,
        open_socket(plane) as client,
    ):
        assert client.response is not None
        assert "X-Frame-Options" not in client.response.headers
        handshake = endpoint.wait_connections(1)[0].request
        assert handshake is not None
        assert handshake.headers["X-Tenant"] == "blue"


def test_what_a_tunnel_carries_is_counted_in_both_directions() -> None:
    with WebSocketEndpoint() as endpoint, RunningPlane([pool(endpoint.name)]) as plane:
        with open_socket(plane, compression=None) as client:
            client.send(b"x" * 1_000_000)
            assert len(client.recv(10)) == 1_000_000
        assert plane.endings(1) == {"tunnelled": 1}
        (series,) = [it for it in plane.stats().series if it.endpoint]
        assert 1_000_000 < series.received_bytes < 1_001_000
        assert 1_000_000 < series.sent_bytes < 1_001_000
