"""The examples are valid, and do what they say when they are started.

Those of databases are started with databases, in `tests/e2e`.
"""

import http.client
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.eventually import PATIENCE, eventually
from tests.support.processes import Program

from bascule.control.origin import FileOrigin
from bascule.control.reload import prepare
from bascule.plane import embedded

EXAMPLES = Path(__file__).parents[3] / "examples"
CONFIGURATIONS = sorted([*EXAMPLES.glob("*.yaml"), *EXAMPLES.glob("*/bascule.py")])


@pytest.mark.parametrize("example", CONFIGURATIONS, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_an_example_is_valid_and_warns_of_nothing(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for secret in ("DB_PASSWORD", "REDIS_PASSWORD"):
        monkeypatch.setenv(secret, "a-long-password")
    assert prepare(FileOrigin(example), embedded.catalog()).warnings == ()


@dataclass
class Started:
    """An example that runs, on ports of its own."""

    connection: http.client.HTTPConnection
    """One for all requests: they meet one thread, whose turns are what is counted on."""
    endpoints: dict[str, str]
    """What is written in the example → where it is."""

    def get(
        self, path: str, host: str = "example.com", cookie: str | None = None
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers in lower case, and body."""
        headers = {"Host": host} if cookie is None else {"Host": host, "Cookie": cookie}
        self.connection.request("GET", path, headers=headers)
        response = self.connection.getresponse()
        body = response.read().decode()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, body

    def served_by(self, path: str, host: str = "example.com") -> str:
        """The endpoint that answered, as it is written in the example."""
        status, headers, _ = self.get(path, host)
        assert status == 200
        return next(written for written, at in self.endpoints.items() if at == headers["x-served-by"])


@contextmanager
def started(name: str, folder: Path, endpoints: int) -> Iterator[Started]:
    """Runs a copy of an example with toy endpoints in the place of 127.0.0.1:9001 and so on."""
    shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
    with ExitStack() as ending:
        toys = ending.enter_context(program("echo", *["127.0.0.1:0"] * max(1, endpoints)))
        found = {f"127.0.0.1:{9001 + at}": toys.line(at).rpartition("/")[2] for at in range(endpoints)}
        for file in [*folder.glob("*.*"), *folder.glob("*/*.py")]:
            file.write_text(with_ports(file.read_text(), found))
        admin = f"unix:{folder}/admin.sock"
        balancer = ending.enter_context(program("run", str(folder / name), "--admin", admin))
        at = next(at for at in range(20) if "  listening  " in balancer.line(at))
        listens_on = balancer.line(at).split()[1].removeprefix("http://")
        connection = http.client.HTTPConnection(listens_on, timeout=PATIENCE)
        ending.callback(connection.close)
        yield Started(connection, found)
        balancer.terminate()


def with_ports(text: str, found: dict[str, str]) -> str:
    """Free ports for listeners, and the toys' for endpoints."""
    for port, address in ((8080, "127.0.0.1:0"), (8081, "127.0.0.2:0"), (9100, "127.0.0.1:0")):
        text = text.replace(f"127.0.0.1:{port}", address)
    for written, at in found.items():
        text = text.replace(written, at)
    return text


def program(*words: str) -> Program:
    return Program([sys.executable, "-m", "bascule", *words])


def test_the_basic_example_spreads_requests(tmp_path: Path) -> None:
    with started("basic.yaml", tmp_path, 3) as example:
        served = {example.served_by("/") for _ in range(12)}
        assert served == {"127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"}


def test_the_api_example_routes_rewrites_and_answers(tmp_path: Path) -> None:
    with started("api-and-site.yaml", tmp_path, 4) as example:
        status, headers, body = example.get("/v1/users?x=1", "api.example.com")
        seen = json.loads(body)
        assert (status, headers["cache-control"]) == (200, "no-store")
        assert (seen["path"], seen["query"]) == ("/users", "x=1")
        assert ["x-route", "web/api"] in seen["headers"]
        assert example.served_by("/other") in ("127.0.0.1:9003", "127.0.0.1:9004")
        assert example.get("/old/page")[1]["location"] == "http://example.com/new/"
        assert example.get("/robots.txt")[2].startswith("User-agent: *")
        assert example.get("/x/../v1//admin/users")[0] == 403
        assert example.get("/v1/admin/users", "api.example.com")[0] == 200


def test_the_canary_example_splits_and_tells_deadlines(tmp_path: Path) -> None:
    with started("canary.yaml", tmp_path, 4) as example:
        served = [example.served_by("/") for _ in range(400)]
        assert 1 <= served.count("127.0.0.1:9003") <= 60
        assert served.count("127.0.0.1:9004") == 0
        deadline = dict(json.loads(example.get("/pay")[2])["headers"])["x-deadline-ms"]
        assert 0 < int(deadline) <= 5000


def test_the_session_example_keeps_a_client_on_its_endpoint(tmp_path: Path) -> None:
    with started("sessions.yaml", tmp_path, 3) as example:
        cookie = example.get("/")[1]["set-cookie"].partition(";")[0]
        assert cookie.startswith("shop=")
        served = {example.get("/", cookie=cookie)[1]["x-served-by"] for _ in range(20)}
        assert len(served) == 1
        assert served < {example.endpoints["127.0.0.1:9001"], example.endpoints["127.0.0.1:9002"]}


def test_the_protection_example_serves(tmp_path: Path) -> None:
    with started("protection.yaml", tmp_path, 3) as example:
        assert {example.get("/")[0] for _ in range(12)} == {200}


def test_the_file_example_follows_its_file(tmp_path: Path) -> None:
    with started("file-source.yaml", tmp_path, 2) as example:
        assert {example.served_by("/") for _ in range(8)} == {"127.0.0.1:9001", "127.0.0.1:9002"}
        fresh = tmp_path / "endpoints.new"
        fresh.write_text(f"{example.endpoints['127.0.0.1:9002']}\n")
        fresh.rename(tmp_path / "endpoints.txt")
        eventually(
            lambda: {example.served_by("/") for _ in range(8)} == {"127.0.0.1:9002"},
            "still the old endpoints",
        )


def test_the_python_example_has_a_pool_for_each_tenant(tmp_path: Path) -> None:
    with started("python/bascule.py", tmp_path, 4) as example:
        assert example.served_by("/", "blue.example.com") in ("127.0.0.1:9001", "127.0.0.1:9002")
        assert example.served_by("/", "green.example.com") in ("127.0.0.1:9003", "127.0.0.1:9004")
        assert example.get("/", "red.example.com")[::2] == (404, "no such tenant\n")


def test_the_dns_example_starts_although_its_names_are_unknown(tmp_path: Path) -> None:
    with started("dns.yaml", tmp_path, 0) as example:
        assert example.get("/")[0] == 503
