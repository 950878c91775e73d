"""The admin API, resource by resource."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from tests.support.running import TWO_ENDPOINTS, Running, running

from bascule import contract
from bascule.admin.app import admin_app, metrics_app
from bascule.admin.resources.body import LARGEST_BODY

THREE_ENDPOINTS = TWO_ENDPOINTS.replace('"10.0.0.2:8000"', '"10.0.0.2:8000", "10.0.0.3:8000"')


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path, busy=True) as scene:
        yield scene


def client_of(scene: Running, *, over_unix: bool = True) -> httpx2.AsyncClient:
    app = admin_app(scene.balancer, over_unix=over_unix)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1:9000")


@pytest.fixture
async def client(scene: Running) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(scene) as client:
        yield client


async def test_status_tells_listeners_pools_and_endpoints(scene: Running, client: httpx2.AsyncClient) -> None:
    scene.plane.counted = contract.Stats(
        generation=1,
        listeners=(contract.ListenerStats("web", accepted=5, open=2, requests=9, in_flight=1),),
        endpoints=(contract.EndpointStats("site", "10.0.0.2:8000", False, True, 3, 4, 5, 6, 7, 8, 9),),
    )
    status = (await client.get("/status")).json()
    assert (status["state"], status["generation"], status["problems"]) == ("running", 1, [])
    assert status["configuration"] == str(scene.file)
    assert status["listeners"] == [
        {
            "listener": "web",
            "addresses": ["127.0.0.1:40001"],
            "accepted": 5,
            "open": 2,
            "requests": 9,
            "in_flight": 1,
            "tunnels": 0,
            "flows": 0,
        }
    ]
    (pool,) = status["pools"]
    assert (pool["pool"], pool["algorithm"], pool["check"], pool["up"]) == ("site", "fastest", None, 1)
    one, other = pool["endpoints"]
    assert (one["endpoint"], one["up"], one["reason"]) == ("10.0.0.1:8000", True, "no check")
    assert (other["endpoint"], other["up"], other["draining"], other["weight"]) == (
        "10.0.0.2:8000",
        False,
        True,
        3,
    )
    assert other["in_flight"] == 4


async def test_it_is_ready_until_somebody_asks_it_to_stop(scene: Running, client: httpx2.AsyncClient) -> None:
    for path in ("/healthz", "/readyz", "/ready", "/ping"):
        assert (await client.get(path)).status_code == 200
    assert (await client.post("/stop")).status_code == 202
    for path in ("/readyz", "/ready", "/ping"):
        assert (await client.get(path)).status_code == 503
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/status")).json()["state"] == "stopping"


@pytest.mark.parametrize(("body", "grace"), [(None, 30_000), ({"now": True}, 0), ({"drain": True}, None)])
async def test_a_stop_says_how_long_exchanges_may_go_on(
    scene: Running, client: httpx2.AsyncClient, body: dict[str, bool] | None, grace: int | None
) -> None:
    await client.post("/stop", json=body)
    assert scene.plane.stops == [grace]


async def test_a_reload_says_what_changed(scene: Running, client: httpx2.AsyncClient) -> None:
    scene.file.write_text(THREE_ENDPOINTS)
    answer = await client.post("/reload")
    assert answer.status_code == 200
    assert answer.json() == {
        "generation": 2,
        "changes": [
            "listener web: unchanged (keeps its socket and connections)",
            "pool site: endpoint 10.0.0.3:8000 added",
        ],
        "warnings": [],
    }


async def test_a_broken_file_is_refused_with_every_problem(
    scene: Running, client: httpx2.AsyncClient
) -> None:
    scene.file.write_text(TWO_ENDPOINTS.replace("endpoints:", "endpoint:").replace("bind:", "binds:"))
    answer = await client.post("/reload")
    assert answer.status_code == 422
    assert {problem["line"] for problem in answer.json()["problems"]} == {2, 4}
    assert len(scene.plane.applied) == 1


async def test_what_the_data_plane_refuses_is_a_conflict(scene: Running, client: httpx2.AsyncClient) -> None:
    scene.file.write_text(THREE_ENDPOINTS)
    scene.plane.refuse_next("listener web: address in use")
    answer = await client.post("/reload")
    assert (answer.status_code, answer.json()) == (409, {"error": "listener web: address in use"})


@pytest.mark.parametrize("path", ["/reload", "/stop", "/plan"])
async def test_nothing_is_changed_by_a_get(scene: Running, client: httpx2.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 405
    assert scene.plane.stops == []


async def test_a_plan_of_its_own_file_changes_nothing(scene: Running, client: httpx2.AsyncClient) -> None:
    scene.file.write_text(THREE_ENDPOINTS)
    answer = (await client.post("/plan")).json()
    assert answer["differs"] and "pool site: endpoint 10.0.0.3:8000 added" in answer["changes"]
    assert len(scene.plane.applied) == 1


async def test_the_configuration_it_gives_is_the_one_it_would_not_change(
    scene: Running, client: httpx2.AsyncClient
) -> None:
    config = (await client.get("/config")).json()
    assert config["pools"]["site"]["panic"] is not None
    assert (await client.post("/plan", json={"config": config})).json()["differs"] is False


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"config": []}', 400),
        (b'{"config": {"pool": {}}}', 422),
        (b'{"config": {"include": ["/etc/passwd"]}}', 422),
        (b'{"config": {"pools": {"a": {"endpoints": [], "check": {"python": "os.abort"}}}}}', 422),
        (b" " * (LARGEST_BODY + 1), 413),
    ],
)
async def test_a_plan_that_makes_no_sense_is_refused(
    client: httpx2.AsyncClient, body: bytes, status: int
) -> None:
    answer = await client.post("/plan", content=body)
    assert answer.status_code == status
    assert answer.json()["error"]


async def test_variables_of_a_posted_plan_are_not_filled_in(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    config = {"pools": {"${SECRET}": {"endpoints": ["10.0.0.1:1"]}}}
    assert "hunter2" not in json.dumps((await client.post("/plan", json={"config": config})).json())


async def test_metrics_are_served_as_prometheus_reads_them(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\nbascule_config_last_reload_successful 1\n" in answer.text


async def test_a_refused_reload_shows_in_the_metrics_and_the_status(
    scene: Running, client: httpx2.AsyncClient
) -> None:
    scene.file.write_text("listeners: 1\n")
    await client.post("/reload")
    assert "\nbascule_config_last_reload_successful 0\n" in (await client.get("/metrics")).text
    reload = (await client.get("/status")).json()["last_reload"]
    assert reload["ok"] is False and "bascule.yaml:1:12" in reload["why"]


async def test_the_metrics_address_serves_nothing_else(scene: Running) -> None:
    transport = httpx2.ASGITransport(app=metrics_app(scene.balancer))
    async with httpx2.AsyncClient(transport=transport, base_url="http://lb.internal:9100") as client:
        for path in ("/metrics", "/healthz", "/readyz", "/ready", "/ping"):
            assert (await client.get(path)).status_code == 200
        state = "/pools/site/endpoints/10.0.0.1:8000/state"
        for path in ("/", "/status", "/config", "/reload", "/stop", "/plan", state):
            assert (await client.post(path)).status_code == 404
    assert scene.plane.stops == []


async def test_a_rebound_name_and_a_foreign_page_are_not_served(scene: Running) -> None:
    async with client_of(scene, over_unix=False) as client:
        assert (await client.post("/stop", headers={"Host": "evil.example"})).status_code == 403
        assert (await client.post("/stop", headers={"Origin": "http://evil.example"})).status_code == 403
        assert scene.plane.stops == []
        assert (await client.post("/stop")).status_code == 202
