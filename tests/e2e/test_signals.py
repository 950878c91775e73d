"""Signals, from the first moment to the last."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.eventually import eventually
from tests.support.program import Answer, Bascule, Getting, ToyEndpoint, command, get, written


@contextmanager
def silent_nameserver() -> Iterator[str]:
    """Takes questions and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        yield ":".join(map(str, silent.getsockname()))


def slow_start(nameserver: str) -> str:
    """A configuration that waits for an answer before it becomes live."""
    return (
        'listeners: {web: {bind: "127.0.0.1:0", pool: site}}\n'
        f'pools: {{site: {{endpoints: {{dns: "app.test:80", nameservers: "{nameserver}"}}}}}}\n'
    )


def test_a_term_while_it_starts_ends_it_in_order(folder: Path) -> None:
    with silent_nameserver() as nameserver:
        (folder / "bascule.yaml").write_text(slow_start(nameserver))
        with Bascule(folder, "run") as starting:
            eventually((folder / "admin.sock").is_socket, "it does not begin")
            assert starting.send(signal.SIGTERM).code() == 0
            starting.wait_said("stopped before any traffic was accepted")
    assert not (folder / "admin.sock").exists()


def test_signals_count_before_the_configuration_is_read(folder: Path) -> None:
    (folder / "bascule.py").write_text("import time\nfor _ in range(60_000): time.sleep(0.001)\n")
    with Bascule(folder, "run") as starting:
        starting.until(lambda: starting.catches(signal.SIGTERM))
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            starting.send(number)
        assert starting.send(signal.SIGTERM).code() == 0
        assert starting.said == []


def test_a_hup_while_it_starts_reloads_once_it_runs(folder: Path, toys: list[ToyEndpoint]) -> None:
    with silent_nameserver() as nameserver:
        (folder / "bascule.yaml").write_text(slow_start(nameserver))
        with Bascule(folder, "run") as starting:
            eventually((folder / "admin.sock").is_socket, "it does not begin")
            (folder / "bascule.yaml").write_text(written(toys))
            starting.send(signal.SIGHUP).ready().wait_said('"reloaded"')
            assert get(starting.address()).status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_loses_no_request_in_flight(
    folder: Path, toys: list[ToyEndpoint], number: signal.Signals
) -> None:
    (folder / "bascule.yaml").write_text(written(toys))
    with Bascule(folder, "run") as running:
        address = running.ready().address()
        hold(toys)
        waiting = [Getting(address) for _ in range(4)]
        eventually(lambda: asked(toys) == 4, "not all requests arrived")
        running.send(number).wait_said('"stopping"')
        eventually(lambda: refuses(address), "it still accepts")
        assert running.is_running()
        release(toys)
        outcomes = [it.outcome() for it in waiting]
        assert [it.status for it in outcomes if isinstance(it, Answer)] == [200] * 4, outcomes
        assert running.code() == 0
        running.wait_said("every exchange in flight has ended")


def test_a_second_term_stops_at_once(folder: Path, toys: list[ToyEndpoint]) -> None:
    (folder / "bascule.yaml").write_text(written(toys, "stop: {grace: 10m}\n"))
    with Bascule(folder, "run") as running:
        hold(toys)
        waiting = Getting(running.ready().address())
        eventually(lambda: asked(toys) == 1, "the request did not arrive")
        running.send(signal.SIGTERM).wait_said('"stopping"')
        assert running.send(signal.SIGTERM).code() == 0
        assert not isinstance(waiting.outcome(), Answer)
    release(toys)


def test_a_grace_time_that_is_over_cuts_and_says_how_many(folder: Path, toys: list[ToyEndpoint]) -> None:
    (folder / "bascule.yaml").write_text(written(toys, "stop: {grace: 200ms}\n"))
    with Bascule(folder, "run") as running:
        hold(toys)
        waiting = Getting(running.ready().address())
        eventually(lambda: asked(toys) == 1, "the request did not arrive")
        assert running.send(signal.SIGTERM).code() == 0
        running.wait_said("the grace time cut exchanges in flight", '"cut": 1')
        assert not isinstance(waiting.outcome(), Answer)
    release(toys)


def test_quit_waits_for_the_last_exchange_and_a_term_after_it_sets_a_limit(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    (folder / "bascule.yaml").write_text(written(toys, "stop: {grace: 0s}\n"))
    with Bascule(folder, "run") as running:
        hold(toys)
        waiting = Getting(running.ready().address())
        eventually(lambda: asked(toys) == 1, "the request did not arrive")
        running.send(signal.SIGQUIT).wait_said('"grace_ms": "no limit"')
        assert running.is_running()
        assert running.send(signal.SIGTERM).code() == 0
        assert not isinstance(waiting.outcome(), Answer)
    release(toys)


def test_usr1_opens_the_access_log_again_after_it_was_moved_away(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    log, moved = folder / "access.log", folder / "access.log.1"
    content = written(toys).replace("access_log: off", "access_log: {format: combined, path: access.log}")
    (folder / "bascule.yaml").write_text(content)
    with Bascule(folder, "run") as running:
        address = running.ready().address()
        assert get(address, "/one").status == 200
        eventually(lambda: "GET /one HTTP/1.1" in log.read_text(), log.read_text)
        log.rename(moved)
        assert get(address, "/two").status == 200
        eventually(lambda: "GET /two HTTP/1.1" in moved.read_text(), moved.read_text)
        running.send(signal.SIGUSR1)
        eventually(log.exists, "no new log")
        assert get(address, "/three").status == 200
        eventually(lambda: "GET /three HTTP/1.1" in log.read_text(), log.read_text)
        assert "/three" not in moved.read_text()


def test_stop_waits_for_the_end_and_stop_now_does_not_wait_for_exchanges(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    (folder / "bascule.yaml").write_text(written(toys))
    with Bascule(folder, "run") as running:
        hold(toys)
        waiting = Getting(running.ready().address())
        eventually(lambda: asked(toys) == 1, "the request did not arrive")
        late = command(folder, "stop", "--timeout", "0.3")
        assert late.code == 4
        assert "is still there after 0.3 s" in late.err
        assert command(folder, "status").out.splitlines()[0].split()[2] == "stopping"
        done = command(folder, "stop", "--now")
        assert (done.code, done.err) == (0, "stopped\n")
        assert running.code() == 0
        assert not isinstance(waiting.outcome(), Answer)
    release(toys)


def hold(toys: list[ToyEndpoint]) -> None:
    for toy in toys:
        toy.may_answer.clear()


def release(toys: list[ToyEndpoint]) -> None:
    for toy in toys:
        toy.may_answer.set()


def asked(toys: list[ToyEndpoint]) -> int:
    return sum(toy.asked() for toy in toys)


def refuses(address: str) -> bool:
    """Whether it takes no connection any more. Sends nothing: that would be held like the others."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port))).close()
    except ConnectionRefusedError:
        return True
    return False
