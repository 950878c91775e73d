"""Certificates that are handed over to a running balancer, by curl and by command, and seen by openssl."""

import json
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import Authority, Issued
from tests.support.eventually import PATIENCE
from tests.support.program import Bascule, command
from tests.support.raw import request
from tests.support.tls import TlsClient, openssl, serial, trusting

AUTHORITY = Authority()
BELOW = Authority("Below", above=AUTHORITY)
TEXT = """\
admin: {certificates: handed-over}
listeners:
  web:
    bind: 127.0.0.1:0
    tls: {certificates: [handed-over/]}
    routes: [{respond: {status: 200}}]
access_log: off
"""


def curl(folder: Path, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
    """What the admin API answers."""
    sent = [] if body is None else ["--data-binary", "@-"]
    done = subprocess.run(
        [
            "curl", "-sS", "--unix-socket", f"{folder}/admin.sock", "-X", method, *sent,
            "-w", "\n%{http_code}", f"http://admin{path}",
        ],
        input=body,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )  # fmt: skip
    text, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(text) if text.startswith("{") else text


def put(folder: Path, name: str, issued: Issued) -> tuple[int, Any]:
    return curl(folder, "PUT", f"/certificates/{name}", issued.chain + issued.key_pem)


def shown(bascule: Bascule, name: str) -> str:
    """The serial number that openssl is shown; empty when it is refused."""
    said = openssl(bascule.address(), "-servername", name)
    if "BEGIN CERTIFICATE" not in said:
        assert "unrecognized name" in said, said
        return ""
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-serial"], input=said, capture_output=True, text=True, check=True
    )
    return done.stdout.strip().removeprefix("serial=").lower().lstrip("0")


@pytest.fixture
def folder(folder: Path) -> Path:
    (folder / "bascule.yaml").write_text(TEXT)
    return folder


def test_what_is_handed_over_is_shown_when_that_is_answered(folder: Path) -> None:
    one, other = BELOW.issue("a.test", "*.a.test"), AUTHORITY.issue("b.test", kind="rsa")
    with Bascule(folder, "run") as bascule:
        bascule.ready()
        assert shown(bascule, "a.test") == ""
        status, told = put(folder, "site", one)
        assert (status, told["name"], told["names"]) == (201, "site", ["a.test", "*.a.test"])
        assert (told["used_by"], told["serial"], told["warnings"]) == (["listener web"], serial(one), [])
        assert shown(bascule, "a.test") == shown(bascule, "x.a.test") == serial(one)
        assert put(folder, "other.b", other)[0] == 201
        assert (shown(bascule, "a.test"), shown(bascule, "b.test")) == (serial(one), serial(other))
        status, every = curl(folder, "GET", "/certificates")
        assert {it["name"]: it["days_left"] for it in every["certificates"]} == {"other.b": 89, "site": 89}
        bascule.wait_said("certificate handed over", '"name": "site"', serial(one), '"by": "admin socket"')
    for name in ("site", "other.b"):
        file = folder / "handed-over" / f"{name}.pem"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "handed-over").stat().st_mode) == 0o700
    assert [it.name for it in (folder / "handed-over").iterdir() if it.name.startswith(".")] == []
    with Bascule(folder, "run") as again:
        again.ready()
        assert (shown(again, "a.test"), shown(again, "b.test")) == (serial(one), serial(other))


def test_no_request_is_lost_while_certificates_are_replaced(folder: Path) -> None:
    with Bascule(folder, "run") as bascule:
        bascule.ready()
        put(folder, "site", AUTHORITY.issue("a.test"))
        ended, lost = threading.Event(), []

        def visit() -> None:
            context = trusting(AUTHORITY)
            with TlsClient(bascule.address(), context) as stays:
                while not ended.is_set():
                    try:
                        assert stays.ask(request()).status == 200
                        with TlsClient(bascule.address(), context) as fresh:
                            assert fresh.ask(request()).status == 200
                    except Exception as error:
                        lost.append(error)
                        return

        visitor = threading.Thread(target=visit)
        visitor.start()
        for _ in range(10):
            new = AUTHORITY.issue("a.test")
            assert put(folder, "site", new)[0] == 200
            assert shown(bascule, "a.test") == serial(new)
        ended.set()
        visitor.join(PATIENCE)
        assert lost == []


def test_what_cannot_be_shown_is_refused_as_a_file_is_and_changes_nothing(folder: Path) -> None:
    good, other = AUTHORITY.issue("a.test"), AUTHORITY.issue("b.test")
    with Bascule(folder, "run") as bascule:
        bascule.ready()
        put(folder, "site", good)
        for body, fault in (
            ("", "site: is empty"),
            ("nonsense", "site: holds no certificate"),
            (good.chain, "site: holds no private key"),
            (good.key_pem, "site: holds no certificate"),
            (good.chain + other.key_pem, "site: the key does not belong to the certificate of site (a.test)"),
            (AUTHORITY.pem + good.chain + good.key_pem, "the certificate of the key is number 2"),
            (good.chain + good.key_pem.replace("\n", "\nAAAA", 1), "site: the key cannot be read"),
        ):
            status, told = curl(folder, "PUT", "/certificates/site", body)
            assert status == 422 and fault in told["error"], told
            assert good.key_pem.splitlines()[1] not in told["error"]
        assert curl(folder, "PUT", "/certificates/site", "x" * ((1 << 20) + 1))[0] == 413
        for name in ("%2e%2e%2fbascule", ".hidden", "a%00b", "site.pem", "a" * 101):
            status, told = put(folder, name, good)
            assert status in {404, 422}, (name, told)
        assert [it.name for it in (folder / "handed-over").iterdir()] == ["site.pem"]
        assert shown(bascule, "a.test") == serial(good)
        status, told = put(folder, "site", AUTHORITY.issue("a.test", days=-3))
        assert status == 200 and "has expired" in told["warnings"][0]


def test_what_is_removed_is_shown_no_more(folder: Path) -> None:
    with Bascule(folder, "run") as bascule:
        bascule.ready()
        for name in ("a", "b"):
            put(folder, name, AUTHORITY.issue(f"{name}.test"))
        assert curl(folder, "GET", "/certificates/a")[1]["names"] == ["a.test"]
        status, told = curl(folder, "DELETE", "/certificates/a")
        assert (status, told["names"], told["used_by"]) == (200, ["a.test"], [])
        for method in ("DELETE", "GET"):
            assert curl(folder, method, "/certificates/a")[0] == 404
        bascule.wait_said("certificate removed", '"name": "a"')
        said = openssl(bascule.address(), "-servername", "a.test")  # The default by now.
        assert "b.test" in subprocess.run(
            ["openssl", "x509", "-noout", "-ext", "subjectAltName"],
            input=said, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert curl(folder, "DELETE", "/certificates/b")[0] == 200
        assert shown(bascule, "b.test") == ""


def test_without_a_directory_nothing_is_taken_and_that_is_said(folder: Path) -> None:
    AUTHORITY.issue("a.test").write(folder, "a")
    (folder / "bascule.yaml").write_text(
        TEXT.replace("admin: {certificates: handed-over}\n", "").replace("[handed-over/]", "a.pem")
    )
    with Bascule(folder, "run") as bascule:
        bascule.ready()
        status, told = put(folder, "site", AUTHORITY.issue("a.test"))
        assert status == 409 and "write admin: {certificates: DIRECTORY}" in told["error"]
        (only,) = curl(folder, "GET", "/certificates")[1]["certificates"]
        assert (only["name"], only["file"]) == (None, f"{folder}/a.pem")


def test_a_directory_that_nobody_shows_is_warned_of_before_and_after(folder: Path) -> None:
    AUTHORITY.issue("a.test").write(folder, "a")
    (folder / "bascule.yaml").write_text(TEXT.replace("[handed-over/]", "a.pem"))
    checked = command(folder, "check")
    assert checked.code == 0 and "no listener names this directory" in checked.out + checked.err
    with Bascule(folder, "run") as bascule:
        bascule.ready()
        status, told = put(folder, "site", AUTHORITY.issue("b.test"))
        assert status == 201 and told["used_by"] == [] and "nobody shows it" in told["warnings"][0]


def test_the_command_does_the_same(folder: Path) -> None:
    chain, key = AUTHORITY.issue("a.test").write_apart(folder, "a")
    with Bascule(folder, "run") as bascule:
        bascule.ready()
        done = command(folder, "certificates", "put", "site", str(chain), str(key))
        assert done.code == 0
        assert done.err == "site: a.test (ecdsa), 89 days left, shown by listener web\n"
        listed = command(folder, "certificates", "list")
        assert listed.out == "site: a.test (ecdsa), 89 days left, shown by listener web\n"
        told = json.loads(command(folder, "certificates", "list", "--json").out)
        assert told["directory"] == f"{folder}/handed-over"
        refused = command(folder, "certificates", "put", "site", str(chain))
        assert refused.code == 1 and "site: holds no private key" in refused.err
        assert command(folder, "certificates", "put", "site", "nowhere.pem").code == 1
        assert command(folder, "certificates", "remove", "site").code == 0
        assert command(folder, "certificates", "remove", "site").code == 1
