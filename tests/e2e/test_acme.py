"""Certificates from a real ACME server, pebble: got, renewed, and kept when it fails."""

import json
import re
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support.eventually import eventually
from tests.support.pebble import HMAC_KEY, Pebble
from tests.support.program import Bascule, command, get
from tests.support.secrets import leaks

SLOW = 45.0
"""Seconds that an order may take on a busy machine."""

HOOK = """\
import json, urllib.request

def tell(what, **values):
    urllib.request.urlopen("http://127.0.0.1:{port}/" + what, json.dumps(values).encode()).close()

def present(name, value):
    tell("set-txt", host=name + ".", value=value)

async def remove(name, value):
    tell("clear-txt", host=name + ".")
"""


@pytest.fixture
def pebble(folder: Path) -> Iterator[Pebble]:
    with Pebble(folder) as started:
        yield started


def write(folder: Path, pebble: Pebble, names: str, more: str = "") -> Path:
    """A configuration whose own routes answer everything."""
    file = folder / "bascule.yaml"
    file.write_text(
        f"""\
acme: {{directory: "{pebble.directory}", ca: {pebble.ca}, storage: store, email: ops@example.com,
       terms_agreed: true{more}}}
listeners:
  plain: {{bind: "127.0.0.1:{pebble.http_port}", routes: [{{respond: {{status: 418}}}}]}}
  secure: {{bind: "127.0.0.1:{pebble.tls_port}", routes: [{{respond: hello}}], tls: {{acme: {names}}}}}
access_log: off
"""
    )
    return file


@contextmanager
def running(folder: Path) -> Iterator[Bascule]:
    with Bascule(folder, "run", "bascule.yaml") as bascule:
        yield bascule.ready()


def shake_hands(pebble: Pebble, name: str) -> ssl.SSLSocket:
    """A connection of a client that trusts what pebble has issued, and nothing else."""
    context = ssl.create_default_context(cadata=pebble.root())
    raw = socket.create_connection(("127.0.0.1", pebble.tls_port), 10)
    try:
        return context.wrap_socket(raw, server_hostname=name)
    except BaseException:
        raw.close()
        raise


def shown(pebble: Pebble, name: str) -> x509.Certificate | None:
    """What is shown for a name; `None`: it is refused."""
    try:
        with shake_hands(pebble, name) as client:
            return x509.load_der_x509_certificate(client.getpeercert(binary_form=True) or b"")
    except ssl.SSLError:
        return None


def ask(client: ssl.SSLSocket, name: str) -> bytes:
    client.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
    return client.recv(65536)


def status(folder: Path) -> dict[str, object]:
    answered = json.loads(get(f"unix:{folder}/admin.sock", "/status").body)
    assert isinstance(answered, dict)
    return answered


def orders(folder: Path) -> list[dict[str, object]]:
    listed = status(folder)["orders"]
    assert isinstance(listed, list)
    return listed


def until_said(bascule: Bascule, *words: str) -> None:
    """Orders take longer than other things that are waited for."""
    story = lambda: "\n".join(bascule.said)  # noqa: E731 (only for who reads a failure)
    eventually(lambda: any(all(word in line for word in words) for line in bascule.said), story, SLOW)


def until_shown(bascule: Bascule, pebble: Pebble, name: str) -> x509.Certificate:
    until_said(bascule, "certificate replaced", name)
    asked = name.replace("*", "any")
    eventually(lambda: shown(pebble, asked) is not None, f"nothing is shown for {name}")
    certificate = shown(pebble, asked)
    assert certificate is not None
    return certificate


def test_over_http_a_listener_gets_a_certificate_whatever_its_routes_say(
    folder: Path, pebble: Pebble
) -> None:
    file = write(folder, pebble, "[shop.example, [a.example, b.example]]")
    file.write_text("log_level: debug\n" + file.read_text())
    with running(folder) as bascule:
        assert shown(pebble, "shop.example") is None, "refused until there is one"
        until_shown(bascule, pebble, "shop.example")
        both = until_shown(bascule, pebble, "a.example")
        assert until_shown(bascule, pebble, "b.example") == both
        with shake_hands(pebble, "shop.example") as client:
            assert b"hello" in ask(client, "shop.example")
        eventually(lambda: [it["state"] for it in orders(folder)] == ["valid", "valid"], "an order goes on")
        assert get(f"127.0.0.1:{pebble.http_port}", "/.well-known/acme-challenge/x").status == 418
        printed = command(folder, "status").out
        assert "ordered certificates" in printed and "shop.example" in printed
        page = get(f"unix:{folder}/admin.sock", "/metrics").body.decode()
        assert 'bascule_acme_orders_succeeded_total{name="shop.example",names="1"} 1' in page
        for path in (folder / "store").rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        said = "\n".join([*bascule.said, *bascule.written, json.dumps(status(folder)), page])
        assert "PRIVATE KEY" not in said
        kept = [it.read_text() for it in (folder / "store").rglob("*") if it.is_file()]
        keys = [key for text in kept for key in re.findall(r"-+BEGIN [A-Z ]*PRIVATE KEY.*?KEY-+", text, re.S)]
        assert len(keys) == 3, "of the account and of two certificates"
        assert [leaks(key, said.encode()) for key in keys] == [[], [], []]

    # The next run has it from the start, and orders nothing.
    with running(folder) as bascule:
        assert shown(pebble, "shop.example") is not None
        assert not any("is ordered" in line for line in bascule.said)


def test_over_tls_the_challenge_is_shown_to_the_authority_alone(folder: Path, pebble: Pebble) -> None:
    write(folder, pebble, "shop.example", ", challenge: tls-alpn-01, key: rsa2048")
    with running(folder) as bascule:
        key = until_shown(bascule, pebble, "shop.example").public_key()
        assert isinstance(key, rsa.RSAPublicKey) and key.key_size == 2048
        context = ssl.create_default_context(cadata=pebble.root())
        context.set_alpn_protocols(["acme-tls/1"])
        with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", pebble.tls_port), 10) as raw:
            context.wrap_socket(raw, server_hostname="shop.example")


def test_through_a_hook_in_python_also_for_wildcards(folder: Path, pebble: Pebble) -> None:
    (folder / "dns.py").write_text(HOOK.replace("{port}", str(pebble.names_port)))
    more = ", challenge: dns-01, dns_hook: dns.py, dns_wait: 0ms"
    write(folder, pebble, '["*.shop.example"]', more)
    assert command(folder, "check", "bascule.yaml").code == 0
    with running(folder) as bascule:
        until_shown(bascule, pebble, "*.shop.example")
        assert not any("was not removed" in line for line in bascule.said)


def test_an_account_that_the_authority_knows_already(folder: Path) -> None:
    with Pebble(folder, accounts=True) as pebble:
        write(folder, pebble, "shop.example")
        with running(folder) as bascule:
            bascule.wait_said("was not issued", "externalAccountRequired", "external_account")
        account = f", external_account: {{key_id: kid-1, hmac_key: {HMAC_KEY}}}"
        write(folder, pebble, "shop.example", account)
        with running(folder) as bascule:
            until_shown(bascule, pebble, "shop.example")
            assert HMAC_KEY not in "\n".join([*bascule.said, *bascule.written])


def test_a_renewal_replaces_it_and_drops_no_connection(folder: Path) -> None:
    with Pebble(folder, lasts_s=15) as pebble:
        write(folder, pebble, "shop.example")
        with running(folder) as bascule:
            first = until_shown(bascule, pebble, "shop.example")
            with shake_hands(pebble, "shop.example") as client:
                assert b"hello" in ask(client, "shop.example")
                until_said(bascule, "certificate renewed")
                eventually(lambda: shown(pebble, "shop.example") not in (None, first), "the old one is shown")
                assert b"hello" in ask(client, "shop.example"), "the old connection goes on"


def test_a_failing_authority_keeps_the_old_one(folder: Path) -> None:
    with Pebble(folder, lasts_s=24) as pebble:
        write(folder, pebble, "shop.example")
        with running(folder) as bascule:
            first = until_shown(bascule, pebble, "shop.example")
            root = pebble.root()
            pebble.stop()
            until_said(bascule, "was not issued")
            assert orders(folder)[0]["state"] == "failed"
            context = ssl.create_default_context(cadata=root)
            raw = socket.create_connection(("127.0.0.1", pebble.tls_port), 10)
            with context.wrap_socket(raw, server_hostname="shop.example") as client:
                assert client.getpeercert(binary_form=True) == first.public_bytes(Encoding.DER)
            listed = status(folder)["problems"]
            assert isinstance(listed, list)
            assert any("cannot be reached" in it and "valid until" in it for it in listed), listed


def test_what_the_authority_says_is_told_with_what_to_do(folder: Path, pebble: Pebble) -> None:
    # Nobody answers there: what leads to the name is somewhere else.
    pebble.http_port, elsewhere = pebble.tls_port + 1, pebble.http_port
    write(folder, pebble, "shop.example")
    with running(folder) as bascule:
        bascule.wait_said("was not issued", "shop.example", f":{elsewhere}", "does the name lead here")


def test_a_new_run_of_the_authority_is_registered_with_again(folder: Path, pebble: Pebble) -> None:
    write(folder, pebble, "shop.example")
    with running(folder) as bascule:
        until_shown(bascule, pebble, "shop.example")
    pebble.stop()
    pebble.start()
    write(folder, pebble, "[shop.example, other.example]")
    with running(folder) as bascule:
        until_shown(bascule, pebble, "other.example")


def test_two_balancers_that_share_the_storage_order_once(folder: Path, pebble: Pebble) -> None:
    first = write(folder, pebble, "shop.example")
    other = folder / "other"
    other.mkdir()
    anywhere = first.read_text().replace(f":{pebble.http_port}", ":0").replace(f":{pebble.tls_port}", ":0")
    (other / "bascule.yaml").write_text(anywhere.replace("storage: store", f"storage: {folder}/store"))
    # Whichever of them orders, the authority comes to the first.
    with running(folder) as one, running(other) as two:
        for each in (one, two):
            until_said(each, "certificate replaced", "shop.example")
        assert sum("is ordered" in line for line in [*one.said, *two.said]) == 1
