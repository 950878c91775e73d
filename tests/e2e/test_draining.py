"""Endpoints are taken out of traffic and put back by command, by their agents, and by what traffic shows."""

import json
from pathlib import Path
from typing import Any

from tests.support.endpoints import Conversation, ScriptedEndpoint, response
from tests.support.eventually import eventually
from tests.support.program import Bascule, Getting, ToyEndpoint, command, get, written

PLAIN = ", algorithm: round_robin, hedge: off, retries: off"
"""One try for each request, in turns: what is asked is where it was sent."""


def endpoint(folder: Path, name: str) -> dict[str, Any]:
    """What the balancer says about an endpoint of the pool."""
    told: dict[str, Any] = json.loads(command(folder, "endpoint", f"site/{name}", "--json").out)
    return told


def served(address: str) -> set[str]:
    """Who answers."""
    return {get(address).body.decode() for _ in range(6)}


def test_a_drained_endpoint_finishes_what_it_has_and_gets_nothing_new(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    leaving, staying = toys
    name = f"site/{leaving.name}"
    # One thread: each has turns of its own.
    (folder / "bascule.yaml").write_text(written(toys, "threads: 1\n", pool=PLAIN))
    with Bascule(folder, "run") as running:
        address = running.ready().address()
        assert served(address) == {leaving.name, staying.name}
        leaving.may_answer.clear()
        held = [Getting(address) for _ in range(2)]
        eventually(lambda: endpoint(folder, leaving.name)["in_flight"] == 1, "nothing is in flight")

        done = command(folder, "endpoint", name, "drain")
        assert (done.code, done.out) == (0, "")
        assert done.err == f"{name} is draining, 1 in flight (draining by command; no check)\n"
        assert served(address) == {staying.name}
        done = command(folder, "wait", "endpoint", name, "drained", "--timeout", "100ms")
        assert (done.code, "1 in flight" in done.err) == (4, True)

        leaving.may_answer.set()
        assert command(folder, "wait", "endpoint", name, "drained").code == 0
        answers = [getting.outcome() for getting in held]
        assert {answer.body.decode() for answer in answers if not isinstance(answer, BaseException)} == {
            leaving.name,
            staying.name,
        }
        assert command(folder, "endpoint", name, "ready", "-q").code == 0
        assert command(folder, "wait", "endpoint", name, "ready", "-q").code == 0
        assert served(address) == {leaving.name, staying.name}


def test_commands_survive_a_reload_and_not_a_restart(folder: Path, toys: list[ToyEndpoint]) -> None:
    one, other = toys
    file = folder / "bascule.yaml"
    file.write_text(written(toys, pool=PLAIN))
    with Bascule(folder, "run") as running:
        address = running.ready().address()
        assert command(folder, "endpoint", f"site/{one.name}", "drain", "--weight", "5", "-q").code == 0
        file.write_text(written(toys, pool=PLAIN.replace("round_robin", "least_busy")))
        assert command(folder, "reload").code == 0
        assert served(address) == {other.name}
        assert endpoint(folder, one.name)["operator"] == {"state": "drain", "weight": 5}
        status = command(folder, "status").out
        assert f"{one.name}   draining" in status and "draining by command" in status
    with Bascule(folder, "run") as running:
        assert served(running.ready().address()) == {one.name, other.name}
        assert endpoint(folder, one.name)["operator"] == {"state": "ready", "weight": None}


def test_an_endpoint_in_maintenance_gets_neither_requests_nor_checks(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    one, other = toys
    check = ", check: {http: /healthz, every: 20ms, timeout: 1s}"
    (folder / "bascule.yaml").write_text(written(toys, pool=PLAIN + check))
    with Bascule(folder, "run") as running:
        address = running.ready().address()
        eventually(lambda: len(one.requests) >= 2, "it is not checked")
        assert command(folder, "endpoint", f"site/{one.name}", "maintenance", "-q").code == 0
        asked = len(other.requests)
        before = len(one.requests)
        assert served(address) == {other.name}
        eventually(lambda: len(other.requests) >= asked + 20, "the other is not checked")
        # One check may have been on its way.
        assert len(one.requests) <= before + 1
        assert endpoint(folder, one.name)["state"] == "maintenance"

        one.health = "503 Service Unavailable"
        assert command(folder, "endpoint", f"site/{one.name}", "ready", "-q").code == 0
        assert command(folder, "wait", "endpoint", f"site/{one.name}", "down", "--timeout", "10s").code == 0
        assert served(address) == {other.name}


def test_a_weight_of_zero_is_no_new_work(folder: Path, toys: list[ToyEndpoint]) -> None:
    one, other = toys
    (folder / "bascule.yaml").write_text(written(toys, pool=PLAIN))
    with Bascule(folder, "run") as running:
        address = running.ready().address()
        assert command(folder, "endpoint", f"site/{one.name}", "--weight", "0", "-q").code == 0
        assert served(address) == {other.name}
        assert command(folder, "endpoint", f"site/{other.name}", "drain", "-q").code == 0
        assert get(address).status == 503
        assert command(folder, "endpoint", f"site/{one.name}", "--weight", "default", "-q").code == 0
        assert served(address) == {one.name}


def test_an_agent_drains_its_endpoint_and_takes_it_down(folder: Path, toys: list[ToyEndpoint]) -> None:
    one, other = toys
    says = {"line": b"up 100%\n"}

    def answer(conversation: Conversation) -> None:
        conversation.send(says["line"])
        conversation.close()

    with ScriptedEndpoint(answer) as agent:
        asks = f", agent: {{port: {agent.name.rpartition(':')[2]}, every: 20ms}}"
        (folder / "bascule.yaml").write_text(written(toys, pool=f"{PLAIN}, panic: 0%{asks}"))
        with Bascule(folder, "run") as running:
            address = running.ready().address()
            assert served(address) == {one.name, other.name}
            says["line"] = b"drain 50%\n"
            running.wait_said('"agent says"', '"state": "drain"', count=2)
            assert get(address).status == 503
            told = endpoint(folder, one.name)
            assert (told["state"], told["weight"], told["reason"]) == (
                "draining",
                0.5,
                "draining as its agent says; no check",
            )
            says["line"] = b"ready, down #disk full\n"
            running.wait_said('"agent says"', '"reason": "disk full"', count=2)
            assert endpoint(folder, one.name)["reason"] == "down as its agent says: disk full; no check"
            says["line"] = b"hello\n"
            running.wait_said('"agent gives no usable answer"', count=2)
            assert f"2 of 2 agents give no usable answer: {one.name}: " in command(folder, "status").out
            says["line"] = b"up 100%\n"
            running.wait_said('"agent answers again"', count=2)
            assert command(folder, "wait", "endpoint", f"site/{one.name}", "ready").code == 0


class FailingEndpoint(ToyEndpoint):
    """Passes its checks and answers 500 to everything else."""

    def _serve_requests(self, conversation: Conversation) -> None:
        while True:
            is_check = conversation.read().target == "/healthz"
            conversation.send(response("200 OK" if is_check else "500 Internal Server Error", b"well"))


def test_what_traffic_ejects_is_told_beside_what_its_check_says(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    check = ", check: {http: /healthz, every: 20ms, timeout: 1s}, algorithm: round_robin"
    with FailingEndpoint() as failing:
        (folder / "bascule.yaml").write_text(written([*toys, failing], pool=check))
        with Bascule(folder, "run") as running:
            address = running.ready().address()
            while not any('"endpoint is ejected"' in line for line in running.said):
                assert get(address).status == 200, "another endpoint is asked instead"
            running.wait_said('"endpoint is ejected"', failing.name, '"reason": "5 failures in a row"')
            told = endpoint(folder, failing.name)
            assert (told["state"], told["up"], told["ejections"]) == ("ejected", True, 1)
            assert told["reason"] == "up by its check, ejected by traffic: 5 failures in a row"
            status = command(folder, "status").out
            assert "3 of 3 up, 1 ejected" in status
            assert command(folder, "wait", "endpoint", f"site/{failing.name}", "up").code == 0


def test_the_admin_api_takes_what_the_command_takes(folder: Path, toys: list[ToyEndpoint]) -> None:
    (folder / "bascule.yaml").write_text(written(toys, pool=PLAIN))
    admin = f"unix:{folder}/admin.sock"
    path = f"/pools/site/endpoints/{toys[0].name}/state"
    with Bascule(folder, "run") as running:
        running.ready()
        assert json.loads(get(admin, path).body)["state"] == "up"
        assert command(folder, "endpoint", f"site/{toys[0].name}", "drain", "-q").code == 0
        assert json.loads(get(admin, path).body)["state"] == "draining"
        page = get(admin, "/metrics").body.decode()
        labels = f'{{pool="site",endpoint="{toys[0].name}"}}'
        assert f"bascule_endpoint_draining{labels} 1\n" in page
        assert f"bascule_endpoint_maintenance{labels} 0\n" in page
