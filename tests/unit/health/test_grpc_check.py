"""What a gRPC check asks, what passes it, and what it says about what does not."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
from grpc_health.v1 import health_pb2
from hypothesis import given
from hypothesis import strategies as st
from tests.support.certificates import Authority
from tests.support.grpc_servers import NOT_SERVING, SERVING, serving
from tests.support.toy_endpoint import Behaviour, ToyEndpoint, endless, http_endpoint, response

from bascule.errors import BasculeError
from bascule.health.call import ANSWER_BYTES, HEAD_BYTES
from bascule.health.check import CheckFailed, Target
from bascule.health.checks.grpc import GrpcCheck, decode_status, encode_request
from bascule.plan.found import FoundEndpoint
from bascule.plan.plan import PlannedAuthorities, PlannedPoolTls

CALL = "/grpc.health.v1.Health/Check to"


async def run(found: FoundEndpoint, tls: PlannedPoolTls | None = None, **options: Any) -> None:
    await GrpcCheck.from_options(options).run(Target.of("api", found, tls))


async def failure(found: FoundEndpoint, tls: PlannedPoolTls | None = None, **options: Any) -> str:
    with pytest.raises(CheckFailed) as failed:
        await run(found, tls, **options)
    return failed.value.reason


async def test_a_server_that_says_serving_passes() -> None:
    with serving() as server:
        await run(server.found())
        server.says(SERVING, "shop.Cart")
        await run(server.found(), service="shop.Cart")


async def test_what_a_server_says_of_itself_is_the_reason() -> None:
    with serving() as server:
        server.says(NOT_SERVING)
        assert await failure(server.found()) == (
            "grpc health of the server: NOT_SERVING: by its own word it takes no calls"
        )
        server.says(health_pb2.HealthCheckResponse.UNKNOWN, "shop.Cart")
        assert await failure(server.found(), service="shop.Cart") == (
            'grpc health of "shop.Cart": UNKNOWN: its health is not set yet'
        )
        server.says(health_pb2.HealthCheckResponse.SERVICE_UNKNOWN, "shop.Cart")
        assert (await failure(server.found(), service="shop.Cart")).startswith(
            'grpc health of "shop.Cart": SERVICE_UNKNOWN: the server does not report on this service'
        )
        server.says(SERVING)
        await run(server.found())


async def test_a_service_that_the_server_does_not_know_is_said_to_be_misnamed() -> None:
    with serving() as server:
        assert await failure(server.found(), service="shop.Cat") == (
            'grpc health of "shop.Cat": NOT_FOUND: the server does not report on this service; '
            "name one that it knows, or `check: grpc`"
        )


async def test_a_server_without_the_health_service_is_told_what_to_add() -> None:
    with serving(healthy=False) as server:
        reason = await failure(server.found())
        assert reason.startswith("grpc health of the server: UNIMPLEMENTED, ")
        assert reason.endswith("register grpc.health.v1.Health with it, or use `check: tcp`")


class Guarded(grpc.GenericRpcHandler):  # type: ignore[misc]
    """A health service that wants a token, and remembers how it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, str], str, bytes]] = []

    def service(self, details: Any) -> Any:
        metadata = dict(details.invocation_metadata)

        def check(request: bytes, context: Any) -> bytes:
            self.asked.append((metadata, details.method, request))
            if metadata.get("authorization") != "Bearer x":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?\n")
            return b"\x08\x01"

        return grpc.unary_unary_rpc_method_handler(check)


async def test_metadata_and_authority_are_sent_and_a_missing_token_is_explained() -> None:
    guarded = Guarded()
    with serving(guarded, healthy=False) as server:
        assert await failure(server.found("cart.internal")) == (
            "grpc health of the server: UNAUTHENTICATED, 'who are you?\\n', "
            "checks are anonymous: let them call it, or give the check `headers`"
        )
        await run(server.found(), headers={"Authorization": "Bearer x"}, authority="cart.example:443")
    (_, _, first), (metadata, method, second) = guarded.asked
    assert (method, first, second) == ("/grpc.health.v1.Health/Check", b"", b"")
    assert metadata["user-agent"].startswith("bascule-check/")


async def test_the_authority_is_the_one_configured_else_the_name_else_the_address() -> None:
    for name, option, wanted in (
        (None, None, "127.0.0.1:{port}"),
        ("cart.internal", None, "cart.internal:{port}"),
        ("cart.internal", "cart.example:443", "cart.example:443"),
    ):
        seen: list[dict[str, str]] = []

        async with ToyEndpoint(answering(say_serving, seen)) as toy:
            found = toy.found(name=name)
            await run(found, authority=option)
            port = found.address.address.rpartition(":")[2]  # type: ignore[union-attr]
        assert seen[0][":authority"] == wanted.format(port=port)
        assert (seen[0][":scheme"], seen[0]["te"]) == ("http", "trailers")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def trusting(authority: Authority, folder: Path) -> PlannedPoolTls:
    (folder / "ca.pem").write_text(authority.pem)
    return PlannedPoolTls(PlannedAuthorities((str(folder / "ca.pem"),)), "cart.internal", None, ("h2",))


async def test_within_tls_the_certificate_counts_and_http2_is_agreed_on(
    authority: Authority, tmp_path: Path
) -> None:
    tls = trusting(authority, tmp_path)
    with serving(secured=authority.issue("cart.internal")) as server:
        await run(server.found(), tls)
        server.says(NOT_SERVING)
        assert "NOT_SERVING" in await failure(server.found(), tls)
        strangers = tmp_path / "strangers"
        strangers.mkdir()
        assert "its certificate is refused" in await failure(server.found(), trusting(Authority(), strangers))
        # Asked in the clear it says nothing that we understand.
        assert await failure(server.found()) == (
            f"{CALL} {server.address}: closed without an answer; it may speak TLS (`tls: on`) or no HTTP/2"
        )


async def test_a_server_of_http1_is_named_as_one(authority: Authority, tmp_path: Path) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with ToyEndpoint(refuse) as toy:
        assert "it speaks HTTP/1.1, gRPC needs HTTP/2" in await failure(toy.found())
    async with http_endpoint(response(200)) as toy:
        assert (await failure(toy.found())).startswith(CALL)


Act = Callable[[h2.connection.H2Connection], None]


def answering(act: Act, seen: list[dict[str, str]] | None = None) -> Behaviour:
    """A server of HTTP/2 that does `act` when it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, validate_outbound_headers=False)
        )
        connection.initiate_connection()
        while chunk := await reader.read(65536):
            for event in connection.receive_data(chunk):
                if isinstance(event, h2.events.RequestReceived) and seen is not None:
                    seen.append({name.decode(): value.decode() for name, value in event.headers})
                if isinstance(event, h2.events.StreamEnded):
                    act(connection)
            writer.write(connection.data_to_send())

    return serve


def say_serving(connection: h2.connection.H2Connection, **trailers: str) -> None:
    connection.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
    connection.send_data(1, b"\0\0\0\0\2\x08\x01")
    connection.send_headers(1, [("grpc-status", "0"), *trailers.items()], end_stream=True)


def only(status: str, *fields: tuple[str, str]) -> Act:
    return lambda connection: connection.send_headers(1, [(":status", status), *fields], end_stream=True)


def body(content: bytes) -> Act:
    def act(connection: h2.connection.H2Connection) -> None:
        connection.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
        connection.send_data(1, content)
        connection.send_headers(1, [("grpc-status", "0")], end_stream=True)

    return act


GRPC = ("content-type", "application/grpc")
WRONG: dict[str, tuple[Act, str]] = {
    "a web server": (only("404"), "HTTP 404 without a grpc-status: this is no gRPC server"),
    "html": (
        only("200", ("content-type", "text/html")),
        "HTTP 200 without a grpc-status: this is no gRPC server",
    ),
    "no status": (only("200", GRPC), "its answer has no grpc-status"),
    "a status in words": (only("200", GRPC, ("grpc-status", "OK")), "its answer has no grpc-status"),
    "a status of its own": (only("200", GRPC, ("grpc-status", "42")), "grpc-status 42"),
    "no message": (only("200", GRPC, ("grpc-status", "0")), "its answer holds no whole message"),
    "a message that is cut": (body(b"\0\0\0\0\5\x08\x01"), "its answer holds no whole message"),
    "a compressed message": (body(b"\1\0\0\0\2\x08\x01"), "its answer holds no whole message"),
    "a message of nonsense": (body(b"\0\0\0\0\2\xff\xff"), "its answer is no HealthCheckResponse"),
    "a status from the future": (
        body(b"\0\0\0\0\2\x08\x09"),
        "the status 9, which is none of grpc.health.v1",
    ),
    "an empty message": (body(b"\0\0\0\0\0"), "UNKNOWN: its health is not set yet"),
    "down, in words": (
        only("200", GRPC, ("grpc-status", "14"), ("grpc-message", "come%20back later")),
        "UNAVAILABLE, 'come back later'",
    ),
    "a reset": (lambda it: it.reset_stream(1, 11), "broken off with RST_STREAM (ENHANCE_YOUR_CALM)"),
    "a goodbye": (lambda it: it.close_connection(0, last_stream_id=0), "ended with GOAWAY (NO_ERROR)"),
}


@pytest.mark.parametrize(("act", "reason"), WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_answer_is_named(act: Act, reason: str) -> None:
    async with ToyEndpoint(answering(act)) as toy:
        assert reason in await failure(toy.found())


async def test_an_answer_on_many_frames_is_put_together() -> None:
    def act(connection: h2.connection.H2Connection) -> None:
        connection.ping(b"01234567")
        connection.send_headers(1, [(":status", "200"), GRPC])
        for byte in b"\0\0\0\0\2\x08\x01":
            connection.send_data(1, bytes([byte]))
        connection.send_headers(1, [("grpc-status", "0")], end_stream=True)

    async with ToyEndpoint(answering(act)) as toy:
        await run(toy.found())


async def test_trailers_larger_than_the_limit_are_refused() -> None:
    async with ToyEndpoint(answering(lambda it: say_serving(it, padding="x" * HEAD_BYTES))) as toy:
        assert "broken HTTP/2: " in await failure(toy.found())


async def test_frames_without_end_are_read_only_so_far() -> None:
    settings, ping = b"\0\0\0\4\0\0\0\0\0", b"\0\0\x08\6\0\0\0\0\0pingpong"
    async with ToyEndpoint(endless(settings, ping * 100)) as toy:
        reason = await failure(toy.found())
    assert "no complete answer in the first " in reason
    assert ANSWER_BYTES <= int(reason.split("first ")[1].split()[0]) < 2 * ANSWER_BYTES


async def test_noise_of_any_kind_fails_with_a_reason() -> None:
    chance = random.Random(4)
    for _ in range(40):
        noise = chance.randbytes(chance.randrange(1, 200))
        if chance.random() < 0.7:
            # With a plausible frame header, so that more than the first line of defence is tried.
            kind, flags = chance.randrange(10), chance.randrange(256)
            stream = chance.choice((0, 1, 2, 3)).to_bytes(4)
            noise = len(noise).to_bytes(3) + bytes([kind, flags]) + stream + noise
            noise = b"\0\0\0\x04\0\0\0\0\0" + noise

        async def shout(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, noise: bytes = noise
        ) -> None:
            await reader.read(1)
            writer.write(noise)
            await writer.drain()

        async with ToyEndpoint(shout) as toy:
            assert (await failure(toy.found())).startswith(CALL)


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(BasculeError, match="a grpc check has no option path"):
        GrpcCheck.from_options({"path": "/"})


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_requests_are_what_protobuf_makes_of_them(service: str) -> None:
    assert encode_request(service) == health_pb2.HealthCheckRequest(service=service).SerializeToString()


@given(st.integers(0, 2**31 - 1))
def test_responses_are_what_protobuf_makes_of_them(status: int) -> None:
    message = health_pb2.HealthCheckResponse(status=status)
    assert decode_status(message.SerializeToString()) == status
    # Fields that we do not know are skipped.
    unknown = b"\x12\x03abc" + b"\x19" + bytes(8) + b"\x25" + bytes(4) + b"\x18\x05"
    assert decode_status(unknown + message.SerializeToString()) == status
