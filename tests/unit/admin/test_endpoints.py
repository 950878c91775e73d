"""One endpoint over the admin API: what it does, and what an operator wants of it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.support.running import TWO_ENDPOINTS, Running, running

from bascule import contract
from bascule.admin.app import admin_app

STATE = "/pools/site/endpoints/10.0.0.1:8000/state"
SOCKET = TWO_ENDPOINTS.replace('"10.0.0.2:8000"', '"unix:/run/app/state"')


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as scene:
        scene.plane.told.clear()
        yield scene


def client_of(scene: Running) -> httpx2.AsyncClient:
    app = admin_app(scene.balancer, over_unix=True)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://admin")


@pytest.fixture
async def client(scene: Running) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(scene) as client:
        yield client


async def test_an_endpoint_is_told_as_in_the_status(scene: Running, client: httpx2.AsyncClient) -> None:
    endpoint = contract.EndpointStats("site", "10.0.0.1:8000", True, False, 1, 4, 5, 6, 7, 8, 9, limit=16)
    scene.plane.counted = contract.Stats(endpoints=(endpoint,))
    told: dict[str, Any] = (await client.get(STATE)).json()
    status = (await client.get("/status")).json()
    assert told == {"pool": "site", **status["pools"][0]["endpoints"][0]}
    assert (told["state"], told["in_flight"], told["limit"]) == ("up", 4, 16)
    assert told["operator"] == {"state": "ready", "weight": None}
    assert scene.plane.marks == []


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_state_is_in_force_when_it_is_answered(
    scene: Running, client: httpx2.AsyncClient, method: str
) -> None:
    answer = await client.request(method, STATE, json={"state": "drain"})
    assert answer.status_code == 200
    assert answer.json()["operator"] == {"state": "drain", "weight": None}
    assert "draining by command" in answer.json()["reason"]
    assert [(mark.draining, mark.maintenance) for mark in scene.plane.marks] == [(True, False)]


async def test_only_what_is_written_changes(scene: Running, client: httpx2.AsyncClient) -> None:
    await client.post(STATE, json={"state": "maintenance"})
    await client.post(STATE, json={"weight": 5})
    assert (await client.get(STATE)).json()["operator"] == {"state": "maintenance", "weight": 5}
    await client.post(STATE, json={"state": "ready"})
    assert (await client.get(STATE)).json()["operator"] == {"state": "ready", "weight": 5}
    await client.post(STATE, json={"weight": None})
    assert (await client.get(STATE)).json()["operator"] == {"state": "ready", "weight": None}
    assert [mark.weight for mark in scene.plane.marks] == [None, 5, 5, 1]


async def test_what_was_commanded_survives_a_reload(scene: Running, client: httpx2.AsyncClient) -> None:
    await client.post(STATE, json={"state": "drain"})
    scene.file.write_text(TWO_ENDPOINTS.replace("10.0.0.2", "10.0.0.3"))
    assert (await client.post("/reload")).status_code == 200
    assert (await client.get(STATE)).json()["operator"]["state"] == "drain"


@pytest.mark.parametrize("written", ["unix:/run/app/state", "unix:%2Frun%2Fapp%2Fstate"])
async def test_an_endpoint_may_be_the_path_of_a_unix_socket(tmp_path: Path, written: str) -> None:
    async with running(tmp_path, SOCKET) as scene, client_of(scene) as client:
        answer = await client.post(f"/pools/site/endpoints/{written}/state", json={"state": "drain"})
        assert answer.json()["endpoint"] == "unix:/run/app/state"
        assert (await client.get("/pools/site/endpoints/unix:/run/app/state")).status_code == 404


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_who_is_not_there_is_not_found_and_said_who_is(client: httpx2.AsyncClient, method: str) -> None:
    body = {"state": "drain"} if method == "POST" else None
    answer = await client.request(method, "/pools/site/endpoints/10.0.0.3:8000/state", json=body)
    assert answer.status_code == 404
    assert "its endpoints: 10.0.0.1:8000, 10.0.0.2:8000" in answer.json()["error"]
    answer = await client.request(method, "/pools/sight/endpoints/10.0.0.1:8000/state", json=body)
    assert (answer.status_code, 'did you mean "site"?' in answer.json()["error"]) == (404, True)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "the body must hold a state or a weight"),
        (b"{}", "the body must hold a state or a weight"),
        (b"[]", "the body must be a JSON object"),
        (b'{"state": "draining"}', "state must be ready, drain, maintenance, not 'draining'"),
        (b'{"state": ["drain"]}', "state must be ready, drain, maintenance"),
        (b'{"state": null}', "state must be ready, drain, maintenance"),
        (b'{"weight": -1}', "weight must be 0 to 65535"),
        (b'{"weight": 65536}', "weight must be 0 to 65535"),
        (b'{"weight": true}', "weight must be 0 to 65535"),
        (b'{"weight": 1.5}', "weight must be 0 to 65535"),
        (b'{"state": "drain", "wieght": 1}', "there is no wieght; there are state and weight"),
    ],
)
async def test_a_wish_that_makes_no_sense_changes_nothing(
    scene: Running, client: httpx2.AsyncClient, body: bytes, error: str
) -> None:
    answer = await client.post(STATE, content=body)
    assert answer.status_code == 400
    assert error in answer.json()["error"]
    assert scene.plane.marks == []


async def test_a_state_is_changed_only_by_post_and_put(client: httpx2.AsyncClient) -> None:
    for method in ("PATCH", "DELETE"):
        assert (await client.request(method, STATE, json={"state": "drain"})).status_code == 405
