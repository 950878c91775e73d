"""What signals ask for, and which file changes count."""

import asyncio
import itertools
import os
import signal
from pathlib import Path

from bascule.control.origin import FileOrigin
from bascule.control.triggers import SIGNALS, Trigger, file_changes, fingerprint, listen


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


async def test_a_file_that_appears_in_an_included_directory_is_a_change(tmp_path: Path) -> None:
    """The directory is empty at first, so that none of its files is known."""
    (tmp_path / "conf.d").mkdir()
    file = tmp_path / "bascule.yaml"
    file.write_text("include: conf.d/*.yaml\n")
    origin = FileOrigin(file)
    origin.read()
    changes = file_changes(origin.files)
    noticed = asyncio.ensure_future(anext(changes))
    async with asyncio.timeout(30):
        # When the watch begins cannot be seen from here; a change before it would go unnoticed.
        for number in itertools.count():
            (tmp_path / "conf.d" / f"{number}.yaml").write_text("")
            if (await asyncio.wait([noticed], timeout=0.2))[0]:
                break
    await changes.aclose()


def test_a_file_is_watched_by_the_name_it_was_given_and_where_that_leads(tmp_path: Path) -> None:
    (tmp_path / "v1.yaml").write_text("{}\n")
    link = tmp_path / "bascule.yaml"
    link.symlink_to("v1.yaml")
    origin = FileOrigin(link)
    origin.read()
    assert origin.files() == (link, (tmp_path / "v1.yaml").resolve())


def test_a_file_that_vanished_has_a_print_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("")
    before = fingerprint([file])
    file.unlink()
    assert fingerprint([file]) != before
