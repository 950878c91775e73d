"""What calls of gRPC carry, whole: large messages, binary metadata, compression; and where they go."""

import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
from tests.support.grpc_servers import serving
from tests.support.plane import RunningPlane, pool

UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Says back what it hears, message by message, and the metadata as well."""

    def __init__(self) -> None:
        self.calls = 0
        self.lock = threading.Lock()
        self.metadata: dict[str, Any] = {}

    def service(self, details: Any) -> Any:
        with self.lock:
            self.calls += 1
        self.metadata = dict(details.invocation_metadata)
        return grpc.stream_stream_rpc_method_handler(self.chat)

    def chat(self, said: Iterator[bytes], context: Any) -> Iterator[bytes]:
        back = [(name, value) for name, value in context.invocation_metadata() if name.startswith("x-")]
        context.send_initial_metadata(back)
        context.set_trailing_metadata(back)
        yield from said


@contextmanager
def balanced(
    *handlers: Echo, compression: Any = None, **options: int
) -> Iterator[tuple[RunningPlane, grpc.Channel]]:
    """A balancer in front of a server for each, and one channel to it."""
    with ExitStack() as stack:
        unlimited = {"max_receive_message_length": -1, "max_send_message_length": -1, **options}
        servers = [stack.enter_context(serving(each, options=unlimited)) for each in handlers]
        pools = [pool(*(it.address for it in servers), protocol="http2")]
        plane = stack.enter_context(RunningPlane(pools))
        channel = grpc.insecure_channel(plane.address(), options=UNLIMITED, compression=compression)
        yield plane, stack.enter_context(channel)


def test_messages_of_any_length_arrive_as_they_were_sent() -> None:
    with balanced(Echo()) as (_, channel):
        chat = channel.stream_stream("/test.Echo/Chat")
        pattern = bytes(range(256)) * 4
        messages = [b"", b"x", pattern * 64, pattern * 4096, pattern * 16384]
        assert len(messages[3]) == 4 << 20
        assert list(chat(iter(messages), timeout=60)) == messages


def test_binary_metadata_comes_through_in_heads_and_trailers() -> None:
    sent = (("x-text", "a b,c"), ("x-bytes-bin", bytes(range(256))), ("x-empty-bin", b""))
    echo = Echo()
    with balanced(echo) as (_, channel):
        call = channel.stream_stream("/test.Echo/Chat")(iter([b"m"]), metadata=sent, timeout=10)
        assert list(call) == [b"m"]
        for came in (call.initial_metadata(), call.trailing_metadata()):
            assert {name: value for name, value in came if name.startswith("x-")} == dict(sent)
    assert {name: echo.metadata[name] for name, _ in sent} == dict(sent)


def test_compressed_messages_are_passed_on_as_they_are() -> None:
    for how, word in ((grpc.Compression.Gzip, "gzip"), (grpc.Compression.Deflate, "deflate")):
        echo = Echo()
        with balanced(echo, compression=how) as (plane, channel):
            message = b"again and again " * 100_000
            chat = channel.stream_stream("/test.Echo/Chat")
            assert list(chat(iter([message, message]), timeout=30)) == [message, message]
            assert echo.metadata.get("grpc-encoding", word) == word
            plane.endings(1)
            (series,) = plane.stats().series
            assert series.received_bytes < len(message) / 10


def test_the_calls_of_one_channel_are_spread_evenly_over_three_endpoints() -> None:
    echoes = [Echo(), Echo(), Echo()]
    with balanced(*echoes) as (_, channel), futures.ThreadPoolExecutor(10) as pool_of_callers:
        chat = channel.stream_stream("/test.Echo/Chat")
        asked = [pool_of_callers.submit(lambda: list(chat(iter([b"m"]), timeout=30))) for _ in range(300)]
        assert all(it.result() == [b"m"] for it in asked)
    assert [it.calls for it in echoes] == [100, 100, 100]


def test_a_server_that_ends_its_connections_loses_no_call() -> None:
    """`max_connection_age`: every 100 ms a GOAWAY in the middle of calls, so that they spread anew."""
    echo = Echo()
    with balanced(echo, max_connection_age_ms=100, max_connection_age_grace_ms=20_000) as (plane, channel):
        chat = channel.stream_stream("/test.Echo/Chat")
        goon = threading.Event()

        def one(number: int) -> int:
            message = str(number).encode() * 100
            return sum(
                list(chat(iter([message, message]), timeout=30)) == [message, message] for _ in range(150)
            )

        def slowly() -> Iterator[bytes]:
            yield b"first"
            assert goon.wait(60)
            yield b"last"

        long = chat(slowly(), timeout=60)
        assert next(long) == b"first"
        with futures.ThreadPoolExecutor(8) as callers:
            assert sum(callers.map(one, range(8))) == 1200
        goon.set()
        assert list(long) == [b"last"]
        # There were indeed many connections, and each call was made once.
        assert plane.stats().endpoints[0].connects > 3
        assert echo.calls == 1201
