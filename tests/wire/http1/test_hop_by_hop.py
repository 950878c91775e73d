"""What ends at a hop and what travels on (RFC 9110, 7.6), in both directions."""

import pytest
from tests.support.endpoints import answering, response
from tests.support.plane import forwarded, listener, route, serving
from tests.support.raw import request
from tests.support.strict import Fields

from bascule import contract

HOP = [
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "TE: trailers",
    "Proxy-Authorization: Basic eDp5",
    "Proxy-Authenticate: Basic",
    "Upgrade: websocket",
    "HTTP2-Settings: AAMAAABk",
    "Trailer: X",
]


@pytest.mark.parametrize("field", HOP)
def test_a_field_of_this_hop_stays_here_on_both_sides(field: str) -> None:
    with serving(answering(response("200 OK", b"ok", field))) as (endpoint, plane):
        answer = plane.ask(request("GET", "/", field))
    assert endpoint.requests[0].fields == Fields([("Host", "bascule.test")])
    assert answer.fields == Fields([("Content-Length", "2")])


@pytest.mark.parametrize(
    "connection",
    ["X-Hop", "x-hop", "X-HOP , X-Other", ",,X-Hop,,", "keep-alive, X-Hop", "X-Missing, X-Hop"],
)
def test_fields_that_connection_names_stay_here_on_both_sides(connection: str) -> None:
    named = [f"Connection: {connection}", "X-Hop: 1", "x-hop: 2", "X-Kept: 3"]
    with serving(answering(response("200 OK", b"ok", *named))) as (endpoint, plane):
        answer = plane.ask(request("GET", "/", *named))
    assert endpoint.requests[0].fields == Fields([("Host", "bascule.test"), ("X-Kept", "3")])
    assert answer.fields == Fields([("X-Kept", "3"), ("Content-Length", "2")])


def test_several_connection_fields_count_as_one() -> None:
    fields = ["Connection: X-One", "X-One: 1", "Connection: X-Two", "X-Two: 2"]
    with serving() as (endpoint, plane):
        plane.ask(request("GET", "/", *fields))
    assert endpoint.requests[0].fields.names() == {"host"}


@pytest.mark.parametrize(
    "name", ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Added", "X-Set"]
)
@pytest.mark.parametrize("trusted", [(), ("127.0.0.0/8",)], ids=["untrusted", "trusted"])
def test_a_client_cannot_strip_what_we_tell_the_endpoint(name: str, trusted: tuple[str, ...]) -> None:
    edits = contract.HeaderEdits(
        set=(contract.HeaderValue("X-Set", "1"),), add=(contract.HeaderValue("X-Added", "1"),)
    )
    only = listener(
        route(request_headers=edits), forwarded=forwarded(x_forwarded=True, rfc7239=True, trusted=trusted)
    )
    with serving(only=only) as (endpoint, plane):
        plane.ask(request("GET", "/", f"Connection: {name}", f"{name}: 10.0.0.1"))
    value = endpoint.requests[0].fields.one(name)
    assert value
    assert value == "1" or "127.0.0.1" in value or value in ("http", "bascule.test", "10.0.0.1")


@pytest.mark.parametrize("name", ["Host", "Content-Length"])
def test_a_client_cannot_strip_what_carries_the_message(name: str) -> None:
    with serving() as (endpoint, plane):
        assert plane.ask(request("POST", "/", f"Connection: {name}", body=b"hello")).status == 200
    assert endpoint.requests[0].body == b"hello"


def test_an_endpoint_cannot_strip_what_carries_its_answer() -> None:
    sent = response("200 OK", b"ok", "Connection: content-length")
    with serving(answering(sent)) as (_, plane), plane.connect() as client:
        assert [client.ask(request()).body for _ in range(2)] == [b"ok", b"ok"]


def test_all_other_fields_travel_as_they_are_in_order_case_and_number() -> None:
    fields = [
        ("Accept", "*/*"),
        ("cookie", "a=b"),
        ("X-Twice", "1"),
        ("AUTHORIZATION", "Basic eDp5"),
        ("x-twice", "2"),
        ("X-Empty", ""),
        ("Max-Forwards", "5"),
        ("Via", "1.0 other"),
        ("X-Long", "y" * 5_000),
        ("X-Bytes", "\xe9\xff"),
    ]
    lines = [f"{name}: {value}" for name, value in fields]
    with serving(answering(response("200 OK", b"ok", *lines))) as (endpoint, plane):
        answer = plane.ask(request("GET", "/", *lines))
    assert list(endpoint.requests[0].fields)[1:] == fields
    assert list(answer.fields)[:-1] == fields


def test_what_an_origin_says_about_itself_is_kept() -> None:
    fields = ["Server: origin/1", "Date: Tue, 15 Nov 1994 08:12:31 GMT", "Set-Cookie: a=b", "Set-Cookie: c=d"]
    with serving(answering(response("299 Fine by me", b"ok", *fields))) as (_, plane):
        answer = plane.ask(request())
    assert (answer.status, answer.reason) == (299, "Fine by me")
    assert [f"{name}: {value}" for name, value in answer.fields][:4] == fields


@pytest.mark.parametrize(
    "name", ["X_Forwarded_For", "Content_Length", "Transfer_Encoding", "X_Real_IP", "X-Under_Score", "_"]
)
def test_a_name_with_an_underscore_could_pass_for_another_and_does_not_reach_the_endpoint(name: str) -> None:
    with serving() as (endpoint, plane):
        plane.ask(request("GET", "/", f"{name}: 1"))
    assert endpoint.requests[0].fields.names() == {"host"}


def test_a_name_with_an_underscore_reaches_the_client() -> None:
    with serving(answering(response("200 OK", b"ok", "X_Y: 1"))) as (_, plane):
        assert plane.ask(request()).fields.one("x_y") == "1"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET http://bascule.test/a?b=c HTTP/1.1\r\nHost: bascule.test\r\n\r\n",
        b"GET HTTP://BASCULE.test/a?b=c HTTP/1.1\r\nHost: bascule.test\r\n\r\n",
        b"GET https://bascule.test/a?b=c HTTP/1.1\r\nHost: bascule.test\r\n\r\n",
        b"GET http://bascule.test/a?b=c HTTP/1.0\r\n\r\n",
    ],
    ids=["http", "upper case", "https", "HTTP/1.0 without Host"],
)
def test_an_absolute_target_reaches_the_endpoint_as_a_path_and_a_host(sent: bytes) -> None:
    with serving() as (endpoint, plane):
        assert plane.ask(sent).status == 200
    (seen,) = endpoint.requests
    assert (seen.target, (seen.fields.one("host") or "").lower()) == ("/a?b=c", "bascule.test")


def test_an_absolute_target_without_a_path_is_for_the_root() -> None:
    with serving() as (endpoint, plane):
        for target in ("http://a", "http://a?b", "http://a?b=/c"):
            plane.ask(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert [seen.target for seen in endpoint.requests] == ["/", "/?b", "/?b=/c"]


def test_a_client_of_http_1_0_that_names_no_host_gets_ours() -> None:
    with serving() as (endpoint, plane):
        assert plane.ask(b"GET / HTTP/1.0\r\n\r\n").status == 200
        assert endpoint.requests[0].fields.one("host") == plane.address()


def test_a_request_about_the_server_itself_keeps_its_asterisk() -> None:
    with serving() as (endpoint, plane):
        assert plane.ask(request("OPTIONS", "*")).status == 200
    assert (endpoint.requests[0].method, endpoint.requests[0].target) == ("OPTIONS", "*")


@pytest.mark.parametrize("query", ["?", "?a=b&c=%2e%2e/", "??", "?/../x", "?a=//b", "?%zz", "?a=b\"'<>{}|"])
def test_a_query_travels_as_it_is(query: str) -> None:
    with serving() as (endpoint, plane):
        assert plane.ask(request("GET", f"/a{query}")).status == 200
    assert endpoint.requests[0].target == f"/a{query}"


def test_an_options_request_that_may_go_no_further_is_answered_here() -> None:
    """RFC 9110, 7.6.2."""
    with serving() as (endpoint, plane):
        answer = plane.ask(request("OPTIONS", "/", "Max-Forwards: 0"))
        assert plane.ask(request("OPTIONS", "/", "Max-Forwards: 1")).status == 200
    assert answer.status == 200
    assert "GET" in (answer.fields.one("Allow") or "")
    assert len(endpoint.requests) == 1
    assert endpoint.requests[0].fields.one("Max-Forwards") == "0"
