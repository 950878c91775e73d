"""What becomes of flows when an endpoint refuses, fails, drains or leaves, and when the balancer stops."""

import time

import pytest
from tests.support.datagrams import UdpClient, UdpEndpoint, dropped, flow_route, udp_listener
from tests.support.plane import RunningPlane, pool

from bascule import contract
from bascule.contract import Mark

DOWN = "10.255.255.1:9"


def flow_endings(plane: RunningPlane) -> list[str]:
    """The words by which flows have ended so far."""
    return [one.ending for series in plane.stats().flows for one in series.endings for _ in range(one.count)]


def closed_port() -> str:
    """An address that refuses datagrams."""
    endpoint = UdpEndpoint()
    with endpoint:
        return endpoint.name


def test_what_an_endpoint_refuses_another_one_answers() -> None:
    refusing = closed_port()
    with (
        UdpEndpoint() as endpoint,
        RunningPlane([pool(refusing, endpoint.name)], [udp_listener()]) as plane,
    ):
        for number in range(6):
            with UdpClient(plane.address()) as client:
                assert client.ask(bytes([number])) == bytes([number])
        stats = plane.stats()
        assert plane.endpoint(refusing).failures == plane.endpoint(refusing).retried > 0
        assert plane.endpoint(refusing).in_flight == 0
        assert stats.listeners[0].accepted == stats.listeners[0].flows + len(flow_endings(plane))


def test_an_endpoint_that_refuses_is_ejected() -> None:
    refusing = closed_port()
    ejection = contract.Ejection(3, None, None, 60_000, 60_000, 50)
    with (
        UdpEndpoint() as endpoint,
        RunningPlane(
            [pool(refusing, endpoint.name, protection=contract.Protection(ejection=ejection))],
            [udp_listener()],
        ) as plane,
    ):
        for _ in range(10):
            with UdpClient(plane.address()) as client:
                client.ask(b"?")
        assert plane.endpoint(refusing).ejected
        assert plane.endpoint(refusing).picked == 3


def test_where_nobody_answers_the_client_hears_nothing() -> None:
    with (
        RunningPlane([pool(closed_port(), closed_port())], [udp_listener()]) as plane,
        UdpClient(plane.address()) as client,
    ):
        client.send(b"?")
        plane.wait_stats(lambda _: flow_endings(plane) == ["endpoint_refused"])
        assert client.has_nothing()
        assert sum(one.in_flight for one in plane.stats().endpoints) == 0


def test_a_flow_whose_endpoint_dies_goes_on_with_another_one() -> None:
    with UdpEndpoint(lambda _: (b"second",)) as second:
        with UdpEndpoint(lambda _: (b"first",)) as first:
            plane = RunningPlane(
                [pool(first.name, second.name, algorithm="first", options={"requests": 9})], [udp_listener()]
            )
            client = UdpClient(plane.address())
            assert client.ask(b"?") == b"first"
        with plane, client:
            client.send(b"met by nobody")
            plane.wait_stats(lambda _: flow_endings(plane) == ["endpoint_refused"])
            assert client.ask(b"?") == b"second"


@pytest.mark.parametrize("on_down", ["keep", "close"])
def test_a_mark_closes_flows_only_where_that_is_wanted(on_down: contract.OnDown) -> None:
    with (
        UdpEndpoint(lambda _: (b"one",)) as one,
        UdpEndpoint(lambda _: (b"two",)) as two,
        RunningPlane(
            [pool(one.name, two.name, flows=contract.PoolFlows(on_down=on_down))], [udp_listener()]
        ) as plane,
        UdpClient(plane.address()) as client,
    ):
        first = client.ask(b"?")
        here = one if first == b"one" else two
        plane.mark(Mark("site", here.name, up=False))
        again = client.ask(b"?")
        assert (again == first) == (on_down == "keep")
        assert flow_endings(plane) == ([] if on_down == "keep" else ["endpoint_down"])


def test_the_flows_of_an_endpoint_that_drains_have_their_time() -> None:
    with (
        UdpEndpoint(lambda _: (b"one",)) as one,
        UdpEndpoint(lambda _: (b"two",)) as two,
        RunningPlane(
            [pool(one.name, two.name, flows=contract.PoolFlows(drain_ms=200))], [udp_listener()]
        ) as plane,
        UdpClient(plane.address()) as client,
    ):
        first = client.ask(b"?")
        here = one if first == b"one" else two
        plane.mark(Mark("site", here.name, draining=True))
        assert client.ask(b"?") == first, "it is drained, not cut"
        plane.wait_stats(lambda _: flow_endings(plane) == ["drained"])
        assert client.ask(b"?") != first


def test_flows_keep_their_endpoint_through_reloads_while_it_is_there() -> None:
    with (
        UdpEndpoint(lambda _: (b"one",)) as one,
        UdpEndpoint(lambda _: (b"two",)) as two,
        RunningPlane([pool(one.name, two.name)], [udp_listener()]) as plane,
        UdpClient(plane.address()) as a,
        UdpClient(plane.address()) as b,
    ):
        before = a.ask(b"?"), b.ask(b"?")
        assert set(before) == {b"one", b"two"}
        for _ in range(3):
            plane.apply([pool(two.name, one.name, algorithm="least_busy")], [udp_listener()])
            assert (a.ask(b"?"), b.ask(b"?")) == before
        gone = contract.PoolFlows(on_down="close")
        plane.apply([pool(one.name, two.name, flows=gone)], [udp_listener(flow_route(idle_ms=30_000))])
        assert (a.ask(b"?"), b.ask(b"?")) == before


def test_flows_of_an_endpoint_that_is_gone_end_where_that_is_wanted() -> None:
    closing = contract.PoolFlows(on_down="close")
    with (
        UdpEndpoint(lambda _: (b"one",)) as one,
        UdpEndpoint(lambda _: (b"two",)) as two,
        RunningPlane([pool(one.name, flows=closing)], [udp_listener()]) as plane,
        UdpClient(plane.address()) as client,
    ):
        assert client.ask(b"?") == b"one"
        plane.apply([pool(two.name, flows=closing)], [udp_listener()])
        plane.wait_stats(lambda _: flow_endings(plane) == ["endpoint_down"])
        assert client.ask(b"?") == b"two"


def test_maglev_keeps_clients_where_they_are_when_another_endpoint_goes() -> None:
    by = {"by": "client", "table": "maglev"}
    with (
        UdpEndpoint(lambda _: (b"one",)) as one,
        UdpEndpoint(lambda _: (b"two",)) as two,
        UdpEndpoint(lambda _: (b"three",)) as three,
        RunningPlane(
            [pool(one.name, two.name, three.name, algorithm="hash", options=by)],
            [udp_listener(responses=1)],
            threads=2,
        ) as plane,
    ):

        def answers() -> dict[str, bytes]:
            found = {}
            for number in range(1, 41):
                host = f"127.0.0.{number}"
                with UdpClient(plane.address(), host) as client:
                    found[host] = client.ask(b"?")
            return found

        before = answers()
        assert set(before.values()) == {b"one", b"two", b"three"}
        assert answers() == before
        plane.mark(Mark("site", three.name, up=False))
        after = answers()
        stayed = [host for host, answer in before.items() if answer != b"three" and after[host] == answer]
        assert len(stayed) >= 0.9 * sum(answer != b"three" for answer in before.values())
        assert b"three" not in after.values()


def test_a_stop_lets_open_flows_finish_and_takes_no_new_ones() -> None:
    with (
        UdpEndpoint() as endpoint,
        RunningPlane([pool(endpoint.name)], [udp_listener()]) as plane,
        UdpClient(plane.address()) as client,
        UdpClient(plane.address()) as late,
    ):
        client.ask(b"?")
        began = time.monotonic()
        plane.stop(60_000)
        assert client.ask(b"in time") == b"in time"
        late.send(b"too late")
        event = plane.wait_event("stopped").what
        assert event.kind == "stopped"
        assert event.cut == 0
        assert time.monotonic() - began < 5, "a flow that is silent for a second has ended"
        assert [datagram for datagram, _ in endpoint.heard] == [b"?", b"in time"]


def test_a_stop_without_grace_tells_what_was_cut() -> None:
    with (
        UdpEndpoint() as endpoint,
        RunningPlane([pool(endpoint.name)], [udp_listener()]) as plane,
        UdpClient(plane.address()) as client,
    ):
        client.ask(b"?")
        plane.stop(0)
        event = plane.wait_event("stopped").what
        assert event.kind == "stopped"
        assert event.cut == 1


def test_a_listener_that_is_gone_ends_its_flows_and_can_come_back() -> None:
    with (
        UdpEndpoint() as endpoint,
        RunningPlane([pool(endpoint.name)], [udp_listener()]) as plane,
        UdpClient(plane.address()) as client,
    ):
        client.ask(b"?")
        address = plane.address()
        plane.apply([pool(endpoint.name)], [])
        plane.wait_stats(lambda _: flow_endings(plane) == ["unlistened"])
        assert plane.endpoint(endpoint.name).in_flight == 0
        plane.apply([pool(endpoint.name)], [udp_listener(bind=address)])
        with UdpClient(address) as again:
            assert again.ask(b"?") == b"?"


def test_sessions_by_address_stay_on_their_endpoint() -> None:
    by = contract.ByKey(contract.ClientKey(), contract.SessionTable(60_000, 100))
    with (
        UdpEndpoint(lambda _: (b"one",)) as one,
        UdpEndpoint(lambda _: (b"two",)) as two,
        RunningPlane(
            [pool(one.name, two.name, sessions=contract.Sessions(by, strict=False))],
            [udp_listener(responses=1)],
        ) as plane,
        UdpClient(plane.address(), "127.0.0.5") as client,
        UdpClient(plane.address(), "127.0.0.6") as other,
    ):
        answers = {client.ask(b"?") for _ in range(6)}
        assert len(answers) == 1
        assert {other.ask(b"?") for _ in range(6)} != answers


def test_an_endpoint_with_a_limit_has_no_more_flows_at_a_time() -> None:
    limited = contract.Protection(limit=contract.FixedLimit(1))
    with (
        UdpEndpoint() as endpoint,
        RunningPlane([pool(endpoint.name, protection=limited)], [udp_listener()]) as plane,
        UdpClient(plane.address()) as one,
        UdpClient(plane.address()) as two,
    ):
        one.ask(b"?")
        two.send(b"?")
        plane.wait_stats(lambda stats: dropped(stats) == {"full": 1})
        assert one.ask(b"still") == b"still"
