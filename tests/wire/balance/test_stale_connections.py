"""An idle connection may have died when it is used again: nobody notices, and nothing is done twice."""

import pytest
from tests.support.endpoints import OK, ScriptedEndpoint, Step, each, play
from tests.support.plane import RunningPlane, pool
from tests.support.raw import request

from bascule import contract


def dies_with_the_second_request(how: Step) -> ScriptedEndpoint:
    """Answers the first request; ends the connection when the second one has come. Then behaves."""
    return ScriptedEndpoint(each(play(Step.READ, OK, Step.READ, how), play(Step.READ, OK, Step.READ, OK)))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_closed_while_it_was_idle_is_not_used(method: str) -> None:
    with (
        ScriptedEndpoint(play(Step.READ, OK, Step.CLOSE)) as endpoint,
        RunningPlane([pool(endpoint)]) as plane,
        plane.connect() as client,
    ):
        for count in range(1, 6):
            assert client.ask(request(method)).status == 200
            # The end of the connection comes before the next request.
            endpoint.wait_conversations(count)[-1].wait_end()
        assert len(endpoint.requests) == len(endpoint.conversations) == 5


@pytest.mark.parametrize("how", [Step.CLOSE, Step.RESET])
def test_a_get_on_a_connection_that_dies_under_it_is_sent_again_on_a_fresh_one(how: Step) -> None:
    with dies_with_the_second_request(how) as endpoint, RunningPlane([pool(endpoint)]) as plane:
        with plane.connect() as client:
            assert [client.ask(request()).status for _ in range(3)] == [200] * 3
        assert [len(one.requests()) for one in endpoint.conversations] == [2, 2]
        assert plane.endings(3) == {"ok": 3}


def test_a_fresh_connection_is_allowed_even_without_further_attempts() -> None:
    with (
        dies_with_the_second_request(Step.CLOSE) as endpoint,
        RunningPlane([pool(endpoint, attempts=0)]) as plane,
        plane.connect() as client,
    ):
        assert [client.ask(request()).status for _ in range(2)] == [200] * 2


@pytest.mark.parametrize(("how", "ending"), [(Step.CLOSE, "endpoint_closed"), (Step.RESET, "endpoint_reset")])
@pytest.mark.parametrize("body", [b"", b"pay 5"], ids=["no body", "body"])
def test_a_post_on_a_connection_that_dies_under_it_is_answered_with_502(
    how: Step, ending: str, body: bytes
) -> None:
    with dies_with_the_second_request(how) as endpoint, RunningPlane([pool(endpoint)]) as plane:
        with plane.connect() as client:
            assert client.ask(request()).status == 200
            assert client.ask(request("POST", body=body)).status == 502
        assert [one.method for one in endpoint.requests] == ["GET", "POST"]
        assert plane.endings(2) == {"ok": 1, ending: 1}


def test_a_second_stale_connection_in_a_row_is_not_tried() -> None:
    """After one connection went stale the next one is fresh, whatever else is idle."""
    with (
        dies_with_the_second_request(Step.CLOSE) as endpoint,
        RunningPlane([pool(endpoint)]) as plane,
        plane.connect() as one,
        plane.connect() as other,
    ):
        one.send(request())
        other.send(request())
        assert (one.response().status, other.response().status) == (200, 200)
        assert one.ask(request()).status == 200


def test_idle_connections_are_closed_after_their_time() -> None:
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint, idle_ms=50)]) as plane:
        assert plane.ask(request()).status == 200
        endpoint.wait_conversations(1)[0].wait_end()
        plane.wait_stats(lambda stats: stats.endpoints[0].idle == 0)


def test_no_more_connections_are_kept_than_allowed() -> None:
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint, idle=0)]) as plane:
        with plane.connect() as client:
            assert [client.ask(request()).status for _ in range(3)] == [200] * 3
        assert len(endpoint.conversations) == 3
        plane.wait_stats(lambda stats: stats.endpoints[0].idle == 0)


def goes_stale_and_then_says_nothing() -> ScriptedEndpoint:
    """Answers the first request, ends the connection with the second; the next connection gets no answer."""
    return ScriptedEndpoint(each(play(Step.READ, OK, Step.READ, Step.CLOSE), play(Step.READ)))


def test_a_stale_connection_is_no_failure_although_the_client_leaves_before_the_answer() -> None:
    with goes_stale_and_then_says_nothing() as endpoint, RunningPlane([pool(endpoint)]) as plane:
        with plane.connect() as client:
            assert client.ask(request()).status == 200
            client.send(request())
            endpoint.wait_requests(3)
            client.reset()
        assert plane.endings(2) == {"ok": 1, "client_aborted": 1}
        plane.wait_stats(lambda stats: stats.endpoints[0].in_flight == 0)
        assert plane.endpoint(endpoint).failures == 0


def test_a_try_that_is_cut_off_on_a_fresh_connection_counts_as_one_without_an_answer() -> None:
    with (
        goes_stale_and_then_says_nothing() as endpoint,
        RunningPlane([pool(endpoint, attempts=0, try_limit=contract.FixedTryLimit(100))]) as plane,
        plane.connect() as client,
    ):
        assert [client.ask(request()).status for _ in range(2)] == [200, 504]
        plane.wait_stats(lambda stats: stats.endpoints[0].in_flight == 0)
        assert plane.endpoint(endpoint).failures == 1
