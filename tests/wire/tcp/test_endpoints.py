"""Which endpoint a flow gets, what happens while there is none, and what becomes of it when its own goes."""

import json
import threading
import time
from pathlib import Path

import pytest
from tests.support.endpoints import ScriptedEndpoint
from tests.support.eventually import eventually
from tests.support.places import closed_port
from tests.support.plane import RunningPlane, client_limits, pool
from tests.support.raw import RawClient
from tests.support.tcp import carrying, echo, flow_endings, flow_listener, flow_route, named, open_flows

from bascule import contract


def down(endpoint: ScriptedEndpoint, up: bool = False) -> contract.Mark:
    return contract.Mark("site", endpoint.name, up=up)


def is_alive(client: RawClient) -> bool:
    client.send(b"ping")
    return client.stream.exactly(4) == b"ping"


def test_a_connect_that_fails_is_tried_on_another_endpoint_and_no_byte_is_lost() -> None:
    with ScriptedEndpoint(echo) as works, closed_port() as refuses:
        with RunningPlane([pool(refuses, works)], [flow_listener()]) as plane:
            for _ in range(6):
                with plane.connect() as client:
                    assert is_alive(client)
            assert flow_endings(plane, 6) == {"ok": 6}
            seen = plane.endpoint(refuses)
            assert seen.connect_failures > 0
            assert seen.retried == seen.connect_failures


def test_without_another_endpoint_the_flow_ends() -> None:
    with closed_port() as refuses, RunningPlane([pool(refuses)], [flow_listener()]) as plane:
        with plane.connect() as client:
            assert client.is_closed()
        assert flow_endings(plane, 1) == {"endpoint_refused": 1}


def test_an_endpoint_that_keeps_failing_is_ejected_and_comes_back() -> None:
    ejection = contract.Ejection(
        failures=3, failure_percent=None, slowness_percent=None, time_ms=300, longest_ms=300, most_percent=50
    )
    protection = contract.Protection(ejection=ejection)
    with ScriptedEndpoint(echo) as works, closed_port() as refuses:
        pools = [pool(refuses, works, protection=protection)]
        with RunningPlane(pools, [flow_listener()]) as plane, plane.connect() as stays:
            assert is_alive(stays)
            for _ in range(8):
                with plane.connect() as client:
                    assert is_alive(client)
            assert plane.endpoint(refuses).ejections == 1
            assert plane.endpoint(refuses).connect_failures < 6


def test_flows_count_as_load_for_as_long_as_they_last() -> None:
    with ScriptedEndpoint(named("a")) as one, ScriptedEndpoint(named("b")) as other:
        with RunningPlane([pool(one, other, algorithm="least_busy")], [flow_listener()]) as plane:
            clients = [plane.connect() for _ in range(10)]
            names = [client.stream.exactly(1) for client in clients]
            assert names.count(b"a") == names.count(b"b") == 5
            for client, name in zip(clients, names, strict=True):
                if name == b"a":
                    client.close()
            plane.wait_stats(lambda _: plane.endpoint(one).in_flight == 0)
            for _ in range(3):
                clients.append(plane.connect())
                assert clients[-1].stream.exactly(1) == b"a"
            for client in clients:
                client.close()


def test_a_new_flow_is_held_until_there_is_an_endpoint() -> None:
    held = contract.PoolFlows(hold_ms=20_000)
    with carrying(echo, flows=held, panic_percent=0) as (endpoint, plane):
        plane.mark(down(endpoint))
        with plane.connect() as client:
            client.send(b"ping")
            time.sleep(0.1)
            assert client.gets_nothing()
            plane.mark(down(endpoint, up=True))
            assert client.stream.exactly(4) == b"ping"


def test_a_new_flow_is_held_until_another_configuration_has_an_endpoint() -> None:
    held = contract.PoolFlows(hold_ms=20_000)
    with ScriptedEndpoint(echo) as endpoint:
        with RunningPlane([pool(flows=held)], [flow_listener()]) as plane, plane.connect() as client:
            client.send(b"ping")
            plane.wait_stats(lambda stats: stats.listeners[0].open == 1)
            plane.apply([pool(endpoint, flows=held)], [flow_listener()])
            assert client.stream.exactly(4) == b"ping"


def test_a_flow_is_not_held_for_longer_than_the_pool_says() -> None:
    with RunningPlane([pool(flows=contract.PoolFlows(hold_ms=300))], [flow_listener()]) as plane:
        began = time.monotonic()
        with plane.connect() as client:
            assert client.is_closed()
        assert 0.25 < time.monotonic() - began < 5
        assert flow_endings(plane, 1) == {"no_endpoint": 1}


def test_an_endpoint_that_does_not_answer_yet_is_waited_for_as_well() -> None:
    """A primary that has just died: its check has not noticed yet, and clients see a pause."""
    held = contract.PoolFlows(hold_ms=20_000)
    with closed_port() as refuses, ScriptedEndpoint(echo) as works:
        with RunningPlane([pool(refuses, flows=held)], [flow_listener()]) as plane:
            with plane.connect() as client:
                client.send(b"ping")
                plane.wait_stats(lambda _: plane.endpoint(refuses).connect_failures > 0)
                plane.apply([pool(works, flows=held)], [flow_listener()])
                assert client.stream.exactly(4) == b"ping"


@pytest.mark.parametrize("on_down", ["keep", "close"])
def test_flows_of_an_endpoint_that_is_down_go_on_or_are_closed_as_the_pool_says(
    on_down: contract.OnDown,
) -> None:
    flows = contract.PoolFlows(on_down=on_down)
    with carrying(echo, flows=flows) as (endpoint, plane), plane.connect() as client:
        assert is_alive(client)
        plane.mark(down(endpoint))
        if on_down == "keep":
            assert is_alive(client)
        else:
            assert client.is_closed()
            endpoint.wait_conversations(1)[0].wait_end()
            assert flow_endings(plane, 1) == {"endpoint_down": 1}


@pytest.mark.parametrize("on_down", ["keep", "close"])
def test_flows_outlive_a_reload_unless_their_endpoint_is_gone_and_the_pool_closes_them(
    on_down: contract.OnDown,
) -> None:
    flows = contract.PoolFlows(on_down=on_down)
    with ScriptedEndpoint(named("a")) as stays, ScriptedEndpoint(named("b")) as goes:
        with RunningPlane([pool(stays, goes, flows=flows)], [flow_listener()]) as plane:
            with plane.connect() as one, plane.connect() as other:
                clients = {one.stream.exactly(1): one, other.stream.exactly(1): other}
                plane.apply([pool(stays, flows=flows)], [flow_listener()])
                assert is_alive(clients[b"a"])
                if on_down == "keep":
                    assert is_alive(clients[b"b"])
                else:
                    assert clients[b"b"].is_closed()
                    assert flow_endings(plane, 1) == {"endpoint_down": 1}


def test_a_listener_that_is_gone_leaves_its_flows_alone() -> None:
    with carrying(echo) as (endpoint, plane), plane.connect() as client:
        assert is_alive(client)
        plane.apply([pool(endpoint)], [flow_listener(id="other")])
        assert is_alive(client)


def test_flows_of_an_endpoint_that_drains_have_a_time_to_finish() -> None:
    flows = contract.PoolFlows(drain_ms=400)
    with carrying(echo, flows=flows) as (endpoint, plane), plane.connect() as client:
        assert is_alive(client)
        plane.mark(contract.Mark("site", endpoint.name, draining=True))
        assert is_alive(client)
        assert client.is_closed()
        assert flow_endings(plane, 1) == {"drained": 1}


def test_flows_may_finish_while_the_balancer_stops_and_are_cut_when_the_grace_is_over() -> None:
    with carrying(echo) as (_, plane):
        with plane.connect() as one, plane.connect() as other:
            assert is_alive(one) and is_alive(other)
            plane.stop(None)
            assert is_alive(one)
            one.finish()
            assert one.rest() == b""
            assert is_alive(other)
            plane.stop(100)
            assert other.is_closed()
        assert plane.wait_event("stopped").what == contract.Stopped(cut=1)


def test_flows_beyond_an_endpoints_limit_wait_in_line() -> None:
    protection = contract.Protection(limit=contract.FixedLimit(1), queue=contract.Queue(10, 20_000, 40_000))
    with carrying(named("a"), protection=protection) as (_, plane):
        with plane.connect() as first, plane.connect() as second:
            assert first.stream.exactly(1) == b"a"
            plane.wait_stats(lambda _: plane.pool().waiting == 1)
            assert second.gets_nothing()
            first.close()
            assert second.stream.exactly(1) == b"a"


def test_one_client_has_so_many_flows_and_no_more() -> None:
    only = flow_listener(limits=client_limits(connections_per_client=2))
    with carrying(named("a"), only) as (_, plane):
        with plane.connect() as one, plane.connect() as two, plane.connect() as three:
            assert one.stream.exactly(1) == two.stream.exactly(1) == b"a"
            assert three.is_closed()
        plane.wait_stats(lambda stats: stats.listeners[0].turned_away == 1)


def test_a_rate_limit_closes_what_is_too_much() -> None:
    limit = contract.RateLimit("new", contract.ClientKey(), requests=2, per_ms=3_600_000, burst=2)
    with carrying(named("a"), flow_listener(flow_route(limits=[limit]))) as (_, plane):
        with plane.connect() as one, plane.connect() as two, plane.connect() as three:
            assert one.stream.exactly(1) == two.stream.exactly(1) == b"a"
            assert three.is_closed()
        assert flow_endings(plane, 3) == {"ok": 2, "rate_limited": 1}


def test_each_flow_has_a_line_in_the_access_log(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with ScriptedEndpoint(echo) as endpoint:
        access_log = contract.AccessLog("json", str(log))
        with RunningPlane([pool(endpoint)], [flow_listener()], access_log=access_log) as plane:
            with plane.connect() as client:
                assert is_alive(client)
                client.finish()
                client.rest()
            eventually(lambda: log.exists() and log.read_text().endswith("\n"), lambda: "a line")
            line = json.loads(log.read_text())
    assert (line["client"], line["listener"], line["route"]) == ("127.0.0.1", "web", "all")
    assert (line["pool"], line["endpoint"], line["attempts"]) == ("site", endpoint.name, 1)
    assert (line["received_bytes"], line["sent_bytes"], line["ending"]) == (4, 4, "ok")
    assert line["total_ms"] >= line["connect_ms"]


def test_flows_keep_their_clients_with_one_endpoint() -> None:
    sessions = contract.Sessions(
        by=contract.ByKey(contract.ClientKey(), contract.SessionTable(60_000, 1_000)), strict=False
    )
    with ScriptedEndpoint(named("a")) as one, ScriptedEndpoint(named("b")) as other:
        with RunningPlane([pool(one, other, sessions=sessions)], [flow_listener()]) as plane:
            names = set()
            for _ in range(6):
                with plane.connect() as client:
                    names.add(client.stream.exactly(1))
            assert len(names) == 1


def test_threads_share_what_they_know_of_endpoints() -> None:
    flows = contract.PoolFlows(on_down="close")
    with ScriptedEndpoint(echo) as endpoint:
        with RunningPlane([pool(endpoint, flows=flows)], [flow_listener()], threads=3) as plane:
            clients = [plane.connect() for _ in range(24)]
            assert all(is_alive(client) for client in clients)
            assert open_flows(plane) == 24
            plane.mark(down(endpoint))
            assert all(client.is_closed() for client in clients)
            for client in clients:
                client.close()
            assert flow_endings(plane, 24) == {"endpoint_down": 24}
    assert threading.active_count() < 30
