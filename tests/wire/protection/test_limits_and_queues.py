"""Requests that an endpoint may have at a time, and the line in which the others wait."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.support.endpoints import Conversation, ScriptedEndpoint, response
from tests.support.plane import RunningPlane, listener, pool, prefix, route
from tests.support.raw import RawClient, request

from bascule import contract


class Gated:
    """Endpoints that answer one request for each permit, with its target."""

    def __init__(self) -> None:
        self.permits = threading.Semaphore(0)
        self.order: list[str] = []

    def script(self, conversation: Conversation) -> None:
        while True:
            target = conversation.read().target
            self.order.append(target)
            assert self.permits.acquire(timeout=30), "the test gave no permit"
            conversation.send(response(body=target.encode()))


def protection(
    limit: int, length: int = 100, wait_ms: int = 10_000, level_ms: int | None = 20_000
) -> contract.Protection:
    return contract.Protection(
        limit=contract.FixedLimit(limit), queue=contract.Queue(length, wait_ms, level_ms)
    )


@contextmanager
def gated(
    settings: contract.Protection, *routes: contract.Route, threads: int = 1
) -> Iterator[tuple[Gated, ScriptedEndpoint, RunningPlane, ExitStack]]:
    gate = Gated()
    with (
        ScriptedEndpoint(gate.script) as endpoint,
        RunningPlane([pool(endpoint, protection=settings)], [listener(*routes)], threads=threads) as plane,
        ExitStack() as clients,
    ):
        yield gate, endpoint, plane, clients
        for _ in range(1_000):
            gate.permits.release()


def send(plane: RunningPlane, clients: ExitStack, target: str, waiting: int) -> RawClient:
    """Sends a request and returns once so many wait."""
    client = clients.enter_context(plane.connect())
    client.send(request("GET", target))
    plane.wait_stats(lambda it: it.pools[0].waiting == waiting)
    return client


def test_an_endpoint_never_has_more_than_its_limit_and_the_others_get_their_turn() -> None:
    with gated(protection(2), threads=2) as (gate, endpoint, plane, clients):
        asked = [clients.enter_context(plane.connect()) for _ in range(12)]
        for number, client in enumerate(asked):
            client.send(request("GET", f"/{number}"))
        plane.wait_stats(lambda it: it.pools[0].waiting == 10)
        assert plane.endpoint(endpoint).in_flight == 2
        assert plane.endpoint(endpoint).limit == 2
        for _ in asked:
            gate.permits.release()
        assert [client.response().status for client in asked] == [200] * 12
        stats = plane.wait_stats(lambda it: it.endpoints[0].in_flight == 0)
        assert (stats.pools[0].queued, stats.pools[0].waiting, stats.pools[0].shed) == (10, 0, 0)


def test_an_endpoint_of_its_own_limit_has_that() -> None:
    with ScriptedEndpoint() as one, RunningPlane([pool(one)]) as plane:
        own = contract.Endpoint(one.name, contract.TcpAddress(one.name), 1, limit=7)
        plane.apply([pool(own, protection=protection(2))])
        assert plane.endpoint(one).limit == 7


def test_a_full_queue_sheds_at_once_and_says_when_to_come_again() -> None:
    with gated(protection(1, length=1)) as (gate, _, plane, clients):
        first = send(plane, clients, "/first", 0)
        plane.wait_stats(lambda it: it.endpoints[0].in_flight == 1)
        waiting = send(plane, clients, "/waiting", 1)
        shed = plane.ask(request())
        assert (shed.status, shed.fields.one("Retry-After")) == (503, "1")
        gate.permits.release()
        gate.permits.release()
        assert [first.response().status, waiting.response().status] == [200, 200]
        assert plane.endings(3) == {"ok": 2, "shed": 1}
        assert plane.pool().shed == 1


def test_without_a_queue_what_is_too_much_is_shed() -> None:
    settings = contract.Protection(limit=contract.FixedLimit(1))
    with gated(settings) as (gate, _, plane, clients):
        first = send(plane, clients, "/first", 0)
        plane.wait_stats(lambda it: it.endpoints[0].in_flight == 1)
        assert plane.ask(request()).status == 503
        gate.permits.release()
        assert first.response().status == 200


def test_who_has_waited_for_too_long_is_shed() -> None:
    with gated(protection(1, wait_ms=30)) as (gate, _, plane, clients):
        first = send(plane, clients, "/first", 0)
        plane.wait_stats(lambda it: it.endpoints[0].in_flight == 1)
        assert plane.ask(request()).status == 503
        gate.permits.release()
        assert first.response().status == 200
        assert plane.endings(2) == {"ok": 1, "shed": 1}


def test_a_client_that_leaves_the_line_is_forgotten() -> None:
    with gated(protection(1)) as (gate, endpoint, plane, clients):
        first = send(plane, clients, "/first", 0)
        plane.wait_stats(lambda it: it.endpoints[0].in_flight == 1)
        leaving = send(plane, clients, "/leaves", 1)
        staying = send(plane, clients, "/stays", 2)
        leaving.reset()
        plane.wait_stats(lambda it: it.pools[0].waiting == 1)
        gate.permits.release()
        gate.permits.release()
        assert [first.response().status, staying.response().body] == [200, b"/stays"]
        assert [it.target for it in endpoint.requests] == ["/first", "/stays"]
        assert plane.endings(3) == {"ok": 2, "client_aborted": 1}


def test_higher_priorities_go_first() -> None:
    routes = (route(id="vip", match=[prefix("/vip")], priority=8), route(priority=2))
    with gated(protection(1), *routes) as (gate, _, plane, clients):
        asked = [send(plane, clients, "/first", 0)]
        plane.wait_stats(lambda it: it.endpoints[0].in_flight == 1)
        asked += [
            send(plane, clients, target, at) for at, target in enumerate(("/one", "/vip/a", "/vip/b"), 1)
        ]
        for _ in asked:
            gate.permits.release()
        assert [client.response().status for client in asked] == [200] * 4
        assert gate.order[0] == "/first"
        assert gate.order[3] == "/one"


def test_room_at_another_endpoint_ends_the_wait() -> None:
    with gated(protection(1)) as (gate, endpoint, plane, clients), ScriptedEndpoint() as added:
        first = send(plane, clients, "/first", 0)
        plane.wait_stats(lambda it: it.endpoints[0].in_flight == 1)
        plane.apply([pool(endpoint, added, protection=protection(1))], [listener()])
        assert plane.ask(request()).status == 200
        gate.permits.release()
        assert first.response().status == 200


def test_room_that_a_reload_gives_is_not_kept_by_those_who_waited_before_it() -> None:
    """They go by the configuration they came with, which knows only of endpoints that are full."""
    patient = protection(1, wait_ms=60_000, level_ms=120_000)
    with gated(patient) as (gate, endpoint, plane, clients), ScriptedEndpoint() as added:
        first = send(plane, clients, "/first", 0)
        plane.wait_stats(lambda it: it.endpoints[0].in_flight == 1)
        waiting = send(plane, clients, "/waiting", 1)
        plane.apply([pool(endpoint, added, protection=patient)], [listener()])
        for _ in range(3):
            assert plane.ask(request()).status == 200
        assert plane.pool().waiting == 1
        gate.permits.release()
        gate.permits.release()
        assert [first.response().status, waiting.response().status] == [200, 200]


def test_the_line_is_let_go_when_the_plane_stops() -> None:
    with gated(protection(1)) as (gate, _, plane, clients):
        first = send(plane, clients, "/first", 0)
        plane.wait_stats(lambda it: it.endpoints[0].in_flight == 1)
        waiting = send(plane, clients, "/waiting", 1)
        plane.stop(None)
        gate.permits.release()
        gate.permits.release()
        assert [first.response().status, waiting.response().status] == [200, 200]
        plane.wait_event("stopped")
