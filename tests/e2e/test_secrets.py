"""Private keys are nowhere but where the operator put them: a test that searches."""

import json
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.certificates import Authority, Issued
from tests.support.program import Bascule, command, get
from tests.support.raw import request
from tests.support.secrets import leaks
from tests.support.tls import TlsClient, openssl, trusting

AUTHORITY = Authority()
SITE, SHOP = AUTHORITY.issue("a.test", "127.0.0.1"), AUTHORITY.issue("b.test", kind="rsa")
UPLOADED, REFUSED = AUTHORITY.issue("c.test"), AUTHORITY.issue("d.test")
KEYS = {"site": SITE, "shop": SHOP, "uploaded": UPLOADED, "refused": REFUSED}
TICKET_KEY = "a-ticket-key-of-the-test"
TEXT = """\
log_level: debug
admin: {certificates: uploaded}
listeners:
  web:
    bind: 127.0.0.1:0
    tls: {certificates: [site.pem, {certificate: shop.crt, key: shop.key}, uploaded/],
          tickets: {keys: ["${TICKET_KEY}"]}, client_certificates: {mode: optional, ca: ca.pem}}
    pool: own
pools:
  own: {endpoints: ["127.0.0.1:1"], tls: {ca: ca.pem, certificate: site.pem}, check: {tcp: true, every: 1s}}
access_log: {format: json, path: access.log}
"""
ADMIN = ("/", "/status", "/config", "/metrics", "/certificates", "/certificates/uploaded", "/nowhere")
COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("plan",),
    ("plan", "--snapshot"),
    ("show", "config", "--running"),
    ("show", "config", "--effective"),
    ("check",),
    ("reload",),
    ("certificates", "list", "--json"),
    ("schema",),
)


@pytest.fixture
def folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TICKET_KEY", TICKET_KEY)
    SITE.write(folder, "site")
    SHOP.write_apart(folder, "shop")
    AUTHORITY.write(folder)
    (folder / "bascule.yaml").write_text(TEXT)
    return folder


def broken(issued: Issued) -> Iterator[str]:
    """Files with a key that cannot be used, each for another reason."""
    lines = issued.key_pem.splitlines()
    yield issued.chain + "\n".join(lines[:-1])
    yield issued.chain + "\n".join([lines[0], "AAAA" + lines[1], *lines[2:]])
    yield issued.chain + issued.key_pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
    yield AUTHORITY.pem + issued.key_pem
    yield issued.key_pem


def exercise(bascule: Bascule, folder: Path) -> list[str]:
    """Everything that makes a balancer speak, and what it and its commands have said."""
    said = []
    uploaded, refused = UPLOADED.write(folder, "up"), folder / "bad.pem"
    said.append(command(folder, "certificates", "put", "uploaded", str(uploaded)))
    context = trusting(AUTHORITY)
    context.load_cert_chain(folder / "site.pem")
    with TlsClient(bascule.address(), context) as client:
        client.ask(request())
    with pytest.raises(ssl.SSLError):
        TlsClient(bascule.address(), trusting(Authority()))
    openssl(bascule.address(), "-tls1_2", "-cipher", "aNULL:@SECLEVEL=0")
    for text in broken(REFUSED):
        refused.write_text(text)
        said.append(command(folder, "certificates", "put", "refused", str(refused)))
        assert said[-1].code == 1
        (folder / "site.pem").write_text(text)
        said += [command(folder, "check"), command(folder, "reload")]
        assert said[-1].code == 1
    SITE.write(folder, "site")
    for file in (uploaded, refused):
        file.unlink()
    said += [command(folder, *words) for words in COMMANDS]
    bascule.send(signal.SIGHUP).wait_said("reloaded")
    answers = [get(f"unix:{folder}/admin.sock", path).body.decode() for path in ADMIN]
    return [*(it.out + it.err for it in said), *answers]


def test_keys_are_only_where_they_were_put(folder: Path) -> None:
    with Bascule(folder, "run") as bascule:
        bascule.ready()
        said = exercise(bascule, folder)
        process = Path(f"/proc/{bascule.pid}")
        running = [(process / name).read_bytes() for name in ("cmdline", "comm", "status")]
        names = [name.read_bytes() for name in process.glob("task/*/comm")]
        bascule.send(signal.SIGTERM)
        assert bascule.code() == 0
    everything = "\n".join([*said, *bascule.said, *bascule.written]).encode() + b"\n".join(running + names)
    assert b"handshake" in everything
    known = {"site.pem", "shop.key", "uploaded/uploaded.pem", "bascule.yaml"}
    files = {str(it.relative_to(folder)): it for it in folder.rglob("*") if it.is_file()}
    assert "access.log" in files and known <= files.keys()
    for name, file in files.items():
        everything += file.read_bytes() if name not in known else b""
    for name, issued in KEYS.items():
        assert leaks(issued.key_pem, everything) == [], name
    assert TICKET_KEY.encode() not in everything


def test_the_search_finds_what_it_looks_for() -> None:
    for issued in (SITE, SHOP):
        assert len(leaks(issued.key_pem, issued.key_pem.encode())) > 0
        assert "PKCS8 base64" in leaks(issued.key_pem, json.dumps(issued.key_pem).encode())
        assert leaks(issued.key_pem, (issued.chain + SHOP.chain + SITE.chain).encode()) == []
