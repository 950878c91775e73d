"""Second copies of requests that take long, and limits of how long one try may take."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.endpoints import OK, ScriptedEndpoint, Step, play
from tests.support.plane import RunningPlane, pool
from tests.support.raw import request

from bascule import contract

HEDGE = contract.Protection(hedge=contract.Hedge(budget_permille=1000, after_ms=20))
LIMIT = contract.FixedTryLimit(ms=50)


@contextmanager
def silent() -> Iterator[tuple[ScriptedEndpoint, threading.Event]]:
    """An endpoint that reads and answers only when it is told to."""
    told = threading.Event()
    with ScriptedEndpoint(play(Step.READ, told, OK)) as endpoint:
        yield endpoint, told
        told.set()


def test_a_request_that_takes_long_is_answered_by_a_second_copy() -> None:
    with (
        silent() as (slow, told),
        ScriptedEndpoint() as good,
        RunningPlane([pool(slow, good, protection=HEDGE)]) as plane,
    ):
        assert [plane.ask(request()).status for _ in range(4)] == [200] * 4
        assert len(good.requests) == 4
        stats = plane.pool()
        assert stats.hedged == stats.hedges_won == len(slow.requests) >= 2
        # The copy that lost was closed: nobody reads its answer.
        told.set()
        for conversation in slow.conversations:
            conversation.wait_end()
        plane.wait_stats(lambda it: all(endpoint.in_flight == 0 for endpoint in it.endpoints))
        assert plane.endings(4) == {"ok": 4}


def test_the_first_copy_may_still_win() -> None:
    with (
        silent() as (slow, told),
        silent() as (other, _),
        RunningPlane([pool(slow, other, protection=HEDGE)]) as plane,
        plane.connect() as client,
    ):
        client.send(request())
        plane.wait_stats(lambda it: it.pools[0].hedged == 1)
        told.set()
        assert client.response().status == 200


def waits(protection: contract.Protection, sent: bytes) -> contract.PoolStats:
    """What a pool counted when one of two requests waited beyond the delay of a copy, which is 0."""
    with (
        silent() as (slow, told),
        ScriptedEndpoint() as good,
        RunningPlane([pool(slow, good, protection=protection)]) as plane,
        plane.connect() as one,
        plane.connect() as other,
    ):
        one.send(sent)
        other.send(sent)
        plane.wait_stats(lambda it: [endpoint.picked for endpoint in it.endpoints] == [1, 1])
        told.set()
        assert [one.response().status, other.response().status] == [200, 200]
        assert len(slow.requests) == len(good.requests) == 1
        return plane.pool()


@pytest.mark.parametrize("sent", [request("POST"), request("PUT", body=b"x")])
def test_what_may_not_be_sent_twice_is_not_copied(sent: bytes) -> None:
    at_once = contract.Protection(hedge=contract.Hedge(budget_permille=1000, after_ms=0))
    assert waits(at_once, sent).hedged == 0


def test_the_budget_bounds_the_copies() -> None:
    at_once = contract.Protection(hedge=contract.Hedge(budget_permille=0, after_ms=0))
    assert waits(at_once, request()).hedged == 0


def test_a_try_that_takes_longer_than_the_pool_allows_is_made_elsewhere() -> None:
    with (
        silent() as (slow, _),
        ScriptedEndpoint() as good,
        RunningPlane([pool(slow, good, try_limit=LIMIT)]) as plane,
    ):
        assert [plane.ask(request()).status for _ in range(4)] == [200] * 4
        assert plane.endpoint(slow).retried == plane.endpoint(slow).failures == len(slow.requests) >= 2
        assert plane.endings(4) == {"ok": 4}


def test_when_every_try_takes_too_long_the_client_is_told() -> None:
    with (
        silent() as (slow, _),
        silent() as (other, _),
        RunningPlane([pool(slow, other, try_limit=LIMIT)]) as plane,
    ):
        assert plane.ask(request()).status == 504
        assert plane.endings(1) == {"try_timed_out": 1}


def test_a_silent_endpoint_is_ejected() -> None:
    protection = contract.Protection(
        hedge=contract.Hedge(budget_permille=1000, after_ms=5),
        ejection=contract.Ejection(5, None, None, time_ms=60_000, longest_ms=60_000, most_percent=50),
    )
    with (
        silent() as (slow, _),
        ScriptedEndpoint() as good,
        RunningPlane([pool(slow, good, protection=protection)]) as plane,
    ):
        assert {plane.ask(request()).status for _ in range(30)} == {200}
        assert len(slow.requests) == 3
        assert plane.endpoint(slow).ejected
