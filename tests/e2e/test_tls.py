"""Certificates as an operator sees them: replaced while running, told of, and never leaked."""

import re
import ssl
from pathlib import Path

from tests.support.certificates import Authority, Issued
from tests.support.eventually import eventually
from tests.support.program import Bascule, command
from tests.support.raw import request
from tests.support.secure_endpoint import SecureEndpoint
from tests.support.tls import TlsClient, serial, trusting

AUTHORITY = Authority()
SECRET = "a-secret-for-tickets"


def write(folder: Path, issued: Issued, text: str = "") -> Path:
    issued.write(folder, "site")
    file = folder / "bascule.yaml"
    file.write_text(
        text
        or f"""\
listeners:
  web:
    bind: 127.0.0.1:0
    tls: {{certificates: site.pem, tickets: {{keys: {SECRET}}}}}
    routes: [{{respond: {{status: 200}}}}]
access_log: off
"""
    )
    return file


def shown(bascule: Bascule, context: ssl.SSLContext) -> str:
    with TlsClient(bascule.address(), context) as client:
        assert client.ask(request()).status == 200
        return client.shown()


def test_a_certificate_is_replaced_while_connections_stay_open(tmp_path: Path) -> None:
    old, new = AUTHORITY.issue("a.test"), AUTHORITY.issue("a.test")
    write(tmp_path, old)
    context = trusting(AUTHORITY)
    with Bascule(tmp_path, "run") as bascule:
        bascule.ready()
        with TlsClient(bascule.address(), context) as before:
            assert before.shown() == serial(old)
            new.write(tmp_path, "site")
            bascule.wait_said("certificate replaced")
            eventually(lambda: shown(bascule, context) == serial(new), lambda: "the new certificate")
            assert before.ask(request()).status == 200


def test_a_broken_certificate_changes_nothing_and_is_told(tmp_path: Path) -> None:
    issued = AUTHORITY.issue("a.test")
    file = write(tmp_path, issued)
    context = trusting(AUTHORITY)
    with Bascule(tmp_path, "run") as bascule:
        bascule.ready()
        (tmp_path / "site.pem").write_text(issued.chain)
        bascule.wait_said("the old certificate is still shown", "holds no private key")
        assert shown(bascule, context) == serial(issued)
        assert "holds no private key; the old one is still shown" in re.sub(
            r"\s+", " ", command(tmp_path, "status").out
        )
        refused = command(tmp_path, "reload")
        assert refused.code == 1 and f"{tmp_path}/site.pem: holds no private key" in refused.err + refused.out
        checked = command(tmp_path, "check", str(file))
        assert checked.code == 1 and "bascule.yaml:4:25" in checked.err + checked.out
        assert shown(bascule, context) == serial(issued)


def test_keys_are_nowhere_to_be_seen(tmp_path: Path) -> None:
    issued = AUTHORITY.issue("a.test")
    write(tmp_path, issued)
    with Bascule(tmp_path, "run") as bascule:
        bascule.ready()
        out = [
            command(tmp_path, *words)
            for words in (
                ("status", "--json"),
                ("plan", "--snapshot"),
                ("show", "config", "--running"),
                ("show", "config", "--effective"),
                ("check",),
                ("reload",),
            )
        ]
        everything = "\n".join([*(it.out + it.err for it in out), *bascule.said, *bascule.written])
    assert '"days_left": 8' in out[0].out or '"days_left": 90' in out[0].out
    for secret in (SECRET, *issued.key_pem.splitlines()[1:-1]):
        assert secret not in everything


def test_a_certificate_that_ends_soon_is_warned_of_and_measured(tmp_path: Path) -> None:
    write(tmp_path, AUTHORITY.issue("a.test", days=5.5))
    with Bascule(tmp_path, "run") as bascule:
        bascule.ready()
        bascule.wait_said("the certificate for a.test", "expires in 5 days")
        assert "expires in 5 days" in re.sub(r"\s+", " ", command(tmp_path, "status").out)


def test_checks_speak_tls_as_the_traffic_does(tmp_path: Path) -> None:
    AUTHORITY.write(tmp_path)
    with SecureEndpoint(AUTHORITY.issue("api.test"), tmp_path) as endpoint:
        for name, state in (("api.test", "up"), ("other.test", "down")):
            text = f"""\
listeners: {{web: {{bind: "127.0.0.1:0", pool: api}}}}
pools:
  api:
    endpoints: ["{endpoint.address}"]
    check: {{http: /healthz, every: 50ms, timeout: 50ms}}
    tls: {{ca: ca.pem, server_name: {name}}}
"""
            (tmp_path / "bascule.yaml").write_text(text)
            with Bascule(tmp_path, "run") as bascule:
                bascule.ready()
                told = command(
                    tmp_path, "wait", "endpoint", f"api/{endpoint.address}", state, "--timeout", "10s"
                )
                assert told.code == 0, told
                if state == "down":
                    assert "Hostname mismatch" in command(tmp_path, "status", "--json").out


def test_a_balancer_for_development_is_trusted_by_who_trusts_its_authority(tmp_path: Path) -> None:
    text = """\
listeners:
  web:
    bind: 127.0.0.1:0
    tls: {self_signed: true}
    hsts: 1y
    routes: [{match: {host: a.test}, respond: {status: 200}}]
  plain: {bind: "127.0.0.1:0", redirect_to_https: true}
"""
    write(tmp_path, AUTHORITY.issue("a.test"), text)
    with Bascule(tmp_path, "run") as bascule:
        bascule.ready().wait_said("  authority  ", "state/bascule/tls/ca.pem")
        context = ssl.create_default_context(cafile=tmp_path / "state" / "bascule" / "tls" / "ca.pem")
        with TlsClient(bascule.address(), context, "a.test") as client:
            answer = client.ask(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            assert answer.status == 200
            assert ("Strict-Transport-Security", "max-age=31536000") in answer.fields


def test_the_demo_speaks_tls(tmp_path: Path) -> None:
    done = command(tmp_path, "demo", "--tls", "--seconds", "0.5")
    assert done.code == 0, done
    assert "https://127.0.0.1:" in done.out and "errors: none" in done.out
