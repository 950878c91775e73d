"""Datagrams go through whole, and answers come from the address that was asked, to the client that asked."""

import socket

import pytest
from tests.support.datagrams import UdpClient, UdpEndpoint, dropped, udp_listener
from tests.support.plane import RunningPlane, pool


@pytest.mark.parametrize("threads", [1, 2])
def test_datagrams_of_every_length_come_and_go_as_they_are(threads: int) -> None:
    with (
        UdpEndpoint() as endpoint,
        RunningPlane([pool(endpoint.name)], [udp_listener()], threads=threads) as plane,
        UdpClient(plane.address()) as client,
    ):
        for length in (0, 1, 512, 1_472, 1_473, 9_000, 65_507):
            datagram = bytes(number % 251 for number in range(length))
            assert client.ask(datagram) == datagram
        assert [len(datagram) for datagram, _ in endpoint.heard] == [0, 1, 512, 1_472, 1_473, 9_000, 65_507]


def test_many_at_a_time_keep_their_order_and_their_bounds() -> None:
    sizes = [100] * 40 + [99, 100, 1, 1, 700] + [1_400] * 100
    with (
        UdpEndpoint() as endpoint,
        RunningPlane([pool(endpoint.name)], [udp_listener()]) as plane,
        UdpClient(plane.address()) as client,
    ):
        datagrams = [bytes([at % 256]) * size for at, size in enumerate(sizes)]
        client.send(*datagrams)
        assert [client.receive() for _ in datagrams] == datagrams
        assert [datagram for datagram, _ in endpoint.heard] == datagrams


def test_one_port_of_two_addresses_is_two_flows() -> None:
    with (
        UdpEndpoint(lambda it: (it.upper(),)) as endpoint,
        RunningPlane([pool(endpoint.name)], [udp_listener()]) as plane,
        UdpClient(plane.address(), "127.0.0.1") as one,
        UdpClient(plane.address(), "127.0.0.2", one.port) as other,
    ):
        one.send(b"one")
        other.send(b"other")
        assert (one.receive(), other.receive()) == (b"ONE", b"OTHER")
        assert len({sender for _, sender in endpoint.heard}) == 2
        assert plane.stats().listeners[0].flows == 2


@pytest.mark.parametrize(
    ("bind", "asked"),
    [
        ("0.0.0.0", ["127.0.0.7", "127.0.0.8"]),
        ("[::]", ["127.0.0.7", "127.0.0.8", "::1"]),
        ("[::1]", ["::1"]),
    ],
)
def test_an_answer_comes_from_the_address_that_was_asked(bind: str, asked: list[str]) -> None:
    with (
        UdpEndpoint() as endpoint,
        RunningPlane([pool(endpoint.name)], [udp_listener(bind=f"{bind}:0")]) as plane,
    ):
        port = plane.address().rpartition(":")[2]
        for host in asked:
            # A connected socket hears only whom it is connected to.
            with UdpClient(f"[{host}]:{port}" if ":" in host else f"{host}:{port}") as client:
                assert client.ask(host.encode()) == host.encode()


def test_one_client_port_that_asks_two_of_our_addresses_has_two_flows() -> None:
    with (
        UdpEndpoint() as endpoint,
        RunningPlane([pool(endpoint.name)], [udp_listener(bind="0.0.0.0:0")]) as plane,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(10)
        port = int(plane.address().rpartition(":")[2])
        for host in ("127.0.0.7", "127.0.0.8"):
            client.sendto(host.encode(), (host, port))
            assert client.recvfrom(100) == (host.encode(), (host, port))
        assert len({sender for _, sender in endpoint.heard}) == 2


def test_endpoints_may_speak_ipv6_to_clients_of_ipv4() -> None:
    with (
        UdpEndpoint(host="::1") as endpoint,
        RunningPlane([pool(endpoint.name)], [udp_listener()]) as plane,
        UdpClient(plane.address()) as client,
    ):
        assert client.ask(b"across") == b"across"


def test_nothing_is_sent_that_the_endpoint_did_not_send_and_nobody_else_is_heard() -> None:
    """No reflector: however often somebody asks, he gets what the endpoint says and no more."""
    with (
        UdpEndpoint(lambda _: ()) as silent,
        UdpEndpoint() as stranger,
        RunningPlane([pool(silent.name)], [udp_listener()]) as plane,
        UdpClient(plane.address()) as client,
    ):
        client.send(*[b"anybody there?"] * 100)
        sender = silent.wait_heard(100)[0][1]
        stranger.say(b"not the endpoint", sender)
        silent.say(b"the endpoint", sender)
        assert client.receive() == b"the endpoint"
        assert client.has_nothing()
        datagrams = plane.wait_stats(lambda it: it.listeners[0].datagrams.sent == 1).listeners[0].datagrams
        assert (datagrams.received, datagrams.sent) == (100, 1)


def test_a_pool_without_endpoints_answers_nothing_and_says_why() -> None:
    with (
        RunningPlane([pool()], [udp_listener()]) as plane,
        UdpClient(plane.address()) as client,
    ):
        client.send(b"a", b"b")
        plane.wait_stats(lambda stats: dropped(stats) == {"no_endpoint": 2})
        assert client.has_nothing()
