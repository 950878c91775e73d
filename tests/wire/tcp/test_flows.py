"""A TCP connection is carried as it is: what goes in comes out, and how it ends is passed on."""

import threading
from functools import partial
from pathlib import Path

import pytest
from tests.support.endpoints import Conversation, ScriptedEndpoint
from tests.support.eventually import eventually
from tests.support.plane import RunningPlane, pool
from tests.support.raw import RawClient
from tests.support.tcp import (
    carrying,
    echo,
    flow_endings,
    flow_listener,
    flow_route,
    hear,
    named,
    open_flows,
)


def test_bytes_go_both_ways_untouched_and_an_end_is_passed_on() -> None:
    with carrying(echo) as (_, plane), plane.connect() as client:
        client.send(b"GET / HTTP/1.1\n\0\xff")
        assert client.stream.exactly(17) == b"GET / HTTP/1.1\n\0\xff"
        client.send(b"more")
        client.finish()
        assert client.rest() == b"more"
        assert flow_endings(plane, 1) == {"ok": 1}
        (series,) = plane.stats().flows
        assert (series.listener, series.route, series.pool) == ("web", "all", "site")
        assert (series.received_bytes, series.sent_bytes) == (21, 21)
        assert (series.duration.count, series.connect.count) == (1, 1)


def test_an_endpoint_may_speak_first() -> None:
    with carrying(named("220 ready\r\n")) as (_, plane), plane.connect() as client:
        assert client.stream.exactly(11) == b"220 ready\r\n"


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "[::1]:0", "unix"])
def test_flows_come_by_every_kind_of_address(tmp_path: Path, bind: str) -> None:
    only = flow_listener(bind=f"unix:{tmp_path}/flows" if bind == "unix" else bind)
    with carrying(echo, only) as (_, plane), plane.connect() as client:
        client.send(b"ping")
        assert client.stream.exactly(4) == b"ping"


def test_a_client_that_has_said_all_still_hears() -> None:
    go = threading.Event()

    def answer_late(conversation: Conversation) -> None:
        while conversation.socket.recv(65536):
            pass
        go.wait(10)
        conversation.send(b"late")

    with carrying(answer_late) as (_, plane), plane.connect() as client:
        client.send(b"all")
        client.finish()
        assert client.gets_nothing()
        go.set()
        assert client.rest() == b"late"


def test_an_endpoint_that_has_said_all_still_hears() -> None:
    def finish_early(conversation: Conversation) -> None:
        conversation.send(b"bye")
        conversation.finish()

    with carrying(finish_early) as (endpoint, plane), plane.connect() as client:
        assert client.rest() == b"bye"
        client.send(b"still here")
        client.finish()
        assert flow_endings(plane, 1) == {"ok": 1}
        endpoint.wait_conversations(1)[0].wait_end()
        assert endpoint.received() == b"still here"


def test_a_reset_of_the_client_reaches_the_endpoint() -> None:
    with carrying(hear) as (endpoint, plane), plane.connect() as client:
        client.send(b"half a wo")
        eventually(lambda: endpoint.received() == b"half a wo", lambda: f"{endpoint.received()!r}")
        client.reset()
        conversation = endpoint.wait_conversations(1)[0]
        conversation.wait_end()
        assert conversation.was_reset
        assert flow_endings(plane, 1) == {"client_aborted": 1}


def test_a_reset_of_the_endpoint_reaches_the_client() -> None:
    go = threading.Event()

    def break_off(conversation: Conversation) -> None:
        conversation.send(b"begun")
        go.wait(10)
        conversation.reset()

    with carrying(break_off) as (_, plane), plane.connect() as client:
        assert client.stream.exactly(5) == b"begun"
        go.set()
        with pytest.raises(ConnectionResetError):
            client.socket.recv(1)
        assert flow_endings(plane, 1) == {"endpoint_reset": 1}


def test_what_an_endpoint_said_before_it_stopped_listening_still_arrives() -> None:
    """An endpoint refuses an upload, and closes without reading the rest of it."""

    def refuse(conversation: Conversation) -> None:
        conversation.socket.recv(1)
        conversation.send(b"no, thank you")
        conversation.close()

    with carrying(refuse) as (_, plane), plane.connect() as client:
        client.send(b"x" * 100_000)
        assert client.stream.exactly(13) == b"no, thank you"


def test_silence_ends_a_flow_on_both_sides() -> None:
    with (
        carrying(echo, flow_listener(flow_route(idle_ms=300))) as (endpoint, plane),
        plane.connect() as client,
    ):
        client.send(b"ping")
        assert client.stream.exactly(4) == b"ping"
        assert client.is_closed()
        endpoint.wait_conversations(1)[0].wait_end()
        assert flow_endings(plane, 1) == {"idle": 1}
        assert open_flows(plane) == 0


def test_the_whole_of_a_flow_has_a_limit() -> None:
    with carrying(echo, flow_listener(flow_route(total_ms=300))) as (_, plane), plane.connect() as client:
        try:
            while True:
                client.send(b"ping")
                assert client.socket.recv(4)
        except (ConnectionError, AssertionError):
            pass
        assert flow_endings(plane, 1) == {"total_timed_out": 1}


def test_flows_are_told_apart_by_the_network_of_their_client() -> None:
    routes = (
        flow_route("far", id="far", clients=["10.0.0.0/8"]),
        flow_route("near", id="near", clients=["127.0.0.0/8"]),
    )
    with ScriptedEndpoint(named("near")) as near, ScriptedEndpoint(named("far")) as far:
        pools = [pool(near, id="near"), pool(far, id="far")]
        with RunningPlane(pools, [flow_listener(*routes)]) as plane, plane.connect() as client:
            assert client.stream.exactly(4) == b"near"


def test_a_flow_that_no_route_takes_is_closed() -> None:
    only = flow_listener(flow_route(clients=["10.0.0.0/8"]))
    with carrying(echo, only) as (endpoint, plane), plane.connect() as client:
        assert client.is_closed()
        assert flow_endings(plane, 1) == {"no_route": 1}
        assert not endpoint.conversations


def test_thousands_of_flows_leave_nothing_behind() -> None:
    with carrying(echo) as (_, plane):
        for _ in range(300):
            with RawClient(plane.address()) as client:
                client.send(b"ping")
                assert client.stream.exactly(4) == b"ping"
        assert flow_endings(plane, 300) == {"ok": 300}
        plane.wait_stats(lambda stats: stats.listeners[0].open == 0 and stats.endpoints[0].in_flight == 0)
        assert open_flows(plane) == 0


def is_watched(port: int) -> bool:
    """Whether the kernel will ask if a connection from or to this port is still there."""
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, near, far, _, _, timer, *_ = line.split()
        count += timer.startswith("02:") and f"{port:04X}" in (near[-4:], far[-4:])
    return count > 0


def test_the_kernel_asks_for_peers_that_say_nothing() -> None:
    with carrying(echo, flow_listener(probe_ms=60_000)) as (endpoint, plane), plane.connect() as client:
        client.send(b"ping")
        assert client.stream.exactly(4) == b"ping"
        for address in (plane.address(), endpoint.name):
            port = int(address.rpartition(":")[2])
            eventually(partial(is_watched, port), "nobody asks for a peer")
