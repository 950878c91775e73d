"""`:scheme` says what the client believes of its connection: who is wrong is told so (RFC 9110, 7.4)."""

from collections.abc import Sequence

import pytest
from tests.support.certificates import Authority
from tests.support.endpoints import ScriptedEndpoint
from tests.support.http2 import head
from tests.support.plane import RunningPlane, forwarded, listener, pool, serving
from tests.support.tls import listener_tls, material, trusting

AUTHORITY = Authority()


def with_scheme(scheme: str) -> Sequence[tuple[str, str]]:
    return [(name, scheme if name == ":scheme" else value) for name, value in head()]


@pytest.mark.parametrize(("scheme", "status"), [("http", 200), ("https", 421), ("ftp", 421)])
def test_without_tls_it_is_http(scheme: str, status: int) -> None:
    with serving() as (endpoint, plane), plane.connect_http2() as client:
        answer = client.ask(with_scheme(scheme))
        assert answer.status == status
        if status == 421:
            assert answer.body == b"421 Misdirected Request: the scheme is not that of this connection\n"
            assert plane.endings(1) == {"misdirected": 1}
        assert len(endpoint.requests) == (status == 200)
        assert client.ask().status == 200, "the connection goes on"


@pytest.mark.parametrize(("scheme", "status"), [("https", 200), ("http", 421)])
def test_within_tls_it_is_https(scheme: str, status: int) -> None:
    web = listener(tls=listener_tls(("a", ("a.test",))))
    given = (material("a", AUTHORITY.issue("a.test")),)
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)], [web], material=given) as plane:
        with plane.connect_http2(within=(trusting(AUTHORITY), "a.test")) as client:
            assert client.ask(with_scheme(scheme)).status == status
            assert len(endpoint.requests) == (status == 200)


def test_a_trusted_client_may_have_ended_tls_itself() -> None:
    """What endpoints are told is that of the connection all the same."""
    only = listener(forwarded=forwarded(x_forwarded=True, trusted=("127.0.0.1/32",)))
    with serving(None, only) as (endpoint, plane), plane.connect_http2() as client:
        assert client.ask(with_scheme("https")).status == 200
        assert endpoint.requests[0].fields.one("x-forwarded-proto") == "http"
