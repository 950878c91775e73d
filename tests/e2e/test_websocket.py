"""WebSockets that stay open while the whole program changes around them, and that carry much."""

import asyncio
import hashlib
import random
import re
from pathlib import Path
from typing import Any

from tests.support.eventually import PATIENCE, eventually
from tests.support.program import Bascule, ToyEndpoint, command, get, reload
from tests.support.websocket import WebSocketEndpoint
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.sync.client import connect as connect_and_wait

SOCKETS = 1_000
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


def test_a_frame_of_100_megabytes_travels_both_ways_in_little_memory(folder: Path) -> None:
    content = random.Random(1).randbytes(100 * MEGABYTE)
    with WebSocketEndpoint(compression=None) as endpoint:
        (folder / "bascule.yaml").write_text(
            'listeners: {web: {bind: "127.0.0.1:0", pool: site}}\n'
            f"pools: {{site: {{endpoints: ['{endpoint.name}']}}}}\naccess_log: off\n"
        )
        with Bascule(folder, "run") as running:
            address = running.ready().address()
            with connect_and_wait(f"ws://{address}/", **CALM, legacy=True) as client:
                client.send(b"warm")
                assert client.recv(PATIENCE) == b"warm"
                before = memory_at_most(running.pid)
                client.send(content)
                came = client.recv(PATIENCE * 3)
                assert isinstance(came, bytes)
                assert hashlib.sha256(came).digest() == hashlib.sha256(content).digest()
                assert memory_at_most(running.pid) - before < 4 * MEGABYTE
            assert '"tunnels": 0' in command(folder, "status", "--json").out
