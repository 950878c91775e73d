"""What routes do besides forwarding: redirects, answers of their own, rewrites and changed fields."""

import pytest
from tests.support.endpoints import answering, response
from tests.support.plane import forwarded, listener, prefix, route, serving
from tests.support.raw import request

from bascule import contract


def value(name: str, text: str) -> contract.HeaderValue:
    return contract.HeaderValue(name, text)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_says_where_to_and_keeps_the_connection(status: int) -> None:
    to = contract.RedirectAction(status, "https://{host}{uri}")
    with serving(only=listener(route(to))) as (endpoint, plane), plane.connect() as client:
        for _ in range(2):
            answer = client.ask(request("GET", "/a%20b?c=d"))
            assert (answer.status, answer.body) == (status, b"")
            assert answer.fields.one("location") == "https://bascule.test/a%20b?c=d"
            assert answer.fields.one("connection") is None
            assert answer.fields.one("date")
        assert plane.endings(2) == {"answered": 2}
        assert plane.endpoint(endpoint).picked == 0


def test_a_client_cannot_split_a_redirect() -> None:
    to = contract.RedirectAction(302, "https://elsewhere.test{path}?q={query}&h={host}")
    with serving(only=listener(route(to))) as (_, plane):
        answer = plane.ask(request("GET", "/a%0d%0aSet-Cookie:%20b?%0d%0aX:y"))
    location = "https://elsewhere.test/a%0D%0ASet-Cookie:%20b?q=%0d%0aX:y&h=bascule.test"
    assert answer.fields.one("location") == location
    assert "set-cookie" not in answer.fields.names()


def test_a_redirect_of_a_client_of_http_1_0_says_how_the_connection_goes_on() -> None:
    only = listener(route(contract.RedirectAction(302, "/x")))
    with serving(only=only) as (_, plane):
        kept = plane.ask(request("GET", "/", "Connection: keep-alive", version="1.0"))
        closed = plane.ask(request(version="1.0"))
    assert (kept.fields.one("connection"), closed.fields.one("connection")) == ("keep-alive", "close")


def test_a_fixed_response_is_sent_as_it_is_written() -> None:
    fixed = contract.RespondAction(
        418, (value("X-Pot", "tea"), value("Content-Type", "text/x-tea")), "short\n"
    )
    with serving(only=listener(route(fixed))) as (_, plane):
        answer = plane.ask(request())
        assert (answer.status, answer.body) == (418, b"short\n")
        assert (answer.fields.one("x-pot"), answer.fields.one("content-type")) == ("tea", "text/x-tea")
        head = plane.ask(request("HEAD"), to="HEAD")
        assert (head.status, head.fields.one("content-length")) == (418, "6")


@pytest.mark.parametrize("status", [200, 204, 304, 404, 503])
def test_a_fixed_response_has_a_body_only_where_it_may(status: int) -> None:
    body = "" if status in (204, 304) else "x"
    fixed = contract.RespondAction(status, (), body)
    with serving(only=listener(route(fixed))) as (_, plane), plane.connect() as client:
        for _ in range(2):
            assert client.ask(request()).body == body.encode()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "BREW"])
def test_no_route_is_404_for_every_method(method: str) -> None:
    only = listener(route(match=[prefix("/known")]))
    with serving(only=only) as (endpoint, plane):
        answer = plane.ask(request(method, "/unknown"), to=method)
        assert answer.status == 404
        assert (answer.body == b"") == (method == "HEAD")
        assert plane.endings(1) == {"no_route": 1}
        assert plane.endpoint(endpoint).picked == 0


REWRITES = [
    (contract.SetRewrite("/fixed"), "/a/b?c", "/fixed?c"),
    (contract.PrefixRewrite("/v1", "/"), "/v1/users?x", "/users?x"),
    (contract.PrefixRewrite("/v1", "/api"), "/v1", "/api"),
    (contract.PrefixRewrite("/v1", "/api"), "/v10", "/v10"),
    (contract.RegexRewrite("^/user/([^/]+)$", "/u/$1"), "/user/%2fa", "/u/%2Fa"),
    (contract.RegexRewrite("^/x(.*)$", "/$1/.."), "/x%0d%0aY", "/%0D%0AY/.."),
]


@pytest.mark.parametrize(("rewrite", "sent", "seen"), REWRITES)
def test_a_rewrite_changes_the_path_and_leaves_the_query(
    rewrite: contract.Rewrite, sent: str, seen: str
) -> None:
    with serving(only=listener(route(rewrite=rewrite))) as (endpoint, plane):
        assert plane.ask(request("GET", sent)).status == 200
    assert endpoint.requests[0].target == seen


def test_edits_remove_first_then_set_then_add_on_the_way_to_the_endpoint() -> None:
    edits = contract.HeaderEdits(
        remove=("Cookie", "x-gone"),
        set=(value("X-Client", "{client}"), value("User-Agent", "bascule"), value("Host", "inner.test")),
        add=(value("X-Many", "{listener}/{route}"), value("X-Uri", "{scheme}://{host}{uri}")),
    )
    only = listener(route(request_headers=edits), forwarded=forwarded(x_forwarded=True))
    with serving(only=only) as (endpoint, plane):
        sent = ["Cookie: a", "X-Gone: 1", "X-GONE: 2", "User-Agent: curl", "X-Client: me", "X-Many: own"]
        plane.ask(request("GET", "/a?b", *sent))
    seen = endpoint.requests[0].fields
    assert {"cookie", "x-gone"}.isdisjoint(seen.names())
    assert (seen.one("user-agent"), seen.one("x-client")) == ("bascule", "127.0.0.1")
    assert seen.all("x-many") == ["own", "web/all"]
    assert seen.one("x-uri") == "http://bascule.test/a?b"
    assert (seen.one("host"), seen.one("x-forwarded-host")) == ("inner.test", "bascule.test")


def test_edits_remove_first_then_set_then_add_on_the_way_to_the_client() -> None:
    edits = contract.HeaderEdits(
        remove=("Server", "x-gone"),
        set=(value("Cache-Control", "no-store"),),
        add=(value("Set-Cookie", "c={client}"), value("X-Path", "{path}")),
    )
    sent = response("200 OK", b"ok", "Server: x", "X-Gone: 1", "Cache-Control: public", "Set-Cookie: a=b")
    with serving(answering(sent), listener(route(response_headers=edits))) as (_, plane):
        seen = plane.ask(request("GET", "/p?q")).fields
    assert {"server", "x-gone"}.isdisjoint(seen.names())
    assert seen.all("cache-control") == ["no-store"]
    assert seen.all("set-cookie") == ["a=b", "c=127.0.0.1"]
    assert seen.one("x-path") == "/p"


def test_edits_of_the_answer_apply_to_responses_of_the_route_itself() -> None:
    edits = contract.HeaderEdits(remove=("x-gone",), set=(value("X-Set", "{route}"),))
    fixed = contract.RespondAction(200, (value("X-Gone", "1"), value("X-Kept", "1")), "x")
    with serving(only=listener(route(fixed, response_headers=edits))) as (_, plane):
        seen = plane.ask(request()).fields
    assert (seen.one("x-gone"), seen.one("x-kept"), seen.one("x-set")) == (None, "1", "all")


def test_a_client_cannot_split_a_field_that_we_add() -> None:
    edits = contract.HeaderEdits(set=(value("X-Uri", "{uri}"),))
    with serving(only=listener(route(request_headers=edits, response_headers=edits))) as (endpoint, plane):
        answer = plane.ask(request("GET", "/%0d%0aX-Evil:1?%0d%0aX-Evil:2"))
    for fields in (endpoint.requests[0].fields, answer.fields):
        assert fields.one("x-uri") == "/%0D%0AX-Evil:1?%0d%0aX-Evil:2"
        assert "x-evil" not in fields.names()


@pytest.mark.parametrize(
    ("matcher", "hit", "miss"),
    [
        (contract.Matcher("host", {"hosts": ["*.test"]}), request(), b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"),
        (contract.Matcher("method", {"methods": ["POST"]}), request("POST"), request("post")),
        (
            contract.Matcher("header", {"name": "x-a", "test": {"kind": "exact", "value": "1"}}),
            request("GET", "/", "X-A: 1"),
            request("GET", "/", "X-A: 2"),
        ),
        (
            contract.Matcher("query", {"name": "a b", "test": {"kind": "exact", "value": "c&d"}}),
            request("GET", "/?x&a+b=c%26d"),
            request("GET", "/?a+b=c&d"),
        ),
        (
            contract.Matcher("path", {"paths": [{"kind": "regex", "value": "^/[0-9]+$"}]}),
            request("GET", "/%31%32"),
            request("GET", "/12a"),
        ),
    ],
    ids=["host", "method", "header", "query", "path"],
)
def test_a_matcher_sees_what_came_over_the_wire(matcher: contract.Matcher, hit: bytes, miss: bytes) -> None:
    with serving(only=listener(route(match=[matcher]))) as (_, plane):
        assert (plane.ask(hit).status, plane.ask(miss).status) == (200, 404)


@pytest.mark.parametrize(("network", "status"), [("127.0.0.0/8", 200), ("10.0.0.0/8", 404)])
def test_a_matcher_sees_where_the_connection_comes_from(network: str, status: int) -> None:
    client = contract.Matcher("client", {"networks": [network]})
    with serving(only=listener(route(match=[client]))) as (_, plane):
        assert plane.ask(request("GET", "/", "X-Forwarded-For: 10.0.0.1")).status == status
