"""Clients that ask for much and take little: what was read for them stays little, and others are served."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from hyperframe.frame import DataFrame, HeadersFrame
from tests.support.eventually import PATIENCE
from tests.support.http2 import Http2Client, head
from tests.support.http2_endpoint import Call, Http2Endpoint
from tests.support.measured import LargeEndpoint, MeasuredPlane
from tests.support.plane import client_limits, client_timeouts, listener

from bascule import contract

KIB, MIB = 1 << 10, 1 << 20
SIZE = 10 * MIB
CONNECTIONS, STREAMS = 50, 100
# 16 KiB for each stream, and what it takes to have one; 1 MiB for each connection, and what its socket has.
BOUND = STREAMS * (16 + 10) * KIB + MIB + 512 * KIB
SLOW = client_timeouts(send_ms=120_000, body_ms=120_000)
PATIENT = listener(timeouts=SLOW, limits=client_limits(connections=200))
# More than any response or window here.
WIDE = 1 << 29


@contextmanager
def behind(endpoint: contract.Endpoint | str, **options: object) -> Iterator[MeasuredPlane]:
    with MeasuredPlane([endpoint], PATIENT, **options) as plane:
        with plane.connect_http2() as client:
            assert client.ask(head("GET", "/canary")).status == 200
        yield plane


def settled(measure: Callable[[], int]) -> int:
    """The highest that it says, once it has not risen for a while: nothing announces that no more comes."""
    highest, since = 0, time.monotonic()
    give_up = since + PATIENCE * 3
    while time.monotonic() - since < 1.5 and time.monotonic() < give_up:
        now = measure()
        if now > highest + MIB:
            highest, since = now, time.monotonic()
        time.sleep(0.05)
    return max(highest, measure())


def asking(plane: MeasuredPlane, ending: ExitStack, window: int) -> Http2Client:
    """A connection with as many requests as it may have, whose streams have so small a window."""
    client = ending.enter_context(plane.connect_http2(window=window))
    client.h2.increment_flow_control_window(WIDE)
    for _ in range(STREAMS):
        client.request(head("GET", "/big"))
    return client


def wait_settings(client: Http2Client) -> None:
    """Reads until the balancer has said how much it takes ahead."""
    client.until(lambda: client.h2.remote_settings.initial_window_size == 65_536)


def use_up(client: Http2Client, window: int) -> None:
    """Reads until each stream has had what its window is for."""
    answers = [answer for number, answer in client.answers.items() if number]
    client.until(lambda: all(answer.status and len(answer.body) >= window for answer in answers))


@pytest.mark.parametrize("window", [0, 1, 16 * KIB, 100 * KIB])
def test_5000_streams_that_stop_in_large_responses_hold_little(window: int) -> None:
    with LargeEndpoint(SIZE) as endpoint, behind(endpoint.name) as plane, ExitStack() as ending:
        before = plane.memory()
        clients = [asking(plane, ending, window) for _ in range(CONNECTIONS)]
        for client in clients:
            use_up(client, window)
        with plane.connect_http2() as other:
            assert len(other.ask(head("GET", "/canary")).body) == 2
        held = settled(plane.memory) - before
        assert MIB < held / CONNECTIONS < BOUND, f"{held / CONNECTIONS / MIB:.2f} MiB for each connection"


def test_5000_streams_of_clients_that_do_not_read_hold_little() -> None:
    with LargeEndpoint(SIZE) as endpoint, behind(endpoint.name) as plane, ExitStack() as ending:
        before = plane.memory()
        for _ in range(CONNECTIONS):
            asking(plane, ending, WIDE)
        held = settled(plane.memory) - before
        assert MIB < held / CONNECTIONS < BOUND, f"{held / CONNECTIONS / MIB:.2f} MiB for each connection"
        with plane.connect_http2() as other:
            assert len(other.ask(head("GET", "/canary")).body) == 2


def test_a_stream_beside_99_stuck_ones_gets_all_of_its_response_and_they_get_theirs_later() -> None:
    with LargeEndpoint(2 * MIB) as endpoint, behind(endpoint.name) as plane, ExitStack() as ending:
        client = asking(plane, ending, 100 * KIB)
        use_up(client, 100 * KIB)
        streams = [number for number in client.answers if number]
        for stream in streams:
            client.h2.increment_flow_control_window(2 * MIB, stream)
            client.flush()
            answer = client.answer(stream)
            assert (answer.ended, len(answer.body)) == (True, 2 * MIB)


@pytest.mark.parametrize("protocol", ["http1", "http2"])
def test_uploads_that_their_endpoint_does_not_take_hold_what_the_client_may_send_ahead(protocol: str) -> None:
    with ExitStack() as ending:
        endpoint = ending.enter_context(deaf())
        plane = ending.enter_context(MeasuredPlane([endpoint], PATIENT, protocol=protocol))
        before = plane.memory()
        clients = [ending.enter_context(plane.connect_http2()) for _ in range(10)]
        for client in clients:
            wait_settings(client)
            for stream in range(1, 2 * STREAMS, 2):
                begin: HeadersFrame = client.raw_head(stream, head("POST", "/"))
                sent = [DataFrame(stream, bytes(16 * KIB)).serialize() for _ in range(4)]
                client.send_frames(begin, *sent)
        each = (settled(plane.memory) - before) / len(clients)
        # The beginning of a body is kept for endpoints of HTTP/2, which may say that they have not begun.
        kept = 64 if protocol == "http2" else 0
        assert STREAMS * 32 * KIB < each < STREAMS * (64 + 64 + 14 + kept) * KIB + MIB, (
            f"{each / MIB:.2f} MiB"
        )


@contextmanager
def deaf() -> Iterator[str]:
    """An endpoint that accepts, and takes nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=2_000) as server:
        yield "{}:{}".format(*server.getsockname())


def fill_the_window(call: Call) -> None:
    """Answers with as much as may be sent ahead, and no end."""
    if call.ended:
        call.respond(body=bytes(2) if call[":path"] == "/canary" else b"", ends=call[":path"] == "/canary")
        if call[":path"] != "/canary":
            call.send(bytes(call.link.h2.local_flow_control_window(call.stream)))


def test_streams_of_endpoints_of_http_2_hold_little_more() -> None:
    """What the endpoint may send ahead comes on top of it, in memory of which `h2` fills about half."""
    with Http2Endpoint(fill_the_window) as endpoint, ExitStack() as ending:
        plane = ending.enter_context(behind(endpoint.contract(), protocol="http2"))
        before = plane.memory()
        clients = [asking(plane, ending, 1) for _ in range(10)]
        for client in clients:
            use_up(client, 1)
        held = settled(plane.memory) - before
        assert held < len(clients) * (BOUND + STREAMS * 4 * 64 * KIB), f"{held / len(clients) / MIB:.2f} MiB"
