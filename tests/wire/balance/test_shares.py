"""Which endpoint gets how much, counted by the endpoints themselves."""

import threading
from contextlib import ExitStack

import pytest
from tests.support.endpoints import OK, ScriptedEndpoint, Step, play
from tests.support.plane import RunningPlane, pool
from tests.support.raw import request

from bascule import contract

ROUNDS = 20
WEIGHTS = (1, 2, 3)


def counts(algorithm: str, weights: tuple[int, ...], requests: int) -> list[int]:
    """How many of `requests`, one after the other, each endpoint got."""
    with ExitStack() as ending:
        endpoints = [ending.enter_context(ScriptedEndpoint()) for _ in weights]
        members = [one.contract(weight) for one, weight in zip(endpoints, weights, strict=True)]
        plane = ending.enter_context(RunningPlane([pool(*members, algorithm=algorithm)]))
        with plane.connect() as client:
            for _ in range(requests):
                assert client.ask(request()).status == 200
        return [len(one.requests) for one in endpoints]


@pytest.mark.parametrize("algorithm", ["weighted_round_robin", "least_busy"])
def test_shares_follow_the_weights_exactly_while_nothing_is_busy(algorithm: str) -> None:
    assert counts(algorithm, WEIGHTS, 6 * ROUNDS) == [ROUNDS, 2 * ROUNDS, 3 * ROUNDS]


def test_round_robin_takes_turns_whatever_the_weights() -> None:
    assert counts("round_robin", WEIGHTS, 3 * ROUNDS) == [ROUNDS] * 3


@pytest.mark.parametrize("algorithm", ["random", "two_choices"])
def test_random_shares_come_near_the_weights(algorithm: str) -> None:
    light, middle, heavy = counts(algorithm, WEIGHTS, 600)
    # Four standard deviations of a fair draw; the seed is fixed, so that it holds always or never.
    assert 65 <= light <= 137
    assert 154 <= middle <= 246
    assert 251 <= heavy <= 349


@pytest.mark.parametrize("algorithm", ["least_busy", "two_choices"])
def test_an_endpoint_that_is_busy_gets_nothing_while_another_is_idle(algorithm: str) -> None:
    go = threading.Event()
    with (
        ScriptedEndpoint(play(Step.READ, go, OK)) as slow,
        ScriptedEndpoint() as quick,
        RunningPlane([pool(slow, quick, algorithm=algorithm, panic_percent=0)]) as plane,
        plane.connect() as stuck,
        plane.connect() as client,
    ):
        plane.mark(contract.Mark("site", quick.name, up=False))
        stuck.send(request())
        slow.wait_requests(1)
        plane.mark(contract.Mark("site", quick.name, up=True))
        for _ in range(30):
            assert client.ask(request()).status == 200
        assert (len(slow.requests), len(quick.requests)) == (1, 30)
        go.set()
        assert stuck.response().status == 200


def test_round_robin_goes_on_sending_to_a_busy_endpoint() -> None:
    go = threading.Event()
    with (
        ScriptedEndpoint(play(Step.READ, go, OK)) as slow,
        ScriptedEndpoint() as quick,
        RunningPlane([pool(slow, quick, algorithm="round_robin")]) as plane,
        ExitStack() as ending,
    ):
        clients = [ending.enter_context(plane.connect()) for _ in range(8)]
        for client in clients:
            client.send(request())
        slow.wait_requests(4)
        quick.wait_requests(4)
        go.set()
        assert [client.response().status for client in clients] == [200] * 8
