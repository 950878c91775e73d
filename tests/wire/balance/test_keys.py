"""Equal keys go to the same endpoint, on every balancer, and one that fails moves only its own."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from tests.support.endpoints import ScriptedEndpoint, answering, response
from tests.support.plane import RunningPlane, pool
from tests.support.raw import request

from bascule import contract


@contextmanager
def named(count: int) -> Iterator[list[ScriptedEndpoint]]:
    with ExitStack() as ending:
        endpoints = [ending.enter_context(ScriptedEndpoint()) for _ in range(count)]
        for endpoint in endpoints:
            endpoint.script = answering(response(body=endpoint.name.encode()))
        yield endpoints


def homes(plane: RunningPlane, requests: list[bytes]) -> list[bytes]:
    with plane.connect() as client:
        return [client.ask(each).body for each in requests]


@pytest.mark.parametrize("table", ["maglev", "ring", "rendezvous"])
def test_a_key_has_one_home_on_every_balancer_and_after_a_failure_only_its_own_keys_move(table: str) -> None:
    options = {"by": {"kind": "header", "name": "X-Shard"}, "table": table}
    asked = [request("GET", "/", f"X-Shard: {number}") for number in range(60)]
    with named(4) as endpoints, RunningPlane([pool(*endpoints, algorithm="hash", options=options)]) as plane:
        first = homes(plane, asked)
        assert len(set(first)) == 4
        assert homes(plane, asked) == first
        with RunningPlane([pool(*reversed(endpoints), algorithm="hash", options=options)]) as other:
            assert homes(other, asked) == first
        plane.mark(contract.Mark("site", endpoints[0].name, up=False))
        moved = homes(plane, asked)
        lost = endpoints[0].name.encode()
        assert all(new == old for new, old in zip(moved, first, strict=True) if old != lost)
        assert lost not in moved
        plane.mark(contract.Mark("site", endpoints[0].name, up=True))
        assert homes(plane, asked) == first


@pytest.mark.parametrize(
    ("by", "equal"),
    [
        ({"kind": "path"}, [request("GET", "/a?x=1"), request("GET", "/a?x=2")]),
        ({"kind": "uri"}, [request("GET", "/a?x=1")]),
        ({"kind": "host"}, [request("GET", "/a"), request("GET", "/b")]),
        ({"kind": "query", "name": "id"}, [request("GET", "/a?id=7"), request("GET", "/b?n=1&id=7")]),
        (
            {"kind": "cookie", "name": "sid"},
            [request("GET", "/", "Cookie: a=b; sid=7"), request("GET", "/", "Cookie: sid=7")],
        ),
        ({"kind": "client"}, [request("GET", "/a"), request("GET", "/b", "X: y")]),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_every_part_of_a_request_can_be_its_key(by: dict[str, str], equal: list[bytes]) -> None:
    with (
        named(5) as endpoints,
        RunningPlane([pool(*endpoints, algorithm="hash", options={"by": by})]) as plane,
    ):
        assert len(set(homes(plane, equal * 3))) == 1
