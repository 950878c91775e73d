"""Answers without an end (server-sent events, long polls): each piece is there at once, whatever frames it.

Nothing here is a matter of time: an endpoint sends the next event only when the client has told it, on
another connection through the same balancer, that the one before has arrived.
"""

import threading
import zlib
from collections.abc import Callable, Iterator

import pytest
from tests.support.endpoints import Conversation, Step, play, response
from tests.support.eventually import PATIENCE
from tests.support.plane import listener, route, route_timeouts, serving
from tests.support.raw import RawClient, request

EVENTS = [f"id: {number}\ndata: {'x' * (number * 700)}\n\n".encode() for number in range(20)]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
LAST = b": the end\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % sum(map(len, [*EVENTS, LAST]))

Frame = Callable[[bytes], bytes]


def as_it_is(content: bytes) -> bytes:
    return content


def in_a_chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


class Events:
    """An endpoint: `/events` gets event after event, each when `/seen` was asked for the one before."""

    def __init__(self, head: bytes, frame: Frame, *, coded: bool = False) -> None:
        self._head, self._frame = head, frame
        self._seen = threading.Semaphore(0)
        self._pack = zlib.compressobj(wbits=31) if coded else None

    def __call__(self, conversation: Conversation) -> None:
        while True:
            if conversation.read().target == "/events":
                break
            self._seen.release()
            conversation.send(response("204 No Content", length=False))
        conversation.send(self._head)
        for event in EVENTS:
            conversation.send(self._frame(self._packed(event)))
            assert self._seen.acquire(timeout=PATIENCE), "the event does not arrive"
        conversation.send(self._frame(self._packed(LAST)), b"0\r\n\r\n" if self._frame is in_a_chunk else b"")
        conversation.close()

    def _packed(self, event: bytes) -> bytes:
        return (
            event if self._pack is None else self._pack.compress(event) + self._pack.flush(zlib.Z_SYNC_FLUSH)
        )


def pieces(client: RawClient, *, chunked: bool) -> Iterator[bytes]:
    """What there is of the body, as it comes."""
    while chunked:
        content = client.stream.exactly(int(client.stream.line(), 16))
        assert client.stream.exactly(2) == b"\r\n"
        yield content
    while True:
        yield client.stream.exactly(1)


FRAMINGS = [
    pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", in_a_chunk, id="chunked"),
    pytest.param(HEAD + b"Connection: close\r\n\r\n", as_it_is, id="to the close"),
    pytest.param(HEAD.replace(b"1.1", b"1.0", 1) + b"\r\n", as_it_is, id="HTTP 1.0"),
    pytest.param(HEAD + LENGTH, as_it_is, id="of a length"),
]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize(("head", "frame"), FRAMINGS)
def test_every_event_reaches_the_client_before_the_next_one_is_sent(
    head: bytes, frame: Frame, version: str
) -> None:
    with (
        serving(Events(head, frame)) as (_, plane),
        plane.connect() as client,
        plane.connect() as other,
    ):
        client.send(request("GET", "/events", version=version))
        answer = client.head()
        assert answer.fields.one("content-type") == "text/event-stream"
        chunked = answer.fields.one("transfer-encoding") == "chunked"
        assert chunked == (version == "1.1" and LENGTH not in head)
        body = pieces(client, chunked=chunked)
        for event in EVENTS:
            came = b""
            while len(came) < len(event):
                came += next(body)
            assert came == event
            assert other.ask(request("GET", "/seen")).status == 204
        assert b"".join(next(body) for _ in range(1 if chunked else len(LAST))) == LAST
        assert plane.endings(len(EVENTS) + 1) == {"ok": len(EVENTS) + 1}


@pytest.mark.parametrize(("head", "frame"), FRAMINGS[:2])
def test_events_that_the_endpoint_has_compressed_are_not_held_back_either(head: bytes, frame: Frame) -> None:
    coded = head.replace(b"Cache-Control", b"Content-Encoding: gzip\r\nCache-Control")
    with (
        serving(Events(coded, frame, coded=True)) as (_, plane),
        plane.connect() as client,
        plane.connect() as other,
    ):
        client.send(request("GET", "/events", "Accept-Encoding: gzip"))
        assert client.head().fields.one("content-encoding") == "gzip"
        unpack, body = zlib.decompressobj(wbits=31), pieces(client, chunked=True)
        for event in EVENTS:
            came = b""
            while len(came) < len(event):
                came += unpack.decompress(next(body))
            assert came == event
            assert other.ask(request("GET", "/seen")).status == 204


def test_the_head_of_an_endless_answer_does_not_wait_for_its_first_event() -> None:
    script = play(Step.READ, HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    with serving(script) as (_, plane), plane.connect() as client:
        client.send(request())
        assert client.head().status == 200


def test_an_endless_answer_has_no_limit_but_that_of_its_silence() -> None:
    over = threading.Event()

    def go_on(conversation: Conversation) -> None:
        conversation.read()
        conversation.send(HEAD + b"Connection: close\r\n\r\n")
        for _ in range(10):
            assert not over.wait(0.1)
            conversation.send(b": still here\n")

    only = listener(route(timeouts=route_timeouts(response_ms=100, idle_ms=600)))
    with serving(go_on, only) as (_, plane), plane.connect() as client:
        client.send(request(version="1.0"))
        client.head()
        assert client.rest() == b": still here\n" * 10
        assert plane.endings(1) == {"response_stalled": 1}


def hang_on(conversation: Conversation) -> None:
    """Sends one event after the other until the balancer ends the connection."""
    conversation.read()
    conversation.send(HEAD + b"Connection: close\r\n\r\n")
    while not conversation.ended.wait(0.001):
        conversation.send(b"data: \n\n")


@pytest.mark.parametrize("leaving", ["close", "reset"])
def test_a_client_that_leaves_an_endless_answer_is_noticed_by_what_is_sent_to_it(leaving: str) -> None:
    with serving(hang_on) as (endpoint, plane):
        with plane.connect() as client:
            client.send(request())
            client.head()
            getattr(client, leaving)()
        endpoint.conversations[0].wait_end()
        assert plane.endings(1) == {"client_aborted": 1}
        assert plane.stats().endpoints[0].in_flight == 0


def test_a_client_that_breaks_a_long_poll_off_frees_its_endpoint_at_once() -> None:
    with serving(play(Step.READ)) as (endpoint, plane):
        with plane.connect() as client:
            client.send(request("GET", "/poll"))
            endpoint.wait_requests(1)
            client.reset()
        endpoint.conversations[0].wait_end()
        assert plane.endings(1) == {"client_aborted": 1}


def test_a_long_poll_whose_client_has_closed_ends_with_the_limit_of_its_route() -> None:
    """Such a client cannot be told from one that only sends no more, and is owed its answer."""
    only = listener(route(timeouts=route_timeouts(response_ms=200)))
    with serving(play(Step.READ), only) as (endpoint, plane):
        with plane.connect() as client:
            client.send(request("GET", "/poll"))
            endpoint.wait_requests(1)
        endpoint.conversations[0].wait_end()
        assert plane.endings(1) == {"response_timed_out": 1}
