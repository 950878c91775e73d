"""A whole run: what starts, what a signal does, what is left at the end."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.running import TWO_ENDPOINTS, running

from bascule.config.load import Text
from bascule.config.parse import parse
from bascule.control.origin import FixedOrigin
from bascule.control.supervisor import READ_EVERY_S
from bascule.errors import BasculeError
from bascule.plane.plane import SnapshotRefused
from bascule.plane.recorded import RecordedPlane

THREE_ENDPOINTS = TWO_ENDPOINTS.replace('"10.0.0.2:8000"', '"10.0.0.2:8000", "10.0.0.3:8000"')


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what a signal sets off in the event loop; there is nothing else to wait at."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (a signal has no event)
            await asyncio.sleep(0)


async def test_nothing_is_left_after_a_stop(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        assert (tmp_path / "admin.sock").is_socket()
        before = {task.get_name() for task in asyncio.all_tasks()}
        assert {"reconcile", "readings", "admin"} <= before
        scene.balancer.stop()
        await scene.ended()
        assert not (tmp_path / "admin.sock").exists()
        assert not {"reconcile", "readings", "admin"} & {task.get_name() for task in asyncio.all_tasks()}
        assert scene.plane.stops == [30_000]


async def test_a_start_that_the_data_plane_refuses_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[int | None] = []

    class Refusing(RecordedPlane):
        def apply(self, snapshot: bytes) -> bytes:
            self.refuse_next("listener web: 127.0.0.1:80: permission denied")
            return super().apply(snapshot)

        def stop(self, grace_ms: int | None) -> None:
            stops.append(grace_ms)

    monkeypatch.setattr("tests.support.running.RecordedPlane", Refusing)
    with pytest.raises(SnapshotRefused, match="permission denied"):
        async with running(tmp_path):
            pass
    assert stops == [0]
    assert not (tmp_path / "admin.sock").exists()


async def test_a_second_balancer_on_the_same_admin_address_does_not_start(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        with pytest.raises(BasculeError, match="another balancer listens"):
            async with running(tmp_path):
                pass
        assert not scene.task.done()


async def test_the_admin_address_of_the_command_line_counts_for_more_than_that_of_the_file(
    tmp_path: Path,
) -> None:
    content = TWO_ENDPOINTS + f"admin: {{bind: 'unix:{tmp_path}/written.sock'}}\n"
    async with running(tmp_path, content) as scene:
        assert str(scene.supervisor.admin) == f"unix:{tmp_path}/written.sock"
    async with running(tmp_path, content, admin_named=True) as scene:
        assert str(scene.supervisor.admin) == f"unix:{tmp_path}/admin.sock"


async def test_the_first_term_drains_and_the_second_cuts(tmp_path: Path) -> None:
    async with running(tmp_path, busy=True, signals=True) as scene:
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: scene.plane.stops == [30_000])
        assert not scene.balancer.is_ready()
        assert not scene.task.done()
        os.kill(os.getpid(), signal.SIGINT)
        await scene.ended()
        assert scene.plane.stops == [30_000, 0]


async def test_quit_drains_without_a_limit(tmp_path: Path) -> None:
    async with running(tmp_path, busy=True, signals=True) as scene:
        os.kill(os.getpid(), signal.SIGQUIT)
        await until(lambda: scene.plane.stops == [None])
        await scene.clock.advance(60)
        assert not scene.task.done()
        scene.plane.finish()
        await scene.ended()


async def test_hup_reloads_and_usr1_reopens_logs_and_usr2_does_no_harm(tmp_path: Path) -> None:
    async with running(tmp_path, signals=True) as scene:
        scene.file.write_text(THREE_ENDPOINTS)
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: len(scene.plane.applied) == 2)
        os.kill(os.getpid(), signal.SIGUSR1)
        await until(lambda: scene.plane.reopened == 1)


async def test_a_broken_reload_by_signal_keeps_the_old_configuration(tmp_path: Path) -> None:
    async with running(tmp_path, signals=True) as scene:
        live, before = scene.balancer.live, scene.balancer.last_attempt
        scene.file.write_text("listeners: [\n")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: scene.balancer.last_attempt not in (None, before))
        assert scene.balancer.last_attempt is not None and not scene.balancer.last_attempt.ok
        assert scene.balancer.live == live


async def test_a_storm_of_reloads_is_a_few_reloads(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        scene.file.write_text(THREE_ENDPOINTS)
        outcomes = await asyncio.gather(*(scene.balancer.reload() for _ in range(100)))
        assert {outcome.generation for outcome in outcomes} == {2}
        # One that was under way and one for all who asked meanwhile, besides the start.
        assert scene.balancer.live.snapshot.generation == 2
        assert len(scene.plane.applied) == 2


async def test_a_client_that_hangs_up_does_not_end_the_reload(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        scene.file.write_text(THREE_ENDPOINTS)
        impatient = asyncio.create_task(scene.balancer.reload())
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.wait([impatient])
        await until(lambda: len(scene.plane.applied) == 2)


async def test_what_only_a_restart_can_change_is_said(tmp_path: Path) -> None:
    async with running(tmp_path) as scene:
        scene.file.write_text(TWO_ENDPOINTS + "threads: 7\nadmin: {metrics: 127.0.0.1:9100}\n")
        changes = (await scene.balancer.reload()).changes
        assert "threads: differs; takes effect at the next start" in changes
        assert "admin.metrics: differs; takes effect at the next start" in changes


async def test_a_stopping_balancer_does_not_reload(tmp_path: Path) -> None:
    async with running(tmp_path, busy=True) as scene:
        scene.balancer.drain()
        with pytest.raises(BasculeError, match="is stopping"):
            await scene.balancer.reload()


async def test_a_failed_background_task_shows_in_the_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as scene:
        with monkeypatch.context() as broken:
            broken.setattr(scene.plane, "stats", lambda: 1 // 0)
            await scene.clock.advance(READ_EVERY_S)
        assert "background task 'readings' failed" in str((await scene.balancer.status())["problems"])


def test_a_configuration_of_a_command_is_read_once() -> None:
    origin = FixedOrigin("bascule proxy", parse(Text.of(TWO_ENDPOINTS, "command line", {})))
    origin.read()
    with pytest.raises(BasculeError, match="was started by `bascule proxy`"):
        origin.read()
