"""What is known about endpoints and traffic outlives the snapshot that it was learnt under."""

import threading

from tests.support.endpoints import OK, ScriptedEndpoint, Step, play
from tests.support.plane import RunningPlane, listener, pool, route
from tests.support.raw import request
from tests.support.routes import says

from bascule import contract


def test_counters_go_on_counting() -> None:
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)]) as plane, plane.connect() as client:
        for number in range(1, 6):
            assert client.ask(request()).status == 200
            plane.apply([pool(endpoint)], [listener(route(response_headers=says(str(number))))])
            assert plane.endings(number) == {"ok": number}
            assert plane.codes(number) == {200: number}
            stats = plane.stats()
            (series,) = stats.series
            assert series.duration.count == series.response.count == number
            assert stats.listeners[0].requests == stats.endpoints[0].picked == number


def test_counters_are_kept_by_name_not_by_position() -> None:
    with (
        ScriptedEndpoint() as one,
        ScriptedEndpoint() as two,
        ScriptedEndpoint() as three,
        RunningPlane([pool(one, two)]) as plane,
    ):
        assert [plane.ask(request()).status for _ in range(4)] == [200] * 4
        plane.apply([pool("10.0.0.1:80", id="unused"), pool(three, two, one)])
        picked = {one.endpoint: one.picked for one in plane.stats().endpoints if one.pool == "site"}
        assert picked == {one.name: 2, two.name: 2, three.name: 0}


def test_marks_hold_until_there_is_another_one() -> None:
    with (
        ScriptedEndpoint() as one,
        ScriptedEndpoint() as two,
        RunningPlane([pool(one, two, panic_percent=0)]) as plane,
    ):
        plane.mark(
            contract.Mark("site", one.name, up=False, weight=9),
            contract.Mark("site", two.name, draining=True),
        )
        plane.apply([pool(two, one, panic_percent=0)])
        assert plane.ask(request()).status == 503
        plane.mark(contract.Mark("site", two.name, draining=False))
        plane.apply([pool(one.contract(weight=2), two, panic_percent=0, algorithm="least_busy")])
        assert (plane.endpoint(one).up, plane.endpoint(one).weight) == (False, 9)
        assert plane.ask(request()).status == 200
        assert (len(one.requests), len(two.requests)) == (0, 1)


def test_a_mark_holds_for_exchanges_of_every_generation() -> None:
    """An exchange of an old generation that has to try again does not go where it must not."""
    fail = threading.Event()
    with (
        ScriptedEndpoint(play(Step.READ, fail, Step.CLOSE)) as failing,
        ScriptedEndpoint() as two,
        ScriptedEndpoint() as three,
        RunningPlane([pool(failing, two, three, panic_percent=0)]) as plane,
        plane.connect() as client,
    ):
        plane.mark(*(contract.Mark("site", one.name, up=False) for one in (two, three)))
        client.send(request())
        failing.wait_requests(1)
        plane.apply([pool(failing, two, three, panic_percent=0)])
        plane.mark(contract.Mark("site", three.name, up=True))
        fail.set()
        assert client.response().status == 200
        assert (len(two.requests), len(three.requests)) == (0, 1)


def test_in_flight_counts_across_generations() -> None:
    go = threading.Event()
    with (
        ScriptedEndpoint(play(Step.READ, go, OK)) as busy,
        ScriptedEndpoint() as idle,
        RunningPlane([pool(busy)]) as plane,
        plane.connect() as client,
    ):
        client.send(request())
        busy.wait_requests(1)
        plane.apply([pool(busy, idle, algorithm="least_busy")])
        assert plane.endpoint(busy).in_flight == 1
        assert [plane.ask(request()).status for _ in range(5)] == [200] * 5
        assert len(busy.requests) == 1, "least_busy knows what an older generation sent there"
        go.set()
        assert client.response().status == 200


def test_idle_connections_of_an_endpoint_that_stays_are_used_again() -> None:
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)]) as plane:
        assert plane.ask(request()).status == 200
        plane.apply([pool("10.0.0.1:80", id="first"), pool(endpoint, algorithm="random")])
        assert plane.ask(request()).status == 200
        assert len(endpoint.conversations) == 1


def test_idle_connections_of_an_endpoint_that_is_gone_are_closed() -> None:
    with ScriptedEndpoint() as gone, ScriptedEndpoint() as stays, RunningPlane([pool(gone)]) as plane:
        assert plane.ask(request()).status == 200
        plane.apply([pool(stays)])
        gone.conversations[0].wait_end()
        assert plane.ask(request()).status == 200


def test_the_connection_of_an_endpoint_that_went_while_it_answered_is_closed_afterwards() -> None:
    go = threading.Event()
    with (
        ScriptedEndpoint(play(Step.READ, go, OK)) as gone,
        ScriptedEndpoint() as stays,
        RunningPlane([pool(gone)]) as plane,
        plane.connect() as client,
    ):
        client.send(request())
        gone.wait_requests(1)
        plane.apply([pool(stays)])
        go.set()
        assert client.response().status == 200
        gone.conversations[0].wait_end()


def test_counters_of_endpoints_that_are_gone_do_not_pile_up() -> None:
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)]) as plane:
        for number in range(20):
            named = contract.Endpoint(f"pod-{number}", endpoint.contract().address, weight=1)
            plane.apply([pool(named)])
            assert plane.ask(request()).status == 200
        plane.apply([pool(endpoint)])
        # One more reload, because a thread may still hold the table before.
        plane.wait_stats(lambda stats: stats.draining == ())
        plane.apply([pool(endpoint)])
        assert len(plane.stats().series) <= 2
