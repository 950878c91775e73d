"""Requests that come too fast get 429, and are told when to come again."""

import pytest
from tests.support.endpoints import ScriptedEndpoint
from tests.support.plane import RunningPlane, forwarded, listener, pool, route
from tests.support.raw import request

from bascule import contract


def limit(by: contract.KeyBy | None = None, burst: int = 2, per_ms: int = 3_600_000) -> contract.RateLimit:
    """So slow that no test sees a bucket fill again."""
    return contract.RateLimit("all", by, requests=10, per_ms=per_ms, burst=burst)


def statuses(plane: RunningPlane, *sent: bytes) -> list[int]:
    with plane.connect() as client:
        return [client.ask(each).status for each in sent]


def test_beyond_the_burst_a_client_is_told_when_to_come_again_and_may_stay_connected() -> None:
    with ScriptedEndpoint() as endpoint:
        listening = listener(route(limits=(limit(),)))
        with RunningPlane([pool(endpoint)], [listening], threads=2) as plane:
            assert statuses(plane, *[request()] * 4) == [200, 200, 429, 429]
            refused = plane.ask(request())
            # Ten an hour: the next one in six minutes.
            assert 300 < int(refused.fields.one("Retry-After") or 0) <= 360
            assert refused.fields.one("RateLimit-Policy") == '"all";q=10;w=3600'
            assert (refused.fields.one("RateLimit") or "").startswith('"all";r=0;t=3')
            assert len(endpoint.requests) == 2
            assert plane.endings(5) == {"ok": 2, "rate_limited": 3}


@pytest.mark.parametrize(
    ("by", "one", "other"),
    [
        (contract.HeaderKey("X-Api-Key"), "X-Api-Key: ada", "X-Api-Key: grace"),
        (contract.CookieKey("sid"), "Cookie: sid=1", "Cookie: sid=2"),
        (contract.ClientKey(), "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2"),
    ],
    ids=lambda it: getattr(it, "kind", ""),
)
def test_each_key_has_a_bucket_of_its_own(by: contract.KeyBy, one: str, other: str) -> None:
    listening = listener(route(limits=(limit(by),)), forwarded=forwarded(trusted=["127.0.0.0/8"]))
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)], [listening]) as plane:
        first, second = request("GET", "/", one), request("GET", "/", other)
        assert statuses(plane, first, first, first, second, second, second) == [200, 200, 429, 200, 200, 429]


def test_a_request_without_the_key_is_not_limited() -> None:
    listening = listener(route(limits=(limit(contract.HeaderKey("X-Api-Key")),)))
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)], [listening]) as plane:
        assert statuses(plane, *[request()] * 5) == [200] * 5


def test_a_reload_fills_no_bucket() -> None:
    listening = listener(route(limits=(limit(),)))
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)], [listening]) as plane:
        assert statuses(plane, *[request()] * 3) == [200, 200, 429]
        plane.apply([pool(endpoint)], [listening])
        assert statuses(plane, request()) == [429]


def test_a_request_with_a_body_is_refused_before_it_is_read() -> None:
    listening = listener(route(limits=(limit(burst=1),)))
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)], [listening]) as plane:
        assert statuses(plane, request()) == [200]
        with plane.connect() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
            assert client.response().status == 429
            assert client.is_closed()
