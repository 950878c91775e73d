"""What signals ask for, and which file changes count."""

import asyncio
import os
import signal
from pathlib import Path

from bascule.control.triggers import SIGNALS, Trigger, fingerprint, listen


def test_the_signals_are_those_that_administrators_of_nginx_know() -> None:
    assert {number.name: trigger.name for number, trigger in SIGNALS.items()} == {
        "SIGTERM": "STOP",
        "SIGINT": "STOP",
        "SIGQUIT": "DRAIN",
        "SIGHUP": "RELOAD",
        "SIGUSR1": "REOPEN_LOGS",
        "SIGUSR2": "NOTHING",
    }


async def test_a_signal_reaches_the_event_loop_until_nobody_listens() -> None:
    heard: list[tuple[signal.Signals, Trigger]] = []
    came = asyncio.Event()

    def act(number: signal.Signals, trigger: Trigger) -> None:
        heard.append((number, trigger))
        came.set()

    deafen = listen(act)
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.wait_for(came.wait(), 5)
    deafen()
    assert heard == [(signal.SIGHUP, Trigger.RELOAD)]
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_writing_and_replacing_a_file_change_its_print_and_touching_a_neighbour_does_not(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("one")
    first = fingerprint([file])
    (tmp_path / "other").write_text("x")
    assert fingerprint([file]) == first

    file.write_text("one and two")
    second = fingerprint([file])
    assert second != first

    (tmp_path / "new").write_text("one and six")
    (tmp_path / "new").rename(file)
    assert fingerprint([file]) != second


def test_a_symbolic_link_that_leads_elsewhere_changes_the_print(tmp_path: Path) -> None:
    """This is how Kubernetes changes a mounted ConfigMap."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.yaml").write_text("same length")
    (tmp_path / "data").symlink_to("v1")
    file = tmp_path / "data" / "a.yaml"
    before = fingerprint([file])
    (tmp_path / "data").unlink()
    (tmp_path / "data").symlink_to("v2")
    assert fingerprint([file]) != before


def test_a_file_that_vanished_has_a_print_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("")
    before = fingerprint([file])
    file.unlink()
    assert fingerprint([file]) != before
