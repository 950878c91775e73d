"""A snapshot that is refused says why and changes nothing at all."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.endpoints import ScriptedEndpoint
from tests.support.places import free_address, refuses, taken_port
from tests.support.plane import RunningPlane, listener, pool, route
from tests.support.raw import RawClient, request
from tests.support.routes import own

from bascule import contract
from bascule.plane.plane import SnapshotRefused


@contextmanager
def serving() -> Iterator[tuple[RunningPlane, RawClient]]:
    """A plane of one listener, and a connection that has been answered."""
    with (
        ScriptedEndpoint() as endpoint,
        RunningPlane([pool(endpoint)]) as plane,
        plane.connect() as client,
    ):
        assert client.ask(request()).status == 200
        yield plane, client


def refused(
    plane: RunningPlane,
    *listeners: contract.Listener,
    pools: tuple[contract.Pool, ...] = (),
    access_log: contract.AccessLog | None = None,
    generation: int | None = None,
) -> contract.Receipt:
    """The receipt of a snapshot that must be refused."""
    with pytest.raises(SnapshotRefused) as caught:
        plane.apply(pools, listeners, access_log=access_log, generation=generation)
    return caught.value.receipt


def goes_on(plane: RunningPlane, client: RawClient) -> None:
    """All is as before: the connection, the port, the generation, no generation drains."""
    assert client.ask(request()).status == 200
    assert plane.ask(request()).status == 200
    stats = plane.stats()
    assert (stats.generation, stats.draining) == (1, ())
    assert [one.listener for one in stats.listeners] == ["web"]


def test_a_port_that_somebody_else_listens_on_is_refused_by_its_name() -> None:
    with serving() as (plane, client), taken_port() as taken:
        receipt = refused(plane, listener(own(204), id="other", bind=taken))
        assert len(receipt.problems) == 1
        assert re.search(
            rf'listener "other" cannot bind {taken}: Address already in use', receipt.problems[0]
        )
        assert [(bound.asked, bound.address) for bound in receipt.binds] == [(taken, None)]
        assert "in use" in (receipt.binds[0].refused or "")
        assert (receipt.generation, receipt.live) == (2, 1)
        goes_on(plane, client)


def test_a_second_balancer_cannot_share_a_port_by_accident() -> None:
    address = free_address()
    with RunningPlane([], [listener(own(204), bind=address)]), pytest.raises(SnapshotRefused, match="in use"):
        RunningPlane([], [listener(own(205), bind=address)])


@pytest.mark.parametrize(
    ("bind", "reason"),
    [
        ("192.0.2.1:8080", "Cannot assign requested address"),
        ("localhost:8080", "is not ip:port"),
        ("127.0.0.1:99999", "is not ip:port"),
        ("unix:/nowhere/at/all.sock", "No such file or directory"),
    ],
)
def test_an_address_that_cannot_be_bound_is_refused(bind: str, reason: str) -> None:
    with serving() as (plane, client):
        receipt = refused(plane, listener(own(204), id="other", bind=bind))
        assert reason in "".join(receipt.problems)
        goes_on(plane, client)


def test_binds_that_worked_are_given_back_when_another_one_did_not(short_path: Path) -> None:
    good = free_address()
    with serving() as (plane, client), taken_port() as taken:
        wanted = [good, f"unix:{short_path}/web", taken]
        receipt = refused(plane, listener(own(204), id="other", bind=wanted))
        assert [bound.refused is None for bound in receipt.binds] == [True, True, False]
        assert refuses(good)
        assert not (short_path / "web").exists()
        goes_on(plane, client)
        plane.apply([], [listener(own(204), id="other", bind=wanted[:2])])
        with RawClient(good) as other:
            assert other.ask(request()).status == 204


def test_a_file_that_is_no_socket_is_left_alone(short_path: Path) -> None:
    precious = short_path / "web"
    precious.write_text("not yours")
    with serving() as (plane, client):
        refused(plane, listener(own(204), id="other", bind=f"unix:{precious}"))
        assert precious.read_text() == "not yours"
        goes_on(plane, client)


def test_a_socket_file_that_nobody_listens_on_is_replaced(short_path: Path) -> None:
    path = short_path / "web"
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    with RunningPlane([], [listener(own(204), bind=f"unix:{path}")]) as plane:
        assert plane.ask(request()).status == 204


def test_a_socket_file_in_use_is_refused_and_left_alone(short_path: Path) -> None:
    path = short_path / "web"
    with socket.socket(socket.AF_UNIX) as theirs, serving() as (plane, client):
        theirs.bind(str(path))
        theirs.listen()
        receipt = refused(plane, listener(own(204), id="other", bind=f"unix:{path}"))
        assert "in use" in receipt.problems[0]
        assert path.exists()
        goes_on(plane, client)


def test_every_problem_is_told_at_once() -> None:
    nonsense = contract.Matcher("moon", {"phase": "full"})
    with serving() as (plane, client):
        receipt = refused(
            plane,
            listener(route("nowhere", match=[nonsense])),
            pools=(pool("10.0.0.1:80", algorithm="best"), pool("example.org:80", id="named")),
        )
        problems = "\n".join(receipt.problems)
        for part in ('"moon"', 'no pool "nowhere"', '"best"', '"example.org:80"'):
            assert part in problems
        goes_on(plane, client)


@pytest.mark.parametrize("generation", [0, 1])
def test_a_generation_that_is_not_newer_is_refused(generation: int) -> None:
    with serving() as (plane, client):
        receipt = refused(plane, listener(own(204)), generation=generation)
        assert receipt.problems == (f"generation {generation} is not newer than 1, which is live",)
        goes_on(plane, client)


def test_an_access_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    wanted = contract.AccessLog("json", str(tmp_path / "nowhere" / "access.log"))
    with serving() as (plane, client):
        receipt = refused(plane, listener(own(204)), access_log=wanted)
        assert "nowhere/access.log" in receipt.problems[0]
        goes_on(plane, client)


def test_two_listeners_cannot_have_the_same_address() -> None:
    address = free_address()
    with serving() as (plane, client):
        receipt = refused(
            plane, listener(own(201), id="one", bind=address), listener(own(202), id="two", bind=address)
        )
        assert any(address in problem for problem in receipt.problems)
        goes_on(plane, client)


def test_marks_and_counters_are_not_touched_by_a_refusal() -> None:
    with ScriptedEndpoint() as one, ScriptedEndpoint() as two, RunningPlane([pool(one, two)]) as plane:
        plane.mark(contract.Mark("site", two.name, up=False))
        assert plane.ask(request()).status == 200
        before = plane.wait_stats(lambda stats: stats.listeners[0].open == 0)
        refused(plane, listener(), pools=(pool(one, two, algorithm="best"),))
        assert plane.stats() == before
        assert plane.ask(request()).status == 200
        assert len(two.requests) == 0
