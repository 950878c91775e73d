"""What a reload does to sockets and connections: nothing, unless their listener is gone."""

import stat
import threading
from pathlib import Path

import pytest
from tests.support.endpoints import OK, ScriptedEndpoint, Step, answering, each, play, response
from tests.support.eventually import eventually
from tests.support.places import free_address, refuses
from tests.support.plane import RunningPlane, client_limits, listener, pool, route
from tests.support.raw import RawClient, request
from tests.support.routes import own, says

from bascule import contract


def answers(address: str) -> bool:
    """Whether a fresh connection is served. One that meets the old socket at its last moment is reset."""
    try:
        with RawClient(address) as client:
            return client.ask(request()).status == 204
    except ConnectionResetError:
        return False


def test_a_connection_outlives_20_reloads() -> None:
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)]) as plane, plane.connect() as client:
        address = plane.address()
        for number in range(20):
            assert client.ask(request()).status == 200
            plane.apply([pool(endpoint)], [listener(route(response_headers=says(str(number))))])
            assert plane.address() == address
            assert client.ask(request()).fields.one("x-says") == str(number)
        assert plane.stats().listeners[0].accepted == 1
        assert len(endpoint.conversations) == 1, "idle connections to endpoints are kept as well"


def test_an_exchange_in_flight_finishes_on_the_generation_it_began_with() -> None:
    go = threading.Event()
    with (
        ScriptedEndpoint(play(Step.READ, go, response(body=b"old"))) as old,
        ScriptedEndpoint(answering(response(body=b"new"))) as new,
        RunningPlane([pool(old)], [listener(route(response_headers=says("first")))]) as plane,
        plane.connect() as client,
    ):
        client.send(request())
        old.wait_requests(1)
        plane.apply([pool(new)], [listener(route(response_headers=says("second")))])
        assert plane.ask(request()).body == b"new"
        assert plane.stats().draining == (1,)
        go.set()
        answer = client.response()
        assert (answer.body, answer.fields.one("x-says")) == (b"old", "first")
        assert plane.wait_stats(lambda stats: stats.draining == ()).generation == 2
        # The connection goes on, by the rules of the new generation.
        answer = client.ask(request())
        assert (answer.body, answer.fields.one("x-says")) == (b"new", "second")


def test_the_end_of_a_generation_is_told_once_and_only_when_its_last_exchange_has_ended() -> None:
    go = threading.Event()
    with (
        ScriptedEndpoint(play(Step.READ, go, OK)) as endpoint,
        RunningPlane([pool(endpoint)]) as plane,
        plane.connect() as client,
    ):
        client.send(request())
        endpoint.wait_requests(1)
        for _ in range(3):
            plane.apply([pool(endpoint)])
        drained = [plane.wait_event("generation_drained").what for _ in range(3)]
        # 0 is the empty one at the start; 1 is held by the exchange.
        assert sorted(one.generation for one in drained if one.kind == "generation_drained") == [0, 2, 3]
        go.set()
        assert client.response().status == 200
        last = plane.wait_event("generation_drained").what
        assert last.kind == "generation_drained"
        assert last.generation == 1


def test_a_body_on_its_way_is_not_disturbed() -> None:
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)]) as plane, plane.connect() as client:
        client.send(request("POST", "/", "Content-Length: 6"), b"abc")
        endpoint.wait_conversations(1)
        eventually(lambda: endpoint.received().endswith(b"abc"), "the first half arrives")
        plane.apply([], [listener(own(410))])
        client.send(b"def")
        assert client.response().status == 200
        assert endpoint.requests[0].body == b"abcdef"
        assert client.ask(request()).status == 410


def test_a_removed_listener_lets_the_exchange_finish_and_closes_what_is_idle() -> None:
    go = threading.Event()
    with (
        ScriptedEndpoint(each(play(Step.READ, OK, Step.CLOSE), play(Step.READ, go, OK))) as endpoint,
        RunningPlane(
            [pool(endpoint)], [listener(), listener(own(204), id="other", bind="127.0.0.2:0")]
        ) as plane,
        plane.connect() as busy,
        plane.connect() as idle,
    ):
        address = plane.address()
        # The kernel keeps a connection to itself until its client has said something.
        assert idle.ask(request()).status == 200
        busy.send(request())
        endpoint.wait_requests(2)
        plane.apply([pool(endpoint)], [listener(own(204), id="other", bind="127.0.0.2:0")])
        assert idle.is_closed()
        eventually(lambda: refuses(address), "the port stays open")
        assert busy.gets_nothing()
        go.set()
        answer = busy.response()
        assert (answer.status, answer.fields.one("connection")) == (200, "close")
        assert busy.is_closed()
        with plane.connect("other") as client:
            assert client.ask(request()).status == 204


def test_a_listener_that_comes_back_listens_again() -> None:
    address = free_address()
    with RunningPlane([], [listener(own(204), bind=address)]) as plane:
        for _ in range(10):
            plane.apply([], [])
            plane.apply([], [listener(own(204), bind=address)])
            eventually(lambda: answers(address), "the port is open again")


def test_a_bind_may_widen_to_all_addresses() -> None:
    address = free_address()
    with RunningPlane([], [listener(own(204), bind=address)]) as plane:
        plane.apply([], [listener(own(204), bind=address.replace("127.0.0.1", "0.0.0.0"))])
        eventually(lambda: answers(address), "the port is open")


def test_a_port_that_moves_to_another_listener_keeps_its_connections() -> None:
    moving = free_address()
    with (
        RunningPlane([], [listener(own(201), id="old", bind=moving)]) as plane,
        plane.connect("old") as client,
    ):
        assert client.ask(request()).status == 201
        plane.apply([], [listener(own(201), id="old"), listener(own(202), id="new", bind=moving)])
        assert client.ask(request()).status == 202
        with plane.connect("new") as fresh:
            assert fresh.ask(request()).status == 202
        with plane.connect("old") as fresh:
            assert fresh.ask(request()).status == 201
        requests = {one.listener: one.requests for one in plane.stats().listeners}
        assert requests == {"old": 2, "new": 2}


def test_two_listeners_swap_their_ports() -> None:
    one, two = free_address(), free_address()
    with (
        RunningPlane(
            [], [listener(own(201), id="a", bind=one), listener(own(202), id="b", bind=two)]
        ) as plane,
        RawClient(one) as first,
        RawClient(two) as second,
    ):
        assert (first.ask(request()).status, second.ask(request()).status) == (201, 202)
        plane.apply([], [listener(own(201), id="a", bind=two), listener(own(202), id="b", bind=one)])
        assert (first.ask(request()).status, second.ask(request()).status) == (202, 201)


def test_a_bind_that_is_added_is_served_beside_the_old_one() -> None:
    first, second = free_address(), free_address()
    with RunningPlane([], [listener(own(204), bind=first)]) as plane, plane.connect() as client:
        plane.apply([], [listener(own(204), bind=[first, second])])
        assert client.ask(request()).status == 204
        with RawClient(second) as fresh:
            assert fresh.ask(request()).status == 204


def test_limits_and_time_limits_of_a_new_generation_hold_on_old_connections() -> None:
    with RunningPlane([], [listener(own(204))]) as plane, plane.connect() as client:
        assert client.ask(request()).status == 204
        assert client.ask(request()).fields.one("connection") is None
        plane.apply([], [listener(own(204), limits=client_limits(requests_per_connection=3))])
        assert client.ask(request()).fields.one("connection") == "close"
        assert client.is_closed()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_unix_socket_is_kept_while_it_is_wanted_and_removed_afterwards(
    short_path: Path, threads: int
) -> None:
    path = short_path / "web"
    wanted = listener(own(204), bind=f"unix:{path}")
    with RunningPlane([], [wanted], threads=threads) as plane, plane.connect() as client:
        inode = path.stat().st_ino
        plane.apply([], [wanted])
        assert path.stat().st_ino == inode
        assert client.ask(request()).status == 204
        plane.apply([], [])
        assert client.is_closed()
        assert not path.exists()


def test_the_permissions_of_a_unix_socket_can_be_changed(short_path: Path) -> None:
    path = str(short_path / "web")

    def wanted(mode: int) -> contract.Listener:
        return contract.Listener(
            id="web",
            binds=(contract.UnixBind(path, mode),),
            routes=(own(204),),
            timeouts=listener().timeouts,
            limits=listener().limits,
            forwarded=listener().forwarded,
        )

    with RunningPlane([], [wanted(0o600)]) as plane:
        plane.apply([], [wanted(0o660)])
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o660
        assert plane.ask(request()).status == 204
