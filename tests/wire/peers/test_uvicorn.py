"""An ASGI application under uvicorn as the endpoint."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.plane import RunningPlane, forwarded, listener, pool
from tests.support.processes import Program, run_tool
from tests.support.raw import RawClient, request

from bascule import contract


@contextmanager
def in_front_of_uvicorn(folder: Path) -> Iterator[RunningPlane]:
    path = folder / "uvicorn"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "uvicorn",
        "tests.support.asgi_program:app",
        "--uds",
        path,
    ]
    with Program(command) as program:
        eventually(lambda: path.exists() or not program.is_running(), "uvicorn starts")
        eventually(lambda: _accepts(path), "uvicorn accepts")
        endpoint = contract.Endpoint("uvicorn", contract.UnixAddress(str(path)), weight=1)
        with RunningPlane([pool(endpoint)], [listener(forwarded=forwarded(True))]) as plane:
            yield plane


def _accepts(path: Path) -> bool:
    try:
        RawClient(f"unix:{path}").close()
    except ConnectionRefusedError:
        return False
    return True


def test_an_application_is_served_on_one_connection(short_path: Path) -> None:
    body = b"0123456789" * 100_000
    with in_front_of_uvicorn(short_path) as plane, plane.connect() as client:
        streamed = client.ask(request("GET", "/stream"))
        assert streamed.body == b"".join(b"%d\n" % number for number in range(100))
        assert client.ask(request("POST", "/echo", body=body)).body == body
        chunked = b"".join(b"%x\r\n%b\r\n" % (1000, body[at : at + 1000]) for at in range(0, len(body), 1000))
        sent = request("POST", "/echo", "Transfer-Encoding: chunked") + chunked + b"0\r\n\r\n"
        assert client.ask(sent).body == body
        seen = json.loads(client.ask(request("GET", "/a%20b?c", "Connection: X-Gone", "X-Gone: 1")).body)
        assert seen["path"] == "/a b"
        assert seen["fields"] == {
            "host": "bascule.test",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-proto": "http",
            "x-forwarded-host": "bascule.test",
        }
        assert plane.endings(4) == {"ok": 4}
        assert plane.endpoint("uvicorn").connects == 1


def test_curl_speaks_http_1_0_through_us_to_it(short_path: Path) -> None:
    with in_front_of_uvicorn(short_path) as plane:
        said = run_tool("curl", "-s", "--http1.0", f"http://{plane.address()}/stream")
        assert said.splitlines() == [str(number) for number in range(100)]
        assert plane.endings(1) == {"ok": 1}
