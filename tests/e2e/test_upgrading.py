"""A newer installation takes over from the running one, and nobody who asks notices."""

import json
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.eventually import eventually
from tests.support.program import Bascule, Getting, ToyEndpoint, command, get, written

PACKAGE = Path(__file__).parents[2] / "python" / "bascule"


@contextmanager
def running(folder: Path, packages: Path | None = None) -> Iterator[Bascule]:
    """The program, and whoever took over from it, until the end of the block."""
    with Bascule(folder, "run", packages=packages) as first:
        try:
            yield first.ready()
        finally:
            command(folder, "stop", "--now", "-q")


def process(folder: Path) -> int:
    found: int = json.loads(command(folder, "status", "--json").out)["process"]
    return found


def installed(folder: Path, version: str) -> Path:
    """Another build of the package."""
    packages = folder / version
    shutil.copytree(PACKAGE, packages / "bascule", ignore=shutil.ignore_patterns("__pycache__"))
    module = packages / "bascule" / "__init__.py"
    module.write_text(module.read_text().replace('__version__ = "', f'__version__ = "{version}+'))
    return packages


def test_no_request_fails_while_one_installation_after_the_other_takes_over(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    (folder / "bascule.yaml").write_text(written(toys, pool=", idle: {timeout: 1s}"))
    current = folder / "current"
    current.symlink_to(installed(folder, "1"))
    with running(folder, current) as first:
        address = first.address()
        over = threading.Event()
        with ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(ask_on, address, over) for _ in range(4)]
            try:
                for version in ("2", "3"):
                    before = process(folder)
                    current.unlink()
                    current.symlink_to(installed(folder, version))
                    done = command(folder, "upgrade")
                    assert done.code == 0, done.err
                    assert f"{before} → {process(folder)}" in done.err
                    assert f"→ {version}+" in done.err
            finally:
                over.set()
            asked = [client.result() for client in clients]
        assert min(asked) > 10
        assert first.code() == 0


def ask_on(address: str, over: threading.Event) -> int:
    """Asks again and again, on a connection of its own each time, and is answered; how often."""
    count = 0
    while not over.is_set():
        assert get(address).status == 200
        count += 1
    return count


def test_what_is_in_flight_finishes_where_it_is(folder: Path, toys: list[ToyEndpoint]) -> None:
    (folder / "bascule.yaml").write_text(written(toys))
    with running(folder) as first:
        address = first.address()
        toys[0].may_answer.clear()
        toys[1].may_answer.clear()
        held = Getting(address)
        eventually(lambda: sum(toy.asked() for toy in toys) == 1, "the request did not arrive")
        assert command(folder, "upgrade", "-q").code == 0
        assert process(folder) != first.pid
        assert first.is_running()
        for toy in toys:
            toy.may_answer.set()
        answer = held.outcome()
        assert not isinstance(answer, BaseException) and answer.status == 200
        assert first.code() == 0
        assert get(address).status == 200


def test_a_successor_that_cannot_start_leaves_the_old_one_serving(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    file = folder / "bascule.yaml"
    file.write_text(written(toys))
    with running(folder) as first:
        file.write_text("listeners: {}\n")
        done = command(folder, "upgrade")
        assert done.code == 1
        assert "the successor ended with exit status 1 before it served" in done.err
        first.wait_said("no listener is defined")
        assert (process(folder), get(first.address()).status) == (first.pid, 200)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_usr2_hands_every_socket_over_and_their_files_stay(
    folder: Path, toys: list[ToyEndpoint], kind: str
) -> None:
    bind = f"unix:{folder}/web.sock" if kind == "unix" else "127.0.0.1:0"
    (folder / "bascule.yaml").write_text(
        written(toys, 'admin: {metrics: "127.0.0.1:0"}\n').replace("127.0.0.1:0", bind, 1)
    )
    with running(folder) as first:
        address = first.address()
        first.send(signal.SIGUSR2).wait_said("a successor serves now")
        assert first.code() == 0
        assert get(address).status == 200
        assert process(folder) != first.pid
    assert not list(folder.glob("*.sock"))


def test_a_successor_with_fewer_threads_serves_all_sockets(folder: Path, toys: list[ToyEndpoint]) -> None:
    file = folder / "bascule.yaml"
    file.write_text(written(toys, "threads: 4\n"))
    with running(folder) as first:
        address = first.address()
        for threads in (1, 3):
            file.write_text(written(toys, f"threads: {threads}\n"))
            assert command(folder, "upgrade", "-q").code == 0
            assert {get(address).status for _ in range(40)} == {200}
