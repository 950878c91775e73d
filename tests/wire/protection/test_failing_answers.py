"""Answers that count as failed tries, and endpoints that traffic shows to be failing."""

import pytest
from tests.support.endpoints import OK, ScriptedEndpoint, answering, response
from tests.support.plane import RunningPlane, pool
from tests.support.raw import request

from bascule import contract

BAD = response("500 Internal Server Error", b"broken")
EJECTION = contract.Ejection(
    failures=3,
    failure_percent=None,
    slowness_percent=None,
    time_ms=60_000,
    longest_ms=60_000,
    most_percent=50,
)


def failing() -> ScriptedEndpoint:
    return ScriptedEndpoint(answering(BAD))


def test_a_get_that_got_500_is_answered_by_another_endpoint() -> None:
    with (
        failing() as bad,
        ScriptedEndpoint() as good,
        RunningPlane([pool(bad, good, statuses=[500])]) as plane,
    ):
        with plane.connect() as client:
            assert [client.ask(request()).status for _ in range(6)] == [200] * 6
        assert plane.endpoint(bad).retried == plane.endpoint(bad).failures == len(bad.requests) > 0
        assert plane.endings(6) == {"ok": 6}


@pytest.mark.parametrize(
    "sent", [request("POST"), request("PUT", body=b"again?"), request("PATCH", body=b"{}")]
)
def test_what_may_not_be_sent_twice_gets_the_answer_that_came(sent: bytes) -> None:
    with (
        failing() as bad,
        ScriptedEndpoint() as good,
        RunningPlane([pool(bad, good, statuses=[500])]) as plane,
    ):
        answers = [plane.ask(sent, to=sent.split()[0].decode()) for _ in range(4)]
        assert sorted(answer.status for answer in answers) == [200, 200, 500, 500]
        assert len(bad.requests) == len(good.requests) == 2


def test_where_all_fail_the_last_answer_goes_to_the_client_as_it_came() -> None:
    with failing() as one, failing() as other, RunningPlane([pool(one, other, statuses=[500])]) as plane:
        answer = plane.ask(request())
        assert (answer.status, answer.body) == (500, b"broken")
        assert len(one.requests) == len(other.requests) == 1
        assert plane.endings(1) == {"ok": 1}


def test_without_another_endpoint_the_answer_stays() -> None:
    with failing() as only, RunningPlane([pool(only, statuses=[500], attempts=3)]) as plane:
        assert plane.ask(request()).body == b"broken"
        assert len(only.requests) == 1


def test_the_budget_bounds_how_many_answers_are_asked_for_again() -> None:
    with (
        failing() as bad,
        ScriptedEndpoint() as good,
        RunningPlane([pool(bad, good, statuses=[500], budget_percent=0, budget_minimum=0)]) as plane,
    ):
        assert sorted(plane.ask(request()).status for _ in range(4)) == [200, 200, 500, 500]
        assert plane.pool().retries_denied == 2


def test_an_endpoint_that_fails_in_a_row_is_ejected_although_its_check_passes() -> None:
    protection = contract.Protection(ejection=EJECTION)
    with (
        failing() as bad,
        ScriptedEndpoint() as good,
        ScriptedEndpoint() as other,
        RunningPlane([pool(bad, good, other, statuses=[500], protection=protection)]) as plane,
    ):
        with plane.connect() as client:
            assert {client.ask(request()).status for _ in range(30)} == {200}
            plane.mark(contract.Mark("site", bad.name, up=False), contract.Mark("site", bad.name, up=True))
            assert {client.ask(request()).status for _ in range(30)} == {200}
        assert len(bad.requests) == 3
        told = plane.wait_event("ejected").what
        assert told == contract.Ejected("site", bad.name, "3 failures in a row", 60_000)
        assert plane.endpoint(bad).ejected and not plane.endpoint(good).ejected
        assert plane.endpoint(bad).up


def test_a_restored_endpoint_is_told_and_gets_its_share_again() -> None:
    protection = contract.Protection(
        ejection=contract.Ejection(2, None, None, time_ms=1, longest_ms=1, most_percent=50)
    )
    with (
        ScriptedEndpoint(answering(BAD, BAD, OK)) as bad,
        ScriptedEndpoint() as good,
        RunningPlane([pool(bad, good, statuses=[500], protection=protection)]) as plane,
    ):
        with plane.connect() as client:
            while (shown := plane.endpoint(bad)).ejected or not shown.ejections:
                assert client.ask(request()).status == 200
            plane.wait_event("restored")
            before = len(bad.requests)
            assert {client.ask(request()).status for _ in range(20)} == {200}
        assert len(bad.requests) - before == 10
        assert not plane.endpoint(bad).ejected
