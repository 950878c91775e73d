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
        ("{dns: app:80}", "{dns: app:80}, algorithm: random", ["pool site: algorithm fastest → random"]),
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
        (
            "pool: api, name: a",
            "split: {api: 95, site: 5}, name: a",
            ["route web/a: now sends to pools api (95), site (5)"],
        ),
        (
            "pool: api, name: a",
            "pool: api, name: a, priority: high, "
            "mirror: {pool: site, share: 10%}, rate_limit: 100/s by client",
            [
                "route web/a: priority: 5 → 8",
                "route web/a: now mirrors 10% of its requests to pool site",
                "route web/a: rate limit a: added, 100 in 1s by client (burst 100)",
            ],
        ),
        (
            "pool: api, name: a",
            "pool: api, name: a, timeouts: {total: 2s, deadline_header: X-Left}",
            [
                "route web/a: timeouts.total: none → 2s",
                "route web/a: timeouts.deadline_header: none → X-Left",
            ],
        ),
        (
            "pool: site}",
            "pool: site, limits: {connections_per_client: 100}}",
            ["listener old: limits.connections_per_client: none → 100"],
        ),
        (
            "id: two",
            "id: two, tier: 1, zone: eu-1, limit: 40",
            [
                "pool api: endpoint two tier 0 → 1",
                "pool api: endpoint two zone none → eu-1",
                "pool api: endpoint two limit none → 40",
            ],
        ),
        (
            "{dns: app:80}",
            "{dns: app:80}, limit: 8, queue: off, hedge: {budget: 0.5%}, slow_start: off",
            [
                "pool site: limit: learned → 8",
                "pool site: queue: on → off",
                "pool site: hedge.budget: 2% → 0.5%",
                "pool site: slow_start: 10s → off",
            ],
        ),
        (
            "{dns: app:80}",
            "{dns: app:80}, ejection: {share: off, slowness: 2.5x, most: 30%}, queue: {service_level: 200ms}",
            [
                "pool site: queue.service_level: none → 200ms",
                "pool site: ejection.share: 50% → none",
                "pool site: ejection.slowness: none → 2.5x",
                "pool site: ejection.most: 50% → 30%",
            ],
        ),
        (
            "{dns: app:80}",
            "{dns: app:80}, retries: {minimum: 1, on: off, try: 1s}",
            [
                "pool site: retries.minimum: 10 → 1",
                "pool site: retries.on: 500, 502, 503, 504 → none",
                "pool site: retries.try: learned → 1s",
            ],
        ),
        (
            "{dns: app:80}",
            "{dns: app:80}, sessions: cookie",
            ["pool site: sessions: none → by cookie of ours"],
        ),
        (
            "{dns: app:80}",
            "{dns: app:80}, agent: 9707, load: /load, subset: {size: 20, balancer: 0}",
            [
                "pool site: its agents are now asked, on port 9707",
                "pool site: its endpoints are now asked for their load, at /load",
                "pool site: subset: none → 20 endpoints (balancer 0)",
                "pool site: load_reports: no → yes",
            ],
        ),
        (
            "access_log: json",
            "access_log: json\nstores: {shared: 'redis://:secret@127.0.0.1'}\nzone: eu-1",
            ["store shared: added, at 127.0.0.1:6379", "zone: none → eu-1"],
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


PROTECTED = """
listeners:
  web:
    bind: 127.0.0.1:80
    routes:
      - pool: api
        mirror: api-2
        rate_limit: [100/s, {requests: 5, by: {header: X-Key}, store: shared}]
pools:
  api:
    endpoints: 10.0.0.1:80
    queue: off
    agent: {port: 9707, send: hello}
    load: /load
    sessions: {cookie: bascule, keys: [0123456789abcdef], lifetime: 1d}
  api-2: {endpoints: 10.0.0.2:80, sessions: {learned: SID, store: shared, expiry: 1h}}
stores: {shared: "redis://:pass-one@127.0.0.1"}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("        mirror: api-2\n", "", ["route web/api: is no longer mirrored"]),
        (
            "[100/s, ",
            "[50/m, ",
            ["route web/api: rate limit api: 100 in 1s (burst 100) → 50 in 1m (burst 50)"],
        ),
        (
            ", store: shared}]",
            "}]",
            [
                "route web/api: rate limit api-2: 5 in 1s by header X-Key (burst 5, counted in shared) → "
                "5 in 1s by header X-Key (burst 5)"
            ],
        ),
        (
            "[100/s, {requests: 5, by: {header: X-Key}, store: shared}]",
            "100/s",
            ["route web/api: rate limit api-2: removed"],
        ),
        ("queue: off", "queue: {wait: 1s}", ["pool api: queue: off → on"]),
        (
            "{port: 9707, send: hello}",
            "9708",
            ["pool api: agent.port: 9707 → 9708", "pool api: agent.send: hello → none"],
        ),
        ("load: /load", "load: {path: /load, every: 5s}", ["pool api: load.every: 2s → 5s"]),
        (
            "[0123456789abcdef]",
            "[fedcba9876543210, 0123456789abcdef]",
            ["pool api: sessions.keys: other keys"],
        ),
        (
            "[0123456789abcdef]",
            "[fedcba9876543210]",
            ["pool api: sessions.keys: other keys; its sessions end"],
        ),
        (
            "lifetime: 1d",
            "encrypted: true, strict: true",
            [
                "pool api: sessions.lifetime: 1d → none",
                "pool api: sessions.encrypted: no → yes",
                "pool api: sessions.strict: no → yes",
            ],
        ),
        (
            "learned: SID",
            "header: X-User",
            ["pool api-2: sessions: by learned cookie SID → by header X-User"],
        ),
        ("expiry: 1h", "expiry: 2h", ["pool api-2: sessions.expiry: 1h → 2h"]),
        ("pass-one", "pass-two", ["store shared: another password"]),
        (
            "@127.0.0.1",
            "@127.0.0.2:1/3",
            ["store shared: address: 127.0.0.1:6379 → 127.0.0.2:1", "store shared: database: 0 → 3"],
        ),
    ],
)
def test_a_change_of_what_protects_is_said_in_words(old: str, new: str, said: list[str]) -> None:
    assert old in PROTECTED
    changed = describe(planned(PROTECTED), planned(PROTECTED.replace(old, new)))
    assert [line for line in changed if "unchanged" not in line] == said


def test_a_new_order_of_routes_is_said() -> None:
    first, second = (
        "      - {match: {path: /a}, pool: api, name: a}\n",
        "      - {match: {path: /b}, redirect: /c}\n",
    )
    assert changes((first + second, second + first)) == [
        "listener web: its routes are tried in another order"
    ]
