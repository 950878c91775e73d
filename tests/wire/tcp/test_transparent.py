"""Endpoints that see the client's address: flows that come from it, in networks of their own."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.datagrams import UdpClient, UdpEndpoint, dropped, udp_listener
from tests.support.endpoints import Conversation, ScriptedEndpoint
from tests.support.eventually import PATIENCE, eventually
from tests.support.folders import short_path
from tests.support.namespaces import BALANCER, CLIENTS, ENDPOINT, Networks, ip, three_networks
from tests.support.plane import RunningPlane, pool
from tests.support.processes import Program
from tests.support.proxy_header import v2
from tests.support.tcp import echo, flow_endings, flow_listener

from bascule import contract
from bascule.contract import codec

__all__ = ["short_path"]

TRANSPARENT = contract.PoolFlows(transparent=True)
GUIDE = Path("docs/guides/transparent.md")


@pytest.fixture(scope="module")
def networks() -> Iterator[Networks]:
    with three_networks() as networks:
        for words in routes_of_the_guide():
            ip(words, networks.balancer)
        yield networks


def routes_of_the_guide() -> list[str]:
    """What it says is needed on the balancer."""
    block = GUIDE.read_text().partition("The balancer takes")[2].partition("```sh\n")[2].partition("```")[0]
    return [line.removeprefix("ip ").replace("eth1", "endpoints") for line in block.splitlines()]


class Seen:
    """A script that keeps whom each connection comes from, and sends back what arrives."""

    def __init__(self) -> None:
        self.clients: list[str] = []

    def __call__(self, conversation: Conversation) -> None:
        self.clients.append(conversation.socket.getpeername()[0])
        echo(conversation)


@contextmanager
def scripted(networks: Networks, seen: Seen, host: str = ENDPOINT[0]) -> Iterator[ScriptedEndpoint]:
    with networks.inside(networks.endpoint):
        endpoint = ScriptedEndpoint(seen, host=host)
    with endpoint:
        yield endpoint


@contextmanager
def balancing(networks: Networks, *args: Any, **options: Any) -> Iterator[RunningPlane]:
    """A plane whose threads belong to the balancer's network."""
    with networks.inside(networks.balancer):
        plane = RunningPlane(*args, **options)
    with plane:
        yield plane


@contextmanager
def client(networks: Networks, plane: RunningPlane, own: str) -> Iterator[socket.socket]:
    """A connection from one of the client's addresses."""
    host, _, port = plane.address().rpartition(":")
    with networks.inside(networks.client):
        connected = socket.create_connection((host.strip("[]"), int(port)), PATIENCE, (own, 0))
    with connected:
        yield connected


def ping(connected: socket.socket, before: bytes = b"") -> None:
    connected.sendall(before + b"ping")
    assert connected.recv(4, socket.MSG_WAITALL) == b"ping"


def bracketed(host: str) -> str:
    return f"[{host}]:0" if ":" in host else f"{host}:0"


@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
def test_the_endpoint_sees_the_address_of_each_client(networks: Networks, family: int) -> None:
    seen, own = Seen(), [address for address in CLIENTS if (":" in address) == bool(family)]
    with scripted(networks, seen, ENDPOINT[family]) as endpoint:
        pools = [pool(endpoint, flows=TRANSPARENT)]
        only = flow_listener(bind=bracketed(BALANCER[family]))
        with balancing(networks, pools, [only]) as plane:
            for address in own * 3:
                with client(networks, plane, address) as connected:
                    ping(connected)
                    ping(connected)
            assert flow_endings(plane, 6) == {"ok": 6}
    assert seen.clients == own * 3


def test_without_it_the_endpoint_sees_the_balancer(networks: Networks) -> None:
    seen = Seen()
    with scripted(networks, seen) as endpoint:
        only = flow_listener(bind=bracketed(BALANCER[0]))
        with (
            balancing(networks, [pool(endpoint)], [only]) as plane,
            client(networks, plane, CLIENTS[0]) as it,
        ):
            ping(it)
    assert seen.clients == ["10.77.2.1"]


def test_a_client_that_a_proxy_header_names_is_the_one_that_is_seen(networks: Networks) -> None:
    seen = Seen()
    with scripted(networks, seen) as endpoint:
        only = flow_listener(bind=bracketed(BALANCER[0]), proxies=["10.77.1.0/24"])
        with balancing(networks, [pool(endpoint, flows=TRANSPARENT)], [only]) as plane:
            with client(networks, plane, CLIENTS[0]) as connected:
                ping(connected, v2(("203.0.113.7", 4711)))
    assert seen.clients == ["203.0.113.7"]


def test_another_endpoint_sees_it_too(networks: Networks) -> None:
    seen = Seen()
    with networks.inside(networks.endpoint):
        reserved = socket.socket()
        reserved.bind((ENDPOINT[0], 0))
    refuses = f"{ENDPOINT[0]}:{reserved.getsockname()[1]}"
    with reserved, scripted(networks, seen) as endpoint:
        only = flow_listener(bind=bracketed(BALANCER[0]))
        with balancing(networks, [pool(refuses, endpoint, flows=TRANSPARENT)], [only]) as plane:
            for _ in range(4):
                with client(networks, plane, CLIENTS[0]) as connected:
                    ping(connected)
            assert plane.endpoint(refuses).retried > 0
    assert seen.clients == [CLIENTS[0]] * 4


def test_an_endpoint_of_the_other_family_cannot_be_reached_and_is_not_to_blame(
    networks: Networks, short_path: Path
) -> None:
    seen, log = Seen(), short_path / "log"
    with scripted(networks, seen) as endpoint:
        pools = [pool(endpoint, flows=TRANSPARENT)]
        only = flow_listener(bind=bracketed(BALANCER[1]))
        access_log = contract.AccessLog("json", str(log))
        with balancing(networks, pools, [only], access_log=access_log) as plane:
            with client(networks, plane, CLIENTS[2]) as connected:
                assert connected.recv(1) == b""
            assert flow_endings(plane, 1) == {"endpoint_unreachable": 1}
            assert plane.endpoint(endpoint).failures == 0
        eventually(lambda: log.exists() and log.stat().st_size > 0, "no line")
        assert "of another family" in json.loads(log.read_text())["reason"]
    assert not seen.clients


@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
def test_datagrams_come_from_the_clients_too(networks: Networks, family: int) -> None:
    own = [address for address in CLIENTS if (":" in address) == bool(family)]
    with networks.inside(networks.endpoint):
        endpoint = UdpEndpoint(host=ENDPOINT[family])
    # Each flow is over after its answer: its socket waits for the next, which is somebody else's.
    only = udp_listener(bind=bracketed(BALANCER[family]), responses=1)
    with endpoint, balancing(networks, [pool(endpoint.name, flows=TRANSPARENT)], [only]) as plane:
        for number, address in enumerate(own * 3):
            with networks.inside(networks.client):
                asking = UdpClient(plane.address(), host=address)
            with asking:
                assert asking.ask(b"%d" % number) == b"%d" % number
        assert [sender[0] for _, sender in endpoint.heard] == own * 3


def test_datagrams_of_the_other_family_are_dropped(networks: Networks) -> None:
    with networks.inside(networks.endpoint):
        endpoint = UdpEndpoint(host=ENDPOINT[0])
    only = udp_listener(bind=bracketed(BALANCER[1]))
    with endpoint, balancing(networks, [pool(endpoint.name, flows=TRANSPARENT)], [only]) as plane:
        with networks.inside(networks.client):
            asking = UdpClient(plane.address(), host=CLIENTS[2])
        with asking:
            asking.send(b"lost")
            plane.wait_stats(lambda stats: dropped(stats) == {"unreachable": 1})
        assert not endpoint.heard


def test_a_process_that_may_not_speak_for_others_refuses_the_snapshot() -> None:
    snapshot = contract.Snapshot(
        contract=contract.CONTRACT_VERSION,
        generation=1,
        listeners=(flow_listener(),),
        pools=(pool("127.0.0.1:1", flows=TRANSPARENT),),
        access_log=None,
    )
    without = (
        ["setpriv", "--bounding-set=-net_admin,-net_raw", "--inh-caps=-all"] if os.geteuid() == 0 else []
    )
    program = Path("tests/support/plane_program.py")
    with Program([*without, sys.executable, program, "0"], standard_input=codec.encode(snapshot)) as refused:
        eventually(lambda: "give it CAP_NET_ADMIN" in refused.said(), refused.said)
        assert 'pool "site" is transparent' in refused.said()
