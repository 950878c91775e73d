"""What endpoints are blamed for when they answer calls of gRPC, and what logs and metrics say of it."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.support.eventually import eventually
from tests.support.grpc_servers import serving
from tests.support.plane import RunningPlane, pool

from bascule import contract

EJECTION = contract.Ejection(
    failures=3,
    failure_percent=None,
    slowness_percent=None,
    time_ms=60_000,
    longest_ms=60_000,
    most_percent=50,
)
CODES = {code.value[0]: code for code in grpc.StatusCode}


class Scripted(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every call with `code`: at once, or behind a head or a message."""

    def __init__(self, code: int = 0, *, head: bool = False, message: bool = False) -> None:
        self.code, self.head, self.message = code, head, message
        self.calls = 0
        self.heard: list[bytes] = []

    def service(self, details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(self.answer)

    def answer(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        self.calls += 1
        self.heard += requests
        if self.head:
            context.send_initial_metadata((("x-head", "first"),))
        if self.message or not self.code:
            yield b"well"
        if self.code:
            context.abort(CODES[self.code], "as told")


@contextmanager
def balanced(
    *handlers: Scripted, log: Path | None = None, **others: Any
) -> Iterator[tuple[RunningPlane, grpc.Channel, list[str]]]:
    """A balancer in front of a server for each, and a channel to it."""
    with ExitStack() as stack:
        addresses = [stack.enter_context(serving(each)).address for each in handlers]
        protection = contract.Protection(ejection=EJECTION)
        pools = [pool(*addresses, protocol="http2", protection=protection, **others)]
        access_log = None if log is None else contract.AccessLog("json", str(log))
        plane = stack.enter_context(RunningPlane(pools, access_log=access_log))
        channel = stack.enter_context(grpc.insecure_channel(plane.address()))
        yield plane, channel, addresses


def ask(channel: grpc.Channel, timeout: float | None = None, message: bytes = b"") -> int:
    """Makes a call and says how it ended."""
    call = channel.unary_stream("/test.Toy/Any")(message, timeout=timeout)
    with suppress(grpc.RpcError):
        list(call)
    return int(call.code().value[0])


@pytest.mark.parametrize("code", [2, 4, 13, 14, 15])
@pytest.mark.parametrize("shape", [{}, {"head": True}, {"message": True}], ids=str)
def test_an_endpoint_whose_calls_fail_is_ejected_and_callers_see_no_more_of_it(
    code: int, shape: dict[str, bool]
) -> None:
    bad, good = Scripted(code, **shape), Scripted()
    with balanced(bad, good) as (plane, channel, (address, _)):
        ended = [ask(channel) for _ in range(20)]
        assert ended.count(code) == bad.calls == 3
        assert ended[6:] == [0] * 14
        assert plane.endpoint(address).ejected
        event = plane.wait_event("ejected")
        assert isinstance(event.what, contract.Ejected)
        assert (event.what.endpoint, event.what.reason) == (address, "3 failures in a row")


@pytest.mark.parametrize("code", [1, 3, 5, 6, 7, 8, 9, 10, 11, 12, 16])
def test_what_an_application_says_about_a_request_is_not_held_against_the_endpoint(code: int) -> None:
    strict, good = Scripted(code), Scripted()
    with balanced(strict, good) as (plane, channel, (address, _)):
        assert sorted(ask(channel) for _ in range(16)) == [0] * 8 + [code] * 8
        shown = plane.endpoint(address)
        assert (shown.ejected, shown.failures) == (False, 0)


def test_a_caller_in_a_hurry_does_not_get_an_endpoint_ejected() -> None:
    late, good = Scripted(4), Scripted()
    with balanced(late, good) as (plane, channel, (address, _)):
        for _ in range(16):
            ask(channel, timeout=20)
        assert plane.endpoint(address).failures == 0


def test_calls_are_logged_and_counted_by_their_status(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with balanced(Scripted(), log=log) as (plane, channel, _), ExitStack() as stack:
        assert ask(channel) == 0
        for code, shape in ((5, {}), (14, {"message": True})):
            other, others, _ = stack.enter_context(balanced(Scripted(code, **shape), log=log))
            assert ask(others) == code
            other.endings(1)
        with balanced(log=log) as (nobody, nowhere, _):
            assert ask(nowhere) == 14
            assert statuses(nobody) == {14: 1}
            assert nobody.codes(1) == {503: 1}
        with plane.connect() as client:
            client.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        plane.endings(2)
        assert statuses(plane) == {0: 1}
        eventually(lambda: log.exists() and log.read_text().count("\n") == 5, log.read_text)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    told = sorted((it["status"], it.get("grpc_status")) for it in records if it["method"] == "POST")
    assert told == [(200, 0), (200, 5), (200, 14), (503, 14)]
    assert ["grpc_status" in it for it in records if it["method"] == "GET"] == [False]


def statuses(plane: RunningPlane) -> dict[int, int]:
    return {it.code: it.count for one in plane.stats().series for it in one.grpc_codes}


@pytest.mark.parametrize("chatty", [False, True])
def test_a_call_that_got_unavailable_is_made_elsewhere_where_the_operator_allows_it(chatty: bool) -> None:
    bad, good = Scripted(14), Scripted()
    with balanced(bad, good, grpc_statuses=(14,)) as (plane, channel, (address, _)):
        ended = [talk(channel) if chatty else ask(channel) for _ in range(12)]
        assert ended == [0] * 12
        assert plane.endpoint(address).retried == bad.calls == 3
        assert good.calls == 12
        assert good.heard == ([b"one", b"two"] * 12 if chatty else [b""] * 12)


@pytest.mark.parametrize("shape", [{"head": True}, {"message": True}], ids=str)
def test_a_call_whose_answer_has_begun_is_not_made_again(shape: dict[str, bool]) -> None:
    bad, good = Scripted(14, **shape), Scripted()
    with balanced(bad, good, grpc_statuses=(14,)) as (_, channel, _):
        assert [ask(channel) for _ in range(8)].count(14) == bad.calls == 3
        assert good.calls == 5


def test_other_statuses_and_longer_calls_are_not_made_again() -> None:
    bad, good = Scripted(8), Scripted()
    with balanced(bad, good, grpc_statuses=(14,)) as (_, channel, _):
        assert sorted(ask(channel) for _ in range(8)) == [0] * 4 + [8] * 4
    bad, good = Scripted(8), Scripted()
    with balanced(bad, good, grpc_statuses=(8,)) as (_, channel, _):
        assert sorted(ask(channel, message=bytes(200_000)) for _ in range(8)) == [0] * 4 + [8] * 4
        assert [ask(channel) for _ in range(8)] == [0] * 8


def test_where_all_are_unavailable_the_caller_is_told_so() -> None:
    one, other = Scripted(14), Scripted(14)
    with balanced(one, other, grpc_statuses=(14,)) as (plane, channel, _):
        assert ask(channel) == 14
        assert (one.calls, other.calls) == (1, 1)
        assert plane.endings(1) == {"ok": 1}


def talk(channel: grpc.Channel) -> int:
    """The same with two messages."""
    call = channel.stream_stream("/test.Toy/Any")(iter([b"one", b"two"]), timeout=20)
    with suppress(grpc.RpcError):
        list(call)
    return int(call.code().value[0])
