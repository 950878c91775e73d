"""Sockets go from one process to the next whole, or not at all."""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.control import inheritance
from bascule.control.inheritance import AT_ONCE, VARIABLE, Inheritance, Left
from bascule.control.succession import Succession
from bascule.errors import BasculeError
from bascule.plane.recorded import RecordedPlane

Channel = tuple[socket.socket, socket.socket]


@pytest.fixture
def channel() -> Iterator[Channel]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def files(count: int) -> list[int]:
    return [os.eventfd(number, 0) for number in range(count)]


def what(descriptor: int) -> int:
    """Which of `files` it is."""
    return int(next(it for it in fdinfo(descriptor) if it.startswith("eventfd-count")).split()[1], 16)


def fdinfo(descriptor: int) -> list[str]:
    return Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()


def test_every_descriptor_arrives_under_its_name(channel: Channel) -> None:
    ours, theirs = channel
    many = files(AT_ONCE * 2 + 7)
    left = Left(
        [("127.0.0.1:80", many[:-4]), ("unix:/a", many[-4:-2])], {"unix:/b": many[-2], "c": many[-1]}, 7
    )
    left.give(ours)
    left.close()
    taken = Left.take(theirs)
    assert [(name, len(some)) for name, some in taken.sockets] == [
        ("127.0.0.1:80", len(many) - 4),
        ("unix:/a", 2),
    ]
    assert (list(taken.admin), taken.process) == (["unix:/b", "c"], 7)
    assert [what(it) for it in taken.descriptors()] == list(range(len(many)))
    taken.close()


def test_another_format_is_refused(channel: Channel) -> None:
    ours, theirs = channel
    ours.send(json.dumps({"format": 99, "sockets": []}).encode())
    with pytest.raises(BasculeError, match="speaks format 99"):
        Left.take(theirs)
    ours.send(b"what?")
    with pytest.raises(BasculeError, match="not understood"):
        Left.take(theirs)


def test_a_process_that_goes_away_in_the_middle_leaves_nothing(channel: Channel) -> None:
    ours, theirs = channel
    ours.send(json.dumps({"format": 1, "process": 1, "sockets": [["a", 2]], "admin": []}).encode())
    ours.close()
    with pytest.raises(BasculeError, match="went away"):
        Left.take(theirs)


def test_what_is_left_is_not_for_the_programs_that_we_start(
    channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = channel
    Left(process=9).give(ours)
    descriptor = os.dup(theirs.fileno())
    os.set_inheritable(descriptor, True)
    monkeypatch.setenv(VARIABLE, str(descriptor))
    inherited = Inheritance.ours()
    assert inherited is not None and inherited.left.process == 9
    assert not os.get_inheritable(descriptor)
    assert VARIABLE not in os.environ
    inherited.tell_ready()
    assert ours.recv(99) == inheritance.READY


def succession(plane: RecordedPlane, program: str, patience_s: float = 30) -> tuple[Succession, list[str]]:
    left: list[str] = []
    command = [
        sys.executable,
        "-c",
        f"import os, socket\nchannel = socket.socket(fileno=int(os.environ['{VARIABLE}']))\n{program}",
    ]
    return Succession(plane, dict, lambda: left.append("admin"), lambda: command, patience_s), left


async def test_a_successor_that_serves_takes_over() -> None:
    plane = RecordedPlane()
    under_test, left = succession(plane, "channel.recv(4096)\nchannel.send(b'ready')")
    process = await under_test.begin()
    assert (plane.bequeathed, left) == (True, ["admin"])
    # `subprocess` reaps what nobody holds, whenever it starts another.
    with contextlib.suppress(ChildProcessError):
        await asyncio.to_thread(os.waitpid, process, 0)
    plane.close()


@pytest.mark.parametrize(
    ("program", "patience_s", "said"),
    [
        ("raise SystemExit(3)", 30, "exit status 3 before it served"),
        ("channel.recv(4096)\nchannel.recv(1)", 0.2, "did not serve within 0.2 s"),
    ],
)
async def test_a_successor_that_does_not_serve_changes_nothing(
    program: str, patience_s: float, said: str
) -> None:
    plane = RecordedPlane()
    under_test, left = succession(plane, program, patience_s)
    with pytest.raises(BasculeError, match=said):
        await under_test.begin()
    assert (plane.bequeathed, left) == (False, [])
    plane.close()
