"""What a balancer says first, and what the short commands stand for."""

from pathlib import Path

from tests.support.running import CATALOG, running

from bascule.cli.demo import BY_HAND
from bascule.cli.foreground import what_listens
from bascule.cli.proxy import configuration, typed
from bascule.cli.status import latency
from bascule.plan.build import build


async def test_the_first_lines_tell_every_address_and_every_pool(tmp_path: Path) -> None:
    content = """\
listeners:
  web: {bind: [":8080", "127.0.0.1:0", "unix:/tmp/web.sock"], pool: site}
pools:
  site: {endpoints: ["10.0.0.1:8000"], check: tcp}
"""
    async with running(tmp_path, content) as scene:
        assert what_listens(scene.balancer.live, scene.supervisor) == [
            "  listening  http://127.0.0.1:8080 (all addresses)  →  pool site",
            "  listening  http://127.0.0.1:40001  →  pool site",
            "  listening  unix:/tmp/web.sock  →  pool site",
            "  pool       site (fastest, tcp check): 10.0.0.1:8000",
            f"  admin      unix:{tmp_path}/admin.sock",
        ]


async def test_the_first_lines_tell_every_pool_of_a_split(tmp_path: Path) -> None:
    content = """\
listeners:
  web:
    bind: ":8080"
    routes:
      - {match: {path: /shop}, split: {stable: 95, canary: 5}}
      - {pool: stable}
pools:
  stable: {endpoints: ["10.0.0.1:8000"]}
  canary: {endpoints: ["10.0.0.2:8000"]}
"""
    async with running(tmp_path, content) as scene:
        first = what_listens(scene.balancer.live, scene.supervisor)[0]
        assert first.endswith("  →  pool stable, pool canary")


async def test_the_first_lines_tell_where_flows_go(tmp_path: Path) -> None:
    content = """\
listeners:
  writes: {bind: "127.0.0.1:5432", protocol: tcp, pool: primary}
  names: {bind: ":53", protocol: udp, routes: [{match: {client: 10.0.0.0/8}, pool: inside}, {pool: outside}]}
pools:
  primary: {endpoints: ["10.0.0.1:5432"]}
  inside: {endpoints: ["10.0.0.2:53"]}
  outside: {endpoints: ["10.0.0.3:53"]}
"""
    async with running(tmp_path, content) as scene:
        assert what_listens(scene.balancer.live, scene.supervisor)[:2] == [
            "  listening  tcp://127.0.0.1:5432  →  pool primary",
            "  listening  udp://127.0.0.1:53 (all addresses)  →  pool inside, pool outside",
        ]


def test_a_proxy_command_line_stands_for_a_configuration() -> None:
    written = configuration(":8080", [":9001-9002", "10.0.0.1:80"], check="/healthz", algorithm="two_choices")
    plan = build(typed(written), CATALOG)
    (listener,), (pool,) = plan.listeners, plan.pools
    assert [bind.kind for bind in listener.binds] == ["tcp"]
    assert pool.template.algorithm.name == "two_choices"
    assert pool.check is not None and pool.check.options["path"] == "/healthz"
    endpoints = pool.sources[0].options["endpoints"]
    assert isinstance(endpoints, list)
    assert [it["id"] for it in endpoints] == ["127.0.0.1:9001", "127.0.0.1:9002", "10.0.0.1:80"]
    assert plan.access_log is None


def test_a_latency_has_three_digits() -> None:
    assert [latency(it) for it in (None, 0, 850, 1_200, 12_340, 123_400, 1_000_000, 99_000_000)] == [
        "-",
        "0 µs",
        "850 µs",
        "1.20 ms",
        "12.3 ms",
        "123 ms",
        "1.00 s",
        "99.0 s",
    ]


def test_the_demo_ends_with_three_lines_to_type() -> None:
    lines = [line for line in BY_HAND.splitlines() if line.startswith("  bascule ")]
    assert len(lines) == 3
