"""Model to plan: what short things become, and what comes out of each source and check."""

from pathlib import Path

import pytest
from tests.support.catalogs import catalog

from bascule import contract
from bascule.config.load import Text, load
from bascule.config.parse import parse
from bascule.config.problems import ConfigRefused
from bascule.plan.build import build, check
from bascule.plan.plan import (
    Plan,
    PlannedAdmin,
    PlannedAgent,
    PlannedCheck,
    PlannedLoad,
    PlannedPool,
    PlannedSource,
)
from bascule.plan.review import review

LISTENER = "listeners: {web: {bind: 127.0.0.1:80, pool: a}}\n"


def planned(content: str) -> Plan:
    return build(parse(Text.of(content, "bascule.yaml", {})), catalog())


def sources(endpoints: str) -> tuple[PlannedSource, ...]:
    return planned(f"{LISTENER}pools: {{a: {{endpoints: {endpoints}}}}}\n").pools[0].sources


def check_of(written: str) -> PlannedCheck | None:
    return planned(f"{LISTENER}pools: {{a: {{endpoints: 10.0.0.1:80, check: {written}}}}}\n").pools[0].check


def test_written_endpoints_are_one_source() -> None:
    assert sources(
        "[10.0.0.1:80, {address: APP:81, weight: 3, id: x, zone: eu-1, backup: true, limit: 9}, {dns: b:82}]"
    ) == (
        PlannedSource(
            "static",
            {
                "endpoints": [
                    {
                        "address": "10.0.0.1:80",
                        "weight": 1,
                        "id": "10.0.0.1:80",
                        "tier": 0,
                        "zone": None,
                        "limit": None,
                    },
                    {
                        "address": "app:81",
                        "weight": 3,
                        "id": "x",
                        "tier": 1,
                        "zone": "eu-1",
                        "limit": 9,
                    },
                ]
            },
        ),
        PlannedSource(
            "dns",
            {
                "name": "b",
                "port": 82,
                "weight": 1,
                "minimum_ttl_ms": 1_000,
                "maximum_ttl_ms": 300_000,
                "nameservers": None,
            },
        ),
    )


def test_an_srv_record_has_no_port_of_ours() -> None:
    assert sources(
        "{dns_srv: _http._tcp.App., weight: 2, nameservers: [10.0.0.2, '[::1]:5353'], minimum_ttl: 2s}"
    ) == (
        PlannedSource(
            "dns_srv",
            {
                "name": "_http._tcp.App",
                "weight": 2,
                "minimum_ttl_ms": 2_000,
                "maximum_ttl_ms": 300_000,
                "nameservers": ["10.0.0.2:53", "[::1]:5353"],
            },
        ),
    )


def test_files_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "bascule.yaml").write_text(
        f"include: sub/pools.yaml\naccess_log: {{path: access.log}}\n{LISTENER}"
    )
    (tmp_path / "sub" / "pools.yaml").write_text("pools: {a: {endpoints: {file: list.txt, every: 1s}}}\n")
    plan = build(parse(load(tmp_path / "bascule.yaml", {})), catalog())
    assert plan.pools[0].sources == (
        PlannedSource("file", {"path": str(tmp_path / "sub" / "list.txt"), "every_ms": 1_000}),
    )
    assert plan.access_log == contract.AccessLog("json", str(tmp_path / "access.log"))


@pytest.mark.parametrize(
    ("written", "kind", "options"),
    [
        ("tcp", "tcp", {}),
        ("{tcp: true}", "tcp", {}),
        (
            "/healthz",
            "http",
            {
                "path": "/healthz",
                "method": "GET",
                "host": None,
                "expect_status": [[200, 399]],
                "expect_body": None,
                "headers": {},
            },
        ),
        (
            "{http: '/h?full=1', method: head, host: a.example, headers: {X-A: 1}, "
            "expect: {status: [200, 301-302, '404'], body: ok}}",
            "http",
            {
                "path": "/h?full=1",
                "method": "HEAD",
                "host": "a.example",
                "expect_status": [[200, 200], [301, 302], [404, 404]],
                "expect_body": "ok",
                "headers": {"X-A": "1"},
            },
        ),
    ],
)
def test_a_check_becomes_its_kind_and_options(written: str, kind: str, options: dict[str, object]) -> None:
    planned_check = check_of(written)
    assert planned_check is not None
    assert (planned_check.kind, planned_check.options) == (kind, options)


def test_a_check_has_the_documented_defaults() -> None:
    assert check_of("tcp") == PlannedCheck("tcp", {}, 2_000, 1_000, 2, 3, initially_up=True)
    assert check_of("{tcp: true, initially: down, every: 5s, timeout: 2s, rise: 1, fall: 1}") == PlannedCheck(
        "tcp", {}, 5_000, 2_000, 1, 1, initially_up=False
    )


def test_the_rest_of_a_plan_has_the_documented_defaults() -> None:
    plan = planned(f"{LISTENER}pools: {{a: {{endpoints: 10.0.0.1:80}}}}\n")
    assert plan.access_log == contract.AccessLog("json", None)
    assert plan.admin == PlannedAdmin(None, None)
    assert (plan.threads, plan.stop_grace_ms, plan.log_level) == (None, 30_000, "info")
    assert plan.pools[0].check is None


def test_routes_without_a_name_are_called_by_what_they_do() -> None:
    plan = planned(
        "listeners: {web: {bind: 127.0.0.1:80, pool: a, routes: ["
        "{match: {path: /1}, pool: a}, {match: {path: /2}, pool: a, name: a-2},"
        "{match: {path: /3}, redirect: /}, {match: {path: /4}, respond: 404},"
        "{match: {path: /5}, respond: 404}]}}\n"
        "pools: {a: {endpoints: 10.0.0.1:80}}\n"
    )
    assert [route.id for route in plan.listeners[0].routes] == [
        "a",
        "a-2",
        "redirect",
        "respond",
        "respond-2",
        "a-3",
    ]


def test_a_split_is_called_by_its_pools() -> None:
    plan = planned(
        "listeners: {web: {bind: 127.0.0.1:80, routes: [{split: {b: 5, a: 95}}]}}\n"
        "pools: {a: {endpoints: 10.0.0.1:80}, b: {endpoints: 10.0.0.2:80}}\n"
    )
    route = plan.listeners[0].routes[0]
    assert route.id == "b-a"
    assert route.action == contract.SplitAction((contract.Share("b", 5), contract.Share("a", 95)))


def test_no_two_rate_limits_of_a_listener_have_one_name() -> None:
    plan = planned(
        "listeners: {web: {bind: 127.0.0.1:80, routes: ["
        "{match: {path: /1}, pool: a, rate_limit: [1/s, 2/s, 3/s]},"
        "{match: {path: /2}, pool: a, rate_limit: 4/s}]}}\n"
        "pools: {a: {endpoints: 10.0.0.1:80}}\n"
    )
    limits = [(limit.id, limit.requests) for route in plan.listeners[0].routes for limit in route.limits]
    assert limits == [("a", 1), ("a-3", 2), ("a-4", 3), ("a-2", 4)]


def pool(settings: str) -> PlannedPool:
    return planned(f"{LISTENER}pools: {{a: {{endpoints: 10.0.0.1:80, {settings}}}}}\n").pools[0]


@pytest.mark.parametrize(
    ("written", "agent"),
    [
        ("9707", PlannedAgent(9707, None, 2_000, 1_000, None)),
        ("10.0.0.5:9707", PlannedAgent(9707, "10.0.0.5", 2_000, 1_000, None)),
        ("'[::1]:9707'", PlannedAgent(9707, "::1", 2_000, 1_000, None)),
        (
            '{port: 1, host: fd00::5, every: 5s, timeout: 2s, send: "a\\n"}',
            PlannedAgent(1, "fd00::5", 5_000, 2_000, "a\n"),
        ),
    ],
)
def test_an_agent_is_asked_at_its_port(written: str, agent: PlannedAgent) -> None:
    assert pool(f"agent: {written}").agent == agent


def test_a_load_url_changes_weights() -> None:
    asked = pool("load: {path: /load?a=1, every: 5s, timeout: 2s}")
    assert asked.load == PlannedLoad("/load?a=1", 5_000, 2_000)
    assert asked.template.load_reports


def test_without_a_key_the_cookies_of_one_process_are_all_alike() -> None:
    content = f"{LISTENER}pools: {{a: {{endpoints: 10.0.0.1:80, sessions: cookie}}}}\n"
    one, other = (check(parse(Text.of(content, "bascule.yaml", {})), catalog())[0] for _ in range(2))
    assert one == other
    sessions = other.pools[0].template.sessions if other is not None else None
    assert sessions is not None and isinstance(sessions.by, contract.BySessionCookie)
    assert sessions.by.cookie.name == "bascule"
    assert len(sessions.by.cookie.keys[0]) >= 32


@pytest.mark.parametrize("written", ["client", "{client: true}", "{by: client}"])
def test_sessions_by_client_are_written_in_three_ways(written: str) -> None:
    table = contract.SessionTable(1_800_000, 100_000)
    by = contract.ByKey(contract.ClientKey(), table)
    assert pool(f"sessions: {written}").template.sessions == contract.Sessions(by, strict=False)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("client", {"kind": "client"}),
        ("{header: X-User}", {"kind": "header", "name": "X-User"}),
        ("{kind: uri}", {"kind": "uri"}),
    ],
)
@pytest.mark.parametrize("form", ["{ring: %s}", "{name: ring, options: %s}"])
def test_an_algorithm_goes_by_a_part_of_the_request(form: str, written: str, key: dict[str, str]) -> None:
    algorithm = pool(f"algorithm: {form % f'{{replicas: 1, by: {written}}}'}").template.algorithm
    assert algorithm == contract.Algorithm("ring", {"replicas": 1, "by": key})


def test_a_matcher_without_a_key_of_its_own_passes_through() -> None:
    plan = planned(
        "listeners: {web: {bind: 127.0.0.1:80, routes: [{match: {others: {sni: {names: [a]}}}, pool: a}]}}\n"
        "pools: {a: {endpoints: 10.0.0.1:80}}\n"
    )
    assert plan.listeners[0].routes[0].matchers == (contract.Matcher("sni", {"names": ["a"]}),)


def test_warnings_do_not_refuse_a_plan() -> None:
    config = parse(Text.of(f"{LISTENER}pools: {{a: {{endpoints: []}}}}\n", "bascule.yaml", {}))
    plan, problems = check(config, catalog())
    assert plan == build(config, catalog())
    assert [problem.severity for problem in problems] == ["warning"]


def test_a_refused_plan_tells_errors_and_warnings() -> None:
    content = "listeners: {web: {bind: 127.0.0.1:80, pool: b}}\npools: {a: {endpoints: 10.0.0.1:80}}\n"
    with pytest.raises(ConfigRefused) as refused:
        planned(content)
    assert [problem.severity for problem in refused.value.problems] == ["error", "warning"]


def test_mistakes_of_shape_do_not_hide_those_of_meaning() -> None:
    content = (
        "listeners: {web: {bind: nowhere, pool: b}}\npools: {a: {endpoints: [10.0.0.1], algorithm: best}}\n"
    )
    plan, problems = review(Text.of(content, "bascule.yaml", {}), catalog())
    assert plan is None
    assert [problem.what.split(",")[0] for problem in problems] == [
        "expected an address such as 127.0.0.1:8080",
        'listener "web" sends traffic to pool "b"',
        "expected an address such as 10.0.0.1:8000",
        'there is no algorithm "best"',
    ]


def test_what_is_salvaged_brings_no_new_mistakes() -> None:
    content = (
        "listeners: {web: {bind: 127.0.0.1:80, routes: [{pool: a, nmae: x},"
        "{redirect: 5}, {}, {pool: c, rate_limit: {requests: 1, store: s}}], pool: -b}, more: {}}\n"
        "stores: {s: redis.internal}\n"
        "pools: {a: {}, c: {endpoints: [{}, 10.0.0.1:80, {weight: x, address: 10.0.0.2:80}]}}\n"
    )
    text = Text.of(content, "bascule.yaml", {})
    with pytest.raises(ConfigRefused) as refused:
        parse(text)
    assert list(refused.value.problems) == review(text, catalog())[1]
