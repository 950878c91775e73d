"""Stopping: what is in flight ends well, what is idle closes, what is new is refused, what is cut is told."""

import json
import threading

import pytest
from tests.support.endpoints import OK, ScriptedEndpoint, Step, each, play
from tests.support.eventually import eventually
from tests.support.places import refuses
from tests.support.plane import RunningPlane, listener, pool
from tests.support.raw import request
from tests.support.routes import own

from bascule import contract
from bascule.plane.plane import SnapshotRefused

LONG = 60_000
"""A grace that no test waits for."""


def stopped(plane: RunningPlane) -> int:
    """How much was cut, once all has ended."""
    event = plane.wait_event("stopped").what
    assert event.kind == "stopped"
    return event.cut


@pytest.mark.parametrize("grace_ms", [None, LONG, 0])
def test_a_plane_without_work_stops_at_once(grace_ms: int | None) -> None:
    with RunningPlane([], [listener(own(204))], threads=2) as plane:
        plane.stop(grace_ms)
        assert stopped(plane) == 0


@pytest.mark.parametrize("grace_ms", [None, LONG])
def test_what_is_in_flight_is_answered_and_told_that_the_connection_closes(grace_ms: int | None) -> None:
    go = threading.Event()
    with (
        ScriptedEndpoint(each(play(Step.READ, OK, Step.CLOSE), play(Step.READ, go, OK))) as endpoint,
        RunningPlane([pool(endpoint)]) as plane,
        plane.connect() as busy,
        plane.connect() as idle,
    ):
        address = plane.address()
        # The kernel keeps a connection to itself until its client has said something.
        assert idle.ask(request()).status == 200
        busy.send(request())
        endpoint.wait_requests(2)
        plane.stop(grace_ms)
        assert idle.is_closed()
        eventually(lambda: refuses(address), "the port stays open")
        assert busy.gets_nothing()
        go.set()
        answer = busy.response()
        assert (answer.status, answer.fields.one("connection")) == (200, "close")
        assert busy.is_closed()
        assert stopped(plane) == 0
        assert plane.endings(2) == {"ok": 2}


def test_an_upload_in_flight_is_finished() -> None:
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)]) as plane, plane.connect() as client:
        client.send(request("POST", "/", "Content-Length: 6"), b"abc")
        endpoint.wait_conversations(1)
        plane.stop(LONG)
        eventually(lambda: refuses(plane.address()), "the port stays open")
        client.send(b"def")
        assert client.response().status == 200
        assert endpoint.requests[0].body == b"abcdef"
        assert stopped(plane) == 0


def test_a_request_whose_head_is_on_its_way_is_still_served() -> None:
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)]) as plane, plane.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: ")
        plane.wait_stats(lambda stats: stats.listeners[0].open == 1)
        with plane.connect() as witness:
            # When this one was answered the half of the other has been read.
            assert witness.ask(request()).status == 200
        plane.stop(LONG)
        eventually(lambda: refuses(plane.address()), "the port stays open")
        client.send(b"a\r\n\r\n")
        answer = client.response()
        assert (answer.status, answer.fields.one("connection")) == (200, "close")
        assert stopped(plane) == 0


def test_connections_that_never_asked_anything_do_not_hold_up_the_end() -> None:
    with RunningPlane([], [listener(own(204))]) as plane:
        clients = [plane.connect() for _ in range(10)]
        plane.wait_stats(lambda stats: stats.listeners[0].open == 10)
        plane.stop(LONG)
        assert all(client.is_closed() for client in clients)
        assert stopped(plane) == 0
        for client in clients:
            client.close()


def test_idle_connections_are_not_counted_as_cut_when_there_is_no_grace() -> None:
    with RunningPlane([], [listener(own(204))]) as plane, plane.connect() as client:
        assert client.ask(request()).status == 204
        plane.stop(0)
        assert client.is_closed()
        assert stopped(plane) == 0


@pytest.mark.parametrize("grace_ms", [0, 50])
def test_at_the_end_of_the_grace_exchanges_are_cut_and_counted(grace_ms: int) -> None:
    never = threading.Event()
    with (
        ScriptedEndpoint(play(Step.READ, never)) as endpoint,
        RunningPlane([pool(endpoint)]) as plane,
        plane.connect() as one,
        plane.connect() as two,
    ):
        one.send(request())
        two.send(request("POST", body=b"x"))
        endpoint.wait_requests(2)
        plane.stop(grace_ms)
        assert one.is_closed()
        assert two.is_closed()
        assert stopped(plane) == 2
        stats = plane.stats()
        assert (stats.listeners[0].in_flight, stats.listeners[0].open) == (0, 0)
        assert stats.endpoints[0].in_flight == 0
        never.set()


def test_a_second_stop_shortens_the_grace() -> None:
    never = threading.Event()
    with (
        ScriptedEndpoint(play(Step.READ, never)) as endpoint,
        RunningPlane([pool(endpoint)]) as plane,
        plane.connect() as client,
    ):
        client.send(request())
        endpoint.wait_requests(1)
        for grace_ms in (None, LONG, 0):
            plane.stop(grace_ms)
        assert stopped(plane) == 1
        assert client.is_closed()
        never.set()


@pytest.mark.parametrize("later", [None, LONG])
def test_a_second_stop_does_not_lengthen_the_grace(later: int | None) -> None:
    never = threading.Event()
    with (
        ScriptedEndpoint(play(Step.READ, never)) as endpoint,
        RunningPlane([pool(endpoint)]) as plane,
        plane.connect() as client,
    ):
        client.send(request())
        endpoint.wait_requests(1)
        plane.stop(100)
        plane.stop(later)
        event = plane.wait_event("stopped", patience=3.0)
        assert event.what.kind == "stopped"
        never.set()


def test_a_tunnel_is_cut_at_the_end_of_the_grace_and_not_before() -> None:
    switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
    with (
        ScriptedEndpoint(play(Step.HEAD, switched)) as endpoint,
        RunningPlane([pool(endpoint)]) as plane,
        plane.connect() as client,
    ):
        client.send(request("GET", "/", "Connection: upgrade", "Upgrade: echo"))
        assert client.head().status == 101
        plane.stop(LONG)
        eventually(lambda: refuses(plane.address()), "the port stays open")
        client.send(b"still here")
        eventually(lambda: endpoint.received().endswith(b"still here"), "the tunnel does not carry bytes")
        endpoint.conversations[0].send(b"so am I")
        assert client.stream.exactly(7) == b"so am I"
        plane.stop(0)
        assert client.is_closed()
        assert stopped(plane) == 1
        assert plane.endings(1) == {"cut_by_stop": 1}


def test_whoever_waits_to_be_accepted_is_served_and_not_reset() -> None:
    """Connections that the kernel had accepted before the stop."""
    with RunningPlane([], [listener(own(204))]) as plane:
        for _ in range(20):
            clients = [plane.connect() for _ in range(5)]
            for client in clients:
                client.send(request())
            for client in clients:
                assert client.response().status == 204
                client.close()
        waiting = [plane.connect() for _ in range(20)]
        for client in waiting:
            client.send(request())
        plane.stop(LONG)
        assert [client.response().status for client in waiting] == [204] * 20
        assert stopped(plane) == 0
        for client in waiting:
            client.close()


def test_nothing_is_applied_any_more_once_it_stops() -> None:
    with RunningPlane([], [listener(own(204))]) as plane:
        plane.stop(LONG)
        with pytest.raises(SnapshotRefused, match="stopping"):
            plane.apply([], [listener(own(205))])
        assert stopped(plane) == 0


def test_the_access_log_is_whole_when_all_has_ended(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("log") / "access.log"
    with RunningPlane([], [listener(own(204))], access_log=contract.AccessLog("json", str(path))) as plane:
        with plane.connect() as client:
            for _ in range(100):
                assert client.ask(request()).status == 204
        plane.stop(LONG)
        assert stopped(plane) == 0
        assert len(path.read_text().splitlines()) == 100


def test_what_was_cut_is_in_the_counters_and_in_the_log(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every exchange that began has a worded ending."""
    never = threading.Event()
    path = tmp_path_factory.mktemp("log") / "access.log"
    with (
        ScriptedEndpoint(play(Step.READ, never)) as endpoint,
        RunningPlane([pool(endpoint)], access_log=contract.AccessLog("json", str(path))) as plane,
        plane.connect() as client,
    ):
        client.send(request())
        endpoint.wait_requests(1)
        plane.stop(0)
        assert stopped(plane) == 1
        assert plane.endings(1) == {"cut_by_stop": 1}
        (line,) = path.read_text().splitlines()
        assert json.loads(line)["ending"] == "cut_by_stop"
        never.set()
