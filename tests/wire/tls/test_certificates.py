"""Which certificate a client is shown, and what happens to those who ask for none that there is."""

import ssl
import time

import pytest
from tests.support.certificates import Authority, make_key
from tests.support.endpoints import ScriptedEndpoint
from tests.support.plane import RunningPlane, listener, pool
from tests.support.raw import request
from tests.support.tls import TlsClient, listener_tls, material, openssl, serial, trusting

from bascule import contract

AUTHORITY = Authority()
EXACT = AUTHORITY.issue("a.test", "b.wild.test")
WILD = AUTHORITY.issue("*.wild.test")
SERVED = (("exact", ("a.test", "b.wild.test")), ("wild", ("*.wild.test",)))
MATERIAL = (material("exact", EXACT), material("wild", WILD))


def plane(tls: contract.ListenerTls, *given: contract.Material, threads: int = 1) -> RunningPlane:
    return RunningPlane([pool()], [listener(tls=tls)], material=given or MATERIAL, threads=threads)


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda it: it.name)
def test_the_name_that_a_client_asks_for_chooses_the_certificate(newest: ssl.TLSVersion) -> None:
    context = trusting(AUTHORITY, newest=newest)
    with plane(listener_tls(*SERVED)) as running:
        for name, issued in (("a.test", EXACT), ("b.wild.test", EXACT), ("c.WILD.test", WILD)):
            with TlsClient(running.address(), context, name) as client:
                assert client.shown() == serial(issued), name
                assert client.ask(request()).status == 503


def test_who_asks_for_nothing_or_for_something_else_is_shown_the_default() -> None:
    context = trusting(AUTHORITY)
    context.check_hostname = False
    with plane(listener_tls(*SERVED, defaults=("wild",))) as running:
        for name in (None, "other.test", "x.y.wild.test", "wild.test"):
            with TlsClient(running.address(), context, name) as client:
                assert client.shown() == serial(WILD), name


def test_without_a_default_who_asks_for_an_unknown_name_reads_that_in_an_alert() -> None:
    with plane(listener_tls(*SERVED, defaults=())) as running:
        for word in ("-tls1_2", "-tls1_3"):
            said = openssl(running.address(), word, "-servername", "other.test")
            assert "unrecognized name" in said, said
        assert "unrecognized name" in openssl(running.address(), "-noservername")
        failed = running.wait_stats(lambda stats: bool(stats.listeners[0].failed_handshakes)).listeners[0]
        assert [it.reason for it in failed.failed_handshakes] == ["unknown_name"]
        assert running.wait_event("handshake_failed").what.kind == "handshake_failed"


def test_of_two_certificates_for_one_name_a_client_gets_the_one_that_it_can_verify() -> None:
    rsa = AUTHORITY.issue("a.test", kind="rsa")
    served = (("exact", ("a.test",)), ("rsa", ("a.test",)))
    with plane(listener_tls(*served), MATERIAL[0], material("rsa", rsa)) as running:
        for version in ("-tls1_2", "-tls1_3"):
            for algorithms, wanted in (("RSA-PSS+SHA256:RSA+SHA256", rsa), ("ECDSA+SHA256", EXACT)):
                said = openssl(
                    running.address(), version, "-servername", "a.test", "-sigalgs", algorithms, "-showcerts"
                )
                first = wanted.chain.split("-----END")[0].splitlines()[1]
                assert first in said, (version, algorithms)


def test_ten_thousand_certificates_cost_a_handshake_what_ten_cost() -> None:
    many = 10_000
    key = make_key("ecdsa")
    issued = [AUTHORITY.issue(f"n{number}.test", key=key) for number in range(many // 10)]
    # Of a thousand certificates under ten names each: it is names that are looked up.
    served = tuple(
        (f"c{at}", tuple(f"n{at}.test" if part == 0 else f"n{at}-{part}.test" for part in range(10)))
        for at in range(len(issued))
    )
    context = trusting(AUTHORITY)

    def took(count: int) -> float:
        given = [material(f"c{at}", issued[at]) for at in range(count)]
        with plane(listener_tls(*served[:count]), *given) as running:
            names = [f"n{count * part // 20}.test" for part in range(20)]
            best = 1.0
            for name in names:
                began = time.perf_counter()
                with TlsClient(running.address(), context, name) as client:
                    best = min(best, time.perf_counter() - began)
                    assert client.socket.getpeercert()
            return best

    few, all_of_them = took(10), took(len(issued))
    assert all_of_them < 3 * few, (few, all_of_them)


def test_a_request_for_a_host_that_another_certificate_is_for_came_the_wrong_way() -> None:
    only = listener(tls=listener_tls(*SERVED))
    with (
        ScriptedEndpoint() as endpoint,
        RunningPlane([pool(endpoint)], [only], material=MATERIAL) as running,
        TlsClient(running.address(), trusting(AUTHORITY), "a.test") as client,
    ):
        for host, status in (("b.wild.test", 200), ("unknown.test", 200), ("c.wild.test.:8443", 421)):
            ask = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
            assert client.ask(ask).status == status, host


def test_versions_older_than_the_oldest_are_refused() -> None:
    with plane(listener_tls(*SERVED, oldest="tls13")) as running:
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            TlsClient(running.address(), trusting(AUTHORITY, newest=ssl.TLSVersion.TLSv1_2))
        assert "alert protocol version" in openssl(running.address(), "-tls1_2")
    with plane(listener_tls(*SERVED)) as running:
        said = openssl(running.address(), "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        assert "alert" in said and "Cipher is (NONE)" in said


def test_what_is_spoken_within_is_agreed_on() -> None:
    context = trusting(AUTHORITY)
    context.set_alpn_protocols(["spdy/3", "http/1.1"])
    with plane(listener_tls(*SERVED)) as running:
        with TlsClient(running.address(), context) as client:
            assert client.socket.selected_alpn_protocol() == "http/1.1"
        assert "alert no application protocol" in openssl(running.address(), "-alpn", "spdy/3")


def test_material_that_was_not_given_or_does_not_fit_is_refused_and_no_key_is_told() -> None:
    with plane(listener_tls(*SERVED)) as running:
        tls = listener_tls(("other", ("a.test",)))
        with pytest.raises(Exception, match='listener "web", tls: certificate other was not given'):
            running.apply([pool()], [listener(tls=tls)])
        key = WILD.key_pem
        with pytest.raises(Exception, match="does not fit") as refused:
            running.give(contract.CertificateMaterial("x", EXACT.chain, contract.Secret(key)))
        assert key.splitlines()[1] not in str(refused.value)
        with TlsClient(running.address(), trusting(AUTHORITY)) as client:
            assert client.ask(request()).status == 503


def test_material_that_no_live_snapshot_names_is_forgotten() -> None:
    with plane(listener_tls(*SERVED)) as running:
        running.apply([pool()], [listener(tls=listener_tls(SERVED[0]))])
        with pytest.raises(Exception, match="certificate wild was not given"):
            running.apply([pool()], [listener(tls=listener_tls(*SERVED))])
