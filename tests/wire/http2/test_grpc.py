"""gRPC through a balancer, with grpcio's clients and servers: every kind of call, and how ours end."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from tests.support.endpoints import ScriptedEndpoint
from tests.support.grpc_servers import serving
from tests.support.http2 import head
from tests.support.plane import RunningPlane, listener, pool, prefix, route

from bascule import contract


class Service(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Methods of all four kinds, on plain bytes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cancelled = threading.Event()

    def service(self, details: Any) -> Any:
        kinds = {
            "/test.Toy/Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/test.Toy/Gather": grpc.stream_unary_rpc_method_handler(lambda each, _: b"".join(each)),
            "/test.Toy/Count": grpc.unary_stream_rpc_method_handler(self.count),
            "/test.Toy/Chat": grpc.stream_stream_rpc_method_handler(
                lambda each, _: (b"re: " + it for it in each)
            ),
            "/test.Toy/Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "/test.Toy/Never": grpc.unary_unary_rpc_method_handler(self.never),
        }
        return kinds.get(details.method)

    def unary(self, request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata([("x-served-by", self.name)])
        return request[::-1]

    def count(self, request: bytes, _: Any) -> Iterator[bytes]:
        yield from (str(number).encode() for number in range(int(request)))

    def fail(self, _: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now")
        return b""

    def never(self, _: bytes, context: Any) -> bytes:
        context.add_callback(self.cancelled.set)
        self.cancelled.wait(10)
        return b""


@contextmanager
def served(name: str = "one") -> Iterator[tuple[Service, contract.Endpoint]]:
    """A server of grpcio."""
    service = Service(name)
    with serving(service) as server:
        yield service, contract.Endpoint(server.address, contract.TcpAddress(server.address), 1)


@contextmanager
def balanced(*endpoints: contract.Endpoint, only: Any = None) -> Iterator[tuple[RunningPlane, grpc.Channel]]:
    """A balancer in front of them, and a channel to it."""
    with RunningPlane([pool(*endpoints, protocol="http2")], None if only is None else [only]) as plane:
        with grpc.insecure_channel(plane.address()) as channel:
            yield plane, channel


def test_every_kind_of_call_goes_through() -> None:
    with served() as (_, endpoint), balanced(endpoint) as (plane, channel):
        assert channel.unary_unary("/test.Toy/Unary")(b"abc", timeout=10) == b"cba"
        assert channel.stream_unary("/test.Toy/Gather")(iter([b"a", b"b"]), timeout=10) == b"ab"
        assert list(channel.unary_stream("/test.Toy/Count")(b"500", timeout=10))[-1] == b"499"
        large = bytes(3_000_000)
        assert channel.unary_unary("/test.Toy/Unary")(large, timeout=10) == large
        assert plane.endings(4) == {"ok": 4}


def test_both_sides_of_a_chat_are_heard_as_they_speak() -> None:
    with served() as (_, endpoint), balanced(endpoint) as (_, channel):
        said = threading.Semaphore(1)

        def speak() -> Iterator[bytes]:
            for number in range(20):
                assert said.acquire(timeout=10)
                yield str(number).encode()

        heard = []
        for answer in channel.stream_stream("/test.Toy/Chat")(speak(), timeout=20):
            heard.append(answer)
            # The next word is said only when the answer to the last one is here.
            said.release()
        assert heard == [b"re: %d" % number for number in range(20)]


def test_a_status_and_metadata_of_the_server_reach_the_caller() -> None:
    with served("two") as (_, endpoint), balanced(endpoint) as (_, channel):
        _, call = channel.unary_unary("/test.Toy/Unary").with_call(b"", timeout=10)
        assert ("x-served-by", "two") in call.trailing_metadata()
        with pytest.raises(grpc.RpcError) as failed:
            channel.unary_unary("/test.Toy/Fail")(b"", timeout=10)
        assert failed.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert failed.value.details() == "not now"


def status_of(channel: grpc.Channel, method: str = "/test.Toy/Unary", timeout: float = 10) -> Any:
    with pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary(method)(b"x", timeout=timeout)
    return failed.value


def test_our_own_answers_are_statuses_that_callers_understand() -> None:
    with balanced() as (plane, channel):
        unavailable = status_of(channel)
        assert unavailable.code() == grpc.StatusCode.UNAVAILABLE
        assert unavailable.details() == "no endpoint can serve this request now"
        assert plane.endings(1) == {"no_endpoint": 1}
    only = listener(route(match=[prefix("/other")]))
    with balanced(only=only) as (_, channel):
        assert status_of(channel).code() == grpc.StatusCode.UNIMPLEMENTED
    gone = ScriptedEndpoint()
    gone._listening.close()
    with balanced(gone.contract()) as (_, channel):
        assert status_of(channel).code() == grpc.StatusCode.UNAVAILABLE
    limits = contract.RateLimit("one", None, requests=1, per_ms=3_600_000, burst=1)
    with (
        served() as (_, endpoint),
        balanced(endpoint, only=listener(route(limits=(limits,)))) as (_, channel),
    ):
        channel.unary_unary("/test.Toy/Unary")(b"x", timeout=10)
        assert status_of(channel).code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_the_callers_deadline_is_ours() -> None:
    with served() as (service, endpoint), balanced(endpoint) as (_, channel):
        began = time.monotonic()
        assert status_of(channel, "/test.Toy/Never", timeout=0.3).code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - began < 5
        assert service.cancelled.wait(10)


def test_a_caller_that_is_still_there_hears_of_the_deadline_from_us() -> None:
    """Other clients than grpcio leave it to the server."""
    fields = [("content-type", "application/grpc"), ("grpc-timeout", "100m"), ("te", "trailers")]
    with served() as (_, endpoint), balanced(endpoint) as (plane, _), plane.connect_http2() as client:
        answer = client.ask(head("POST", "/test.Toy/Never", *fields), b"\0\0\0\0\0")
        assert (answer.status, answer.fields["grpc-status"]) == (200, "4")
        assert answer.fields["content-type"] == "application/grpc"
        assert (answer.body, answer.ended) == (b"", True)


def test_a_caller_that_cancels_cancels_at_the_server() -> None:
    with served() as (service, endpoint), balanced(endpoint) as (_, channel):
        call = channel.unary_unary("/test.Toy/Never").future(b"", timeout=30)
        time_out = threading.Event()
        time_out.wait(0.2)
        call.cancel()
        assert service.cancelled.wait(10)
