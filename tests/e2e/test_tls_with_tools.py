"""The guide to TLS as somebody tries it out: with curl and openssl, against the whole program."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.certificates import Authority, Issued
from tests.support.eventually import PATIENCE, eventually
from tests.support.program import Bascule, ToyEndpoint, command
from tests.support.tls import openssl

AUTHORITY, STAFF = Authority(), Authority("Staff")
SITE, SHOP = AUTHORITY.issue("site.test", "*.site.test"), AUTHORITY.issue("shop.test")
ALICE = STAFF.issue("alice.test", subject="CN=alice,OU=admins")
BOB = STAFF.issue("bob.test", subject="CN=bob,OU=guests")
VERSIONS = pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
OWN = "routes: [{respond: hello}]"


@contextmanager
def running(folder: Path, listeners: str, more: str = "") -> Iterator[Bascule]:
    SITE.write(folder, "site")
    SHOP.write(folder, "shop")
    AUTHORITY.write(folder)
    STAFF.write(folder, "staff")
    (folder / "bascule.yaml").write_text(f"listeners:{listeners.rstrip()}\naccess_log: off\n{more}")
    with Bascule(folder, "run") as bascule:
        yield bascule.ready()


def curl(folder: Path, address: str, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Trusts the authority; every host is at `address`. Prints body and status."""
    return subprocess.run(
        [
            "curl", "-sS", "--cacert", "ca.pem", "--connect-to", f"::{address}", "-w", " %{http_code}",
            *words, url,
        ],
        cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def serial(issued: Issued) -> str:
    return f"{issued.certificate.serial_number:040X}"


def shown(address: str, *words: str) -> str:
    """The serial number of what openssl is shown."""
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-serial"],
        input=openssl(address, *words), capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return said.strip().removeprefix("serial=").zfill(40)


@VERSIONS
def test_who_asks_for_an_unknown_name_gets_the_default_or_an_alert(folder: Path, version: str) -> None:
    listeners = f"""
  kind:
    bind: 127.0.0.1:0
    tls: {{certificates: [site.pem, {{certificate: shop.pem, default: true}}]}}
    {OWN}
  strict:
    bind: 127.0.0.1:0
    tls: {{certificates: [site.pem, shop.pem], unknown_name: refuse}}
    {OWN}
"""
    with running(folder, listeners) as bascule:
        kind, strict = bascule.addresses()
        for name, issued in (("site.test", SITE), ("any.site.test", SITE), ("deep.any.site.test", SHOP)):
            assert shown(kind, version, "-servername", name) == serial(issued), name
        assert shown(kind, version, "-noservername") == serial(SHOP)
        assert shown(strict, version, "-servername", "SHOP.test") == serial(SHOP)
        for words in (("-servername", "other.test"), ("-noservername",)):
            assert "unrecognized name" in openssl(strict, version, *words)


def test_plain_http_leads_to_https_which_stays_so(folder: Path) -> None:
    listeners = f"""
  plain: {{bind: "127.0.0.1:0", redirect_to_https: 8443}}
  web: {{bind: "127.0.0.1:0", tls: {{certificates: site.pem}}, hsts: 1y, {OWN}}}
"""
    with running(folder, listeners) as bascule:
        plain, web = bascule.addresses()
        there = ("--connect-to", f"site.test:8443:{web}", "-L", "-D", "-", "-o", "/dev/null")
        followed = subprocess.run(
            [
                "curl", "-sS", "--cacert", "ca.pem", "--connect-to", f"site.test:80:{plain}", *there,
                "http://site.test/a?b=c",
            ],
            cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=True,
        ).stdout.lower()  # fmt: skip
        assert " 301 " in followed.splitlines()[0]
        assert curl(folder, plain, "http://site.test/", "-d", "x").stdout.endswith(" 308"), "still a POST"
        assert "location: https://site.test:8443/a?b=c" in followed
        first, second = followed.split("\n\n")[:2]
        assert "strict-transport-security" not in first
        assert "strict-transport-security: max-age=31536000" in second and " 200" in second
        wrong = curl(folder, web, "http://site.test/")
        assert wrong.stdout.endswith(" 400") and "https" in wrong.stdout.lower()


@VERSIONS
def test_clients_of_one_version_and_of_one_kind_of_key_are_served(folder: Path, version: str) -> None:
    AUTHORITY.issue("site.test", kind="rsa").write(folder, "rsa")
    listeners = f"""
  both: {{bind: "127.0.0.1:0", tls: {{certificates: [rsa.pem, site.pem]}}, {OWN}}}
  new: {{bind: "127.0.0.1:0", tls: {{certificates: site.pem, min_version: 1.3}}, {OWN}}}
"""
    with running(folder, listeners) as bascule:
        both, new = bascule.addresses()
        for algorithms, key in (
            ("RSA-PSS+SHA256:RSA+SHA256", "rsaEncryption"),
            ("ECDSA+SHA256", "id-ecPublicKey"),
            ("RSA-PSS+SHA256:ECDSA+SHA256", "id-ecPublicKey"),
        ):
            said = openssl(both, version, "-servername", "site.test", "-sigalgs", algorithms)
            text = subprocess.run(
                ["openssl", "x509", "-noout", "-text"], input=said, capture_output=True, text=True, check=True
            ).stdout
            assert f"Public Key Algorithm: {key}" in text, algorithms
        is_served = "Cipher is (NONE)" not in openssl(new, version, "-servername", "site.test")
        assert is_served == (version == "-tls1_3")


@VERSIONS
def test_a_session_goes_on_at_another_balancer_with_the_same_key_file(folder: Path, version: str) -> None:
    for name in ("one", "two", "stranger"):
        (folder / name).mkdir()
        (folder / name / "tickets").write_text("a-key-that-both-of-them-have" + (name == "stranger") * "-not")
    tls = f"tls: {{certificates: site.pem, tickets: {{keys: {{file: tickets}}}}}}, {OWN}"
    web = f"""
  web: {{bind: "127.0.0.1:0", {tls}}}
"""
    asks = "GET / HTTP/1.0\r\n\r\n"
    with (
        running(folder / "one", web) as one,
        running(folder / "two", web) as two,
        running(folder / "stranger", web) as stranger,
    ):
        words = (version, "-servername", "site.test", "-CAfile", f"{folder}/one/ca.pem", "-ign_eof")
        session = f"{folder}/session"
        assert "New, " in openssl(one.address(), *words, "-sess_out", session, say=asks)
        assert "Reused, " in openssl(one.address(), *words, "-sess_in", session, say=asks)
        assert "Reused, " in openssl(two.address(), *words, "-sess_in", session, say=asks)
        assert "New, " in openssl(stranger.address(), *words, "-sess_in", session, say=asks)
        # The way that the guide has keys changed: the new one first, both accepted, while it runs.
        with_both = tls.replace("{file: tickets}", "[{file: new}, {file: tickets}]")
        (folder / "two" / "new").write_text("the-key-of-the-next-twelve-hours")
        file = folder / "two" / "bascule.yaml"
        file.write_text(file.read_text().replace(tls, with_both))
        assert command(folder / "two", "reload").code == 0
        assert "Reused, " in openssl(two.address(), *words, "-sess_in", session, say=asks)


def test_who_has_a_certificate_goes_where_others_may_not_and_nobody_forges_one(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    for name, issued in (("alice", ALICE), ("bob", BOB), ("mallory", Authority("Other").issue("alice.test"))):
        issued.write(folder, name)
    listeners = f"""
  web:
    bind: 127.0.0.1:0
    tls: {{certificates: site.pem, client_certificates: {{mode: optional, ca: staff.pem}}}}
    routes:
      - match: {{path: /admin/, client_certificate: {{subject: {{regex: "(^|,)OU=admins(,|$)"}}}}}}
        pool: app
      - match: {{path: /admin/}}
        respond: {{status: 403}}
      - pool: app
  closed:
    bind: 127.0.0.1:0
    tls: {{certificates: site.pem, client_certificates: {{ca: staff.pem}}}}
    {OWN}
"""
    pools = f"pools: {{app: {{endpoints: ['{toys[0].name}']}}}}\n"
    forged = ("-H", 'X-Forwarded-Client-Cert: Hash=0;Subject="CN=alice,OU=admins"')
    with running(folder, listeners, pools) as bascule:
        web, closed = bascule.addresses()
        admin, site = "https://site.test/admin/", "https://site.test/"
        assert curl(folder, web, admin, "--cert", "alice.pem").stdout.endswith(" 200")
        assert curl(folder, web, admin, "--cert", "bob.pem").stdout.endswith(" 403")
        assert curl(folder, web, admin, *forged).stdout.endswith(" 403")
        assert curl(folder, web, site, "--cert", "mallory.pem").returncode != 0
        for words in ((), ("--cert", "bob.pem")):
            assert curl(folder, web, site, *forged, *words).stdout.endswith(" 200")
        told = [
            [value for name, value in asked.fields if name.lower() == "x-forwarded-client-cert"]
            for asked in toys[0].requests
        ]
        assert len(told) == 3 and told[1] == []
        assert ["CN=alice" in told[0][0], "CN=bob" in told[2][0], "alice" in told[2][0]] == [
            True,
            True,
            False,
        ]
        assert curl(folder, closed, site).returncode != 0
        assert curl(folder, closed, site, "--cert", "bob.pem").stdout == "hello 200"


def test_who_is_revoked_while_it_runs_is_refused_from_then_on(folder: Path) -> None:
    ALICE.write(folder, "alice")
    BOB.write(folder, "bob")
    (folder / "staff.crl").write_text(STAFF.revoke())
    clients = "client_certificates: {ca: staff.pem, crl: staff.crl}"
    web = f"""
  web: {{bind: "127.0.0.1:0", tls: {{certificates: site.pem, {clients}}}, {OWN}}}
"""
    with running(folder, web) as bascule:

        def served(name: str) -> bool:
            done = curl(folder, bascule.address(), "https://site.test/", "--cert", f"{name}.pem")
            return done.stdout == "hello 200"

        assert served("alice") and served("bob")
        (folder / "staff.crl").write_text(STAFF.revoke(BOB))
        eventually(lambda: not served("bob"), "bob is still served")
        assert served("alice")
