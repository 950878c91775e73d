"""What may not be of TLS, told with its place in the file."""

from pathlib import Path

import pytest
from tests.support.catalogs import catalog
from tests.support.certificates import Authority

from bascule.config.load import Text
from bascule.config.problems import Problem
from bascule.plan.plan import Plan
from bascule.plan.review import review

AUTHORITY = Authority()
ANSWER = "routes: [{respond: {status: 200}}]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    AUTHORITY.issue("a.test").write(tmp_path, "a")
    AUTHORITY.issue("b.test").write_apart(tmp_path, "b")
    AUTHORITY.write(tmp_path)
    return tmp_path


def reviewed(folder: Path, listener: str, more: str = "") -> tuple[Plan | None, list[Problem]]:
    text = f'listeners:\n  web: {{bind: ":443", {listener}}}\n{more}'
    return review(Text.of(text, f"{folder}/bascule.yaml", {}), catalog())


def said(folder: Path, listener: str, more: str = "") -> list[str]:
    """What is wrong: line, what, severity."""
    return [
        f"{it.line}: {it.what.replace(str(folder), '.')} ({it.severity})"
        for it in reviewed(folder, listener, more)[1]
    ]


def test_a_key_that_does_not_fit_is_told_at_the_key(folder: Path) -> None:
    AUTHORITY.issue("c.test").write_apart(folder, "c")
    _, problems = reviewed(folder, f"tls: {{certificates: [{{certificate: b.crt, key: c.key}}]}}, {ANSWER}")
    assert [it.what.replace(str(folder), ".") for it in problems] == [
        "./c.key: the key does not belong to the certificate of ./b.crt (b.test)"
    ]
    line = (problems[0].source or "")[(problems[0].column or 0) - 1 :]
    assert line.startswith("c.key")


def test_a_host_without_a_certificate_is_warned_of(folder: Path) -> None:
    AUTHORITY.issue("*.c.test").write(folder, "c")
    routes = "routes: [{match: {host: [a.test, x.c.test, d.test]}, respond: {status: 200}}]"
    assert said(folder, f"tls: {{certificates: [a.pem, c.pem]}}, {routes}") == [
        "2: no certificate of this listener is for d.test (warning)"
    ]


def test_of_a_directory_what_cannot_be_used_is_left_out(folder: Path) -> None:
    (folder / "b.key").unlink()
    found = said(folder, f"tls: {{certificates: ./}}, {ANSWER}")
    assert found == [
        "2: ./b.crt: no key in this directory belongs to the certificate; it is left out (warning)"
    ]


@pytest.mark.parametrize(
    ("listener", "expected"),
    [
        ("tls: {}", "this listener has no certificate to show"),
        ("tls: {certificates: a.pem, self_signed: true}", "`self_signed` takes the place of `certificates`"),
        ("tls: {certificates: none.pem}", "./none.pem: no such file or directory"),
        ("hsts: 1y", "browsers ignore `hsts` without TLS"),
        ("tls: {certificates: a.pem}, hsts: 11y", "expected a time from 1s to 10y, not '11y'"),
        ("tls: {certificates: a.pem}, redirect_to_https: true", 'listener "web" speaks TLS already'),
        ("tls: {certificates: a.pem, tickets: {keys: short}}", "a key of 5 characters can be guessed"),
        ("tls: {certificates: a.pem, tickets: {keys: {file: a.key}}}", "./a.key: no such file or directory"),
        ("tls: {certificates: a.pem, client_certificates: {ca: none.pem}}", "./none.pem: no such file"),
        ("tls: {certificates: a.pem, client_certificates: {ca: b.key}}", "./b.key: holds no certificate"),
        ("tls: {certificates: a.pem, min_version: 1.1}", "min_version"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, listener: str, expected: str) -> None:
    plan, problems = reviewed(folder, f"{listener}, {ANSWER}")
    assert plan is None
    assert expected in " ".join(str(it).replace(str(folder), ".") for it in problems)


def test_a_route_by_certificate_is_where_clients_are_asked_for_one(folder: Path) -> None:
    routes = "routes: [{match: {client_certificate: true}, respond: {status: 200}}]"
    asked = "tls: {certificates: a.pem, client_certificates: {mode: optional, ca: ca.pem}}"
    assert said(folder, f"{asked}, {routes}") == []
    assert said(folder, f"tls: {{certificates: a.pem}}, {routes}") == [
        '2: no client shows a certificate: listener "web" does not ask for one (error)'
    ]


def test_a_pool_that_verifies_nobody_is_warned_of(folder: Path) -> None:
    pools = "pools:\n  api:\n    endpoints: 10.0.0.1:443\n    tls: {verify: false}\n"
    assert said(folder, "pool: api", pools) == [
        "6: whoever can get in between can read and change what is said to these endpoints (warning)"
    ]


def test_everything_written_becomes_a_plan(folder: Path) -> None:
    pools = "pools:\n  api:\n    endpoints: {dns: api.test:443}\n    tls: {ca: ca.pem, certificate: a.pem}\n"
    plan, problems = reviewed(
        folder,
        "tls: {certificates: [a.pem], unknown_name: refuse, tickets: off}, hsts: 30d, pool: api",
        pools,
    )
    assert problems == [] and plan is not None
    web, api = plan.tls["web"], plan.pools[0].tls
    assert (web.certificates[0].certificate, web.refuse_unknown, web.tickets) == (
        f"{folder}/a.pem",
        True,
        None,
    )
    assert api is not None and (api.server_name, api.alpn) == ("api.test", ("http/1.1",))
    assert plan.listeners[0].routes[0].response_headers.set[0].value == "max-age=2592000"


def test_a_redirect_keeps_the_method_where_it_must(folder: Path) -> None:
    plan, problems = reviewed(folder, "redirect_to_https: 8443")
    assert problems == [] and plan is not None
    actions = [route.action for route in plan.listeners[0].routes]
    assert [(it.status, it.location) for it in actions if it.kind == "redirect"] == [
        (301, "https://{hostname}:8443{uri}"),
        (308, "https://{hostname}:8443{uri}"),
    ]
