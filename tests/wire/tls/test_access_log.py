"""What the access log says about the TLS of a connection."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.plane import RunningPlane, listener, pool
from tests.support.raw import request
from tests.support.tls import TlsClient, authorities, curl, listener_tls, material, openssl, trusting

from bascule import contract

AUTHORITY, CLIENTS = Authority("Servers"), Authority("Clients")
TLS = listener_tls(("a", ("a.test",)), clients=contract.ClientCertificates(False, "clients"))
MATERIAL = (material("a", AUTHORITY.issue("a.test")), authorities("clients", CLIENTS))
FIELDS = ("tls_version", "tls_cipher", "tls_server_name", "tls_alpn", "tls_resumed", "client_subject")


def plane(log: Path) -> RunningPlane:
    to = contract.AccessLog("json", str(log))
    return RunningPlane(
        [pool()], [listener(tls=TLS, http2=contract.Http2())], material=MATERIAL, access_log=to
    )


def said(log: Path, count: int) -> list[dict[str, Any]]:
    """What each line says about TLS, once there are `count`."""

    def lines() -> list[str]:
        return log.read_text().splitlines() if log.exists() else []

    eventually(lambda: len(lines()) >= count, lines)
    assert len(lines()) == count
    return [{name: value for name, value in json.loads(it).items() if name in FIELDS} for it in lines()]


@pytest.mark.parametrize(
    ("newest", "version", "cipher"),
    [
        (ssl.TLSVersion.TLSv1_2, "TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        (ssl.TLSVersion.TLSv1_3, "TLSv1.3", "TLS_AES_128_GCM_SHA256"),
    ],
    ids=["TLSv1_2", "TLSv1_3"],
)
def test_a_line_says_what_was_agreed_on_and_whether_the_session_was_resumed(
    tmp_path: Path, newest: ssl.TLSVersion, version: str, cipher: str
) -> None:
    log, context = tmp_path / "access.log", trusting(AUTHORITY, newest=newest)
    context.set_alpn_protocols(["http/1.1"])
    with plane(log) as running:
        with TlsClient(running.address(), context) as client:
            assert [client.ask(request()).status for _ in range(2)] == [503, 503]
            session = client.socket.session
        with TlsClient(running.address(), context, session=session) as client:
            client.ask(request())
        lines = said(log, 3)
    about = {
        "tls_version": version,
        "tls_cipher": cipher,
        "tls_server_name": "a.test",
        "tls_alpn": "http/1.1",
    }
    assert lines == [about | {"tls_resumed": resumed} for resumed in (False, False, True)]


def test_what_a_client_did_not_say_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with plane(log) as running:
        said_back = openssl(running.address(), "-noservername", "-quiet", say="GET / HTTP/1.0\r\n\r\n")
        assert "503" in said_back
        (line,) = said(log, 1)
    assert set(line) == {"tls_version", "tls_cipher", "tls_resumed"}


def test_a_subject_that_tries_to_end_its_line_stays_within_it(tmp_path: Path) -> None:
    hostile = 'alice","status":999}\r\n{"client":"1.2.3.4'
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostile)])
    shown = CLIENTS.issue("alice.test", subject=name.rfc4514_string())
    log, context = tmp_path / "access.log", trusting(AUTHORITY)
    context.load_cert_chain(shown.write(tmp_path, "client"))
    with plane(log) as running:
        with TlsClient(running.address(), context) as client:
            client.ask(request())
        (line,) = said(log, 1)
    assert line["client_subject"].startswith("CN=alice")
    assert json.loads(log.read_text())["status"] == 503


def test_a_name_that_could_not_be_one_is_refused_before_there_is_a_line(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with plane(log) as running:
        for name in ('a","status":999,"x":"', "a\r\nb", "a\x1b[2Jb"):
            said_back = openssl(running.address(), "-servername", name)
            assert "alert illegal parameter" in said_back, name
        openssl(running.address(), "-servername", "a_b.test", "-quiet", say="GET / HTTP/1.0\r\n\r\n")
        (line,) = said(log, 1)
    assert line["tls_server_name"] == "a_b.test"


def test_every_request_of_an_http_2_connection_says_it(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with plane(log) as running:
        done = curl(running.address(), AUTHORITY.write(tmp_path), "--http2", "https://a.test/too")
        assert not done.stderr
        lines = said(log, 2)
    assert [(it["tls_alpn"], it["tls_server_name"]) for it in lines] == [("h2", "a.test")] * 2


def test_a_request_that_was_refused_says_it_too(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with plane(log) as running, TlsClient(running.address(), trusting(AUTHORITY)) as client:
        assert client.ask(b"GET / HTTP/1.1\r\n\r\n").status == 400
        (line,) = said(log, 1)
    assert line["tls_version"] == "TLSv1.3"


def test_lines_of_connections_in_the_clear_say_nothing_of_tls(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with RunningPlane([pool()], access_log=contract.AccessLog("json", str(log))) as running:
        running.ask(request())
        assert said(log, 1) == [{}]
