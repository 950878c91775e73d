"""A check takes an endpoint out and back, for everybody to see."""

import json
import re
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from tests.support.eventually import eventually
from tests.support.program import Bascule, ToyEndpoint, command, free_port, get, written

CHECK = ", check: {http: /healthz, every: 30ms, timeout: 1s, rise: 2, fall: 3}"


def endpoint(folder: Path, name: str) -> dict[str, Any]:
    """What the status says about an endpoint."""
    (pool,) = json.loads(command(folder, "status", "--json").out)["pools"]
    found: dict[str, Any] = next(it for it in pool["endpoints"] if it["endpoint"] == name)
    return found


def metrics(address: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The page as Prometheus' own parser reads it, by name and labels."""
    families = text_string_to_metric_families(get(address, "/metrics").body.decode())
    return {
        (it.name, tuple(sorted(it.labels.items()))): it.value for family in families for it in family.samples
    }


def test_an_endpoint_that_fails_is_taken_out_and_comes_back(folder: Path, toys: list[ToyEndpoint]) -> None:
    well, sick = toys
    port = free_port()
    admin = f'admin: {{metrics: "127.0.0.1:{port}"}}\n'
    (folder / "bascule.yaml").write_text(written(toys, admin, pool=f"{CHECK}, algorithm: round_robin"))
    with Bascule(folder, "run") as running:
        address = running.ready().address()
        assert {get(address).body.decode() for _ in range(4)} == {well.name, sick.name}

        sick.health = "503 Service Unavailable"
        running.wait_said('"endpoint is down"', sick.name, "HTTP 503 from GET /healthz, wanted 200-399")
        assert {get(address).body.decode() for _ in range(4)} == {well.name}
        seen = endpoint(folder, sick.name)
        assert (seen["up"], seen["reason"]) == (False, "HTTP 503 from GET /healthz, wanted 200-399")
        assert re.search(rf"{sick.name} +down .* HTTP 503 from GET /healthz", command(folder, "status").out)
        sick_labels = (("endpoint", sick.name), ("pool", "site"))
        assert metrics(f"127.0.0.1:{port}")["bascule_endpoint_up", sick_labels] == 0

        sick.health = "200 OK"
        running.wait_said('"endpoint is up"', sick.name, "http check passed")
        assert {get(address).body.decode() for _ in range(4)} == {well.name, sick.name}
        counted = metrics(f"127.0.0.1:{port}")
        assert counted["bascule_endpoint_up", sick_labels] == 1
        answered = [
            value
            for (name, labels), value in counted.items()
            if name == "bascule_requests_total" and ("code", "200") in labels
        ]
        assert sum(answered) == 12


def test_who_begins_as_down_gets_no_request_before_the_first_check_passes(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    for toy in toys:
        toy.health = "503 Service Unavailable"
    check = "{http: /healthz, every: 30ms, rise: 1000, initially: down}"
    (folder / "bascule.yaml").write_text(written(toys, pool=f", panic: 0%, check: {check}"))
    with Bascule(folder, "run") as running:
        address = running.ready().address()
        eventually(lambda: len(toys[0].requests) >= 3, "it is not checked")
        assert get(address).status == 503
        assert [toy.asked() for toy in toys] == [0, 0]
        assert endpoint(folder, toys[0].name)["up"] is False


def test_the_first_outcome_takes_an_endpoint_in_whatever_rise_is(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    check = "{http: /healthz, every: 10m, rise: 1000, initially: down}"
    (folder / "bascule.yaml").write_text(written(toys, pool=f", panic: 0%, check: {check}"))
    with Bascule(folder, "run") as running:
        running.ready().wait_said('"endpoint is up"', count=2)
        assert get(running.address()).status == 200
