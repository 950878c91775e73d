"""Large bodies arrive whole; a side that does not read makes the other wait, not the balancer swell."""

import contextlib
import hashlib
import random
import select
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.endpoints import OK, Conversation, Step, play, response
from tests.support.plane import client_timeouts, listener, route, route_timeouts, serving
from tests.support.raw import RawClient, request
from tests.support.strict import Request

MEGABYTES = 10
BODY = random.Random(7).randbytes(MEGABYTES * 1_000_000)
DIGEST = hashlib.sha256(BODY).hexdigest()
ENDLESS = 512 * 1024 * 1024
"""More than all buffers on the way can hold, kernel included."""
KERNEL = 64 * 1024 * 1024
"""What the socket buffers of two connections may take at the very most."""
OURS = 4 * 1024 * 1024
"""What the balancer may take for one exchange at the very most."""
BLOCK = b"x" * 65_536


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def chunks_of(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def send_until_blocked(connected: RawClient | Conversation, content: bytes, blocked: threading.Event) -> None:
    """Sends everything; `blocked` is set as soon as the peer's slowness has come all the way."""
    sent = 0
    while sent < len(content) and select.select([], [connected.socket], [], 0)[1]:
        sent += connected.socket.send(content[sent : sent + 65_536])
    blocked.set()
    connected.socket.sendall(memoryview(content)[sent:])


class PeakMemory:
    """The most that this process held in memory since `begin`, beyond what it held then (Linux)."""

    def begin(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self._before = self._read("VmRSS")

    def grown(self) -> int:
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


UPLOADS = {
    "length": request("POST", "/", f"Content-Length: {len(BODY)}") + BODY,
    "small chunks": request("POST", "/", "Transfer-Encoding: chunked") + chunks_of(BODY, 1_000),
    "large chunks": request("POST", "/", "Transfer-Encoding: chunked") + chunks_of(BODY, 3_000_000),
}

DOWNLOADS = {
    "length": response(body=BODY),
    "small chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks_of(BODY, 1_000),
    "large chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks_of(BODY, 3_000_000),
    "close": b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
}


@pytest.mark.parametrize("content", UPLOADS.values(), ids=UPLOADS)
def test_ten_megabytes_reach_an_endpoint_that_reads_late(content: bytes) -> None:
    blocked = threading.Event()
    script = play(Step.HEAD, blocked, Step.BODY, OK)
    with serving(script) as (endpoint, plane), plane.connect() as client, ThreadPoolExecutor(1) as sender:
        sending = sender.submit(send_until_blocked, client, content, blocked)
        assert client.response().status == 200
        sending.result()
    assert digest(endpoint.requests[0].body) == DIGEST


@pytest.mark.parametrize("content", DOWNLOADS.values(), ids=DOWNLOADS)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_ten_megabytes_reach_a_client_that_reads_late(content: bytes, version: str) -> None:
    blocked = threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.read()
        send_until_blocked(conversation, content, blocked)
        conversation.finish()

    with serving(script) as (_, plane), plane.connect() as client:
        client.send(request(version=version))
        assert blocked.wait(10)
        assert digest(client.response().body) == DIGEST


def test_ten_megabytes_go_both_ways_at_once() -> None:
    def echo(conversation: Conversation) -> None:
        head = conversation.head()
        conversation.send(response(length=False) + b"")
        left = int(head.fields.one("content-length") or 0)
        while left:
            piece = conversation.stream.exactly(min(left, 50_000))
            conversation.send(piece)
            left -= len(piece)
        conversation.endpoint.note(Request(head.method, head.target, head.fields))
        conversation.finish()

    with serving(echo) as (_, plane), plane.connect() as client, ThreadPoolExecutor(1) as sender:
        sending = sender.submit(client.send, UPLOADS["length"])
        assert digest(client.response().body) == DIGEST
        sending.result()


def test_a_client_that_does_not_read_stops_the_endpoint_and_is_cut_off_in_time() -> None:
    sent = [0]

    def script(conversation: Conversation) -> None:
        conversation.read()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % ENDLESS)
        while sent[0] < ENDLESS:
            sent[0] += conversation.socket.send(BLOCK)

    only = listener(timeouts=client_timeouts(send_ms=150))
    memory = PeakMemory()
    with serving(script, only) as (endpoint, plane), plane.connect(receive_buffer=4096) as client:
        memory.begin()
        client.send(request())
        assert plane.endings(1) == {"client_not_reading": 1}
        endpoint.conversations[0].wait_end()
        assert sent[0] < KERNEL
        assert memory.grown() < OURS
        client.cut_response()


def test_an_endpoint_that_does_not_read_stops_the_client_and_is_given_up_in_time() -> None:
    sent = [0]

    def send_endlessly(client: RawClient) -> None:
        client.send(request("POST", "/", f"Content-Length: {ENDLESS}"))
        try:
            while sent[0] < ENDLESS:
                sent[0] += client.socket.send(BLOCK)
        except (BrokenPipeError, ConnectionResetError):
            return

    only = listener(route(timeouts=route_timeouts(idle_ms=150)))
    memory, over = PeakMemory(), threading.Event()
    with (
        serving(play(Step.HEAD, over), only) as (_, plane),
        plane.connect() as client,
        ThreadPoolExecutor(1) as sender,
    ):
        memory.begin()
        sending = sender.submit(send_endlessly, client)
        assert client.response().status == 504
        assert plane.endings(1) == {"endpoint_not_reading": 1}
        assert sent[0] < KERNEL
        assert memory.grown() < OURS
        over.set()
        # Cut off by now, unless the balancer still listens to what was on its way.
        with contextlib.suppress(OSError):
            client.finish()
        sending.result()


def test_a_slow_client_does_not_slow_down_another() -> None:
    def script(conversation: Conversation) -> None:
        while conversation.read().target == "/small":
            conversation.send(OK)
        conversation.send(DOWNLOADS["length"])

    with serving(script) as (_, plane), plane.connect(receive_buffer=4096) as slow, plane.connect() as other:
        slow.send(request(target="/large"))
        slow.head()
        assert [other.ask(request(target="/small")).status for _ in range(20)] == [200] * 20
