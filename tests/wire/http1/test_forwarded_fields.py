"""What endpoints are told about clients: `X-Forwarded-*`, `Forwarded` (RFC 7239), and whose word counts."""

from pathlib import Path

import pytest
from tests.support.endpoints import ScriptedEndpoint
from tests.support.plane import RunningPlane, forwarded, listener, pool, serving
from tests.support.raw import RawClient, request
from tests.support.strict import Fields

TOLD = [
    "X-Forwarded-For: 10.0.0.1, 10.0.0.2",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: public.test",
    "X-Forwarded-Port: 443",
    "X-Forwarded-Server: edge",
    "X-Forwarded-By: edge",
    "X-Real-IP: 10.0.0.1",
    "Forwarded: for=10.0.0.1;proto=https",
    "x-forwarded-for: 10.0.0.3",
    "forwarded: for=10.0.0.3",
]
HOST = ("Host", "bascule.test")
OURS = Fields(
    [
        HOST,
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "bascule.test"),
        ("Forwarded", 'for=127.0.0.1;host="bascule.test";proto=http'),
    ]
)
LOCAL = ("127.0.0.0/8",)


def what_the_endpoint_sees(only: RunningPlane, endpoint: ScriptedEndpoint, *fields: str) -> Fields:
    assert only.ask(request("GET", "/", *fields)).status == 200
    return endpoint.requests[-1].fields


def test_an_endpoint_is_told_nothing_unless_it_is_asked_for() -> None:
    with serving(only=listener(forwarded=forwarded())) as (endpoint, plane):
        assert what_the_endpoint_sees(plane, endpoint) == Fields([HOST])


def test_nobody_believes_a_client_that_is_not_trusted() -> None:
    with serving(only=listener(forwarded=forwarded(x_forwarded=True, rfc7239=True))) as (endpoint, plane):
        assert what_the_endpoint_sees(plane, endpoint) == OURS
        assert what_the_endpoint_sees(plane, endpoint, *TOLD) == OURS


def test_nobody_believes_a_client_that_is_not_trusted_also_when_we_add_nothing() -> None:
    with serving(only=listener(forwarded=forwarded(trusted=["10.0.0.0/8"]))) as (endpoint, plane):
        assert what_the_endpoint_sees(plane, endpoint, *TOLD) == Fields([HOST])


def test_the_word_of_a_trusted_proxy_is_kept_and_its_chain_goes_on() -> None:
    policy = forwarded(x_forwarded=True, rfc7239=True, trusted=LOCAL)
    with serving(only=listener(forwarded=policy)) as (endpoint, plane):
        seen = what_the_endpoint_sees(plane, endpoint, *TOLD)
    assert seen.all("x-forwarded-for") == ["10.0.0.1, 10.0.0.2, 10.0.0.3, 127.0.0.1"]
    assert seen.all("forwarded") == [
        'for=10.0.0.1;proto=https, for=10.0.0.3, for=127.0.0.1;host="bascule.test";proto=http'
    ]
    assert seen.all("x-forwarded-proto") == ["https"]
    assert seen.all("x-forwarded-host") == ["public.test"]
    assert seen.all("x-forwarded-port") == ["443"]
    assert seen.all("x-real-ip") == ["10.0.0.1"]


def test_the_word_of_a_trusted_proxy_is_passed_on_also_when_we_add_nothing() -> None:
    with serving(only=listener(forwarded=forwarded(trusted=LOCAL))) as (endpoint, plane):
        seen = what_the_endpoint_sees(plane, endpoint, *TOLD)
    assert seen.all("x-forwarded-for") == ["10.0.0.1, 10.0.0.2, 10.0.0.3"]
    assert seen.all("forwarded") == ["for=10.0.0.1;proto=https, for=10.0.0.3"]


def test_a_trusted_proxy_that_says_nothing_is_itself_the_client() -> None:
    policy = forwarded(x_forwarded=True, rfc7239=True, trusted=LOCAL)
    with serving(only=listener(forwarded=policy)) as (endpoint, plane):
        assert what_the_endpoint_sees(plane, endpoint) == OURS
        assert what_the_endpoint_sees(plane, endpoint, "X-Forwarded-For:", "Forwarded:") == OURS


@pytest.mark.parametrize("trusted", [(), ("::1",)], ids=["untrusted", "trusted"])
def test_a_client_of_ipv6_is_named_as_each_field_wants_it(trusted: tuple[str, ...]) -> None:
    policy = forwarded(x_forwarded=True, rfc7239=True, trusted=trusted)
    with serving(only=listener(bind="[::1]:0", forwarded=policy)) as (endpoint, plane):
        seen = what_the_endpoint_sees(plane, endpoint, "X-Forwarded-For: 10.0.0.1")
    assert seen.one("x-forwarded-for") == ("10.0.0.1, ::1" if trusted else "::1")
    assert seen.one("forwarded") == 'for="[::1]";host="bascule.test";proto=http'


def test_an_ipv4_client_of_a_socket_for_both_is_known_as_ipv4() -> None:
    policy = forwarded(x_forwarded=True, trusted=["127.0.0.1"])
    with ScriptedEndpoint() as endpoint:
        with RunningPlane([pool(endpoint)], [listener(bind="[::]:0", forwarded=policy)]) as plane:
            port = plane.address().rsplit(":", 1)[1]
            with RawClient(f"127.0.0.1:{port}") as client:
                client.ask(request("GET", "/", "X-Forwarded-For: 10.0.0.1"))
        assert endpoint.requests[0].fields.one("x-forwarded-for") == "10.0.0.1, 127.0.0.1"


def test_a_client_on_a_unix_socket_is_trusted_and_has_no_address(tmp_path: Path) -> None:
    policy = forwarded(x_forwarded=True, rfc7239=True)
    with serving(only=listener(bind=f"unix:{tmp_path}/web", forwarded=policy)) as (endpoint, plane):
        assert what_the_endpoint_sees(plane, endpoint).all("x-forwarded-for") == []
        seen = what_the_endpoint_sees(plane, endpoint, "X-Forwarded-For: 10.0.0.1")
    assert seen.all("x-forwarded-for") == ["10.0.0.1"]
    assert seen.all("forwarded") == ['for=unknown;host="bascule.test";proto=http']


def test_a_client_without_a_host_is_forwarded_without_one() -> None:
    with serving(only=listener(forwarded=forwarded(x_forwarded=True, rfc7239=True))) as (endpoint, plane):
        plane.ask(b"GET / HTTP/1.0\r\n\r\n")
    seen = endpoint.requests[0].fields
    assert seen.all("x-forwarded-host") == []
    assert seen.all("forwarded") == ["for=127.0.0.1;proto=http"]
