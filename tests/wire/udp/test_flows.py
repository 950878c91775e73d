"""Flows begin, are given up and end as they should, and what they held is given back."""

import itertools
import resource
import socket
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.support.datagrams import UdpClient, UdpEndpoint, dropped, flow_route, udp_listener
from tests.support.plane import RunningPlane, pool

from bascule import contract


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def endings(stats: contract.Stats) -> dict[str, int]:
    counted = Counter[str]()
    for series in stats.flows:
        counted.update({one.ending: one.count for one in series.endings})
    return dict(counted)


def wait_endings(plane: RunningPlane, expected: dict[str, int]) -> None:
    plane.wait_stats(lambda stats: endings(stats) == expected)


def test_a_flow_keeps_its_endpoint_until_it_is_silent_for_too_long() -> None:
    with (
        UdpEndpoint(lambda _: (b"one",)) as one,
        UdpEndpoint(lambda _: (b"two",)) as two,
        RunningPlane([pool(one.name, two.name)], [udp_listener(flow_route(idle_ms=200))]) as plane,
        UdpClient(plane.address()) as client,
    ):
        first = client.ask(b"?")
        assert {client.ask(b"?") for _ in range(20)} == {first}
        stats = plane.wait_stats(lambda stats: stats.listeners[0].flows == 0)
        assert endings(stats) == {"idle": 1}
        assert stats.endpoints[0].in_flight == stats.endpoints[1].in_flight == 0
        assert client.ask(b"?") != first, "in turn"


def test_with_one_response_each_question_may_go_elsewhere() -> None:
    with (
        UdpEndpoint(lambda _: (b"one",)) as one,
        UdpEndpoint(lambda _: (b"two",)) as two,
        RunningPlane([pool(one.name, two.name)], [udp_listener(responses=1)]) as plane,
        UdpClient(plane.address()) as client,
    ):
        answers = [client.ask(b"?") for _ in range(20)]
        assert answers.count(b"one") == answers.count(b"two") == 10
        stats = plane.wait_stats(lambda stats: endings(stats) == {"ok": 20})
        assert stats.listeners[0].flows == 0
        assert sum(one.in_flight for one in stats.endpoints) == 0


def test_more_answers_than_responses_reach_nobody() -> None:
    with (
        UdpEndpoint(lambda it: [it + bytes([at]) for at in range(50)]) as endpoint,
        RunningPlane([pool(endpoint.name)], [udp_listener(responses=2)]) as plane,
        UdpClient(plane.address()) as client,
        UdpClient(plane.address()) as next_one,
    ):
        client.send(b"a")
        assert [client.receive(), client.receive()] == [b"a\0", b"a\1"]
        # The socket of the first flow is used again; nothing that was for its client is left in it.
        next_one.send(b"b")
        assert [next_one.receive(), next_one.receive()] == [b"b\0", b"b\1"]
        assert client.has_nothing() and next_one.has_nothing()


def test_a_client_that_asks_twice_gets_both_answers() -> None:
    with (
        UdpEndpoint() as endpoint,
        RunningPlane([pool(endpoint.name)], [udp_listener(responses=1)]) as plane,
        UdpClient(plane.address()) as client,
    ):
        client.send(b"a", b"b", b"c")
        assert [client.receive() for _ in range(3)] == [b"a", b"b", b"c"]


def test_where_no_answer_is_expected_each_datagram_is_a_flow() -> None:
    with (
        UdpEndpoint(lambda _: ()) as one,
        UdpEndpoint(lambda _: ()) as two,
        RunningPlane([pool(one.name, two.name)], [udp_listener(responses=0)]) as plane,
        UdpClient(plane.address()) as client,
    ):
        for number in range(1, 11):
            client.send(bytes([number]))
            wait_endings(plane, {"ok": number})
        assert len(one.wait_heard(5)) == len(two.wait_heard(5)) == 5


def test_every_question_that_is_told_apart_by_its_port_has_another_one() -> None:
    """Nobody can guess from which port the next question goes: cache poisoning would begin with that."""
    with (
        UdpEndpoint() as endpoint,
        RunningPlane([pool(endpoint.name)], [udp_listener(responses=1)]) as plane,
    ):
        for _ in range(50):
            with UdpClient(plane.address()) as client:
                client.ask(b"?")
        ports = [sender[1] for _, sender in endpoint.heard]
        assert len(set(ports)) >= 45
        steps = {later - port for port, later in itertools.pairwise(ports)}
        assert len(steps) > 40, "not one after the other"
        assert plane.endpoint(endpoint.name).picked == 50


def test_the_flow_that_was_silent_for_longest_makes_room() -> None:
    with (
        UdpEndpoint() as endpoint,
        RunningPlane([pool(endpoint.name)], [udp_listener(flows=2)]) as plane,
        UdpClient(plane.address()) as one,
        UdpClient(plane.address()) as two,
        UdpClient(plane.address()) as three,
    ):
        for client in (one, two, one, three):
            client.ask(b"?")
        stats = plane.wait_stats(lambda stats: endings(stats) == {"evicted": 1})
        assert stats.listeners[0].flows == 2
        ports = [sender for _, sender in endpoint.heard]
        one.ask(b"still the same flow")
        assert endpoint.heard[-1][1] == ports[0]
        two.ask(b"a new flow")
        assert endpoint.heard[-1][1] not in ports


def test_ten_thousand_flows_leave_nothing_behind() -> None:
    with UdpEndpoint() as endpoint, RunningPlane([pool(endpoint.name)], [udp_listener(flows=100)]) as plane:
        with UdpClient(plane.address()) as client:
            client.ask(b"?")
        before = open_files()
        port = int(plane.address().rpartition(":")[2])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
            source.settimeout(10)
            for number in range(10_000):
                # Another address each time; the socket is bound anew to have one.
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                    one.bind((f"127.0.{number % 200}.{number // 200 + 1}", 0))
                    one.settimeout(10)
                    one.connect(("127.0.0.1", port))
                    one.send(b"?")
                    assert one.recv(10) == b"?"
        assert open_files() <= before + 100
        stats = plane.stats()
        assert stats.listeners[0].flows == 100
        assert stats.listeners[0].accepted == 10_001
        assert plane.endpoint(endpoint.name).in_flight == 100


def test_invented_addresses_take_no_more_sockets_than_their_part() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_000, limits[1]))
    try:
        plane = RunningPlane([pool("127.0.0.1:9")], [udp_listener()])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    most = (1_000 - 64) // 2 // 2
    with UdpEndpoint(lambda _: ()) as endpoint, plane:
        plane.apply([pool(endpoint.name)], [udp_listener()])
        with UdpClient(plane.address()) as client:
            client.send(b"?")
        plane.wait_stats(lambda stats: stats.listeners[0].flows == 1)
        before = open_files()
        for number in range(1, 2 * most):
            with UdpClient(plane.address(), f"127.0.{number % 200}.{number // 200 + 1}") as client:
                client.send(b"?")
        plane.wait_stats(lambda stats: stats.listeners[0].datagrams.received == 2 * most)
        assert plane.stats().listeners[0].flows == most
        assert open_files() <= before + most
        assert endings(plane.stats()) == {"evicted": most}


def test_a_rate_limit_counts_new_flows_and_not_their_datagrams() -> None:
    limit = contract.RateLimit("few", None, 1, 3_600_000, 2)
    with (
        UdpEndpoint() as endpoint,
        RunningPlane([pool(endpoint.name)], [udp_listener(flow_route(limits=(limit,)))]) as plane,
        UdpClient(plane.address()) as one,
        UdpClient(plane.address()) as two,
        UdpClient(plane.address()) as three,
    ):
        assert [client.ask(b"?") for client in (one, two, one, two, one)] == [b"?"] * 5
        three.send(b"?", b"?")
        plane.wait_stats(lambda stats: dropped(stats) == {"rate_limited": 2})
        assert three.has_nothing()


def test_routes_go_by_the_client() -> None:
    with (
        UdpEndpoint(lambda _: (b"inside",)) as inside,
        UdpEndpoint(lambda _: (b"outside",)) as outside,
        RunningPlane(
            [pool(inside.name, id="in"), pool(outside.name, id="out")],
            [
                udp_listener(
                    flow_route("in", id="in", clients=("127.0.0.2/32",)),
                    flow_route("out", id="out", clients=("127.0.0.1/32",)),
                )
            ],
        ) as plane,
        UdpClient(plane.address(), "127.0.0.1") as one,
        UdpClient(plane.address(), "127.0.0.2") as two,
        UdpClient(plane.address(), "127.0.0.3") as nobody,
    ):
        assert (one.ask(b"?"), two.ask(b"?")) == (b"outside", b"inside")
        nobody.send(b"?")
        plane.wait_stats(lambda stats: dropped(stats) == {"no_route": 1})


def test_a_flow_may_take_so_long_and_then_another_one_begins() -> None:
    with (
        UdpEndpoint() as endpoint,
        RunningPlane([pool(endpoint.name)], [udp_listener(flow_route(total_ms=300))]) as plane,
        UdpClient(plane.address()) as client,
    ):
        end = time.monotonic() + 10
        while plane.stats().listeners[0].accepted < 3 and time.monotonic() < end:
            assert client.ask(b"?") == b"?"
        assert endings(plane.stats()) == {"total_timed_out": 2}


@pytest.mark.parametrize("responses", [None, 1])
def test_an_expected_answer_that_does_not_come_speaks_against_the_endpoint(responses: int | None) -> None:
    with (
        UdpEndpoint(lambda _: ()) as endpoint,
        RunningPlane(
            [pool(endpoint.name)], [udp_listener(flow_route(idle_ms=100), responses=responses)]
        ) as plane,
        UdpClient(plane.address()) as client,
    ):
        client.send(b"?")
        stats = plane.wait_stats(lambda stats: bool(endings(stats)))
        assert endings(stats) == {"idle" if responses is None else "response_timed_out": 1}
        assert plane.endpoint(endpoint.name).failures == (0 if responses is None else 1)
