"""What a command check runs, what passes it, and what it leaves behind."""

import asyncio
import os
from pathlib import Path

import pytest
from tests.support.eventually import eventually

from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target
from bascule.health.checks.command import MOST_OUTPUT, CommandCheck

TARGET = Target("web", "x", "app.internal", host="10.0.0.1", port=8000)


async def run(*command: str, **env: str) -> None:
    await CommandCheck.from_options({"command": command, "env": env}).run(TARGET)


async def failure(*command: str, **env: str) -> str:
    with pytest.raises(CheckFailed) as failed:
        await run(*command, **env)
    return failed.value.reason


async def test_exit_status_0_passes_and_the_last_line_says_why_another_does_not() -> None:
    await run("/bin/true")
    assert await failure("/bin/false") == "/bin/false ended with exit status 1"
    said = await failure("/bin/sh", "-c", "echo looking; echo disk full >&2; exit 3")
    assert said == "/bin/sh ended with exit status 3: disk full"
    assert await failure("/bin/sh", "-c", "kill -TERM $$") == "/bin/sh was ended by SIGTERM"
    assert await failure("/nowhere/at-all") == "/nowhere/at-all cannot be run: no such file or directory"


async def test_it_is_told_which_endpoint_it_is_about_and_nothing_of_our_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_SECRET", "x")
    told = "$BASCULE_ADDRESS $BASCULE_HOST $BASCULE_PORT $BASCULE_NAME $BASCULE_POOL $MORE,$A_SECRET"
    script = f"echo {told}; exit 1"
    said = await failure("/bin/sh", "-c", script, MORE="y")
    assert said.endswith(": 10.0.0.1:8000 10.0.0.1 8000 app.internal web y,")


async def test_its_words_name_the_endpoint_too_and_no_shell_reads_them() -> None:
    said = await failure("/bin/sh", "-c", 'echo "$@"; exit 1', "-", "{host}", "{port};{oops}", "$HOME")
    assert said.endswith(": 10.0.0.1 8000;{oops} $HOME")


async def test_what_a_name_contains_is_not_filled_in_again() -> None:
    target = Target("web", "x", "{port}", host="10.0.0.1", port=8000)
    check = CommandCheck.from_options({"command": ["/bin/sh", "-c", 'echo "$1"; exit 1', "-", "{name}"]})
    with pytest.raises(CheckFailed, match=r": \{port\}$"):
        await check.run(target)


async def test_it_is_ended_with_all_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 1000 & echo $! > {pids}; echo $$ >> {pids}; wait"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await run("/bin/sh", "-c", script)
    for pid in map(int, pids.read_text().split()):
        eventually(lambda pid=pid: not is_running(pid), f"{pid} is still running")  # type: ignore[misc]


async def test_a_child_that_stays_behind_holds_nobody_up() -> None:
    async with asyncio.timeout(10):
        await run("/bin/sh", "-c", "sleep 1000 & exit 0")


async def test_output_without_end_is_read_and_only_its_end_is_kept() -> None:
    script = f"head -c {20 * MOST_OUTPUT} /dev/zero | tr '\\0' x; echo; echo enough; exit 1"
    assert (await failure("/bin/sh", "-c", script)).endswith(": enough")


def is_running(pid: int) -> bool:
    """One that has ended and was not taken note of yet is not running."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX" and os.getpid() != pid


@pytest.mark.parametrize("options", [{}, {"command": "/bin/true"}, {"command": ["/bin/true"], "shell": True}])
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(BasculeError):
        CommandCheck.from_options(options)
