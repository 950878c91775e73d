"""`bascule endpoint` and `bascule wait endpoint`: what they ask for, say, and end with."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.running import TWO_ENDPOINTS, Running, running
from tests.support.toy_endpoint import ToyEndpoint, silent

from bascule import contract
from bascule.cli import answer, wait
from bascule.cli.exits import UsageWrong
from bascule.cli.named import state_of

NAME = "site/10.0.0.1:8000"
COUNTED = contract.EndpointStats("site", "10.0.0.1:8000", True, False, 1, 0, 0, 0, 0, 0, 0)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in an empty directory, and asks the balancer of that directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BASCULE_ADMIN", f"unix:{tmp_path}/admin.sock")
    monkeypatch.setattr(wait, "LOOK_EVERY_S", 0.01)
    return tmp_path


@pytest.fixture
async def scene(folder: Path) -> AsyncIterator[Running]:
    async with running(folder) as scene:
        scene.plane.told.clear()
        yield scene


async def command(*words: str) -> int:
    """In a thread, because the balancer that it asks runs in this one."""
    return await asyncio.to_thread(answer, words)


def count(scene: Running, **changes: object) -> None:
    """The data plane counts this of the first endpoint from now on."""
    counted = replace(COUNTED, **changes)  # type: ignore[arg-type]
    scene.plane.counted = contract.Stats(endpoints=(counted,))


async def test_without_a_state_an_endpoint_is_shown_and_stays_as_it_is(
    scene: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    count(scene, in_flight=3, limit=16, pace_us=12_000, failures=7, ejections=2)
    assert await command("endpoint", NAME) == 0
    assert capsys.readouterr().out == (
        "site/10.0.0.1:8000 is up, 3 in flight (no check)\n"
        "  operator   ready, weight the default\n"
        "  weight     1 in force\n"
        "  limit      16, pace 12.0 ms\n"
        "  failures   7, ejections 2\n"
    )
    assert await command("endpoint", NAME, "--json") == 0
    assert json.loads(capsys.readouterr().out)["in_flight"] == 3
    assert scene.plane.marks == []


async def test_a_state_is_set_and_said_on_standard_error(
    scene: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await command("endpoint", NAME, "maintenance") == 0
    assert capsys.readouterr().err == (
        "site/10.0.0.1:8000 is up, 0 in flight (in maintenance by command; no check)\n"
    )
    assert await command("endpoint", NAME, "drain", "-q") == 0
    assert capsys.readouterr().err == ""
    assert [(it.draining, it.maintenance) for it in scene.plane.marks] == [(False, True), (True, False)]


async def test_a_weight_is_set_with_or_without_a_state(scene: Running) -> None:
    assert await command("endpoint", NAME, "--weight", "5", "-q") == 0
    assert await command("endpoint", NAME, "drain", "--weight", "0", "-q") == 0
    assert await command("endpoint", NAME, "--weight", "default", "-q") == 0
    assert [(it.weight, it.draining) for it in scene.plane.marks] == [(5, False), (0, True), (1, True)]


async def test_who_is_not_there_ends_with_1_and_says_who_is(
    scene: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ["endpoint", "site/10.0.0.3:8000", "drain"],
        ["wait", "endpoint", "site/10.0.0.3:8000", "up"],
    ):
        assert await command(*words) == 1
        said = capsys.readouterr().err
        assert 'pool site has no endpoint "10.0.0.3:8000"' in said
        assert "its endpoints: 10.0.0.1:8000, 10.0.0.2:8000" in said


@pytest.mark.parametrize(
    "words",
    [
        ["endpoint", "10.0.0.1:8000"],
        ["endpoint", "/10.0.0.1:8000"],
        ["endpoint", "site/"],
        ["endpoint", NAME, "draining"],
        ["endpoint", NAME, "--weight", "-1"],
        ["endpoint", NAME, "--weight", "heavy"],
        ["endpoint", NAME, "--weight", "²"],
        ["wait", "endpoint", NAME],
        ["wait", "endpoint", NAME, "asleep"],
        ["wait", "endpoint", "10.0.0.1:8000", "up"],
        ["wait", "endpoint", NAME, "up", "--timeout", "soon"],
        ["wait", "endpoint", NAME, "up", "--timeout", "²"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_makes_no_sense_ends_with_2(words: list[str]) -> None:
    assert answer(words) == 2


def test_a_balancer_that_is_not_there_ends_with_3() -> None:
    assert answer(["endpoint", NAME]) == 3
    assert answer(["wait", "endpoint", NAME, "up"]) == 3


def test_a_balancer_that_says_nothing_ends_with_4(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(folder / "admin.sock"))
        silent.listen()
        assert answer(["wait", "endpoint", NAME, "up", "--timeout", "50ms"]) == 4


@pytest.mark.parametrize(
    ("until", "counted", "holds"),
    [
        ("drained", {"draining": True}, True),
        ("drained", {"maintenance": True}, True),
        ("drained", {"draining": True, "in_flight": 1}, False),
        ("drained", {}, False),
        ("up", {}, True),
        ("up", {"ejected": True, "draining": True}, True),
        ("up", {"up": False}, False),
        ("down", {"up": False}, True),
        ("down", {"ejected": True}, False),
        ("ready", {}, True),
        ("ready", {"draining": True}, False),
        ("ready", {"maintenance": True}, False),
        ("ready", {"ejected": True}, False),
        ("ready", {"weight": 0}, False),
        ("ready", {"up": False}, False),
    ],
)
async def test_a_wait_ends_with_0_when_it_is_so_and_with_4_when_it_does_not_become_so(
    scene: Running, until: str, counted: dict[str, object], holds: bool
) -> None:
    count(scene, **counted)
    timeout = "30" if holds else "20ms"
    assert await command("wait", "endpoint", NAME, until, "--timeout", timeout) == (0 if holds else 4)


async def test_what_has_a_check_is_neither_up_nor_down_before_it_was_made(folder: Path) -> None:
    """Else a deployment that waits for what it has just restarted would not wait at all."""
    async with ToyEndpoint(silent) as toy:
        assert isinstance(toy.address, contract.TcpAddress)
        name = f"site/{toy.address.address}"
        pool = f"{{endpoints: ['{toy.address.address}'], check: /healthz}}"
        content = f"listeners: {{web: {{bind: 127.0.0.1:0, pool: site}}}}\npools: {{site: {pool}}}\n"
        async with running(folder, content) as scene:
            for word in ("up", "down", "ready"):
                assert await command("wait", "endpoint", name, word, "--timeout", "20ms") == 4
            await scene.clock.advance(1.5)
            down = replace(COUNTED, endpoint=toy.address.address, up=False)
            scene.plane.counted = contract.Stats(endpoints=(down,))
            assert await command("wait", "endpoint", name, "down", "--timeout", "30s") == 0


async def test_a_wait_returns_when_the_last_exchange_has_ended(
    scene: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count(scene, draining=True, in_flight=2)
    was_asked, stats = asyncio.Event(), scene.plane.stats

    def counting() -> bytes:
        was_asked.set()
        return stats()

    monkeypatch.setattr(scene.plane, "stats", counting)
    waiting = asyncio.create_task(command("wait", "endpoint", NAME, "drained", "--timeout", "30s"))
    await was_asked.wait()
    assert not waiting.done()
    count(scene, draining=True, in_flight=0)
    assert await waiting == 0
    assert capsys.readouterr().err == "site/10.0.0.1:8000 is draining, 0 in flight (no check)\n"


async def test_a_wait_in_vain_says_what_is_the_case(
    scene: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    count(scene, draining=True, in_flight=2)
    assert await command("wait", "endpoint", NAME, "drained", "--timeout", "20ms") == 4
    assert capsys.readouterr().err == (
        "bascule: not drained within 20ms: site/10.0.0.1:8000 is draining, 2 in flight (no check)\n"
    )


async def test_who_waits_for_a_drain_that_nobody_began_is_told(
    scene: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await command("wait", "endpoint", NAME, "drained", "--timeout", "50ms") == 4
    assert capsys.readouterr().err.startswith(
        f"{NAME} still gets new work: drain it with `bascule endpoint {NAME} drain`\n"
    )


async def test_an_endpoint_that_leaves_meanwhile_ends_the_wait_with_1(
    scene: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.file.write_text(TWO_ENDPOINTS.replace("10.0.0.1", "10.0.0.3"))
    waiting = asyncio.create_task(command("wait", "endpoint", NAME, "down", "--timeout", "30s"))
    await scene.balancer.reload()
    assert await waiting == 1
    assert "pool site has no endpoint" in capsys.readouterr().err


def test_an_endpoint_is_named_by_its_pool_and_all_that_follows_the_first_slash() -> None:
    assert state_of("site/unix:/run/app.sock") == "/pools/site/endpoints/unix%3A%2Frun%2Fapp.sock/state"
    with pytest.raises(UsageWrong, match="does not name an endpoint"):
        state_of("unix:")
