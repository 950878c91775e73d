"""Clients prove who they are, endpoints are told, and nobody else can say so."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from tests.support.certificates import Authority, Issued
from tests.support.endpoints import ScriptedEndpoint
from tests.support.plane import RunningPlane, listener, pool, route
from tests.support.raw import request
from tests.support.tls import TlsClient, authorities, listener_tls, material, trusting

from bascule import contract

AUTHORITY, CLIENTS = Authority("Servers"), Authority("Clients")
ALICE = CLIENTS.issue("alice.test", "spiffe://test/alice", subject="CN=alice,O=Example")
BOB = CLIENTS.issue("bob.test", subject="CN=bob")
STRANGER = Authority("Strangers").issue("alice.test", subject="CN=alice,O=Example")
OLD = CLIENTS.issue("alice.test", days=-1)


def plane(
    endpoint: ScriptedEndpoint | None = None,
    *routes: contract.Route,
    required: bool = True,
    revoked: str = "",
) -> RunningPlane:
    clients = contract.ClientCertificates(required, "clients")
    given = (material("a", AUTHORITY.issue("a.test")), authorities("clients", CLIENTS, revoked))
    only = listener(*routes, tls=listener_tls(("a", ("a.test",)), clients=clients))
    return RunningPlane([pool(*([endpoint] if endpoint else []))], [only], material=given)


def showing(issued: Issued | None, folder: Path, newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = trusting(AUTHORITY, newest=newest)
    if issued is not None:
        context.load_cert_chain(issued.write(folder, "client"))
    return context


def ask(running: RunningPlane, context: ssl.SSLContext, *fields: str) -> int:
    with TlsClient(running.address(), context) as client:
        return client.ask(request("GET", "/", *fields)).status


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda it: it.name)
def test_who_must_show_a_certificate_and_has_none_that_is_good_is_refused(
    tmp_path: Path, newest: ssl.TLSVersion
) -> None:
    with plane() as running:
        assert ask(running, showing(ALICE, tmp_path, newest)) == 503
        for issued in (None, STRANGER, OLD):
            with pytest.raises(OSError):  # Of TLS 1.3 the client learns it with its first read.
                ask(running, showing(issued, tmp_path, newest))
        counted = running.stats().listeners[0]
        assert {it.reason: it.count for it in counted.failed_handshakes} == {"client_certificate": 3}


def test_who_may_show_a_certificate_may_also_show_none_but_not_a_bad_one(tmp_path: Path) -> None:
    with plane(required=False) as running:
        assert ask(running, showing(ALICE, tmp_path)) == ask(running, showing(None, tmp_path)) == 503
        with pytest.raises(OSError):
            ask(running, showing(STRANGER, tmp_path))


def test_who_is_revoked_is_refused_and_so_is_everybody_once_the_list_is_out_of_date(tmp_path: Path) -> None:
    with plane(revoked=CLIENTS.revoke(BOB)) as running:
        assert ask(running, showing(ALICE, tmp_path)) == 503
        with pytest.raises(OSError):
            ask(running, showing(BOB, tmp_path))
    with plane(revoked=CLIENTS.revoke(BOB, days=-1)) as running, pytest.raises(OSError):
        ask(running, showing(ALICE, tmp_path))


def test_with_lists_every_authority_between_is_looked_up_too(tmp_path: Path) -> None:
    below = Authority("Below", above=CLIENTS)
    carol, own = below.issue("carol.test", subject="CN=carol"), below.revoke()
    with plane(revoked=CLIENTS.revoke(BOB) + own) as running:
        assert ask(running, showing(carol, tmp_path)) == 503
    for lists in (CLIENTS.revoke(below.as_issued()) + own, CLIENTS.revoke(BOB), own):
        with plane(revoked=lists) as running, pytest.raises(OSError):
            ask(running, showing(carol, tmp_path))


def test_endpoints_are_told_who_it_is_and_nobody_can_claim_to_be_another(tmp_path: Path) -> None:
    forged = ("X-Forwarded-Client-Cert: Hash=0", 'x-forwarded-client-cert: Subject="CN=root"')
    with ScriptedEndpoint() as endpoint, plane(endpoint, required=False) as running:
        assert ask(running, showing(ALICE, tmp_path), *forged) == 200
        assert ask(running, showing(None, tmp_path), *forged) == 200
        first, second = endpoint.wait_requests(2)
    fingerprint = ALICE.certificate.fingerprint(SHA256()).hex()
    told = [value for name, value in first.fields if name.lower() == "x-forwarded-client-cert"]
    assert told == [f'Hash={fingerprint};Subject="CN=alice,O=Example";URI=spiffe://test/alice;DNS=alice.test']
    assert not [name for name, _ in second.fields if name.lower() == "x-forwarded-client-cert"]


def test_a_listener_in_the_clear_drops_what_clients_say_of_certificates() -> None:
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)]) as running:
        running.ask(request("GET", "/", "X-Forwarded-Client-Cert: Hash=0"))
        asked = endpoint.wait_requests(1)[0]
    assert "x-forwarded-client-cert" not in [name.lower() for name, _ in asked.fields]


def test_routes_go_by_who_it_is(tmp_path: Path) -> None:
    def when(id: str, status: int, part: str, **test: str) -> contract.Route:
        matcher = contract.Matcher("client_certificate", {"part": part, "test": test})
        return route(contract.RespondAction(status, (), ""), id=id, match=[matcher])

    routes = (
        when("alice", 201, "uri", kind="exact", value="spiffe://test/alice"),
        when("known", 202, "fingerprint", kind="present"),
        route(contract.RespondAction(403, (), ""), id="rest"),
    )
    with plane(None, *routes, required=False) as running:
        contexts = (showing(ALICE, tmp_path), showing(BOB, tmp_path), showing(None, tmp_path))
        assert [ask(running, context) for context in contexts] == [201, 202, 403]


def test_who_it_is_survives_a_resumed_session(tmp_path: Path) -> None:
    context = showing(ALICE, tmp_path)
    with ScriptedEndpoint() as endpoint, plane(endpoint) as running:
        with TlsClient(running.address(), context) as client:
            client.ask(request())
            session = client.socket.session
        with TlsClient(running.address(), context, session=session) as client:
            client.ask(request())
            assert client.socket.session_reused
        told = [
            value
            for asked in endpoint.wait_requests(2)
            for name, value in asked.fields
            if name.lower() == "x-forwarded-client-cert"
        ]
    assert len(told) == 2 and told[0] == told[1], told
