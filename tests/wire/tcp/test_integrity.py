"""What goes in comes out, byte for byte, however slow and chaotic the peers are; and nothing stays behind."""

import contextlib
import hashlib
import os
import random
import socket
import threading
import time
from pathlib import Path

import pytest
from tests.support.endpoints import Conversation, ScriptedEndpoint
from tests.support.eventually import eventually
from tests.support.plane import RunningPlane, pool
from tests.support.raw import RawClient
from tests.support.tcp import echo, flow_endings, flow_listener, flow_route, open_flows

from bascule import contract

MIB = 1 << 20
SIZE = int(os.environ.get("BASCULE_STREAM_MIB", "24")) * MIB
"""Bytes each way. `BASCULE_STREAM_MIB=1024` is what a release is tested with."""
SOAK_S = float(os.environ.get("BASCULE_SOAK_S", "4"))
"""How long connections open, stall and die. `BASCULE_SOAK_S=300` is what a release is tested with."""


def send_all(into: socket.socket, seed: int, size: int) -> str:
    """Sends random bytes in steps of random sizes, then the end. Gives their checksum."""
    chance, digest, left = random.Random(seed), hashlib.sha256(), size
    while left:
        step = chance.randbytes(min(left, chance.choice((1, 100, 1_400, 16_384, 300_000))))
        into.sendall(step)
        digest.update(step)
        left -= len(step)
    into.shutdown(socket.SHUT_WR)
    return digest.hexdigest()


def read_all(source: socket.socket, seed: int) -> tuple[str, int]:
    """Reads to the end in steps of random sizes, with pauses. Gives the checksum and how much it was."""
    chance, digest, total = random.Random(seed), hashlib.sha256(), 0
    while received := source.recv(chance.choice((1, 1_000, 65_536, 1_000_000))):
        digest.update(received)
        total += len(received)
        if chance.random() < 0.002:
            time.sleep(0.01)
    return digest.hexdigest(), total


@pytest.mark.parametrize("window", [4_096, 65_536, None])
def test_large_streams_in_both_directions_at_once_arrive_whole(window: int | None) -> None:
    said: dict[str, str] = {}
    heard: dict[str, tuple[str, int]] = {}
    size = SIZE // 8 if window == 4_096 else SIZE

    def converse(name: str, peer: socket.socket, seed: int) -> None:
        reader = threading.Thread(target=lambda: heard.update({name: read_all(peer, seed)}))
        reader.start()
        said[name] = send_all(peer, seed + 1, size)
        reader.join()

    def serve(conversation: Conversation) -> None:
        converse("endpoint", conversation.socket, 1)

    with ScriptedEndpoint(serve, receive_buffer=window) as endpoint:
        with RunningPlane([pool(endpoint)], [flow_listener()]) as plane:
            with RawClient(plane.address(), receive_buffer=window) as client:
                client.socket.settimeout(120)
                converse("client", client.socket, 3)
            # The system still has bytes for the endpoint when the flow is over.
            assert endpoint.wait_conversations(1)[0].ended.wait(120)
            assert flow_endings(plane, 1) == {"ok": 1}
    assert heard["client"] == (said["endpoint"], size)
    assert heard["endpoint"] == (said["client"], size)


def test_a_reset_in_mid_stream_leaves_a_beginning_of_what_was_said() -> None:
    body = random.Random(5).randbytes(4 * MIB)
    got: list[bytes] = []

    def serve(conversation: Conversation) -> None:
        received = bytearray()
        got.append(b"")
        try:
            while step := conversation.socket.recv(10_000):
                received += step
        finally:
            got[0] = bytes(received)

    with ScriptedEndpoint(serve) as endpoint, RunningPlane([pool(endpoint)], [flow_listener()]) as plane:
        client = plane.connect()
        client.send(body[: 3 * MIB])
        client.reset()
        conversation = endpoint.wait_conversations(1)[0]
        conversation.wait_end()
        assert conversation.was_reset
        assert body.startswith(got[0])
        assert flow_endings(plane, 1) == {"client_aborted": 1}


def sockets() -> int:
    """Sockets of this process, the data plane's among them."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(descriptor.readlink()).startswith("socket:")
    return count


def test_connections_that_open_stall_and_die_leave_nothing_behind() -> None:
    flows = contract.PoolFlows(on_down="close")
    with ScriptedEndpoint(echo) as one, ScriptedEndpoint(echo) as other:
        only = flow_listener(flow_route(idle_ms=800))
        with RunningPlane([pool(one, other, flows=flows)], [only], threads=2) as plane:
            before = sockets()
            until = time.monotonic() + SOAK_S
            workers = [
                threading.Thread(target=_die_somehow, args=(plane.address(), seed, until))
                for seed in range(8)
            ]
            for worker in workers:
                worker.start()
            chance = random.Random(1)
            while time.monotonic() < until:
                plane.mark(contract.Mark("site", one.name, up=chance.random() < 0.5))
                time.sleep(0.05)
            for worker in workers:
                worker.join()
            plane.mark(contract.Mark("site", one.name, up=True))
            eventually(lambda: open_flows(plane) == 0, lambda: f"{open_flows(plane)} flows are open")
            stats = plane.wait_stats(lambda it: it.listeners[0].open == 0)
            assert sum(it.in_flight for it in stats.endpoints) == 0
            assert sum(it.picked for it in stats.endpoints) > 50
            # Those of the endpoints' halves go a moment later.
            eventually(lambda: sockets() <= before, lambda: f"{sockets()} sockets, {before} before")


def _die_somehow(address: str, seed: int, until: float) -> None:
    chance = random.Random(seed)
    while time.monotonic() < until:
        client = RawClient(address)
        with contextlib.suppress(OSError, AssertionError):
            for _ in range(chance.randrange(4)):
                client.send(chance.randbytes(chance.choice((1, 5_000, 500_000))))
                client.socket.recv(chance.choice((1, 100_000)))
            match chance.randrange(5):
                case 0:
                    client.reset()
                case 1:
                    client.finish()
                    client.socket.recv(10)
                case 2:
                    # Somebody who says nothing more is let go.
                    client.rest()
                case _:
                    pass
        client.close()
