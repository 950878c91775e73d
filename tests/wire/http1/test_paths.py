"""Rules and endpoints see one and the same path: no spelling of it gets past a rule."""

import random
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

import pytest
from tests.support.endpoints import ScriptedEndpoint
from tests.support.plane import RunningPlane, listener, pool, prefix, route
from tests.support.raw import request

from bascule import contract

DENIED = contract.RespondAction(status=403, headers=(), body="denied")

SPELLINGS = [
    "/admin",
    "/admin/",
    "/admin/x",
    "/admin?x",
    "/admin/?/x",
    "//admin",
    "///admin//x",
    "/admin//x",
    "/./admin",
    "/././admin",
    "/admin/.",
    "/admin/./x",
    "/admin/%2e",
    "/x/../admin",
    "/x//../admin",
    "/x/..//admin",
    "/x/y/../../admin",
    "/%2e/admin",
    "/x/%2e%2e/admin",
    "/x/%2E%2E/admin",
    "/x/.%2e/admin",
    "/x/%2e./admin",
    "/%61dmin",
    "/%61%64%6D%69%6e",
    "/admin%2fx",
    "/admin%2F",
    "/admin%2f..%2fx",
    "/%2fadmin",
    "/%2F%2fadmin/x",
    "/x%2f..%2fadmin",
    "/x/..%2fadmin",
    "/x%2f../admin",
    "/x/%2e%2e%2fadmin",
    "/x/..;/admin",
    "/x/..;a=b/admin",
    "/x/%2e%2e;/admin",
    "/.;/admin",
    "/%2e;/admin",
    "/\\admin",
    "/x\\..\\admin",
    "/x/..\\admin",
    "/%5cadmin",
    "/x/..%5cadmin",
    "/admin#",
    "/admin#/../x",
    "/x#/../admin",
    "/admin%00",
    "/admin%00.html",
    "/%00/admin",
    "/../admin",
    "/x/../../admin",
    "/admin/x/..",
    "http://bascule.test/admin",
    "http://bascule.test//admin",
    "http://bascule.test/x/%2e%2e/admin",
    "HTTP://bascule.test/./admin",
]
"""Each is `/admin` for somebody."""

OTHER_PATHS = [
    ("/ADMIN", "/ADMIN"),
    ("/admins", "/admins"),
    ("/admin.html", "/admin.html"),
    ("/x/admin", "/x/admin"),
    ("/%2561dmin", "/%2561dmin"),
    ("/%252e%252e/admin", "/%252e%252e/admin"),
    ("/x%252f..%252fadmin", "/x%252f..%252fadmin"),
    ("/admin%3fx", "/admin%3Fx"),
    ("/admin%23x", "/admin%23x"),
    ("/admin%20", "/admin%20"),
    ("/admin%0d%0aX:%20y", "/admin%0D%0AX:%20y"),
    ("/admin/..", "/"),
    ("/admin/../x", "/x"),
    ("/admin/%2e%2e/x", "/x"),
    ("/...", "/..."),
    ("/x;y=z", "/x;y=z"),
    ("/%7ex/%41", "/~x/A"),
    ("/%c3%a9", "/%C3%A9"),
    ("//x///y", "/x/y"),
    ("/x/.", "/x/"),
    ("/", "/"),
]
"""These are not, for anybody who decodes once: as sent, and as the endpoint gets it."""


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint() as one:
        yield one


@pytest.fixture
def plane(endpoint: ScriptedEndpoint) -> Iterator[RunningPlane]:
    """Denies `/admin` and what lies below it; everything else goes to the endpoint."""
    routes = [route(DENIED, id="deny", match=[prefix("/admin")]), route()]
    with RunningPlane([pool(endpoint)], [listener(*routes)]) as running:
        yield running


@pytest.mark.parametrize("target", SPELLINGS)
def test_no_spelling_of_a_denied_path_reaches_the_endpoint(
    plane: RunningPlane, endpoint: ScriptedEndpoint, target: str
) -> None:
    assert plane.ask(request("GET", target)).status in (400, 403)
    assert plane.endpoint(endpoint).picked == 0


@pytest.mark.parametrize(("sent", "seen"), OTHER_PATHS)
def test_the_endpoint_gets_the_path_that_the_rules_have_judged(
    plane: RunningPlane, endpoint: ScriptedEndpoint, sent: str, seen: str
) -> None:
    assert plane.ask(request("GET", sent)).status == 200
    assert endpoint.requests[0].target == seen


def naive(target: str) -> str:
    """What an endpoint makes of a path that decodes once, merges slashes and resolves dots."""
    kept: list[str] = []
    for segment in unquote_to_bytes(target).decode("latin-1").split("/"):
        if segment == "..":
            kept = kept[:-1]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept)


def test_no_path_made_of_tricky_pieces_gets_past_the_rule(
    plane: RunningPlane, endpoint: ScriptedEndpoint
) -> None:
    pieces = [
        "admin",
        "/",
        "/",
        "/",
        ".",
        "..",
        "%2f",
        "%2F",
        "%2e",
        "%2E",
        "%61",
        "dmin",
        "x",
        ";",
        "%25",
        "%5c",
    ]
    source = random.Random(7)
    passed = 0
    for _ in range(2_000):
        target = "/" + "".join(source.choices(pieces, k=source.randint(1, 9)))
        with plane.connect() as client:
            passed += client.ask(request("GET", target)).status == 200
    assert passed > 200
    for seen in endpoint.requests:
        assert not (naive(seen.target) + "/").startswith("/admin/"), seen.target


@pytest.mark.parametrize(
    "host", ["secret.test", "SECRET.test", "secret.test.", "secret.test:80", "Secret.Test.:8080"]
)
def test_no_spelling_of_a_host_gets_past_its_rule(endpoint: ScriptedEndpoint, host: str) -> None:
    secret = contract.Matcher("host", {"hosts": ["secret.test"]})
    only = listener(route(DENIED, id="deny", match=[secret]), route())
    with RunningPlane([pool(endpoint)], [only]) as plane:
        for line in (f"GET / HTTP/1.1\r\nHost: {host}", f"GET http://{host}/ HTTP/1.1\r\nHost: {host}"):
            assert plane.ask(f"{line}\r\n\r\n".encode()).status == 403
        assert plane.ask(f"GET http://{host}/ HTTP/1.0\r\n\r\n".encode()).status == 403
