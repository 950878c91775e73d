"""A TCP check passes when something accepts the connection."""

from pathlib import Path

import pytest
from tests.support.toy_endpoint import ToyEndpoint, silent

from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target
from bascule.health.checks.tcp import TcpCheck


async def test_a_listener_that_says_nothing_passes() -> None:
    async with ToyEndpoint(silent) as toy:
        await TcpCheck().run(Target.of("db", toy.found()))


async def test_a_listener_on_a_unix_socket_passes(tmp_path: Path) -> None:
    async with ToyEndpoint(silent, tmp_path / "db.sock") as toy:
        await TcpCheck().run(Target.of("db", toy.found()))


async def test_a_closed_port_fails_and_says_so() -> None:
    async with ToyEndpoint(silent) as toy:
        gone = toy.found()
    with pytest.raises(CheckFailed, match=r"^connect to 127\.0\.0\.1:\d+: connection refused$"):
        await TcpCheck().run(Target.of("db", gone))


async def test_a_missing_socket_file_fails_and_says_so(tmp_path: Path) -> None:
    target = Target("db", "x", path=str(tmp_path / "none.sock"))
    with pytest.raises(CheckFailed, match=r"none\.sock: no such file or directory"):
        await TcpCheck().run(target)


def test_options_are_refused() -> None:
    with pytest.raises(BasculeError, match="a tcp check has no option path"):
        TcpCheck.from_options({"path": "/"})
