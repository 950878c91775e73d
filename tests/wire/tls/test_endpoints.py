"""TLS to endpoints: they must prove who they are, and connections and sessions are used again."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import Authority
from tests.support.endpoints import ScriptedEndpoint, Step, play
from tests.support.plane import RunningPlane, pool
from tests.support.raw import request
from tests.support.secure_endpoint import SecureEndpoint
from tests.support.tls import authorities, material

from bascule import contract

AUTHORITY = Authority()
GOOD = AUTHORITY.issue("api.test", "127.0.0.1")
TRUST = authorities("trust", AUTHORITY)


def pool_tls(name: str | None = "api.test", trust: str | None = "trust", shown: str | None = None) -> Any:
    return contract.PoolTls(trust, name, shown, ("http/1.1",))


def plane(
    endpoint: SecureEndpoint, tls: contract.PoolTls, *more: contract.Material, **options: Any
) -> RunningPlane:
    return RunningPlane([pool(endpoint.address, tls=tls, **options)], material=(TRUST, *more))


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda it: it.name)
def test_an_endpoint_that_proves_who_it_is_is_asked_over_one_connection(
    tmp_path: Path, newest: ssl.TLSVersion
) -> None:
    with SecureEndpoint(GOOD, tmp_path, newest=newest) as endpoint, plane(endpoint, pool_tls()) as running:
        told = [json.loads(running.ask(request(target=f"/{number}")).body) for number in range(5)]
        assert [it["path"] for it in told] == [f"/{number}" for number in range(5)]
        assert {(it["name"], it["alpn"], it["version"]) for it in told} == {
            ("api.test", "http/1.1", newest.name.replace("TLSv1_", "TLSv1."))
        }
        assert endpoint.connections == 1


def test_without_a_name_the_certificate_must_be_for_the_address(tmp_path: Path) -> None:
    with SecureEndpoint(GOOD, tmp_path) as endpoint, plane(endpoint, pool_tls(None)) as running:
        told = json.loads(running.ask(request()).body)
        assert told["name"] is None
    other = AUTHORITY.issue("api.test", "127.0.0.9")
    with SecureEndpoint(other, tmp_path) as endpoint, plane(endpoint, pool_tls(None)) as running:
        assert running.ask(request()).status == 502


@pytest.mark.parametrize(
    ("issued", "reason"),
    [
        (AUTHORITY.issue("other.test"), "not valid for name"),
        (Authority("Other").issue("api.test"), "UnknownIssuer"),
        (AUTHORITY.issue("api.test", days=-1), "expired"),
    ],
    ids=["for another name", "of a stranger", "expired"],
)
def test_who_cannot_prove_who_it_is_gets_no_request_and_the_operator_reads_why(
    tmp_path: Path, issued: Any, reason: str
) -> None:
    with SecureEndpoint(issued, tmp_path) as endpoint, plane(endpoint, pool_tls()) as running:
        assert running.ask(request()).status == 502
        assert running.endings(1) == {"endpoint_tls_failed": 1}
        told = running.wait_event("endpoint_tls_failed").what
        assert isinstance(told, contract.EndpointTlsFailed)
        assert reason in told.reason
        assert running.endpoint(endpoint.address).connect_failures > 0


def test_who_is_revoked_gets_no_request_and_neither_does_who_was_issued_by_one_who_is(
    tmp_path: Path,
) -> None:
    below = Authority("Below", above=AUTHORITY)
    endpoints = below.issue("api.test")
    for issued, lists, status in (
        (endpoints, AUTHORITY.revoke() + below.revoke(), 200),
        (endpoints, AUTHORITY.revoke() + below.revoke(endpoints), 502),
        (endpoints, AUTHORITY.revoke(below.as_issued()) + below.revoke(), 502),
        (endpoints, AUTHORITY.revoke(), 502),
    ):
        trust = authorities("listed", AUTHORITY, lists)
        with (
            SecureEndpoint(issued, tmp_path) as endpoint,
            plane(endpoint, pool_tls(trust="listed"), trust) as running,
        ):
            assert running.ask(request()).status == status


def test_only_who_asks_for_no_proof_gets_none(tmp_path: Path) -> None:
    stranger = Authority("Other").issue("other.test", days=-1)
    with SecureEndpoint(stranger, tmp_path) as endpoint, plane(endpoint, pool_tls(trust=None)) as running:
        assert running.ask(request()).status == 200


def test_an_endpoint_in_the_clear_is_not_taken_for_a_secure_one() -> None:
    deaf = play(b"HTTP/1.1 400 Bad Request\r\n\r\n", Step.CLOSE)
    with (
        ScriptedEndpoint(deaf) as endpoint,
        RunningPlane([pool(endpoint, tls=pool_tls())], material=(TRUST,)) as running,
    ):
        assert running.ask(request()).status == 502
        assert running.endings(1) == {"endpoint_tls_failed": 1}


def test_an_endpoint_that_never_answers_the_handshake_is_given_up_in_time() -> None:
    with ScriptedEndpoint(lambda conversation: conversation.watch()) as endpoint:
        silent = pool(endpoint, tls=pool_tls(), connect_ms=200, attempts=0)
        with RunningPlane([silent], material=(TRUST,)) as running:
            assert running.ask(request()).status == 504
            assert running.endings(1) == {"connect_timed_out": 1}


def test_a_try_that_fails_in_the_handshake_goes_to_another_endpoint(tmp_path: Path) -> None:
    stranger = Authority("Other").issue("api.test")
    with SecureEndpoint(stranger, tmp_path) as bad, SecureEndpoint(GOOD, tmp_path) as good:
        both = pool(bad.address, good.address, tls=pool_tls())
        with RunningPlane([both], material=(TRUST,)) as running:
            assert {running.ask(request("POST", body=b"x"), to="POST").status for _ in range(4)} == {200}


def test_we_show_a_certificate_when_asked(tmp_path: Path) -> None:
    clients = Authority("Clients")
    own = clients.issue("balancer.test")
    with SecureEndpoint(GOOD, tmp_path, clients=clients) as endpoint:
        with plane(endpoint, pool_tls(shown="own"), material("own", own)) as running:
            told = json.loads(running.ask(request()).body)
            assert told["client"] == [["DNS", "balancer.test"]]
        with plane(endpoint, pool_tls(), attempts=0) as running:
            assert running.ask(request()).status == 502


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda it: it.name)
def test_a_new_connection_resumes_the_session_of_an_old_one(tmp_path: Path, newest: ssl.TLSVersion) -> None:
    with SecureEndpoint(GOOD, tmp_path, newest=newest) as endpoint:
        with plane(endpoint, pool_tls(), idle=0) as running:
            for _ in range(4):
                assert running.ask(request()).status == 200
        assert (endpoint.connections, endpoint.resumed) == (4, 3)


def test_another_trust_does_not_use_the_connections_of_the_old_one(tmp_path: Path) -> None:
    with SecureEndpoint(GOOD, tmp_path) as endpoint, plane(endpoint, pool_tls()) as running:
        assert running.ask(request()).status == 200
        running.give(authorities("other", Authority("Other")))
        running.apply([pool(endpoint.address, tls=pool_tls(trust="other"))])
        assert running.ask(request()).status == 502
