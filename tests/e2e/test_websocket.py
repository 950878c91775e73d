"""WebSockets that stay open while the whole program changes around them, and that carry much."""

import asyncio
import hashlib
import random
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import PATIENCE, eventually
from tests.support.http2 import Http2Client
from tests.support.program import Bascule, ToyEndpoint, command, get, reload
from tests.support.websocket import WebSocketEndpoint
from tests.support.websocket_http2 import Http2WebSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.sync.client import ClientConnection as SyncConnection
from websockets.sync.client import connect as connect_and_wait

SOCKETS = 1_000
PER_CONNECTION = 50
RELOADS = 100
MEGABYTE = 1_000_000
CALM: dict[str, Any] = {"ping_interval": None, "compression": None, "max_size": None}


def memory_at_most(pid: int) -> int:
    """Bytes of memory that the process ever held at a time."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def configured(number: int, used: str, other: str) -> str:
    """Another configuration each time: in routes, pools, algorithms, limits and endpoints.

    The endpoint with the sockets stays, but for the middle third, when it is gone.
    """
    gone = RELOADS // 3 <= number < 2 * RELOADS // 3
    endpoints = [*([] if gone else [used]), *([other] if gone or number % 2 else [])]
    algorithm = ("least_busy", "fastest", "round_robin")[number % 3]
    return f"""\
listeners:
  web:
    bind: "127.0.0.1:0"
    limits: {{headers: {100 + number}}}
    routes:
      - {{match: {{path: /only/{number}}}, pool: more}}
      - pool: site
        timeouts: {{tunnel: {600 + number}s}}
        response_headers: {{set: {{X-Now: "{number}"}}}}
pools:
  site: {{endpoints: {endpoints}, algorithm: {algorithm}}}
  more: {{endpoints: ["{other}"]}}
access_log: off
"""


async def echoes(client: ClientConnection, message: str) -> bool:
    await client.send(message)
    return await asyncio.wait_for(client.recv(), PATIENCE) == message


async def test_1000_open_sockets_lose_nothing_through_100_reloads(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    ended = 0

    async def send_back(connection: ServerConnection) -> None:
        nonlocal ended
        async for message in connection:
            await connection.send(message)
        ended += 1

    file = folder / "bascule.yaml"
    async with serve(send_back, "127.0.0.1", 0, **CALM) as server:
        used = "{}:{}".format(*next(iter(server.sockets)).getsockname())
        file.write_text(configured(0, used, toys[0].name))
        with Bascule(folder, "run") as running:
            address = running.ready().address()
            clients: list[ClientConnection] = []
            while len(clients) < SOCKETS:
                some = (connect(f"ws://{address}/chat", **CALM) for _ in range(50))
                clients += await asyncio.gather(*some)

            for number in range(1, RELOADS + 1):
                file.write_text(configured(number, used, toys[0].name))
                # Messages are on their way while the reload is.
                talking = clients[number % 50 :: 50]
                spoken = [echoes(client, f"{number} of {at}") for at, client in enumerate(talking)]
                results = await asyncio.gather(asyncio.to_thread(reload, folder), *spoken)
                assert results == [None, *[True] * len(talking)]
                answer = await asyncio.to_thread(get, address)
                if RELOADS // 3 <= number < 2 * RELOADS // 3:
                    assert answer.body.decode() == toys[0].name, "the endpoint that is gone gets nothing new"

            assert ended == 0
            assert all(await asyncio.gather(*(echoes(it, f"end {at}") for at, it in enumerate(clients))))
            assert (len(server.connections), ended) == (SOCKETS, 0)
            metrics = await asyncio.to_thread(get, f"unix:{folder}/admin.sock", "/metrics")
            assert f'bascule_listener_tunnels{{listener="web"}} {SOCKETS}\n' in metrics.body.decode()
            assert (
                f'bascule_listener_accepted_total{{listener="web"}} {SOCKETS + RELOADS}'
                in metrics.body.decode()
            )

            await asyncio.gather(*(client.close(4000, "enough") for client in clients))
            assert {client.close_code for client in clients} == {4000}

            def all_is_over() -> bool:
                said = get(f"unix:{folder}/admin.sock", "/metrics").body.decode()
                return (
                    'bascule_listener_tunnels{listener="web"} 0\n' in said
                    and "bascule_draining_generations 0\n" in said
                )

            await asyncio.to_thread(eventually, all_is_over, "generations or tunnels are left over")


async def test_1000_open_sockets_on_20_connections_of_http_2_lose_nothing_through_100_reloads(
    folder: Path, toys: list[ToyEndpoint]
) -> None:
    file = folder / "bascule.yaml"
    ended = 0

    async def send_back(connection: ServerConnection) -> None:
        nonlocal ended
        async for message in connection:
            await connection.send(message)
        ended += 1

    def talk(sockets: list[Http2WebSocket], number: int) -> None:
        for at, socket in enumerate(sockets):
            socket.send(f"{number} of {at}")
        assert [socket.recv() for socket in sockets] == [f"{number} of {at}" for at in range(len(sockets))]

    async with serve(send_back, "127.0.0.1", 0, **CALM) as server:
        used = "{}:{}".format(*next(iter(server.sockets)).getsockname())
        file.write_text(configured(0, used, toys[0].name))
        with Bascule(folder, "run") as running, ExitStack() as ending:
            address = running.ready().address()
            clients = [ending.enter_context(Http2Client(address)) for _ in range(SOCKETS // PER_CONNECTION)]
            opened = (asyncio.to_thread(open_some, client) for client in clients)
            sockets = [socket for some in await asyncio.gather(*opened) for socket in some]

            for number in range(1, RELOADS + 1):
                file.write_text(configured(number, used, toys[0].name))
                # Messages are on their way while the reload is.
                talking = asyncio.to_thread(talk, sockets[number % 50 :: 50], number)
                await asyncio.gather(asyncio.to_thread(reload, folder), talking)

            assert (ended, {client.goodbye for client in clients}) == (0, {None})
            await asyncio.to_thread(talk, sockets, RELOADS + 1)
            assert (len(server.connections), ended) == (SOCKETS, 0)
            metrics = (await asyncio.to_thread(get, f"unix:{folder}/admin.sock", "/metrics")).body.decode()
            assert f'bascule_listener_tunnels{{listener="web"}} {SOCKETS}\n' in metrics
            assert f'bascule_listener_accepted_total{{listener="web"}} {len(clients)}\n' in metrics

            def say_goodbye() -> set[int]:
                return {close.code for it in sockets if (close := it.close(4000, "enough")) is not None}

            assert await asyncio.to_thread(say_goodbye) == {4000}

            def all_is_over() -> bool:
                said = get(f"unix:{folder}/admin.sock", "/metrics").body.decode()
                return (
                    'bascule_listener_tunnels{listener="web"} 0\n' in said
                    and "bascule_draining_generations 0\n" in said
                )

            await asyncio.to_thread(eventually, all_is_over, "generations or tunnels are left over")
            assert {client.goodbye for client in clients} == {None}


def open_some(client: Http2Client) -> list[Http2WebSocket]:
    return [Http2WebSocket(client) for _ in range(PER_CONNECTION)]


@pytest.mark.parametrize("version", [1, 2])
def test_a_frame_of_100_megabytes_travels_both_ways_in_little_memory(folder: Path, version: int) -> None:
    content = random.Random(1).randbytes(100 * MEGABYTE)
    with WebSocketEndpoint(compression=None) as endpoint:
        (folder / "bascule.yaml").write_text(
            'listeners: {web: {bind: "127.0.0.1:0", pool: site}}\n'
            f"pools: {{site: {{endpoints: ['{endpoint.name}']}}}}\naccess_log: off\n"
        )
        with Bascule(folder, "run") as running:
            address = running.ready().address()
            with ExitStack() as ending:
                client: Http2WebSocket | SyncConnection
                if version == 1:
                    opened = connect_and_wait(f"ws://{address}/", **CALM, legacy=True)
                    client = ending.enter_context(opened)
                else:
                    client = Http2WebSocket(ending.enter_context(Http2Client(address)))
                client.send(b"warm")
                assert client.recv() == b"warm"
                before = memory_at_most(running.pid)
                client.send(content)
                came = client.recv()
                assert isinstance(came, bytes)
                assert hashlib.sha256(came).digest() == hashlib.sha256(content).digest()
                assert memory_at_most(running.pid) - before < 8 * MEGABYTE

            def all_is_over() -> bool:
                return '"tunnels": 0' in command(folder, "status", "--json").out

            eventually(all_is_over, "the tunnel stays open")
