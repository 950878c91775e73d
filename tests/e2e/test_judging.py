"""What a configuration is told before it runs: `check`, `-t`, `plan`, `show`."""

import json
from pathlib import Path

import pytest
from tests.support.program import command

GOOD = """\
listeners: {web: {bind: "127.0.0.1:0", routes: [{match: {path: /v1/}, pool: api}, {pool: site}]}}
pools:
  api: {endpoints: [10.0.0.1:8000]}
  site: {endpoints: [10.0.0.2:8000], check: /healthz}
"""
BAD = """\
listeners:
  web:
    bind: 127.0.0.1:8080
    timeouts: {head: soon}
    routes:
      - {match: {path: /v1/}, pool: apo}
pools:
  api: {endpoints: [10.0.0.1:8000], algoritm: least_busy}
"""


def test_a_good_file_is_said_to_be_valid_in_one_line(folder: Path) -> None:
    (folder / "bascule.yaml").write_text(GOOD)
    for words in (("check",), ("check", "bascule.yaml"), ("-t",), ("-c", "bascule.yaml")):
        done = command(folder, *words)
        assert (done.code, done.out, done.err) == (0, "", "bascule.yaml: valid (1 listener, 2 pools)\n")
    assert command(folder, "check", "-q").err == ""


def test_mistakes_of_shape_and_of_meaning_are_told_at_once(folder: Path) -> None:
    (folder / "bascule.yaml").write_text(BAD)
    done = command(folder, "check")
    assert done.code == 1
    places = [line.split(" ")[0] for line in done.err.splitlines() if line.startswith("bascule.yaml:")]
    assert places == ["bascule.yaml:4:22:", "bascule.yaml:6:37:", "bascule.yaml:8:37:"]
    assert 'did you mean "api"? (defined at bascule.yaml:8)' in done.err
    assert 'did you mean "algorithm"?' in done.err
    for words in (("run",), ("-t",), ("plan", "--from", "bascule.yaml")):
        assert command(folder, *words).err.splitlines()[0].endswith(done.err.splitlines()[0])


def test_programs_get_the_same_as_json(folder: Path) -> None:
    (folder / "bascule.yaml").write_text(BAD)
    done = command(folder, "check", "--json")
    assert done.code == 1
    problems = json.loads(done.out)
    assert [(it["line"], it["column"], it["severity"]) for it in problems] == [
        (4, 22, "error"),
        (6, 37, "error"),
        (8, 37, "error"),
    ]
    assert problems[1]["what"] == 'route 1 sends traffic to pool "apo", which is not defined'


def test_a_warning_refuses_only_when_asked_to(folder: Path) -> None:
    (folder / "bascule.yaml").write_text(GOOD.replace("pool: api", "pool: site"))
    done = command(folder, "check")
    assert done.code == 0
    assert 'warning: pool "api" is not used by any route' in done.err
    assert command(folder, "check", "--strict").code == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.yaml", None, "cannot read missing.yaml: no such file or directory"),
        ("tab.yaml", "listeners:\n\tweb: 1\n", "tab.yaml:2:1"),
        ("broken.py", "config = \n", "broken.py:1:10: not Python"),
    ],
)
def test_what_cannot_be_read_is_said_without_a_traceback(
    folder: Path, name: str, content: str | None, said: str
) -> None:
    if content is not None:
        (folder / name).write_text(content)
    done = command(folder, "check", name)
    assert done.code == 1
    assert said in done.err
    assert "Traceback" not in done.err


def test_keys_of_other_versions_and_other_balancers_are_told_from_ours(folder: Path) -> None:
    (folder / "bascule.yaml").write_text(
        'listeners: {web: {bind: ":0", mode: tcp, ssl_certificate: site.pem, pool: site}}\n'
        "upstreams: {site: {servers: [10.0.0.1:80]}}\n"
    )
    err = command(folder, "check").err
    assert '"mode" is not a key of a listener' in err
    assert '"ssl_certificate" is not a key of a listener' in err
    assert 'did you mean "pools"?' in err


def test_a_plan_between_files_says_what_changes_and_is_like_diff_when_asked(folder: Path) -> None:
    (folder / "bascule.yaml").write_text(GOOD)
    (folder / "next.yaml").write_text(GOOD.replace("10.0.0.1:8000", "10.0.0.1:8000, 10.0.0.3:8000"))
    same = command(folder, "plan", "--from", "bascule.yaml", "--exit-code")
    assert (same.code, same.err) == (0, "nothing would change\n")
    done = command(folder, "plan", "next.yaml", "--from", "bascule.yaml")
    assert done.code == 0
    assert "pool api: endpoint 10.0.0.3:8000 added\n" in done.out
    assert command(folder, "plan", "next.yaml", "--from", "bascule.yaml", "--exit-code").code == 1


def test_a_configuration_in_python_gives_the_same_plan(folder: Path) -> None:
    (folder / "bascule.yaml").write_text(GOOD)
    (folder / "bascule.py").write_text(
        "from bascule import Config, Listener, Match, Pool, Route\n"
        "routes = [Route(match=Match(path='/v1/'), pool='api'), Route(pool='site')]\n"
        "config = Config(\n"
        "    listeners={'web': Listener(bind='127.0.0.1:0', routes=routes)},\n"
        "    pools={\n"
        "        'api': Pool(endpoints=['10.0.0.1:8000']),\n"
        "        'site': Pool(endpoints=['10.0.0.2:8000'], check='/healthz'),\n"
        "    },\n"
        ")\n"
    )
    done = command(folder, "plan", "bascule.py", "--from", "bascule.yaml", "--exit-code")
    assert (done.code, done.err) == (0, "nothing would change\n")


def test_nobody_to_ask_ends_with_3_and_says_where_it_asked(folder: Path) -> None:
    (folder / "bascule.yaml").write_text(GOOD)
    for name in ("status", "reload", "stop", "plan"):
        done = command(folder, name)
        assert done.code == 3
        assert done.err.startswith(f"bascule: no balancer answers on unix:{folder}/admin.sock: ")
