"""TLS-ALPN-01 (RFC 8737): a certificate that an authority is shown, and nobody else."""

import ssl
import time
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support.certificates import Authority
from tests.support.plane import RunningPlane, listener, pool
from tests.support.raw import request
from tests.support.tls import TlsClient, listener_tls, material

from bascule import contract
from bascule.acme.proof import challenge_certificate

AUTHORITY = Authority()
ORDINARY = AUTHORITY.issue("a.test", "new.test")
CHALLENGE = challenge_certificate("new.test", "token.thumbprint", time.time())
TLS = replace(
    listener_tls(("ordinary", ("a.test",))),
    challenges=(contract.ServedCertificate(CHALLENGE.id, ("new.test",)),),
)


def plane(tls: contract.ListenerTls = TLS) -> RunningPlane:
    return RunningPlane(
        [pool()], [listener(tls=tls)], material=(material("ordinary", ORDINARY), CHALLENGE), threads=1
    )


def offering(*protocols: str) -> ssl.SSLContext:
    """A client that verifies nobody: an authority compares, it does not trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    return context


def shown(client: TlsClient) -> bytes:
    return client.socket.getpeercert(binary_form=True) or b""


def test_whoever_offers_nothing_else_is_shown_the_challenge_and_the_connection_ends() -> None:
    expected = x509.load_pem_x509_certificate(CHALLENGE.chain.encode()).public_bytes(Encoding.DER)
    with plane() as running:
        for newest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = offering("acme-tls/1")
            context.maximum_version = newest
            with TlsClient(running.address(), context, "new.test") as client:
                assert client.socket.selected_alpn_protocol() == "acme-tls/1"
                assert shown(client) == expected
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    client.send(request())
                    client.socket.recv(1)
    assert "acme" not in repr(CHALLENGE.key)


@pytest.mark.parametrize(
    "protocols", [("http/1.1",), ("http/1.1", "acme-tls/1"), ("acme-tls/1", "http/1.1"), ()]
)
def test_everybody_else_is_shown_what_the_listener_shows(protocols: tuple[str, ...]) -> None:
    ordinary = ORDINARY.certificate.public_bytes(Encoding.DER)
    with plane() as running, TlsClient(running.address(), offering(*protocols), "new.test") as client:
        assert shown(client) == ordinary
        assert client.ask(request()).status == 503


def test_a_name_without_a_challenge_is_refused_and_so_is_the_protocol_when_there_are_none() -> None:
    with plane() as running:
        for name in ("a.test", None):
            with pytest.raises(ssl.SSLError):
                TlsClient(running.address(), offering("acme-tls/1"), name)
    with plane(replace(TLS, challenges=())) as running, pytest.raises(ssl.SSLError):
        TlsClient(running.address(), offering("acme-tls/1"), "new.test")
