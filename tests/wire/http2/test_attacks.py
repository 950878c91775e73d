"""Attacks of one client: memory and time stay bounded, the attacker is cut off, and another client is served.

A canary asks over a connection of its own, all along: its slowest answer is what an attack costs others.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    WindowUpdateFrame,
)
from tests.support.endpoints import Conversation, response
from tests.support.http2 import Answer, Http2Client, head, repeated, settings_frame
from tests.support.plane import RunningPlane, client_timeouts, listener, serving

MIB = 1 << 20
BIG_ANSWER = response(body=bytes(4 * MIB))
# On a machine of which others have their part; what is meant is "not stuck".
SLOWEST = 2.0


def memory() -> int:
    """Resident bytes of this process, in which the balancer runs."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Canary:
    """Asks all the time until the `with` ends; its answers were all good and in time."""

    def __init__(self, plane: RunningPlane) -> None:
        self._plane, self._done = plane, threading.Event()
        self.asked, self.slowest = 0, 0.0
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Canary":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(10)
        if self._problem is not None:
            raise self._problem
        assert self.asked > 0
        assert self.slowest < SLOWEST, f"an answer took {self.slowest:.3f} s"

    def _run(self) -> None:
        try:
            with self._plane.connect_http2() as client:
                while True:
                    began = time.monotonic()
                    assert client.ask(head("GET", "/canary")).status == 200
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    self.asked += 1
                    if self._done.is_set():
                        return
        except BaseException as problem:
            self._problem = problem


def answering(conversation: Conversation) -> None:
    while True:
        conversation.send(BIG_ANSWER if conversation.read().target == "/big" else response(body=b"ok"))


@contextlib.contextmanager
def attacked(only: object = None, grows: int = 8 * MIB) -> Iterator[RunningPlane]:
    """A balancer with a canary; its memory grows by no more than `grows` while the `with` lasts."""
    with serving(answering, only) as (_, plane):  # type: ignore[arg-type]
        with plane.connect_http2() as client:
            client.ask()
        before = memory()
        with Canary(plane):
            yield plane
            grown = memory() - before
        assert grown < grows, f"{grown / MIB:.1f} MiB"


def send_all(client: Http2Client, pieces: Iterable[bytes], patience: float = 5.0) -> bool:
    """Sends until all is sent (True), or the balancer ends the connection or takes no more (False)."""
    client.socket.settimeout(patience)
    try:
        for piece in pieces:
            client.socket.sendall(piece)
            with contextlib.suppress(BlockingIOError):
                client.socket.setblocking(False)
                try:
                    # What it says is not read in full: only its end matters here.
                    while received := client.socket.recv(1 << 16):
                        _note(client, received)
                    client.closed = True
                    return False
                finally:
                    client.socket.settimeout(patience)
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        return False
    return True


def _note(client: Http2Client, received: bytes) -> None:
    client._unread += received
    client._without_goodbyes()


def cut_off(client: Http2Client, *codes: ErrorCodes) -> bool:
    """Whether the connection has ended, with one of these words if the client could read it."""
    client.socket.settimeout(5)
    try:
        while not client.closed and client.goodbye is None:
            received = client.socket.recv(1 << 16)
            if not received:
                break
            _note(client, received)
    except (ConnectionResetError, BrokenPipeError):
        return True
    except TimeoutError:
        return False
    return client.goodbye in (None, ErrorCodes.ENHANCE_YOUR_CALM, *codes)


def begin(client: Http2Client) -> None:
    """Shakes hands, and reads what comes with that."""
    assert client.ask(head("GET", "/")).status == 200


def padded(frame: Frame, flag: str) -> Frame:
    frame.flags.add(flag)
    return frame


FLOODS: dict[str, Frame | bytes] = {
    "PING": PingFrame(0, b"12345678"),
    "SETTINGS": settings_frame({4: 70_000}),
    "empty SETTINGS": settings_frame(),
    "PRIORITY": PriorityFrame(7, depends_on=1, stream_weight=5),
    "WINDOW_UPDATE of one byte": WindowUpdateFrame(0, window_increment=1),
    "frames of an unknown type": b"\0\0\1\xbe\0\0\0\0\0x",
    "ALTSVC": b"\0\0\2\x0a\0\0\0\0\0\0\0",
}


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_frames_that_bring_nothing_is_cut_off(frame: Frame | bytes) -> None:
    with attacked() as plane, plane.connect_http2() as client:
        begin(client)
        send_all(client, repeated(frame, 2_000_000))
        assert cut_off(client)


def test_a_client_that_does_not_read_its_pongs_holds_no_memory() -> None:
    with attacked() as plane, plane.connect_http2() as client:
        begin(client)
        with contextlib.suppress(OSError):
            for piece in repeated(PingFrame(0, b"12345678"), 500_000):
                client.socket.sendall(piece)
        assert cut_off(client)


@pytest.mark.parametrize("size", [0, 1], ids=["empty", "padded"])
def test_a_flood_of_data_frames_without_data_is_cut_off(size: int) -> None:
    data = DataFrame(3)
    if size:
        data = DataFrame(3, pad_length=200)
        data.flags.add("PADDED")
    with attacked() as plane, plane.connect_http2() as client:
        begin(client)
        client.send_frames(client.raw_head(3, head("POST", "/")))
        send_all(client, repeated(data, 1_000_000))
        assert cut_off(client)


@pytest.mark.parametrize("filled", [True, False], ids=["full", "empty"])
def test_a_head_that_never_ends_is_cut_off(filled: bool) -> None:
    with attacked() as plane, plane.connect_http2() as client:
        begin(client)
        first = HeadersFrame(3, client.encoded(head()))
        first.flags.add("END_STREAM")
        more = ContinuationFrame(3, client.encoded([("x", "y" * 8_000)]) if filled else b"")
        client.send_frames(first)
        send_all(client, repeated(more, 100_000))
        assert cut_off(client)


@pytest.mark.parametrize("pause", [False, True], ids=["at once", "after the endpoint was asked"])
def test_streams_that_are_cancelled_as_soon_as_they_are_opened_end_the_connection(pause: bool) -> None:
    with attacked() as plane, plane.connect_http2() as client:
        begin(client)

        def pairs() -> Iterator[bytes]:
            for stream in range(3, 100_000, 2):
                ask = client.raw_head(stream, head("GET", "/"), "END_STREAM").serialize()
                reset = RstStreamFrame(stream, error_code=int(ErrorCodes.CANCEL)).serialize()
                yield from (ask, reset) if pause else (ask + reset,)

        send_all(client, pairs())
        assert cut_off(client)
        stats = plane.stats()
        assert stats.listeners[0].requests < 60_000


MISDEEDS: dict[str, Callable[[int], Frame]] = {
    "a window that is opened by nothing": lambda stream: WindowUpdateFrame(stream, window_increment=0),
    "a window that overflows": lambda stream: WindowUpdateFrame(stream, window_increment=2**31 - 1),
    "data behind the end": lambda stream: DataFrame(stream, b"x"),
    "a stream that depends on itself": lambda stream: PriorityFrame(stream, depends_on=stream),
}


@pytest.mark.parametrize("misdeed", MISDEEDS.values(), ids=MISDEEDS)
def test_a_client_that_makes_us_cancel_its_streams_is_cut_off(misdeed: Callable[[int], Frame]) -> None:
    """MadeYouReset (CVE-2025-8671)."""
    with attacked() as plane, plane.connect_http2() as client:
        begin(client)

        def pairs() -> Iterator[bytes]:
            for stream in range(3, 100_000, 2):
                ask = client.raw_head(stream, head("GET", "/big"), "END_STREAM").serialize()
                yield ask + misdeed(stream).serialize() * 2

        send_all(client, pairs())
        assert cut_off(client, ErrorCodes.PROTOCOL_ERROR, ErrorCodes.STREAM_CLOSED)


def test_a_head_that_unpacks_to_megabytes_costs_none() -> None:
    """One byte for each reference to a large field (HPACK bomb)."""
    with attacked() as plane, plane.connect_http2() as client:
        begin(client)
        fields = head("GET", "/", ("x", "y" * 3_900))
        assert client.ask(fields).status == 200
        again = client.encoded([("x", "y" * 3_900)])
        assert len(again) <= 2
        client.send_frames(block_of(known(client, fields), client.encoded(head()) + again * 15_000))
        assert cut_off(client)


def test_thousands_of_crumbs_of_a_cookie_behind_a_shut_window_hold_no_memory() -> None:
    """HTTP/2 Bomb (CVE-2026-47774, CVE-2026-49975)."""
    only = listener(timeouts=client_timeouts(send_ms=60_000))
    with attacked(only) as plane, plane.connect_http2(window=0) as client:
        stream = client.request(head("GET", "/big", ("cookie", "a")))
        client.until(lambda: client.answers[stream].status == 200)
        crumb = client.encoded([("cookie", "a")])
        assert len(crumb) == 1
        for _ in range(90):
            number = known(client, head("GET", "/big", ("cookie", "a")))
            client.send_frames(block_of(number, client.encoded(head("GET", "/big")) + crumb * 1_400))
        client.until(lambda: sum(one.status > 0 for one in client.answers.values()) > 90)


def known(client: Http2Client, fields: list[tuple[str, str]]) -> int:
    """A new stream of which the library knows, without a word: both sides have `fields` in their tables."""
    stream = client.h2.get_next_available_stream_id()
    client.flush()
    client.h2.send_headers(stream, fields, end_stream=True)
    client.h2.data_to_send()
    client.answers[stream] = Answer()
    return stream


def block_of(stream: int, block: bytes) -> bytes:
    """A header block in as many frames as it needs."""
    pieces = [block[at : at + 16_384] for at in range(0, len(block), 16_384)]
    first = HeadersFrame(stream, pieces[0])
    first.flags.add("END_STREAM")
    frames: list[Frame] = [first, *(ContinuationFrame(stream, piece) for piece in pieces[1:])]
    frames[-1].flags.add("END_HEADERS")
    return b"".join(frame.serialize() for frame in frames)


def test_large_answers_behind_shut_windows_wait_at_their_endpoints() -> None:
    only = listener(timeouts=client_timeouts(send_ms=60_000))
    with attacked(only, grows=48 * MIB) as plane, plane.connect_http2(window=0) as client:
        streams = [client.request(head("GET", "/big")) for _ in range(99)]
        client.until(lambda: all(client.answers[stream].status == 200 for stream in streams))


def test_a_window_that_opens_byte_by_byte_is_cut_off() -> None:
    with attacked() as plane, plane.connect_http2(window=1) as client:
        stream = client.request(head("GET", "/big"))
        client.until(lambda: client.answers[stream].body != b"")
        send_all(client, repeated(WindowUpdateFrame(stream, window_increment=1), 200_000))
        assert cut_off(client)


@pytest.mark.parametrize(
    "frame",
    [
        b"\x00\x40\x01\x00\x00\x00\x00\x00\x01" + bytes(16_385),
        b"\x00\x00\x05\x06\x00\x00\x00\x00\x00" + bytes(5),
        b"\x00\x00\x03\x04\x00\x00\x00\x00\x00" + bytes(3),
        b"\x00\x00\x04\x08\x00\x00\x00\x00\x00" + bytes(4),
        b"\x00\x00\x00\x09\x00\x00\x00\x00\x01",
        b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x",
        b"\x00\x00\x04\x05\x04\x00\x00\x00\x01" + bytes(4),
    ],
    ids=[
        "too large",
        "short ping",
        "short settings",
        "no increment",
        "lone continuation",
        "data of none",
        "push",
    ],
)
def test_a_frame_that_breaks_the_connection_ends_it_and_no_other(frame: bytes) -> None:
    with attacked() as plane, plane.connect_http2() as client:
        begin(client)
        client.send_frames(frame)
        client.until(lambda: client.closed or client.goodbye is not None)
        assert client.goodbye not in (None, ErrorCodes.NO_ERROR)


def test_half_prefaces_and_silence_are_cut_off_in_time() -> None:
    only = listener(timeouts=client_timeouts(head_ms=300))
    with attacked(only) as plane:
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(plane.connect_http2(begin=False)) for _ in range(100)]
            for number, client in enumerate(idle):
                client.socket.sendall(client.h2.data_to_send()[: number % 40])
            for client in idle:
                with contextlib.suppress(ConnectionResetError):
                    while client.socket.recv(1 << 16):
                        pass
