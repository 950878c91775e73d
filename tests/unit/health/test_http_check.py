"""What an HTTP check sends, what passes it, and what it says about what does not."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.support.toy_endpoint import ToyEndpoint, endless, http_endpoint, response

from bascule.contract import TcpAddress
from bascule.errors import BasculeError
from bascule.health.body import BodyPattern, TooSlow
from bascule.health.check import CheckFailed, Target
from bascule.health.checks.http import HttpCheck
from bascule.health.fetch import BODY_BYTES
from bascule.plan.found import FoundEndpoint


async def run(toy: ToyEndpoint, *, name: str | None = None, **options: Any) -> None:
    check = HttpCheck.from_options({"path": "/healthz", **options})
    await check.run(Target.of("api", toy.found(name=name)))


async def failure(toy: ToyEndpoint, **options: Any) -> str:
    with pytest.raises(CheckFailed) as failed:
        await run(toy, **options)
    return failed.value.reason


@pytest.mark.parametrize("status", [200, 204, 302, 399])
async def test_any_status_from_200_to_399_passes_and_no_redirect_is_followed(status: int) -> None:
    body = b"" if status == 204 else b"ok"
    async with http_endpoint(response(status, body, "location: /elsewhere")) as toy:
        await run(toy)
        assert toy.connections == 1


@pytest.mark.parametrize("status", [400, 404, 500, 503, 600])
async def test_any_other_status_fails_and_is_named(status: int) -> None:
    async with http_endpoint(response(status)) as toy:
        assert await failure(toy) == f"HTTP {status} from GET /healthz, wanted 200-399"


async def test_the_expected_statuses_may_be_several_ranges() -> None:
    async with http_endpoint(response(204, b"")) as toy:
        assert await failure(toy, expect_status=[[200, 200], [300, 310]]) == (
            "HTTP 204 from GET /healthz, wanted 200, 300-310"
        )
        await run(toy, expect_status=[[200, 200], [204, 204]])


@pytest.mark.parametrize(
    ("name", "host", "sent"),
    [
        (None, None, None),
        ("app.internal", None, "app.internal"),
        ("app.internal", "shop.example", "shop.example"),
    ],
)
async def test_the_host_is_the_one_configured_else_the_name_else_the_address(
    name: str | None, host: str | None, sent: str | None
) -> None:
    async with http_endpoint(response()) as toy:
        await run(toy, name=name, host=host)
        assert isinstance(toy.address, TcpAddress)
        port = toy.address.address.rpartition(":")[2]
        expected = sent if host else f"{sent}:{port}" if sent else toy.address.address
        assert f"\r\nhost: {expected}\r\n" in toy.requests[0].lower()


async def test_the_request_carries_method_path_and_own_headers_and_asks_to_close() -> None:
    async with http_endpoint(response()) as toy:
        await run(toy, path="/up?deep=1", method="POST", headers={"X-Token": "t", "User-Agent": "mine"})
    head = toy.requests[0].lower()
    assert head.startswith("post /up?deep=1 http/1.1\r\n")
    assert "\r\nx-token: t\r\n" in head
    assert "\r\nuser-agent: mine\r\n" in head
    assert "bascule-check" not in head
    assert "\r\nconnection: close\r\n" in head


async def test_a_head_request_waits_for_no_body() -> None:
    async with http_endpoint(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n") as toy:
        await run(toy, method="HEAD")


async def test_interim_responses_are_skipped() -> None:
    async with http_endpoint(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + response()) as toy:
        await run(toy)


async def test_the_body_must_match_when_asked_to() -> None:
    async with http_endpoint(response(200, b"status: degraded")) as toy:
        await run(toy, expect_body="degraded$")
        assert await failure(toy, expect_body="status: ok") == (
            "body of GET /healthz begins with 'status: degraded', wanted a match of 'status: ok'"
        )


async def test_a_search_that_would_take_for_ever_is_given_up() -> None:
    async with http_endpoint(response(200, b"a" * 60_000 + b"b")) as toy:
        said = await failure(toy, expect_body="(a+)+$")
    assert said == "body of GET /healthz takes longer than 100 ms to search for '(a+)+$'"


async def test_a_long_search_holds_up_nobody_else() -> None:
    pattern = BodyPattern.read("(a+)+$")
    searching = asyncio.create_task(pattern.is_in("a" * 60_000 + "b"))
    turns = 0
    while not searching.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert isinstance(searching.exception(), TooSlow)
    assert turns > 20, "the event loop stood still"


async def test_a_chunked_body_is_matched_without_its_framing() -> None:
    wire = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nre\r\n3\r\nady\r\n0\r\n\r\n"
    async with http_endpoint(wire) as toy:
        await run(toy, expect_body="^ready$")


async def test_no_more_of_a_body_is_compared_than_is_read() -> None:
    body = b"x" * BODY_BYTES + b"ready"
    async with http_endpoint(response(200, body)) as toy:
        assert (await failure(toy, expect_body="ready")).startswith("body of GET /healthz begins with 'xxx")
        await run(toy, expect_body="^x+$")


async def test_an_endless_body_is_not_read_to_its_end() -> None:
    async with ToyEndpoint(endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000)) as toy:
        await run(toy)


@pytest.mark.parametrize(
    "rest",
    [b"x-more: and more\r\n", b"x" * 100, b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["fields", "field", "interim"],
)
async def test_an_endless_head_is_given_up(rest: bytes) -> None:
    async with ToyEndpoint(endless(b"" if b"100" in rest else b"HTTP/1.1 200 OK\r\nx: ", rest)) as toy:
        said = await failure(toy)
    assert "broken or cut-off answer" in said or said.startswith("GET /healthz: no response in the first")


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
    ],
    ids=["nothing", "another protocol", "short body", "cut chunk", "two lengths"],
)
async def test_a_broken_answer_fails_also_with_a_good_status(wire: bytes) -> None:
    async with http_endpoint(wire) as toy:
        assert (await failure(toy)).startswith("GET /healthz to 127.0.0.1:")


async def test_a_refused_connection_is_called_that() -> None:
    async with http_endpoint(response()) as toy:
        gone = toy.found()
    with pytest.raises(CheckFailed, match=r"^connect to 127\.0\.0\.1:\d+: connection refused$"):
        await HttpCheck("/healthz").run(Target.of("api", gone))


async def test_a_hostile_answer_cannot_write_control_characters_into_a_log() -> None:
    async with http_endpoint(response(200, b"\x1b[2J\r\nfake line")) as toy:
        said = await failure(toy, expect_body="ok")
    assert said.isprintable()


async def test_an_endpoint_on_a_unix_socket_is_checked_like_any_other(tmp_path: Path) -> None:
    async with http_endpoint(response(), tmp_path / "app.sock") as toy:
        await run(toy)
        assert "\r\nhost: localhost\r\n" in toy.requests[0].lower()
    with pytest.raises(CheckFailed, match=r"connect to unix:.*app\.sock: "):
        await HttpCheck("/").run(Target.of("api", toy.found()))


def test_an_ipv6_endpoint_is_written_with_brackets() -> None:
    target = Target.of("api", FoundEndpoint("x", TcpAddress("[::1]:8000"), 1, None))
    assert (target.host, target.port, str(target)) == ("::1", 8000, "[::1]:8000")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "needs a path"),
        ({"path": "/", "expect_body": "("}, "not a regular expression"),
        ({"path": "/", "follow": True}, "has no option follow"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(BasculeError, match=said):
        HttpCheck.from_options(options)
