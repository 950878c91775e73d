"""Marks change who gets work from the next request on, and nothing else."""

import threading

import pytest
from tests.support.endpoints import OK, ScriptedEndpoint, Step, play
from tests.support.plane import RunningPlane, pool
from tests.support.raw import request

from bascule import contract


def down(endpoint: ScriptedEndpoint) -> contract.Mark:
    return contract.Mark("site", endpoint.name, up=False)


def up(endpoint: ScriptedEndpoint) -> contract.Mark:
    return contract.Mark("site", endpoint.name, up=True)


@pytest.mark.parametrize(
    "algorithm", ["random", "round_robin", "weighted_round_robin", "least_busy", "two_choices"]
)
def test_an_endpoint_that_is_down_gets_nothing_until_it_is_up_again(algorithm: str) -> None:
    with (
        ScriptedEndpoint() as one,
        ScriptedEndpoint() as two,
        ScriptedEndpoint() as three,
        RunningPlane([pool(one, two, three, algorithm=algorithm)]) as plane,
        plane.connect() as client,
    ):
        plane.mark(down(two))
        for _ in range(20):
            assert client.ask(request()).status == 200
        assert len(two.requests) == 0
        plane.mark(up(two))
        for _ in range(60):
            assert client.ask(request()).status == 200
        assert len(two.requests) > 0


def test_without_a_panic_threshold_a_pool_that_is_down_answers_503() -> None:
    with ScriptedEndpoint() as only, RunningPlane([pool(only, panic_percent=0)]) as plane:
        plane.mark(down(only))
        with plane.connect() as client:
            assert client.ask(request()).status == 503
            plane.mark(up(only))
            # The same connection: a 503 of ours is an answer like any other.
            assert client.ask(request()).status == 200
        assert plane.endings(2) == {"no_endpoint": 1, "ok": 1}


def test_below_the_panic_threshold_endpoints_that_are_down_are_used() -> None:
    with (
        ScriptedEndpoint() as one,
        ScriptedEndpoint() as two,
        RunningPlane([pool(one, two, panic_percent=50)]) as plane,
    ):
        plane.mark(down(one))
        assert [plane.ask(request()).status for _ in range(4)] == [200] * 4
        assert (len(one.requests), len(two.requests)) == (0, 4)
        plane.mark(down(two))
        assert [plane.ask(request()).status for _ in range(4)] == [200] * 4
        assert len(one.requests) == 2


def test_a_draining_endpoint_finishes_what_it_has_and_gets_nothing_more() -> None:
    go = threading.Event()
    with (
        ScriptedEndpoint(play(Step.READ, go, OK)) as leaving,
        ScriptedEndpoint() as staying,
        RunningPlane([pool(leaving, staying, panic_percent=0)]) as plane,
        plane.connect() as early,
    ):
        plane.mark(down(staying))
        early.send(request())
        leaving.wait_requests(1)
        plane.mark(up(staying), contract.Mark("site", leaving.name, draining=True))
        assert [plane.ask(request()).status for _ in range(6)] == [200] * 6
        assert (len(leaving.requests), len(staying.requests)) == (1, 6)
        assert plane.endpoint(leaving).draining
        go.set()
        assert early.response().status == 200
        plane.wait_stats(lambda stats: all(one.in_flight == 0 for one in stats.endpoints))


def test_a_mark_of_weight_overrides_the_snapshot() -> None:
    with (
        ScriptedEndpoint() as one,
        ScriptedEndpoint() as two,
        RunningPlane([pool(one, two, algorithm="weighted_round_robin")]) as plane,
    ):
        plane.mark(contract.Mark("site", one.name, weight=3))
        with plane.connect() as client:
            assert [client.ask(request()).status for _ in range(20)] == [200] * 20
        assert (len(one.requests), len(two.requests)) == (15, 5)
        assert plane.endpoint(one).weight == 3


def test_weight_0_means_no_work() -> None:
    with ScriptedEndpoint() as one, ScriptedEndpoint() as two, RunningPlane([pool(one, two)]) as plane:
        plane.mark(contract.Mark("site", one.name, weight=0))
        assert [plane.ask(request()).status for _ in range(6)] == [200] * 6
        assert (len(one.requests), len(two.requests)) == (0, 6)


def test_a_later_mark_of_one_batch_wins_and_what_it_leaves_out_stays() -> None:
    with ScriptedEndpoint() as only, RunningPlane([pool(only)]) as plane:
        plane.mark(contract.Mark("site", only.name, up=False, weight=7), up(only))
        assert (plane.endpoint(only).up, plane.endpoint(only).weight) == (True, 7)
        plane.mark(contract.Mark("site", only.name, draining=True))
        seen = plane.endpoint(only)
        assert (seen.up, seen.weight, seen.draining) == (True, 7, True)


def test_marks_for_endpoints_that_nobody_knows_are_ignored() -> None:
    with ScriptedEndpoint() as only, RunningPlane([pool(only)]) as plane:
        plane.mark(contract.Mark("site", "10.9.9.9:1", up=False), contract.Mark("other", only.name, up=False))
        assert plane.ask(request()).status == 200
        assert [one.endpoint for one in plane.stats().endpoints] == [only.name]


def test_a_mark_made_before_its_endpoint_came_holds_when_it_comes() -> None:
    with ScriptedEndpoint() as one, ScriptedEndpoint() as two, RunningPlane([pool(one)]) as plane:
        plane.mark(down(two))
        plane.apply([pool(one, two)])
        assert not plane.endpoint(two).up
        assert [plane.ask(request()).status for _ in range(4)] == [200] * 4
        assert len(two.requests) == 0
