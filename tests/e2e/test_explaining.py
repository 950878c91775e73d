"""What `bascule explain` says is what happens."""

import json
from pathlib import Path

from tests.support.program import Bascule, ToyEndpoint, command, get, written

ROUTES = """
listeners:
  web:
    bind: 127.0.0.1:0
    routes:
      - match: {path: /old}
        redirect: "http://{host}/new{uri}"
      - match: {path: /api, method: POST}
        name: writes
        pool: site
    pool: site
pools:
  site:
    endpoints: [%s]
    algorithm: least_busy
"""


def test_the_running_balancer_says_where_a_request_goes_and_why(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    leaving, staying = toys
    (folder / "bascule.yaml").write_text(written(toys, pool=", algorithm: least_busy"))
    with Bascule(folder, "run") as running:
        address = running.ready().address()
        assert command(folder, "endpoint", f"site/{leaving.name}", "drain", "-q").code == 0
        told = command(folder, "explain", "http://shop.example/cart", "--listener", "web")
        assert told.code == 0, told.err
        assert f"- {leaving.name}  excluded: draining: only its sessions go there" in told.out
        assert f"\nendpoint   {staying.name}\n" in told.out
        assert get(address).body.decode() == staying.name

        port = address.rpartition(":")[2]
        told = command(folder, "explain", "GET", f"http://shop.example:{port}/", "--json")
        assert json.loads(told.out)["pools"][0]["order"] == [staying.name]
        # Nothing was sent: one request was counted.
        status = json.loads(command(folder, "status", "--json").out)
        assert status["listeners"][0]["requests"] == 1


def test_a_file_says_it_without_a_balancer(folder: Path) -> None:
    file = folder / "other.yaml"
    file.write_text(ROUTES % '"10.0.0.1:80", "10.0.0.2:80"')
    told = command(folder, "explain", "http://a.example/old?x", "--file", str(file))
    assert (told.code, told.out) == (
        0,
        "listener   web\n"
        "seen as    host a.example, path /old, client 127.0.0.1\n"
        "route      redirect\n"
        "answer     302, Location: http://a.example/new/old?x\n",
    )
    told = command(folder, "explain", "get", "http://a.example/api", "--file", str(file))
    assert "  passed   writes: not method POST\nroute      site\n" in told.out
    assert "endpoint   10.0.0.1:80; then 10.0.0.2:80\n" in told.out or (
        "endpoint   10.0.0.2:80; then 10.0.0.1:80\n" in told.out
    )


def test_a_question_that_makes_no_sense_is_answered_with_what_to_do(folder: Path) -> None:
    file = folder / "other.yaml"
    file.write_text(ROUTES % '"10.0.0.1:80"')
    told = command(folder, "explain", "https://a.example/", "--file", str(file))
    assert (told.code, told.out) == (1, "")
    assert told.err == "bascule: no listener speaks https\n  name one with --listener: web\n"
