"""What signals ask for, and which file changes count."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from bascule.clock import ManualClock
from bascule.control.origin import FileOrigin
from bascule.control.triggers import LOOK_EVERY_S, SIGNALS, Trigger, file_changes, listen
from bascule.errors import BasculeError


def test_the_signals_are_those_that_administrators_of_nginx_know() -> None:
    assert {number.name: trigger.name for number, trigger in SIGNALS.items()} == {
        "SIGTERM": "STOP",
        "SIGINT": "STOP",
        "SIGQUIT": "DRAIN",
        "SIGHUP": "RELOAD",
        "SIGUSR1": "REOPEN_LOGS",
        "SIGUSR2": "UPGRADE",
    }


async def test_a_signal_reaches_the_event_loop_until_nobody_listens() -> None:
    heard: list[tuple[signal.Signals, Trigger]] = []
    came = asyncio.Event()

    def act(number: signal.Signals, trigger: Trigger) -> None:
        heard.append((number, trigger))
        came.set()

    # A test run that was started with nohup ignores this one.
    before = signal.getsignal(signal.SIGHUP)
    deafen = listen(act)
    assert signal.getsignal(signal.SIGHUP) != before
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.wait_for(came.wait(), 5)
    deafen()
    assert heard == [(signal.SIGHUP, Trigger.RELOAD)]
    assert signal.getsignal(signal.SIGHUP) == before


def watched(folder: Path) -> FileOrigin:
    """A configuration that has been read, in a file and a folder of included ones that is empty so far."""
    (folder / "conf.d").mkdir()
    (folder / "bascule.yaml").write_text("include: conf.d/*.yaml\n")
    origin = FileOrigin(folder / "bascule.yaml")
    origin.read()
    return origin


@pytest.mark.parametrize("name", ["bascule.yaml", "conf.d/new.yaml"])
async def test_a_change_of_a_file_and_one_that_appears_are_told_until_they_are_read(
    tmp_path: Path, name: str
) -> None:
    clock, origin, told = ManualClock(), watched(tmp_path), list[float]()

    async def listen_to_changes() -> None:
        async for _ in file_changes(origin, clock):
            told.append(clock.now())
            origin.read()

    listening = asyncio.create_task(listen_to_changes())
    # Before anybody looks for the first time: it is compared with what was read.
    (tmp_path / name).write_text("include: conf.d/*.yaml\n\n")
    await clock.advance(10 * LOOK_EVERY_S)
    assert told == [2 * LOOK_EVERY_S]
    listening.cancel()


async def test_a_file_that_is_still_being_written_is_not_told_yet(tmp_path: Path) -> None:
    clock, origin, told = ManualClock(), watched(tmp_path), list[float]()

    async def listen_to_changes() -> None:
        async for _ in file_changes(origin, clock):
            told.append(clock.now())
            origin.read()

    listening = asyncio.create_task(listen_to_changes())
    for size in range(3):
        (tmp_path / "bascule.yaml").write_text("include: conf.d/*.yaml\n" + "#" * (size + 1))
        await clock.advance(LOOK_EVERY_S)
    assert told == []
    await clock.advance(LOOK_EVERY_S)
    assert told == [4 * LOOK_EVERY_S]
    listening.cancel()


async def test_a_file_that_cannot_be_read_is_told_once(tmp_path: Path) -> None:
    clock, origin, told = ManualClock(), watched(tmp_path), list[float]()

    async def listen_to_changes() -> None:
        async for _ in file_changes(origin, clock):
            told.append(clock.now())
            with suppress(BasculeError):
                origin.read()

    listening = asyncio.create_task(listen_to_changes())
    (tmp_path / "bascule.yaml").unlink()
    await clock.advance(10 * LOOK_EVERY_S)
    assert len(told) == 1
    listening.cancel()
