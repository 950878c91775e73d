"""What a stranger tries first: toy endpoints, a proxy without a file, the demo, and what there is."""

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
from tests.support.processes import run_tool
from tests.support.program import PROGRAM, Bascule, command, environment


def test_echo_and_proxy_by_hand(folder: Path) -> None:
    with Bascule(folder, "echo", "127.0.0.1:0", ":0") as echo:
        echo.wait_said("  echo  http://", count=2)
        ports = [line.rpartition(":")[2] for line in echo.said]
        to = [word for port in ports for word in ("--to", f":{port}")]
        words = ["127.0.0.1:0", *to, "--check", "/healthz", "--algorithm", "round_robin"]
        with Bascule(folder, "proxy", *words) as proxy:
            url = f"http://{proxy.ready().address()}/some/path?q=1"
            answers = [json.loads(run_tool("curl", "-sS", "-H", "X-Mine: 1", url)) for _ in range(4)]
            assert {it["served_by"] for it in answers} == {f"127.0.0.1:{port}" for port in ports}
            assert (answers[0]["path"], answers[0]["query"]) == ("/some/path", "q=1")
            assert ["x-mine", "1"] in answers[0]["headers"]
            status = command(folder, "status")
            assert (status.code, status.err) == (0, "")
            assert re.search(rf"127\.0\.0\.1:{ports[0]} +up ", status.out)
            reload = command(folder, "reload")
            assert reload.code == 1
            assert "this balancer was started by `bascule proxy`" in reload.err
            assert proxy.send(signal.SIGINT).code() == 0
        assert echo.send(signal.SIGTERM).code() == 0


def test_a_port_that_an_endpoint_cannot_have_is_said(folder: Path) -> None:
    with Bascule(folder, "echo", ":0") as echo:
        port = echo.wait_said("  echo  ").said[0].rpartition(":")[2]
        done = command(folder, "echo", f":{port}")
    assert done.code == 1
    assert done.err == f"bascule: cannot listen on 127.0.0.1:{port}: address already in use\n"


def test_the_demo_ends_with_a_table_and_three_lines_to_type(folder: Path) -> None:
    done = command(folder, "demo", "--seconds", "1")
    assert done.code == 0, done.err
    rows = re.findall(r"^ (127\.0\.0\.1:\d+) +(\d+) +(\d+) % +([\d.]+) ms +([\d.]+) m?s *$", done.out, re.M)
    assert len(rows) == 3
    assert re.search(r"^ all +\d+ ", done.out, re.M)
    assert "errors: none" in done.out
    by_hand = [line for line in done.out.splitlines() if line.startswith("  bascule ")]
    assert [line.split()[1] for line in by_hand] == ["echo", "echo", "proxy"]


def test_the_demo_shows_what_happened_so_far_when_it_is_interrupted(folder: Path) -> None:
    with Bascule(folder, "demo", "--seconds", "600") as demo:
        demo.wait_said("of 600 s")
        assert demo.send(signal.SIGINT).code() == 0
        assert any(line.startswith(" all ") for line in demo.written)
    assert list(folder.iterdir()) == []


def test_help_has_an_example_for_every_command(folder: Path) -> None:
    top = command(folder)
    assert top.code == 0
    assert "Exit codes: 0 ok" in top.out
    names = re.findall(r"^  ([a-z]+)  +[A-Z]", top.out, re.M)
    assert {"run", "proxy", "echo", "demo", "check", "plan", "reload", "status", "stop"} <= set(names)
    for name in names:
        said = command(folder, name, "--help").out
        assert re.search(rf"^  Example: bascule {name} ?", said, re.M), said


def test_version_schema_and_catalog(folder: Path) -> None:
    assert re.fullmatch(r"bascule \d+\.\d+\.\d+\n", command(folder, "version").out)
    assert "data plane  built in" in command(folder, "-V").out
    schema = json.loads(command(folder, "schema").out)
    assert {"listeners", "pools", "admin"} <= schema["properties"].keys()
    catalog = json.loads(command(folder, "catalog", "--json").out)
    algorithms = {it["name"] for it in catalog["algorithms"]}
    assert {"random", "round_robin", "weighted_round_robin", "least_busy", "two_choices"} <= algorithms
    assert {"host", "path", "method", "header", "query", "client"} <= {
        it["name"] for it in catalog["matchers"]
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("statsu",), "No such command"),
        (("status", "--jsn"), "No such option"),
        (("proxy", ":8080"), "--to"),
        (("proxy", "8080", "--to", ":1"), "'8080' is not an address"),
        (("run",), "no configuration file: there is no bascule.yaml, bascule.yml or bascule.py here"),
    ],
)
def test_a_command_line_that_makes_no_sense_ends_with_2(
    folder: Path, words: tuple[str, ...], said: str
) -> None:
    done = command(folder, *words)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_reader_that_has_seen_enough_is_no_disaster(folder: Path) -> None:
    with subprocess.Popen(
        [*PROGRAM, "schema"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(folder),
    ) as done:
        assert done.stdout is not None and done.stderr is not None
        done.stdout.close()
        assert b"Traceback" not in done.stderr.read()
