"""What a rehearsal says of a configuration."""

from pathlib import Path

import pytest

from bascule.errors import BasculeError
from bascule.testing import Rehearsal

pytest_plugins = ["pytester"]

CONFIG = """
listeners:
  web:
    bind: 127.0.0.1:8080
    routes:
      - match: {host: old.example}
        redirect: "https://new.example{uri}"
      - match: {path: /admin, client: 10.0.0.0/8}
        pool: admin
      - match: {path: /admin}
        respond: 403
      - match: {host: shop.example}
        split: {shop: 95, admin: 5}
pools:
  shop: {endpoints: ["10.0.0.1:80", {address: "10.0.0.2:80", backup: true}]}
  admin: {endpoints: "10.0.1.1:80"}
access_log: off
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bascule.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def rehearsal(file: Path) -> Rehearsal:
    return Rehearsal.of_file(file)


def test_a_request_goes_to_the_pool_with_the_greatest_share(rehearsal: Rehearsal) -> None:
    seen = rehearsal.route("GET http://shop.example/cart")
    assert (seen.listener, seen.route, seen.pool, seen.pools) == (
        "web",
        "shop-admin",
        "shop",
        ("shop", "admin"),
    )
    assert (seen.endpoint, seen.endpoints, seen.status) == ("10.0.0.1:80", ("10.0.0.1:80",), None)


def test_what_the_balancer_answers_itself_has_a_status(rehearsal: Rehearsal) -> None:
    moved = rehearsal.route("http://old.example/x?y")
    assert (moved.status, moved.location, moved.pool) == (302, "https://new.example/x?y", None)
    assert rehearsal.route("http://a.example/admin").status == 403
    assert rehearsal.route("http://a.example/").status == 404
    assert rehearsal.route("http://a.example/", {"Content-Length": "x"}).status == 400


def test_the_client_and_headers_count(rehearsal: Rehearsal) -> None:
    assert rehearsal.route("http://a.example/admin", client="10.1.2.3").pool == "admin"
    assert rehearsal.route("http://127.0.0.1/", ["Host: shop.example"]).pool == "shop"


def test_endpoints_can_be_down_until_they_are_up(rehearsal: Rehearsal) -> None:
    def endpoint() -> str | None:
        return rehearsal.route("http://shop.example/").endpoint

    rehearsal.down("shop/10.0.0.1:80")
    assert endpoint() == "10.0.0.2:80"
    rehearsal.up("shop/10.0.0.1:80")
    assert endpoint() == "10.0.0.1:80"
    rehearsal.drain("shop/10.0.0.1:80", "shop/10.0.0.2:80")
    assert rehearsal.route("http://shop.example/").status == 503
    rehearsal.reset()
    assert endpoint() == "10.0.0.1:80"


def test_an_endpoint_that_is_not_there_is_not_marked(rehearsal: Rehearsal) -> None:
    with pytest.raises(BasculeError, match=r"there is no endpoint shop/10\.0\.0\.9:80"):
        rehearsal.down("shop/10.0.0.9:80")


def test_the_plugin_gives_tests_the_configuration_of_the_project(
    pytester: pytest.Pytester, file: Path
) -> None:
    pytester.makepyfile(
        """
        def test_one(balancer):
            assert balancer.route("GET http://shop.example/").pool == "shop"
            balancer.down("shop/10.0.0.1:80")

        def test_other(balancer):
            assert balancer.route("http://shop.example/").endpoint == "10.0.0.1:80"

        def test_wrong(balancer):
            assert balancer.route("http://shop.example/").pool == "admin"
        """
    )
    found = pytester.runpytest("--bascule-config", str(file), "-p", "no:cacheprovider", "-p", "no:asyncio")
    found.assert_outcomes(passed=2, failed=1)
    pytester.makefile(".ini", pytest=f"[pytest]\nbascule_config = {file}\n")
    pytester.runpytest("-p", "no:cacheprovider", "-p", "no:asyncio").assert_outcomes(passed=2, failed=1)
