"""What changes between two configurations, in words."""

import pytest
from tests.support.catalogs import catalog

from bascule.config.load import Text
from bascule.config.parse import parse
from bascule.plan.build import build
from bascule.plan.diff import describe
from bascule.plan.plan import Plan

BEFORE = """
access_log: json
listeners:
  web:
    bind: [127.0.0.1:80, "unix:/run/web.sock"]
    routes:
      - {match: {path: /a}, pool: api, name: a}
      - {match: {path: /b}, redirect: /c}
    pool: api
  old: {bind: 127.0.0.1:81, pool: site}
pools:
  api:
    endpoints: [10.0.0.1:8000, {address: 10.0.0.2:8000, id: two}]
    check: /healthz
  site: {endpoints: {dns: app:80}}
"""


def planned(content: str) -> Plan:
    return build(parse(Text.of(content, "bascule.yaml", {})), catalog())


def changes(*replacements: tuple[str, str]) -> list[str]:
    """What is said when these parts of `BEFORE` change, without what is unchanged."""
    after = BEFORE
    for old, new in replacements:
        assert old in after
        after = after.replace(old, new)
    return [line for line in describe(planned(BEFORE), planned(after)) if "unchanged" not in line]


def test_nothing_changes() -> None:
    assert describe(planned(BEFORE), planned(BEFORE)) == [
        "listener web: unchanged (keeps its socket and connections)",
        "listener old: unchanged (keeps its socket and connections)",
    ]


def test_everything_begins() -> None:
    assert describe(None, planned(BEFORE)) == [
        "listener web: added, on 127.0.0.1:80, unix:/run/web.sock (660)",
        "listener old: added, on 127.0.0.1:81",
        "pool api: added, with 2 endpoints",
        "pool site: added, with dns app",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "[127.0.0.1:80,",
            "[127.0.0.1:90,",
            ["listener web: opens 127.0.0.1:90", "listener web: closes 127.0.0.1:80; its connections drain"],
        ),
        ("  old: {bind: 127.0.0.1:81, pool: site}\n", "", ["listener old: removed; its connections drain"]),
        (
            "    pool: api\n  old",
            "    pool: site\n  old",
            ["route web/site: added; sends to pool site", "route web/api: removed"],
        ),
        ("pool: api, name: a", "pool: site, name: a", ["route web/a: now sends to pool site"]),
        ("pool: api, name: a", "respond: 404, name: a", ["route web/a: now answers 404"]),
        (
            "redirect: /c",
            "redirect: {to: /d, status: 301}",
            ["route web/redirect: now redirects (301) to /d"],
        ),
        ("path: /b", "path: /bb", ["route web/redirect: matches differently"]),
        (
            "redirect: /c}",
            "redirect: /c, timeouts: {total: 5s}}",
            ["route web/redirect: timeouts.total: none → 5s"],
        ),
        ("pool: site}", "pool: site, limits: {body: 1MiB}}", ["listener old: limits.body: none → 1MiB"]),
        (
            "pool: site}",
            "pool: site, forwarded: {trusted: 10.0.0.0/8}}",
            ["listener old: forwarded.trusted: none → 10.0.0.0/8"],
        ),
        (
            "[10.0.0.1:8000,",
            "[10.0.0.3:8000,",
            [
                "pool api: endpoint 10.0.0.3:8000 added",
                "pool api: endpoint 10.0.0.1:8000 removed; its exchanges finish",
            ],
        ),
        ("id: two", "id: two, weight: 3", ["pool api: endpoint two weight 1 → 3"]),
        (
            "10.0.0.2:8000, id",
            "10.0.0.9:8000, id",
            ["pool api: endpoint two moves from 10.0.0.2:8000 to 10.0.0.9:8000"],
        ),
        ("check: /healthz", "check: tcp", ["pool api: is checked differently"]),
        ("    check: /healthz\n", "", ["pool api: is no longer checked; all its endpoints count as up"]),
        ("{dns: app:80}", "{dns: app:80}, check: tcp", ["pool site: is now checked (tcp)"]),
        (
            "{dns: app:80}",
            "[{dns: app:80}, {file: /x}]",
            ["pool site: endpoints are now found by dns app, file /x"],
        ),
        ("{dns: app:80}", "{dns: app:80}, algorithm: random", ["pool site: algorithm least_busy → random"]),
        (
            "{dns: app:80}",
            "{dns: app:80}, connect: 1s, retries: 0, panic: 0%, idle: {timeout: 4s}",
            [
                "pool site: idle.timeout: 1m → 4s",
                "pool site: retries.attempts: 1 → 0",
                "pool site: connect: 5s → 1s",
                "pool site: panic: 50% → 0%",
            ],
        ),
        ("access_log: json", "access_log: off", ["access log: json to standard output → off"]),
        (
            "access_log: json",
            "stop: {grace: 1m}\nlog_level: debug",
            ["log level: info → debug", "stop: grace 30s → 1m"],
        ),
    ],
)
def test_a_change_is_said_in_words(old: str, new: str, said: list[str]) -> None:
    assert changes((old, new)) == said


def test_a_new_order_of_routes_is_said() -> None:
    first, second = (
        "      - {match: {path: /a}, pool: api, name: a}\n",
        "      - {match: {path: /b}, redirect: /c}\n",
    )
    assert changes((first + second, second + first)) == [
        "listener web: its routes are tried in another order"
    ]
