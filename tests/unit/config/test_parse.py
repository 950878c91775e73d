"""Text to model: the same whether it is YAML or Python, and every part knows its place."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.catalogs import catalog

import bascule
from bascule.config.carried import pools_of_flows
from bascule.config.effective import effective, portable
from bascule.config.load import Text, load
from bascule.config.model import Config, Listener, Pool, Route
from bascule.config.parse import parse
from bascule.config.problems import ConfigRefused
from bascule.plan.build import build

GOLDEN = Path(__file__).parents[2] / "golden" / "config"
GOOD = [case for case in sorted(GOLDEN.glob("good_*.golden")) if "python" not in case.stem]

YAML = """
listeners:
  web:
    bind: :8080
    routes:
      - {match: {host: api.example.com, path: /v1}, pool: api}
      - {match: {header: {X-A: true}}, redirect: https}
    pool: api
pools:
  api: {endpoints: [10.0.0.1:8000, {dns: app:80}], check: /healthz, retries: 0, connect: 1s}
"""
PYTHON = """
from bascule import Check, Config, DnsSource, Endpoint, Listener, Match, Pool, Route
config = Config(
    listeners={"web": Listener(
        bind=":8080",
        routes=[
            Route(match=Match(host="api.example.com", path="/v1"), pool="api"),
            Route(match={"header": {"X-A": True}}, redirect="https"),
        ],
        pool="api",
    )},
    pools={"api": Pool(
        endpoints=[Endpoint(address="10.0.0.1:8000"), DnsSource(dns="app:80")],
        check=Check(http="/healthz"), retries=0, connect="1s",
    )},
)
"""


def parsed(content: str, name: str = "bascule.yaml") -> Config:
    return parse(Text.of(content, name, {"PORT": "8080"}))


def test_yaml_and_python_give_the_same_plan() -> None:
    yaml, python = parsed(YAML), parsed(PYTHON, "bascule.py")
    assert yaml == python
    assert build(yaml, catalog()) == build(python, catalog())


def test_json_is_yaml() -> None:
    config = parsed(YAML)
    assert parsed(json.dumps(effective(config), indent=2)) == config


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.stem)
def test_the_effective_configuration_says_the_same_as_what_was_written(case: Path) -> None:
    config = parsed(case.read_text().partition("-" * 80)[0])
    shown = portable(config, defaults=True, secrets=True)
    again = parsed(json.dumps(shown).replace("${", "$${"))
    assert effective(again) == effective(config)
    # Defaults that depend on what a pool carries are written out, and are no defaults any more.
    assert again == config or pools_of_flows(config)


def test_the_effective_configuration_says_the_defaults_of_flows() -> None:
    listeners = "listeners: {db: {bind: 127.0.0.1:5432, protocol: tcp, pool: db}}"
    config = parsed(f"{listeners}\npools: {{db: {{endpoints: 10.0.0.1:5432, limit: 7}}}}\n")
    pool = effective(config)["pools"]["db"]  # type: ignore[index]
    assert (pool["algorithm"]["name"], pool["limit"], pool["hedge"]) == ("least_busy", 7, "off")


def test_what_is_off_says_so_in_the_effective_configuration() -> None:
    written = YAML.replace(
        "retries: 0", "queue: off, ejection: none, hedge: false, slow_start: off, limit: off"
    )
    api = effective(parsed(written))["pools"]["api"]  # type: ignore[index]
    parts = ("queue", "ejection", "hedge", "slow_start", "limit")
    assert {api[part] for part in parts} == {"off"}


def test_a_function_appears_by_its_name_in_the_effective_configuration() -> None:
    config = parsed((GOLDEN / "good_in_python.golden").read_text().partition("-" * 80)[0], "bascule.py")
    assert effective(config)["pools"]["api"]["check"]["python"] == "awake"  # type: ignore[index]


def test_every_default_is_visible_in_the_effective_configuration() -> None:
    shown = effective(parsed(YAML))
    assert shown["threads"] is None
    assert shown["access_log"] == {"format": "json", "path": None}
    assert shown["stop"] == {"grace": "30s"}
    web = shown["listeners"]["web"]  # type: ignore[index]
    assert web["timeouts"] == {"head": "10s", "body": "1m", "keep_alive": "1m15s", "send": "1m"}
    assert web["limits"] == {
        "head": "64KiB",
        "headers": 100,
        "target": "8KiB",
        "body": "none",
        "connections": "none",
        "requests_per_connection": "none",
        "connections_per_client": "none",
    }
    assert web["http2"] == {"streams": 100, "window": "64KiB"}
    route = web["routes"][0]
    assert route["timeouts"] == {
        "response": "30s",
        "idle": "1m",
        "total": "none",
        "tunnel": "1h",
        "deadline_header": None,
    }
    assert (route["priority"], route["rate_limit"]) == (5, [])
    api = shown["pools"]["api"]  # type: ignore[index]
    assert api["algorithm"] == {"name": "fastest", "options": {}}
    assert api["idle"] == {"per_thread": 256, "timeout": "1m"}
    assert api["retries"] == {
        "attempts": 0,
        "budget": "20%",
        "minimum": 10,
        "on": [500, 502, 503, 504],
        "on_grpc": "off",
        "try": "learned",
    }
    assert (api["limit"], api["slow_start"], api["sessions"]) == ("learned", "10s", "off")
    assert api["queue"] == {"length": 1024, "wait": "5s", "service_level": "none"}
    assert api["ejection"] == {
        "failures": 5,
        "share": "50%",
        "slowness": "off",
        "time": "10s",
        "longest": "5m",
        "most": "50%",
    }
    assert api["hedge"] == {"budget": "2%", "after": "none"}
    assert api["panic"] == "50%"
    assert (api["check"]["every"], api["check"]["timeout"]) == ("2s", "1s")
    assert (api["check"]["rise"], api["check"]["fall"], api["check"]["initially"]) == (2, 3, "up")


def test_a_value_knows_where_it_is_written() -> None:
    places = parsed(YAML).places
    assert places.value(("listeners", "web", "routes", 0, "match", "path")).place == "bascule.yaml:6"
    assert places.key(("pools", "api", "connect")).problem("").column == 81
    assert places.value(("pools", "api", "endpoints", 1, "dns")).problem("").width == len("app:80")


def test_what_is_not_written_is_placed_at_what_is_around_it() -> None:
    places = parsed(YAML).places
    assert places.value(("pools", "api", "idle", "timeout")).place == "bascule.yaml:10"
    assert not places.find(("pools", "api", "idle", "timeout"))[1]


def test_a_variable_that_is_not_set_is_one_mistake() -> None:
    with pytest.raises(ConfigRefused) as refused:
        parsed(YAML.replace("1s", "${NOT_SET}"))
    assert len(refused.value.problems) == 1


def test_mistakes_of_all_sections_are_reported_at_once() -> None:
    with pytest.raises(ConfigRefused) as refused:
        parsed(YAML.replace("1s", "soon").replace(":8080", "http").replace("/v1", "v1"))
    assert [problem.line for problem in refused.value.problems] == [4, 6, 10]


def test_a_configuration_made_in_code_has_no_place() -> None:
    config = Config(
        listeners={"web": Listener(bind=":80", routes=[Route(pool="gone")])},
        pools={"api": Pool(endpoints="10.0.0.1:80", connect=timedelta(seconds=2))},
    )
    assert config.pools["api"].connect == 2000
    with pytest.raises(ConfigRefused) as refused:
        build(config, catalog())
    assert str(refused.value).startswith('configuration: route 1 sends traffic to pool "gone"')


def test_the_package_gives_the_models_and_nothing_else() -> None:
    assert bascule.Config is Config
    with pytest.raises(AttributeError):
        _ = bascule.Manager


def test_a_python_file_may_import_what_stands_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside_bascule.py").write_text("ADDRESS = '10.0.0.1:80'\n")
    path = tmp_path / "bascule.py"
    path.write_text(
        "from beside_bascule import ADDRESS\nfrom bascule import Config, Pool\n"
        "config = Config(pools={'a': Pool(endpoints=ADDRESS)})\n"
    )
    assert parse(load(path)).pools["a"].endpoints[0].address == "10.0.0.1:80"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "content",
    [
        "a: &a [*a]\n",
        "[" * 3000,
        "{a: " * 3000,
        "? [a]\n: b\n",
        "<<: 5\n",
        "a: !!python/object:os.system x\n",
        "\0",
        'listeners: {w: {bind: ":1", routes: [{respond: "\\ud800"}]}}\n',
        "--- |\n x\n...\n",
    ],
)
def test_hostile_yaml_is_refused_with_a_place(content: str) -> None:
    with pytest.raises(ConfigRefused) as refused:
        parsed(content)
    assert all(problem.line is not None for problem in refused.value.problems)
