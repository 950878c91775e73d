"""Attacks of one client: memory and CPU time stay bounded, the attacker is cut off, and others are served.

The balancer is a process of its own, so that what it costs is read from outside. A canary asks over a
connection of its own, all along. Times are compared with what an ordinary request costs in the same run, so
that the machine does not matter.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import hpack
import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    WindowUpdateFrame,
)
from tests.support.endpoints import Conversation, ScriptedEndpoint, response
from tests.support.http2 import Answer, Http2Client, head, repeated, settings_frame
from tests.support.measured import MeasuredPlane
from tests.support.plane import client_timeouts, listener

from bascule import contract

KIB, MIB = 1 << 10, 1 << 20
BIG_ANSWER = response(body=bytes(4 * MIB))
# On a machine of which others have their part; what is meant is "not stuck".
SLOWEST = 2.0
ORDINARY = 500
PACE, ASKED = 0.005, 3
# A connection that waits between two requests costs each more than one that asks on and on.
CANARY = 3
QUIET = 0.5


class Canary:
    """Asks all the time until the `with` ends; its answers were all good and in time."""

    def __init__(self, plane: MeasuredPlane) -> None:
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
        assert self.slowest < SLOWEST, f"an answer took {self.slowest:.3f} s"

    def _run(self) -> None:
        try:
            with self._plane.connect_http2() as client:
                while True:
                    began = time.monotonic()
                    assert client.ask(head("GET", "/canary")).status == 200
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    self.asked += 1
                    if self._done.wait(PACE) and self.asked >= ASKED:
                        return
        except BaseException as problem:
            self._problem = problem


def answering(conversation: Conversation) -> None:
    while True:
        target = conversation.read().target
        said = [f"X-Target: {target}"] if target.startswith("/echo/") else []
        conversation.send(BIG_ANSWER if target == "/big" else response("200 OK", b"ok", *said))


@dataclass
class Attacked:
    """A balancer that is attacked, and how often its endpoint was asked."""

    plane: MeasuredPlane
    endpoint: ScriptedEndpoint
    cost: float = field(default=0.0)
    """What the attack has cost so far: so many ordinary requests take as much CPU time."""

    def connect_http2(self, **options: object) -> Http2Client:
        return self.plane.connect_http2(**options)


def ordinary(plane: MeasuredPlane) -> float:
    """CPU time of one request."""
    with plane.connect_http2() as client:
        client.ask()
        before = plane.cpu()
        for _ in range(ORDINARY):
            assert client.ask().status == 200
        return (plane.cpu() - before) / ORDINARY


@contextlib.contextmanager
def attacked(
    only: contract.Listener | None = None, *, grows: int = 8 * MIB, costs: int = 500
) -> Iterator[Attacked]:
    """A balancer with a canary. While the `with` lasts its memory grows by `grows` at most, and what it
    computes beside the canary's requests is what `costs` ordinary ones take at most; then it rests.
    """
    with ScriptedEndpoint(answering) as endpoint, MeasuredPlane([endpoint], only) as plane:
        one = ordinary(plane)
        memory, cpu = plane.memory(), plane.cpu()
        attack = Attacked(plane, endpoint)
        with Canary(plane) as canary:
            yield attack
            grown = plane.memory() - memory
        attack.cost = (plane.cpu() - cpu) / one - canary.asked * CANARY
        rested = plane.cpu()
        time.sleep(QUIET)
        rested = plane.cpu() - rested
        assert grown < grows, f"{grown / MIB:.1f} MiB"
        assert attack.cost < costs, f"as much as {attack.cost:.0f} requests"
        assert rested < QUIET / 10, f"{rested:.3f} s of CPU time in {QUIET} s after the attack"


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


def flagged(frame: Frame, flag: str) -> Frame:
    frame.flags.add(flag)
    return frame


FLOODS: dict[str, Frame | bytes] = {
    "PING": PingFrame(0, b"12345678"),
    "SETTINGS": settings_frame({4: 70_000}),
    "empty SETTINGS": settings_frame(),
    "PRIORITY": PriorityFrame(7, depends_on=1, stream_weight=5),
    "WINDOW_UPDATE of one byte": WindowUpdateFrame(0, window_increment=1),
    "a table of another size": settings_frame({1: 100}).serialize() + settings_frame({1: 4_096}).serialize(),
    "a window of another size": settings_frame({4: 0}).serialize() + settings_frame({4: 70_000}).serialize(),
    "PRIORITY of streams that are not open": b"".join(
        PriorityFrame(stream, depends_on=1).serialize() for stream in range(3, 2_003, 2)
    ),
    "WINDOW_UPDATE of a stream that is over": WindowUpdateFrame(1, window_increment=1),
    "GOAWAY": GoAwayFrame(0, last_stream_id=0),
    "PONG that nobody asked for": flagged(PingFrame(0, b"12345678"), "ACK"),
    "an answer to no SETTINGS": settings_frame(ack=True),
    "frames of an unknown type": b"\0\0\1\xbe\0\0\0\0\0x",
    "ALTSVC": b"\0\0\2\x0a\0\0\0\0\0\0\0",
}


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_frames_that_bring_nothing_is_cut_off(frame: Frame | bytes) -> None:
    with attacked() as plane, plane.connect_http2() as client:
        begin(client)
        send_all(client, repeated(frame, 2_000_000))
        assert cut_off(client, ErrorCodes.NO_ERROR, ErrorCodes.PROTOCOL_ERROR)


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


def test_data_for_a_stream_that_is_over_ends_the_connection() -> None:
    with attacked() as plane, plane.connect_http2() as client:
        begin(client)
        send_all(client, repeated(DataFrame(1, b"x"), 1_000_000))
        assert cut_off(client, ErrorCodes.STREAM_CLOSED, ErrorCodes.PROTOCOL_ERROR)


@pytest.mark.parametrize("filled", [8_000, 1, 0], ids=["full", "byte by byte", "empty"])
def test_a_head_that_never_ends_is_cut_off(filled: int) -> None:
    with attacked() as plane, plane.connect_http2() as client:
        begin(client)
        first = HeadersFrame(3, client.encoded(head()))
        first.flags.add("END_STREAM")
        more = ContinuationFrame(3, client.encoded([("x", "y" * filled)])[:filled])
        client.send_frames(first)
        send_all(client, repeated(more, 100_000))
        assert cut_off(client)


@pytest.mark.parametrize("pause", [False, True], ids=["at once", "after the endpoint was asked"])
def test_streams_that_are_cancelled_as_soon_as_they_are_opened_end_the_connection(pause: bool) -> None:
    with attacked(costs=3_000) as plane, plane.connect_http2() as client:
        # Some 500 requests, each with a connection to the endpoint that is broken off.
        begin(client)

        def pairs() -> Iterator[bytes]:
            for stream in range(3, 100_000, 2):
                ask = client.raw_head(stream, head("GET", "/"), "END_STREAM").serialize()
                reset = RstStreamFrame(stream, error_code=int(ErrorCodes.CANCEL)).serialize()
                yield from (ask, reset) if pause else (ask + reset,)

        send_all(client, pairs())
        assert cut_off(client)
        assert len(plane.endpoint.requests) < 2_000 + 10_000


# GET http /, of the static table, and an authority.
ASK = b"\x82\x86\x84\x41\x01a"
MISDEEDS: dict[str, Callable[[int], Frame]] = {
    "a window that is opened by nothing": lambda stream: WindowUpdateFrame(stream, window_increment=0),
    "a window that overflows": lambda stream: WindowUpdateFrame(stream, window_increment=2**31 - 1),
    "data behind the end": lambda stream: DataFrame(stream, b"x"),
    "more than its length": lambda stream: DataFrame(stream, b"xx"),
    "a head behind its head": lambda stream: flagged(HeadersFrame(stream, ASK), "END_HEADERS"),
    "a stream that depends on itself": lambda stream: PriorityFrame(stream, depends_on=stream),
}


@pytest.mark.parametrize("misdeed", MISDEEDS.values(), ids=MISDEEDS)
def test_a_client_that_makes_us_cancel_its_streams_is_cut_off(misdeed: Callable[[int], Frame]) -> None:
    """MadeYouReset (CVE-2025-8671)."""
    with attacked() as plane, plane.connect_http2() as client:
        begin(client)

        def pairs() -> Iterator[bytes]:
            for stream in range(3, 100_000, 2):
                ends = [] if misdeed is MISDEEDS["more than its length"] else ["END_STREAM"]
                fields = [("content-length", "1")] if not ends else []
                ask = client.raw_head(stream, head("GET", "/big", *fields), *ends).serialize()
                yield ask + misdeed(stream).serialize() * 2

        send_all(client, pairs())
        assert cut_off(client, ErrorCodes.PROTOCOL_ERROR, ErrorCodes.STREAM_CLOSED)


def test_heads_that_are_malformed_one_after_another_end_the_connection() -> None:
    """Each makes us reset its stream (CVE-2025-8671), and each is a request by its looks."""
    with attacked() as plane, plane.connect_http2() as client:
        begin(client)
        block = client.encoded(head("GET", "/", ("X-Upper", "1")))

        def heads() -> Iterator[bytes]:
            for stream in range(3, 200_000, 2):
                frame = flagged(HeadersFrame(stream, block), "END_HEADERS")
                yield flagged(frame, "END_STREAM").serialize()

        send_all(client, heads())
        assert cut_off(client, ErrorCodes.PROTOCOL_ERROR)
        assert len(plane.endpoint.requests) < 2_000


def test_streams_beyond_the_limit_cost_little_and_none_reaches_an_endpoint() -> None:
    only = listener(timeouts=client_timeouts(send_ms=60_000))
    with attacked(only, costs=20_000) as plane, plane.connect_http2(window=0) as client:
        for _ in range(100):
            client.request(head("GET", "/big"))
        client.until(lambda: sum(one.status == 200 for one in client.answers.values()) == 100)
        asked = len([one for one in plane.endpoint.requests if one.target == "/big"])
        block = client.encoded(head("GET", "/big"))

        def heads() -> Iterator[bytes]:
            for first in range(201, 20_201, 200):
                yield b"".join(
                    flagged(flagged(HeadersFrame(stream, block), "END_HEADERS"), "END_STREAM").serialize()
                    for stream in range(first, first + 200, 2)
                )

        send_all(client, heads())
        assert asked == len([one for one in plane.endpoint.requests if one.target == "/big"]) == 100


def test_a_client_that_wants_a_large_table_gets_a_small_one() -> None:
    """What we remember of our own heads is not for the client to say."""
    with attacked(grows=4 * MIB, costs=15_000) as plane:
        with plane.connect_http2(settings={1: 2**31 - 1}) as client:
            for number in range(1_500):
                path = f"/echo/{number:04}" + "z" * 7_000
                assert client.ask(head("GET", path)).fields["x-target"] == path


def test_tables_and_windows_that_change_with_each_request_cost_what_requests_do() -> None:
    with attacked(costs=4 * 2_000) as plane, plane.connect_http2() as client:
        for number in range(1_000):
            size, window = (0, 1) if number % 2 else (4_096, 70_000)
            client.send_frames(settings_frame({1: size}), settings_frame({4: window}))
            stream = client.request(head("GET", "/canary"))
            client.until(lambda stream=stream: client.answers[stream].status == 200)  # type: ignore[misc]


def test_heads_whose_letters_are_short_unpack_to_no_more_than_a_head_may_have() -> None:
    """Huffman's code has five bits for a digit: 40 KiB are 64."""
    with attacked(costs=2_000) as plane, plane.connect_http2() as client:
        begin(client)
        # A literal that goes into no table; 0 is written as 00000.
        length = bytearray(hpack.hpack.encode_integer(40_960, 7))
        length[0] |= 0x80
        block = ASK + b"\x00\x01x" + bytes(length) + bytes(40_960)
        unpacked = list(hpack.Decoder(max_header_list_size=1 << 20).decode(block))
        content: object = unpacked[-1][1]
        assert content == "0" * 65_536
        for stream in range(3, 203, 2):
            if not send_all(client, [block_of(stream, block)]):
                break
        assert all(one.target in {"/", "/canary"} for one in plane.endpoint.requests)


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
        b"\x00\x00\x06\x01\x05\x00\x00\x00\x02" + ASK,
        b"\x00\x00\x06\x01\x05\x00\x00\x00\x00" + ASK,
        b"\x00\x00\x06\x01\x05\x00\x00\x00\x09" + ASK + b"\x00\x00\x06\x01\x05\x00\x00\x00\x07" + ASK,
        b"\x00\x00\x04\x03\x00\x00\x00\x00\x63" + bytes(4),
        b"\x00\x00\x04\x08\x00\x00\x00\x00\x63\x00\x00\x00\x01",
        b"\x00\x00\x01\x01\x05\x00\x00\x00\x09\xff",
        b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff" * 2,
    ],
    ids=[
        "too large",
        "short ping",
        "short settings",
        "no increment",
        "lone continuation",
        "data of none",
        "push",
        "a stream with an even number",
        "a stream without a number",
        "a stream whose number went by",
        "a reset of a stream that is not open",
        "a window of a stream that is not open",
        "a head that cannot be unpacked",
        "a window that overflows",
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
    with attacked(only, costs=3_000) as plane:
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(plane.connect_http2(begin=False)) for _ in range(100)]
            for number, client in enumerate(idle):
                client.socket.sendall(client.h2.data_to_send()[: number % 40])
            for client in idle:
                with contextlib.suppress(ConnectionResetError):
                    while client.socket.recv(1 << 16):
                        pass
