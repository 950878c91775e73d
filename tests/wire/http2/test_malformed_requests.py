"""Requests that HTTP/2 forbids, or that would turn into two on their way to HTTP/1: none of them arrives."""

import pytest
from tests.support.http2 import head
from tests.support.plane import serving

PLAIN = dict(head())


def with_pseudo(**changes: str | None) -> list[tuple[str, str]]:
    """A request with other pseudo-header fields."""
    changed = {**PLAIN, **{f":{name}": value for name, value in changes.items()}}
    return [(name, value) for name, value in changed.items() if value is not None]


FIELDS = {
    "a line break in a value": ("x", "a\r\nx-evil: 1"),
    "a line feed in a value": ("x", "a\nx-evil: 1"),
    "a carriage return in a value": ("x", "a\rx-evil: 1"),
    "a request in a value": ("x", "a\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n"),
    "NUL in a value": ("x", "a\0b"),
    "a line break in a name": ("x\r\nx-evil", "1"),
    "a colon in a name": ("x:y", "1"),
    "a blank in a name": ("x y", "1"),
    "no name": ("", "1"),
    "upper case in a name": ("X-Upper", "1"),
    "connection": ("connection", "close"),
    "keep-alive": ("keep-alive", "timeout=5"),
    "proxy-connection": ("proxy-connection", "close"),
    "transfer-encoding": ("transfer-encoding", "chunked"),
    "upgrade": ("upgrade", "h2c"),
    "te": ("te", "gzip"),
    "a pseudo field behind fields": (":path", "/again"),
    "an unknown pseudo field": (":evil", "1"),
    "a pseudo field of responses": (":status", "200"),
    "another host": ("host", "evil.test"),
    "a length that is no number": ("content-length", "1x"),
    "a length with a sign": ("content-length", "+1"),
}
HEADS = {
    "a blank in the path": with_pseudo(path="/a b"),
    "a request in the path": with_pseudo(path="/ HTTP/1.1\r\nHost: a\r\n\r\nGET /evil"),
    "an absolute path": with_pseudo(path="http://evil.test/"),
    "no path": with_pseudo(path=None),
    "an empty path": with_pseudo(path=""),
    "a path without a slash": with_pseudo(path="evil"),
    "a line break in the method": with_pseudo(method="GET / HTTP/1.1\r\nx:"),
    "a blank in the method": with_pseudo(method="GET /evil"),
    "no method": with_pseudo(method=None),
    "no scheme": with_pseudo(scheme=None),
    "a line break in the scheme": with_pseudo(scheme="http\r\nx: y"),
    "no authority": with_pseudo(authority=None),
    "a line break in the authority": with_pseudo(authority="a\r\nx-evil: 1"),
    "a user in the authority": with_pseudo(authority="evil@bascule.test"),
    "two authorities": with_pseudo(authority="a.test, b.test"),
    "a path twice": [*head(), (":path", "/again")],
    "two lengths": head("POST", "/", ("content-length", "1"), ("content-length", "2")),
    "two hosts": [*with_pseudo(authority=None), ("host", "a"), ("host", "b")],
    "CONNECT": [(":method", "CONNECT"), (":authority", "evil.test:443")],
    "CONNECT to an unknown protocol": [*with_pseudo(method="CONNECT"), (":protocol", "tcp")],
    "a protocol without CONNECT": [*head(), (":protocol", "websocket")],
    "a path above the root": with_pseudo(path="/../evil"),
}
ALL = {**{name: head("GET", "/", extra) for name, extra in FIELDS.items()}, **HEADS}


@pytest.mark.parametrize("fields", ALL.values(), ids=ALL)
def test_it_is_refused_and_no_endpoint_hears_of_it(fields: list[tuple[str, str]]) -> None:
    with serving() as (endpoint, plane), plane.connect_http2() as client:
        stream = client.request(fields)
        client.until(lambda: client.closed or (stream in client.answers and _is_over(client, stream)))
        answer = client.answers[stream]
        assert answer.reset is not None or 400 <= answer.status < 600 or client.goodbye
        assert not endpoint.requests
        # Whoever behaves is served.
        assert plane.connect_http2().ask().status == 200
    assert [seen.target for seen in endpoint.requests] == ["/"]


def _is_over(client: object, stream: int) -> bool:
    answer = client.answers[stream]  # type: ignore[attr-defined]
    return answer.reset is not None or answer.ended


@pytest.mark.parametrize(("told", "sent"), [(3, b"four"), (5, b"four"), (1, b"")])
def test_a_body_that_is_not_as_long_as_it_says_is_no_request(told: int, sent: bytes) -> None:
    with serving() as (endpoint, plane), plane.connect_http2() as client:
        stream = client.request(head("POST", "/", ("content-length", str(told))), ends=False)
        client.h2.send_data(stream, sent, end_stream=True)
        client.flush()
        answer = client.answer(stream)
        assert answer.reset is not None
        assert client.ask(head("GET", "/after")).status == 200
    assert [seen.target for seen in endpoint.requests] == ["/after"]


def test_a_head_that_is_too_large_is_refused_and_the_connection_goes_on() -> None:
    with serving() as (endpoint, plane), plane.connect_http2() as client:
        assert client.ask(head("GET", "/", ("x", "y" * 60_000))).status == 431
        assert client.ask(head("GET", "/", *((f"x{n}", "") for n in range(200)))).status == 431
        assert client.ask(head("GET", "/" + "a" * 10_000)).status == 414
        assert not endpoint.requests
        assert client.ask().status == 200


TRAILERS = {
    "a pseudo field": [(":path", "/evil")],
    "a pseudo field of responses": [("x", "1"), (":status", "200")],
    "a line break in a value": [("x", "a\r\nx-evil: 1")],
    "a request in a value": [("x", "a\r\n\r\nGET /evil HTTP/1.1\r\n\r\n")],
    "a line break in a name": [("x\r\nx-evil", "1")],
    "a colon in a name": [("x-evil:y", "1")],
    "upper case in a name": [("X-Evil", "1")],
    "a field of the connection": [("x-evil", "1"), ("connection", "x-evil")],
    "a framing": [("x-evil", "1"), ("transfer-encoding", "chunked")],
}


@pytest.mark.parametrize("trailers", TRAILERS.values(), ids=TRAILERS)
def test_trailers_that_are_malformed_reach_no_endpoint(trailers: list[tuple[str, str]]) -> None:
    with serving() as (endpoint, plane), plane.connect_http2() as client:
        stream = client.request(head("POST", "/"), ends=False)
        client.h2.send_data(stream, b"body")
        client.send_frames(client.raw_head(stream, trailers, "END_STREAM"))
        client.until(lambda: client.closed or _is_over(client, stream))
        # A name that is none breaks the whole connection: its block was not unpacked.
        assert client.closed or client.goodbye or client.ask(head("GET", "/after")).status == 200
        assert b"evil" not in endpoint.received().lower()


def test_a_length_and_a_host_in_trailers_are_nobodys() -> None:
    with serving() as (endpoint, plane), plane.connect_http2() as client:
        stream = client.request(head("POST", "/"), ends=False)
        client.h2.send_data(stream, b"body")
        fields = [("content-length", "99"), ("host", "evil.test"), ("x-good", "1")]
        client.send_frames(client.raw_head(stream, fields, "END_STREAM"))
        assert client.answer(stream).status == 200
        assert (b"evil" in endpoint.received(), b"99" in endpoint.received()) == (False, False)
        assert b"x-good: 1" in endpoint.received().lower()
