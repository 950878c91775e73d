"""Clients that ask for much and take little: what was read for them and waits stays little, and others are served."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from hyperframe.frame import WindowUpdateFrame
from tests.support.eventually import PATIENCE
from tests.support.http2 import Http2Client, head
from tests.support.measured import LargeEndpoint, MeasuredPlane
from tests.support.plane import client_limits, client_timeouts, listener
from tests.support.processes import nginx

KIB, MIB = 1 << 10, 1 << 20
SIZE = 10 * MIB
CONNECTIONS, STREAMS = 50, 100
# For each stream 16 KiB and what it takes to have one; for each connection 1 MiB and what waits for its socket.
BOUND = STREAMS * (16 + 12) * KIB + MIB + 512 * KIB
PATIENT = listener(timeouts=client_timeouts(send_ms=120_000), limits=client_limits(connections=200))


@contextmanager
def behind(name: str, **options: object) -> Iterator[MeasuredPlane]:
    with MeasuredPlane([name], PATIENT, **options) as plane:
        with plane.connect_http2() as client:
            assert client.ask(head("GET", "/canary")).status == 200
        yield plane


def settled(measure: Callable[[], int]) -> int:
    """The highest that it says, once it has not risen for a while. Nothing announces that no more comes."""
    highest, since = 0, time.monotonic()
    give_up = since + PATIENCE * 3
    while time.monotonic() - since < 1.5 and time.monotonic() < give_up:
        now = measure()
        if now > highest + MIB:
            highest, since = now, time.monotonic()
        time.sleep(0.05)
    return max(highest, measure())


def stuck(ending: ExitStack, plane: MeasuredPlane, window: int, count: int = CONNECTIONS) -> list[Http2Client]:
    clients = []
    for _ in range(count):
        client = ending.enter_context(plane.connect_http2(window=window))
        client.h2.increment_flow_control_window(1 << 29)
        for _ in range(STREAMS):
            client.request(head("GET", "/big"))
        clients.append(client)
    return clients


@pytest.mark.parametrize("window", [0, 1, 16 * KIB, 100 * KIB])
def test_5000_stuck_streams_of_large_responses_hold_little(window: int) -> None:
    with LargeEndpoint(SIZE) as endpoint, behind(endpoint.name) as plane, ExitStack() as ending:
        before = plane.memory()
        for client in stuck(ending, plane, window):
            streams = [one for number, one in client.answers.items() if number]
            client.until(lambda streams=streams: all(it.status and len(it.body) == window for it in streams))
        with plane.connect_http2() as other:
            assert other.ask(head("GET", "/canary")).body == b"\0\0"
        held = settled(plane.memory) - before
        print(window, held / MIB, held / CONNECTIONS / MIB)
        assert held < CONNECTIONS * BOUND, f"{held / CONNECTIONS / MIB:.2f} MiB for each connection"
