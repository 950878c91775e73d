"""When a request is tried again on another endpoint, and when it must not be."""

import threading
from contextlib import ExitStack

import pytest
from tests.support.endpoints import OK, ScriptedEndpoint, Step, play, response
from tests.support.places import closed_port
from tests.support.plane import RunningPlane, pool
from tests.support.raw import request

from bascule import contract


def broken_off(*before: bytes) -> ScriptedEndpoint:
    """Reads each request whole, says `before` and closes."""
    return ScriptedEndpoint(play(Step.READ, *before, Step.CLOSE))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_endpoint_that_refuses_costs_the_client_nothing(method: str) -> None:
    with closed_port() as refusing, ScriptedEndpoint() as good, RunningPlane([pool(refusing, good)]) as plane:
        with plane.connect() as client:
            for _ in range(10):
                assert client.ask(request(method, body=b"once" if method == "POST" else b"")).status == 200
        assert len(good.requests) == 10
        assert plane.endings(10) == {"ok": 10}
        refused = plane.endpoint(refusing)
        assert refused.connect_failures == refused.retried == refused.picked > 0
        assert refused.connects == 0


def test_nothing_is_tried_again_when_the_pool_allows_no_further_attempt() -> None:
    with (
        closed_port() as refusing,
        ScriptedEndpoint() as good,
        RunningPlane([pool(refusing, good, attempts=0)]) as plane,
    ):
        statuses = sorted(plane.ask(request()).status for _ in range(2))
        assert statuses == [200, 502]
        assert plane.endings(2) == {"ok": 1, "endpoint_refused": 1}


@pytest.mark.parametrize(("endpoints", "asked"), [(3, 3), (10, 8)])
def test_when_all_endpoints_refuse_each_is_asked_once_but_no_more_than_eight(
    endpoints: int, asked: int
) -> None:
    """A refusal costs nobody anything and is no attempt; still no request knocks at every door."""
    with ExitStack() as ending:
        ports = [ending.enter_context(closed_port()) for _ in range(endpoints)]
        plane = ending.enter_context(
            RunningPlane([pool(*ports, attempts=1, budget_minimum=0, budget_percent=0)])
        )
        assert plane.ask(request()).status == 502
        assert plane.endings(1) == {"endpoint_refused": 1}
        picked = sorted((endpoint.picked for endpoint in plane.stats().endpoints), reverse=True)
        assert picked == [1] * asked + [0] * (endpoints - asked)


def test_no_endpoint_is_tried_twice_for_one_request() -> None:
    with closed_port() as only, RunningPlane([pool(only, attempts=5)]) as plane:
        assert plane.ask(request()).status == 502
        assert plane.endpoint(only).picked == 1


def test_a_get_that_an_endpoint_broke_off_is_answered_by_another() -> None:
    with broken_off() as bad, ScriptedEndpoint() as good, RunningPlane([pool(bad, good)]) as plane:
        assert [plane.ask(request()).status for _ in range(4)] == [200] * 4
        assert len(good.requests) == 4
        assert plane.endpoint(bad).retried == len(bad.requests) > 0


@pytest.mark.parametrize(
    "sent",
    [
        request("POST"),
        request("POST", body=b"pay 5"),
        request("POST", "/", "Transfer-Encoding: chunked") + b"5\r\npay 5\r\n0\r\n\r\n",
        request("PATCH", body=b"{}"),
        # Idempotent, but its body is gone once it was sent.
        request("PUT", body=b"whole"),
    ],
    ids=["post without a body", "post", "chunked post", "patch", "put with a body"],
)
def test_what_an_endpoint_may_have_acted_upon_is_never_sent_twice(sent: bytes) -> None:
    with broken_off() as one, broken_off() as two, RunningPlane([pool(one, two, attempts=3)]) as plane:
        assert plane.ask(sent).status == 502
        assert len(one.requests) + len(two.requests) == 1
        assert plane.endings(1) == {"endpoint_closed": 1}


@pytest.mark.parametrize(
    "begun",
    [b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"],
    ids=["status line", "fields", "interim response"],
)
def test_nothing_is_tried_again_after_the_first_byte_of_an_answer(begun: bytes) -> None:
    with broken_off(begun) as one, broken_off(begun) as two, RunningPlane([pool(one, two)]) as plane:
        assert plane.ask(request()).status == 502
        assert len(one.requests) + len(two.requests) == 1


@pytest.mark.parametrize(
    ("minimum", "percent", "in_flight", "tried"),
    [(3, 20, 5, 3), (3, 20, 20, 4), (0, 20, 20, 4), (0, 0, 5, 0), (0, 100, 10, 10)],
)
def test_failing_endpoints_add_no_more_load_than_the_budget(
    minimum: int, percent: int, in_flight: int, tried: int
) -> None:
    """All requests fail at one moment; what goes to the second endpoint is there together."""
    fail, answer = threading.Event(), threading.Event()
    with (
        ScriptedEndpoint(play(Step.READ, fail, Step.CLOSE)) as bad,
        ScriptedEndpoint(play(Step.READ, answer, OK)) as good,
        RunningPlane(
            [pool(bad, good, budget_percent=percent, budget_minimum=minimum, panic_percent=0)]
        ) as plane,
        ExitStack() as ending,
    ):
        plane.mark(contract.Mark("site", good.name, up=False))
        clients = [ending.enter_context(plane.connect()) for _ in range(in_flight)]
        for client in clients:
            client.send(request())
        bad.wait_requests(in_flight)
        plane.mark(contract.Mark("site", good.name, up=True), contract.Mark("site", bad.name, up=False))
        fail.set()
        good.wait_requests(tried)
        plane.wait_stats(lambda stats: stats.listeners[0].in_flight == tried)
        answer.set()
        statuses = sorted(client.response().status for client in clients)
        assert statuses == [200] * tried + [502] * (in_flight - tried)
        assert len(good.requests) == tried


def test_an_answer_of_5xx_is_an_answer() -> None:
    sick = ScriptedEndpoint(play(Step.READ, response("503 Service Unavailable")))
    with sick, RunningPlane([pool(sick)]) as plane:
        assert plane.ask(request()).status == 503
        assert plane.endings(1) == {"ok": 1}
        assert plane.endpoint(sick).retried == 0
