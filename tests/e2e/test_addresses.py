"""Where a balancer listens, where it is asked, what it writes, and what it takes of the machine."""

import json
import socket
from pathlib import Path

import pytest
from tests.support.endpoints import ScriptedEndpoint
from tests.support.program import Bascule, ToyEndpoint, command, free_port, get, written


def test_it_accepts_on_unix_sockets_and_on_both_kinds_of_ip(folder: Path, toys: list[ToyEndpoint]) -> None:
    binds = f'["127.0.0.1:0", "[::1]:0", "unix:{folder}/web.sock", {{unix: {folder}/all.sock, mode: "666"}}]'
    (folder / "bascule.yaml").write_text(written(toys).replace('"127.0.0.1:0"', binds))
    with Bascule(folder, "run") as running:
        addresses = running.ready().addresses()
        assert len(addresses) == 4
        for address in addresses:
            assert get(address).status == 200
        assert (folder / "all.sock").stat().st_mode & 0o777 == 0o666
        assert (folder / "web.sock").stat().st_mode & 0o777 == 0o660
        assert (folder / "admin.sock").stat().st_mode & 0o777 == 0o600
        assert command(folder, "stop").code == 0
    assert list(folder.glob("*.sock")) == []


def test_endpoints_may_be_unix_sockets(folder: Path) -> None:
    with ScriptedEndpoint(path=folder / "app.sock") as endpoint:
        content = written([]).replace("endpoints: []", f'endpoints: ["unix:{endpoint.name}"]')
        (folder / "bascule.yaml").write_text(content)
        with Bascule(folder, "run") as running:
            assert get(running.ready().address()).status == 200


def test_a_second_balancer_with_the_same_admin_socket_does_not_start(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    (folder / "bascule.yaml").write_text(written(toys))
    with Bascule(folder, "run") as running:
        running.ready()
        second = command(folder, "run")
        assert second.code == 1
        assert second.err.startswith(
            f"bascule: another balancer listens on unix:{folder}/admin.sock (process {running.pid})\n"
        )
        assert get(running.address()).status == 200
        third = command(folder, "run", "--admin", f"unix:{folder}/bascule.yaml")
        assert third.code == 1
        assert "a file that is not a socket is there" in third.err


def test_a_balancer_that_was_killed_leaves_nothing_in_the_way(folder: Path, toys: list[ToyEndpoint]) -> None:
    content = written(toys).replace("127.0.0.1:0", f"unix:{folder}/web.sock")
    (folder / "bascule.yaml").write_text(content)
    with Bascule(folder, "run") as killed:
        killed.ready()
    assert (folder / "admin.sock").exists() and (folder / "web.sock").exists()
    with Bascule(folder, "run") as running:
        assert get(running.ready().address()).status == 200


@pytest.mark.parametrize(
    "words", [("run",), ("proxy", "127.0.0.1:{port}", "--to", ":1")], ids=lambda it: it[0]
)
def test_a_port_in_use_is_said_and_nothing_stays(
    folder: Path, toys: list[ToyEndpoint], words: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (folder / "bascule.yaml").write_text(written(toys).replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        done = command(folder, *(word.format(port=port) for word in words))
    assert done.code == 1
    name = "web" if words[0] == "run" else "proxy"
    assert f'bascule: listener "{name}" cannot bind 127.0.0.1:{port}: ' in done.err
    assert "in use" in done.err
    assert "Traceback" not in done.err
    assert not (folder / "admin.sock").exists()


def test_the_admin_side_over_tcp_and_what_monitoring_may_see(folder: Path, toys: list[ToyEndpoint]) -> None:
    port, metrics = free_port(), free_port()
    admin = f'admin: {{metrics: "127.0.0.1:{metrics}"}}\n'
    (folder / "bascule.yaml").write_text(written(toys, admin))
    with Bascule(folder, "run", "--admin", f"127.0.0.1:{port}") as running:
        running.wait_said(f"metrics    http://127.0.0.1:{metrics}/metrics")
        asked = f"127.0.0.1:{port}"
        assert json.loads(get(asked, "/status").body)["state"] == "running"
        assert command(folder, "status", "--admin", asked).code == 0
        assert get(asked, "/status", Host="evil.example").status == 403
        for path in ("/healthz", "/readyz", "/ready", "/ping", "/metrics"):
            assert get(f"127.0.0.1:{metrics}", path).status == 200
        for path in ("/status", "/config"):
            assert get(f"127.0.0.1:{metrics}", path).status == 404


def test_the_access_log_is_json_on_standard_output_unless_told_otherwise(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    (folder / "bascule.yaml").write_text(written(toys).replace("access_log: off\n", ""))
    with Bascule(folder, "run") as running:
        assert get(running.ready().address(), "/seen?by=log").status == 200
        running.until(lambda: len(running.written) == 1)
        line = json.loads(running.written[0])
        assert (line["method"], line["status"], line["ending"]) == ("GET", 200, "ok")
        assert line["endpoint"] in {it.name for it in toys}


@pytest.mark.parametrize("off", ["off", "false", '"off"', "none"])
def test_every_way_to_write_off_turns_the_access_log_off(folder: Path, off: str) -> None:
    content = 'threads: 1\nlisteners: {http: {bind: "127.0.0.1:0", routes: [{pool: origin}]}}\n'
    content += 'pools: {origin: {algorithm: round_robin, endpoints: ["127.0.0.1:9501", "127.0.0.1:9502"]}}\n'
    (folder / "bascule.yaml").write_text(f"{content}access_log: {off}\n")
    snapshot = json.loads(command(folder, "plan", "--snapshot").out)
    assert snapshot["access_log"] is None
    assert [it["id"] for it in snapshot["pools"][0]["endpoints"]] == ["127.0.0.1:9501", "127.0.0.1:9502"]


def test_it_has_as_many_threads_as_it_is_told_and_computes_nothing_while_idle(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    (folder / "bascule.yaml").write_text(written(toys, "threads: 3\n"))
    with Bascule(folder, "run", "--watch") as running:
        assert get(running.ready().address()).status == 200
        assert sorted(it for it in running.threads() if it[-1].isdigit()) == [
            f"bascule-{n}" for n in range(3)
        ]
        assert running.quiet_for(1.0) <= 1


def test_the_limit_on_open_files_is_raised_and_a_low_one_is_said(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    (folder / "bascule.yaml").write_text(written(toys))
    with Bascule(folder, "run", limit_files="256:2048") as running:
        running.ready().wait_said("few files may be open", '"limit": 2048')
        limits = Path(f"/proc/{running.pid}/limits").read_text()
        (line,) = [it.split() for it in limits.splitlines() if it.startswith("Max open files")]
        assert line[3:5] == ["2048", "2048"]
