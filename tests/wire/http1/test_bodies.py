"""How messages end: lengths, chunks and closes, for clients of HTTP/1.0 and 1.1; trailers; no bodies."""

import pytest
from tests.support.endpoints import OK, Step, answering, each, play, response
from tests.support.plane import serving
from tests.support.raw import request
from tests.support.strict import Fields

BODY = b"0123456789" * 20

LENGTH = response(body=BODY)
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    b"a;name=value\r\n0123456789\r\nBE\r\n" + BODY[10:] + b"\r\n0\r\nX-Sum: 1\r\n\r\n"
)
CLOSE = b"HTTP/1.1 200 OK\r\n\r\n" + BODY
CLOSE_1_0 = b"HTTP/1.0 200 OK\r\n\r\n" + BODY
EVERY_WAY = {"length": LENGTH, "chunked": CHUNKED, "close": CLOSE, "close of HTTP/1.0": CLOSE_1_0}


@pytest.mark.parametrize("sent", EVERY_WAY.values(), ids=EVERY_WAY)
@pytest.mark.parametrize("keep_alive", [False, True], ids=["close", "keep-alive"])
def test_a_client_of_http_1_0_gets_no_chunks_and_knows_where_the_body_ends(
    sent: bytes, keep_alive: bool
) -> None:
    ends = [Step.CLOSE] if sent in (CLOSE, CLOSE_1_0) else []
    asked = ["Connection: keep-alive"] if keep_alive else []
    stays = keep_alive and sent == LENGTH
    with serving(play(Step.READ, sent, *ends)) as (endpoint, plane), plane.connect() as client:
        answer = client.ask(request("GET", "/", *asked, version="1.0"))
        assert answer.body == BODY
        assert {"transfer-encoding", "trailer"}.isdisjoint(answer.fields.names())
        assert answer.fields.one("connection") == ("keep-alive" if stays else "close")
        assert stays or client.is_closed()
    assert endpoint.conversations[0].received.startswith(b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize("sent", EVERY_WAY.values(), ids=EVERY_WAY)
def test_a_client_of_http_1_1_keeps_its_connection_however_the_answer_ends(sent: bytes) -> None:
    closing = sent in (CLOSE, CLOSE_1_0)
    steps = [Step.CLOSE] if closing else [Step.READ, OK]
    script = each(play(Step.READ, sent, *steps), answering())
    with serving(script) as (endpoint, plane):
        with plane.connect() as client:
            answer = client.ask(request())
            assert answer.body == BODY
            assert not answer.to_end
            assert answer.fields.one("connection") is None
            assert client.ask(request()).body == b"ok"
        assert plane.endings(2) == {"ok": 2}
        assert len(endpoint.conversations) == (2 if closing else 1)


def test_trailers_reach_the_client_and_their_announcement_too() -> None:
    with serving(play(Step.READ, CHUNKED)) as (_, plane):
        answer = plane.ask(request())
    assert answer.trailers == Fields([("X-Sum", "1")])
    assert answer.fields.one("trailer") == "X-Sum"


def test_trailers_reach_the_endpoint_and_their_announcement_too() -> None:
    head = request("POST", "/", "Transfer-Encoding: chunked", "Trailer: X-Sum", "TE: trailers")
    with serving() as (endpoint, plane):
        plane.ask(head + b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More:2\r\n\r\n")
    (seen,) = endpoint.requests
    assert (seen.body, seen.trailers) == (b"hello", Fields([("X-Sum", "1"), ("X-More", "2")]))
    assert seen.fields.one("trailer") == "X-Sum"


@pytest.mark.parametrize(
    "trailer",
    [
        "Content-Length: 3",
        "Transfer-Encoding: chunked",
        "Host: other",
        "Connection: close",
        "Authorization: Basic eDp5",
        "Cookie: a=b",
        "X-Forwarded-For: 10.0.0.1",
        "Forwarded: for=10.0.0.1",
        "X_Real_IP: 10.0.0.1",
        "Content-Type: text/html",
        "Set-Cookie: a=b",
    ],
)
def test_a_trailer_that_would_change_the_message_stays_behind_on_both_sides(trailer: str) -> None:
    chunks = f"5\r\nhello\r\n0\r\nX: y\r\n{trailer}\r\n\r\n".encode()
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    with serving(answering(answer)) as (endpoint, plane):
        told = plane.ask(request("POST", "/", "Transfer-Encoding: chunked") + chunks)
    assert endpoint.requests[0].trailers == told.trailers == Fields([("X", "y")])


def test_an_announcement_of_trailers_without_chunks_stays_behind() -> None:
    answer = response("200 OK", b"ok", "Trailer: X-Sum")
    with serving(answering(answer)) as (endpoint, plane):
        told = plane.ask(request("POST", "/", "Trailer: X-Sum", body=b"hello"))
    assert "trailer" not in endpoint.requests[0].fields.names()
    assert "trailer" not in told.fields.names()


@pytest.mark.parametrize(
    ("method", "sent", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "1000"),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", None),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", None),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n", "1000"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", None),
        ("GET", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", "0"),
    ],
    ids=["HEAD", "HEAD bare", "204", "204 with a length", "304", "304 bare", "205"],
)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_answer_without_a_body_ends_with_its_head_and_keeps_both_connections(
    method: str, sent: bytes, length: str | None, version: str
) -> None:
    asked = request(method, "/", "Connection: keep-alive", version=version)
    with serving(answering(sent)) as (endpoint, plane):
        with plane.connect() as client:
            for _ in range(2):
                answer = client.ask(asked, to=method)
                assert answer.fields.one("content-length") == length
                assert answer.fields.one("transfer-encoding") is None
        assert plane.endings(2) == {"ok": 2}
        assert len(endpoint.conversations) == 1


def test_chunks_announced_to_head_are_none_and_keep_both_connections() -> None:
    sent = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(answering(sent)) as (endpoint, plane):
        with plane.connect() as client:
            assert [client.ask(request("HEAD"), to="HEAD").status for _ in range(2)] == [200, 200]
        assert len(endpoint.conversations) == 1


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("body", [b"", b"x", BODY, b"\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"])
def test_a_length_of_the_client_reaches_the_endpoint_as_it_is(version: str, body: bytes) -> None:
    head = f"POST / HTTP/{version}\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with serving() as (endpoint, plane):
        assert plane.ask(head + body).status == 200
    (seen,) = endpoint.requests
    assert (seen.body, seen.fields.one("content-length")) == (body, str(len(body)))


def test_chunks_of_the_client_reach_the_endpoint_as_chunks_without_extensions() -> None:
    head = request("POST", "/", "Transfer-Encoding: chunked")
    with serving() as (endpoint, plane):
        assert plane.ask(head + b"5;x=y\r\nhello\r\n006;z\r\n world\r\n0;end\r\n\r\n").status == 200
    assert endpoint.requests[0].body == b"hello world"
    assert b";" not in endpoint.received()


def test_many_small_chunks_are_not_taken_for_a_flood() -> None:
    head = request("POST", "/", "Transfer-Encoding: chunked")
    with serving() as (endpoint, plane):
        assert plane.ask(head + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n").status == 200
    assert endpoint.requests[0].body == b"x" * 20_000


def test_a_body_that_ends_with_the_connection_is_not_taken_from_a_client_of_http_1_0() -> None:
    """A request without a length has no body (RFC 9112, 6.3); what follows is the next request."""
    with serving() as (endpoint, plane), plane.connect() as client:
        client.send(b"POST / HTTP/1.0\r\n\r\nhello")
        assert client.response().status == 200
        assert client.rest() == b""
    assert [seen.body for seen in endpoint.requests] == [b""]
