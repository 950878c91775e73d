"""CONNECT where a route allows it: a tunnel to an endpoint of the pool, or one that a proxy is asked for."""

import subprocess
import threading
from collections.abc import Sequence

import pytest
from tests.support.endpoints import Conversation, ScriptedEndpoint, Step, play, response
from tests.support.eventually import eventually
from tests.support.http2 import Http2Client
from tests.support.http2_endpoint import Call, Http2Endpoint
from tests.support.plane import RunningPlane, listener, pool, prefix, route, route_timeouts, serving
from tests.support.raw import RawClient

from bascule import contract
from bascule.plane.plane import SnapshotRefused

ASKED = b"CONNECT inner.test:7 HTTP/1.1\r\nHost: inner.test:7\r\n\r\n"
OPENED = b"HTTP/1.1 200 Fine\r\nX-Proxy: y\r\nContent-Length: 3\r\n\r\n"
TUNNEL = listener(route(connect="tunnel"))
FORWARD = listener(route(connect="forward"))


def parrot(conversation: Conversation) -> None:
    """Sends back what comes, to its end."""
    while received := conversation.socket.recv(65_536):
        conversation.send(received)
    conversation.finish()


def proxy(conversation: Conversation) -> None:
    """Opens the tunnel that it is asked for, to a parrot."""
    conversation.read()
    conversation.send(OPENED)
    parrot(conversation)


def opened(client: RawClient) -> list[tuple[str, str]]:
    """Asks for a tunnel and gets it: what the answer said."""
    client.send(ASKED)
    answer = client.head()
    assert answer.status == 200
    return list(answer.fields)


def opened_on_a_stream(client: Http2Client, fields: Sequence[tuple[str, str]] = ()) -> int:
    stream = client.request([(":method", "CONNECT"), (":authority", "inner.test:7"), *fields], ends=False)
    client.until(lambda: client.answers[stream].status != 0 or client.answers[stream].reset is not None)
    return stream


@pytest.mark.parametrize("only", [listener(), listener(route(contract.RespondAction(200, (), "hi")))])
def test_it_is_refused_unless_the_route_allows_it_and_the_connection_closes(only: contract.Listener) -> None:
    with serving(only=only) as (endpoint, plane):
        with plane.connect() as client:
            assert client.ask(ASKED).status == 501
            assert client.rest() == b""
        with plane.connect_http2() as new:
            stream = opened_on_a_stream(new)
            assert new.answers[stream].status == 501
            assert new.ask().status == 200
        assert not any(b"CONNECT" in one.received for one in endpoint.conversations)


def test_a_tunnel_leads_to_the_pools_endpoint_whatever_the_request_names() -> None:
    with serving(parrot, TUNNEL) as (endpoint, plane), plane.connect() as client:
        assert opened(client) == []
        for piece in (b"\0ping\xff", bytes(300_000)):
            client.send(piece)
            assert client.stream.exactly(len(piece)) == piece
        client.finish()
        assert client.rest() == b""
        assert endpoint.conversations[0].received == b""
        assert (plane.endings(1), plane.codes(1)) == ({"tunnelled": 1}, {200: 1})
        (series,) = (one for one in plane.stats().series if one.endings)
        assert series.endpoint == endpoint.name


def test_a_tunnel_on_a_stream_goes_on_beside_the_other_streams() -> None:
    only = listener(
        route(id="tunnels", match=[contract.Matcher("method", {"methods": ["CONNECT"]})], connect="tunnel"),
        route("web", id="web"),
    )
    with ScriptedEndpoint(parrot) as far, ScriptedEndpoint() as web:
        with RunningPlane([pool(far), pool(web, id="web")], [only]) as plane, plane.connect_http2() as client:
            stream = opened_on_a_stream(client)
            answer = client.answers[stream]
            assert answer.status == 200
            client.send(stream, b"ping")
            client.until(lambda: answer.body == b"ping")
            assert client.ask().status == 200
            client.end(stream)
            client.until(lambda: answer.ended)
            assert plane.endings(2) == {"tunnelled": 1, "ok": 1}


def test_a_tunnel_has_a_connection_that_served_no_request_before() -> None:
    go = threading.Event()

    def script(conversation: Conversation) -> None:
        if conversation.number == 0:
            conversation.read()
            conversation.send(response(body=b"ok"))
            go.wait(10)
        else:
            parrot(conversation)

    with serving(script, TUNNEL) as (_, plane):
        assert plane.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").body == b"ok"
        with plane.connect() as client:
            opened(client)
            client.send(b"ping")
            assert client.stream.exactly(4) == b"ping"
        go.set()


def test_an_endpoint_that_cannot_be_reached_is_502_and_another_is_tried() -> None:
    gone = ScriptedEndpoint()
    gone.__enter__()
    gone.__exit__(None, None, None)
    with ScriptedEndpoint(parrot) as endpoint:
        with RunningPlane([pool(gone, endpoint)], [TUNNEL]) as plane:
            for _ in range(4):
                with plane.connect() as client:
                    opened(client)
        with RunningPlane([pool(gone)], [TUNNEL]) as plane, plane.connect() as client:
            assert client.ask(ASKED).status == 502
            assert client.rest() == b""


def test_a_proxy_is_asked_for_the_tunnel_with_the_clients_credentials() -> None:
    with serving(proxy, FORWARD) as (endpoint, plane), plane.connect() as client:
        client.send(ASKED[:-2] + b"Proxy-Authorization: Basic eDp5\r\nKeep-Alive: 1\r\n\r\n")
        answer = client.head()
        assert (answer.status, list(answer.fields)) == (200, [("X-Proxy", "y")])
        client.send(b"ping")
        assert client.stream.exactly(4) == b"ping"
        seen = endpoint.conversations[0].received
        assert seen.startswith(b"CONNECT inner.test:7 HTTP/1.1\r\nHost: inner.test:7\r\n")
        assert b"Proxy-Authorization: Basic eDp5\r\n" in seen
        assert b"Keep-Alive" not in seen
        client.finish()
        assert client.rest() == b""
        assert plane.endings(1) == {"tunnelled": 1}


def test_a_proxy_that_refuses_answers_itself_and_what_was_meant_for_the_tunnel_is_no_request() -> None:
    refused = response("407 Proxy Authentication Required", b"who?", "Proxy-Authenticate: Basic")
    with serving(play(Step.READ, refused), FORWARD) as (endpoint, plane), plane.connect() as client:
        client.send(ASKED, b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = client.response(to="GET")
        assert (answer.status, answer.body) == (407, b"who?")
        assert answer.fields.one("proxy-authenticate") == "Basic"
        assert client.rest() == b""
        assert b"smuggled" not in endpoint.received()
        assert plane.endings(1) == {"ok": 1}


@pytest.mark.parametrize("http2", [False, True], ids=["from HTTP/1.1", "from HTTP/2"])
def test_a_proxy_of_http2_is_asked_on_a_stream(http2: bool) -> None:
    def behave(call: Call) -> None:
        if not call.ended:
            call.respond(200, ends=False)

    with Http2Endpoint(behave) as endpoint:
        site = pool(endpoint.contract(), protocol="http2")
        with RunningPlane([site], [FORWARD]) as plane:
            if http2:
                with plane.connect_http2() as new:
                    stream = opened_on_a_stream(new)
                    new.send(stream, b"ping")
                    eventually(lambda: endpoint.calls[0].body == b"ping", "nothing came")
            else:
                with plane.connect() as old:
                    opened(old)
                    old.send(b"ping")
                    eventually(lambda: endpoint.calls[0].body == b"ping", "nothing came")
            fields = dict(endpoint.calls[0].fields)
            assert (fields[":method"], fields[":authority"]) == ("CONNECT", "inner.test:7")
            assert not {":path", ":scheme", ":protocol"} & fields.keys()


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a: HTTP/1.1\r\nHost: a:\r\n\r\n", 400),
        (b"CONNECT u@a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 400),
        (b"CONNECT http://a:1/ HTTP/1.1\r\nHost: a:1\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: b:1\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 2\r\n\r\nhi", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ],
)
def test_what_names_no_authority_or_has_a_body_is_refused(asked: bytes, status: int) -> None:
    with serving(parrot, TUNNEL) as (endpoint, plane):
        assert plane.ask(asked).status == status
        assert not endpoint.conversations


def test_what_is_no_connect_is_served_as_ever_and_routes_see_the_authority() -> None:
    only = listener(
        route(
            "far",
            id="far",
            match=[contract.Matcher("host", {"hosts": ["inner.test"]}), prefix("/")],
            connect="tunnel",
        ),
        route(),
    )
    with ScriptedEndpoint(parrot) as far, ScriptedEndpoint() as web:
        with RunningPlane([pool(far, id="far"), pool(web)], [only]) as plane:
            assert plane.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 200
            assert plane.ask(b"CONNECT other.test:7 HTTP/1.1\r\nHost: other.test:7\r\n\r\n").status == 501
            with plane.connect() as client:
                opened(client)


@pytest.mark.parametrize(
    ("only", "problem"),
    [
        (listener(route(contract.RespondAction(200, (), "hi"), connect="forward")), "this route has none"),
        (TUNNEL, "which its pool speaks"),
    ],
)
def test_a_table_that_means_nothing_is_refused(only: contract.Listener, problem: str) -> None:
    with pytest.raises(SnapshotRefused, match=problem):
        RunningPlane([pool("127.0.0.1:1", protocol="http2")], [only])


def test_silence_ends_a_tunnel() -> None:
    only = listener(route(connect="tunnel", timeouts=route_timeouts(tunnel_ms=200)))
    with serving(parrot, only) as (_, plane), plane.connect() as client:
        opened(client)
        assert client.rest() == b""
        assert plane.endings(1) == {"tunnelled": 1}


@pytest.mark.parametrize("version", ["--proxy1.0", "--proxy"])
@pytest.mark.parametrize("mode", ["tunnel", "forward"])
def test_curl_gets_through(mode: str, version: str) -> None:
    def script(conversation: Conversation) -> None:
        if mode == "forward":
            conversation.read()
            conversation.send(OPENED)
        conversation.read()
        conversation.send(response(body=b"through the tunnel"))

    with serving(script, listener(route(connect=mode))) as (endpoint, plane):
        command = ["curl", "-sS", "-p", version, f"http://{plane.address()}", "http://inner.test:81/deep"]
        done = subprocess.run(command, capture_output=True, check=False, timeout=20, env={"no_proxy": ""})
        assert (done.stdout, done.stderr) == (b"through the tunnel", b"")
        assert b"GET /deep HTTP/1.1\r\n" in endpoint.received()
