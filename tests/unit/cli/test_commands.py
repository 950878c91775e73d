"""Every command: its help, its exit code, and what it prints where."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.running import CATALOG, TWO_ENDPOINTS, Running, running

from bascule.cli import COMMANDS, answer
from bascule.plane import embedded


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in an empty directory, without the operator's environment and without a data plane."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BASCULE_ADMIN", f"unix:{tmp_path}/admin.sock")
    monkeypatch.setattr(embedded, "catalog", lambda: CATALOG)
    return tmp_path


@pytest.fixture
async def scene(folder: Path) -> AsyncIterator[Running]:
    async with running(folder) as scene:
        yield scene


async def command(*words: str) -> int:
    """In a thread, because the balancer that it asks runs in this one."""
    return await asyncio.to_thread(answer, words)


@pytest.mark.parametrize("words", [*((name,) for name in COMMANDS), ("show", "config")], ids=" ".join)
def test_the_help_of_every_command_has_an_example(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer([*words, "--help"]) == 0
    assert f"Example: bascule {' '.join(words)}" in " ".join(capsys.readouterr().out.split())


def test_the_help_lists_every_command_and_loads_none(tmp_path: Path) -> None:
    code = (
        "import sys; from bascule.cli import answer; answer(['--help']);"
        "print('loaded:', *(name for name in sys.modules if name.split('.')[0] in"
        " ('httpx2', 'rich', 'ruamel', 'starlette', 'structlog', 'uvicorn')), sep=' ')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    *shown, loaded = ended.stdout.rstrip("\n").split("\n")
    assert loaded.strip() == "loaded:"
    assert set(COMMANDS) <= {line.split()[0] for line in shown if line.startswith("  ") and line.strip()}


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["proxy"],
        ["proxy", ":8080", "--to", "nowhere"],
        ["echo", ":99999"],
        ["run"],
        ["check"],
        ["status", "--timeout", "0"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_makes_no_sense_ends_with_2(words: list[str]) -> None:
    assert answer(words) == 2


def test_a_good_configuration_ends_with_0_and_says_so_on_standard_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bascule.yaml").write_text(TWO_ENDPOINTS)
    assert answer(["check"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "bascule.yaml: valid (1 listener, 1 pool)\n")
    for words in (["check", "-q"], ["-t", "bascule.yaml", "-q"], ["-c", "bascule.yaml", "--quiet"]):
        assert answer(words) == 0
        assert capsys.readouterr() == ("", "")


def test_a_broken_configuration_ends_with_1_and_shows_the_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bascule.yaml").write_text(TWO_ENDPOINTS.replace("pool: site", "pool: sight"))
    assert answer(["check", "-q"]) == 1
    assert "bascule.yaml:2:" in capsys.readouterr().err
    assert answer(["check", "--json"]) == 1
    (problem,) = [it for it in json.loads(capsys.readouterr().out) if it["severity"] == "error"]
    assert problem["line"] == 2


def test_a_warning_is_an_error_only_when_it_is_wanted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bascule.yaml").write_text(TWO_ENDPOINTS + "  unused: {endpoints: ['10.0.0.3:1']}\n")
    assert answer(["check"]) == 0
    assert "warning" in capsys.readouterr().err
    assert answer(["check", "--strict"]) == 1


def test_a_balancer_that_is_not_there_ends_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["status"], ["reload"], ["stop"], ["show", "config", "--running"]):
        assert answer(words) == 3
        assert "no balancer answers on unix:" in capsys.readouterr().err


def test_a_balancer_that_says_nothing_ends_with_4(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(folder / "admin.sock"))
        silent.listen()
        assert answer(["status", "--timeout", "0.05"]) == 4


async def test_status_shows_endpoints_to_people_and_programs(
    scene: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await command("status") == 0
    assert "10.0.0.2:8000" in capsys.readouterr().out
    assert await command("status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["generation"] == 1


async def test_a_reload_prints_what_changed(scene: Running, capsys: pytest.CaptureFixture[str]) -> None:
    scene.file.write_text(TWO_ENDPOINTS.replace("10.0.0.2", "10.0.0.3"))
    assert await command("reload") == 0
    out, err = capsys.readouterr()
    assert "  pool site: endpoint 10.0.0.3:8000 added\n" in out
    assert err == "reloaded: generation 2 is live\n"


async def test_a_refused_reload_ends_with_1_and_prints_the_problems(
    scene: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.file.write_text(TWO_ENDPOINTS + "bogus: 1\n")
    assert await command("reload") == 1
    assert "bascule.yaml:5:1" in capsys.readouterr().err


async def test_a_broken_file_does_not_hide_its_balancer(
    scene: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("BASCULE_ADMIN")
    scene.file.write_text(
        TWO_ENDPOINTS + f"bogus: 1\nadmin: {{bind: 'unix:{scene.file.parent}/admin.sock'}}\n"
    )
    assert await command("status") == 0
    scene.file.write_text("admin: {bind: [\n")
    assert await command("status") == 1
    assert "name the address with --admin" in capsys.readouterr().err


async def test_a_plan_against_the_running_balancer_changes_nothing(
    scene: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await command("plan", "--exit-code") == 0
    assert "nothing would change" in capsys.readouterr().err
    other = scene.file.parent / "other.yaml"
    other.write_text(TWO_ENDPOINTS.replace("10.0.0.2", "10.0.0.3"))
    assert await command("plan", "other.yaml", "--exit-code") == 1
    assert "pool site: endpoint 10.0.0.3:8000 added\n" in capsys.readouterr().out
    assert len(scene.plane.applied) == 1


def test_a_plan_between_two_files_needs_no_balancer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bascule.yaml").write_text(TWO_ENDPOINTS)
    (folder / "old.yaml").write_text(TWO_ENDPOINTS.replace("10.0.0.2", "10.0.0.3"))
    assert answer(["plan", "--from", "old.yaml"]) == 0
    assert "pool site: endpoint 10.0.0.2:8000 added\n" in capsys.readouterr().out


def test_a_snapshot_is_canonical_and_holds_the_endpoints(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (folder / "bascule.yaml").write_text(TWO_ENDPOINTS)
    assert answer(["plan", "--snapshot"]) == 0
    sys.stdout.flush()
    written = capfdbinary.readouterr().out
    snapshot = json.loads(written)
    assert [it["id"] for it in snapshot["pools"][0]["endpoints"]] == ["10.0.0.1:8000", "10.0.0.2:8000"]
    assert written.decode() == json.dumps(snapshot, sort_keys=True, separators=(",", ":")) + "\n"


async def test_a_stop_returns_when_the_balancer_is_gone(
    scene: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await command("stop") == 0
    await scene.ended()
    assert scene.plane.stops == [30_000]
    assert capsys.readouterr().err == "stopped\n"


async def test_a_stop_that_takes_too_long_ends_with_4(folder: Path) -> None:
    async with running(folder, busy=True) as scene:
        assert await command("stop", "--drain", "--timeout", "0.2") == 4
        assert scene.plane.stops == [None]


def test_an_effective_configuration_reads_back_as_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bascule.yaml").write_text(TWO_ENDPOINTS)
    assert answer(["show", "config", "--effective"]) == 0
    once = capsys.readouterr().out
    assert "panic: 50%" in once or "panic: 50" in once
    (folder / "bascule.yaml").write_text(once)
    assert answer(["show", "config", "--effective"]) == 0
    assert capsys.readouterr().out == once


def test_what_looks_like_a_variable_is_written_so_that_it_stays_text(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = TWO_ENDPOINTS.replace(
        "pool: site}", "routes: [{pool: site, rewrite: {regex: '/(?P<a>x)', with: '/$${a}'}}]}"
    )
    (folder / "bascule.yaml").write_text(written)
    assert answer(["show", "config"]) == 0
    assert "$${a}" in capsys.readouterr().out


def test_the_catalogue_names_algorithms_matchers_checks_and_sources(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert answer(["catalog", "--json"]) == 0
    catalog = json.loads(capsys.readouterr().out)
    assert [it["name"] for it in catalog["algorithms"]] == [it.name for it in CATALOG.algorithms]
    assert {"http", "tcp", "python"} <= set(catalog["checks"])
    assert {"static", "file", "dns", "dns_srv"} <= set(catalog["sources"])
    assert answer(["catalog"]) == 0
    assert "least_busy" in capsys.readouterr().out


def test_the_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"].startswith("https://json-schema.org/")


@pytest.mark.parametrize("words", [["version"], ["-v"], ["--version"]], ids=" ".join)
def test_the_version_is_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(words) == 0
    assert capsys.readouterr().out == "bascule 0.1.0\n"


async def test_a_plan_of_a_file_elsewhere_reads_its_paths_from_there(
    scene: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = scene.file.parent / "elsewhere"
    folder.mkdir()
    written = TWO_ENDPOINTS + "access_log: {path: access.log}\n"
    (folder / "other.yaml").write_text(written.replace('"10.0.0.2:8000"', "{file: more}"))
    assert await command("plan", "elsewhere/other.yaml") == 0
    said = capsys.readouterr().out
    assert f"access log: json to standard output → json to {folder}/access.log\n" in said
    assert f"endpoints are now found by 1 endpoint, file {folder}/more\n" in said
