"""QUIC through the balancer, with aioquic at both ends: also when the client's address changes."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration
from tests.support.certificates import Authority
from tests.support.datagrams import udp_listener
from tests.support.plane import RunningPlane, pool

PATIENCE = 20.0


@asynccontextmanager
async def quic_endpoint(folder: Path, name: bytes) -> AsyncIterator[str]:
    """A QUIC server that answers every stream with its name and what was said."""
    certificate, key = Authority().issue("localhost").write_apart(folder, name.decode())
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["test"])
    configuration.load_cert_chain(certificate, key)

    def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say() -> None:
            writer.write(name + b" " + await reader.read())
            writer.write_eof()

        tasks.append(asyncio.create_task(say()))

    tasks: list[asyncio.Task[None]] = []
    server = await serve("127.0.0.1", 0, configuration=configuration, stream_handler=answer)
    # aioquic does not tell the port that the system has chosen in another way.
    assert server._transport is not None
    port = server._transport.get_extra_info("sockname")[1]
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.close()


def asking() -> QuicConfiguration:
    return QuicConfiguration(is_client=True, alpn_protocols=["test"], verify_mode=ssl.CERT_NONE)


async def ask(client: QuicConnectionProtocol, words: bytes) -> bytes:
    reader, writer = await client.create_stream()
    writer.write(words)
    writer.write_eof()
    return await asyncio.wait_for(reader.read(), PATIENCE)


async def move(client: QuicConnectionProtocol) -> None:
    """The client goes on from another port with the same id, as it does when a router has forgotten it."""
    before = client._transport
    assert before is not None
    # As aioquic binds its own: its addresses are those of IPv6.
    fresh = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    fresh.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    fresh.bind(("::", 0, 0, 0))
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Passes(client), sock=fresh)
    client._transport = transport
    before.abort()


class _Passes(asyncio.DatagramProtocol):
    def __init__(self, client: QuicConnectionProtocol) -> None:
        self._client = client

    def datagram_received(self, data: bytes | str, addr: tuple[str, int]) -> None:
        self._client.datagram_received(data, addr)


@pytest.mark.parametrize("threads", [1, 2])
async def test_a_connection_stays_on_its_endpoint_when_the_client_moves(tmp_path: Path, threads: int) -> None:
    async with quic_endpoint(tmp_path, b"one") as one, quic_endpoint(tmp_path, b"two") as two:
        # Each flow alone would go to the other endpoint.
        with RunningPlane([pool(one, two)], [udp_listener(quic=True)], threads=threads) as plane:
            host, _, port = plane.address().rpartition(":")
            async with connect(host, int(port), configuration=asking()) as client:
                first = await ask(client, b"hello")
                for number in range(4):
                    await move(client)
                    again = await ask(client, bytes([number]))
                    assert again.split()[0] == first.split()[0]
            assert plane.stats().listeners[0].accepted == 5
            assert sorted((plane.endpoint(one).picked, plane.endpoint(two).picked)) == [0, 5]


async def test_many_bytes_arrive_whole_both_ways(tmp_path: Path) -> None:
    async with quic_endpoint(tmp_path, b"one") as one:
        with RunningPlane([pool(one)], [udp_listener(quic=True)]) as plane:
            host, _, port = plane.address().rpartition(":")
            async with connect(host, int(port), configuration=asking()) as client:
                words = bytes(range(256)) * 4_000
                assert await ask(client, words) == b"one " + words


async def test_a_reload_forgets_no_connection(tmp_path: Path) -> None:
    async with quic_endpoint(tmp_path, b"one") as one, quic_endpoint(tmp_path, b"two") as two:
        with RunningPlane([pool(one, two)], [udp_listener(quic=True)]) as plane:
            host, _, port = plane.address().rpartition(":")
            async with connect(host, int(port), configuration=asking()) as client:
                first = await ask(client, b"hello")
                plane.apply([pool(two, one)], [udp_listener(quic=True)])
                await move(client)
                assert (await ask(client, b"hello")) == first
