"""Exchanges that one side ends early: answers before the body, half-closed clients, vanished clients."""

import threading
from pathlib import Path

import pytest
from tests.support.endpoints import OK, Conversation, Step, answering, each, play, response
from tests.support.eventually import eventually
from tests.support.plane import serving
from tests.support.raw import request

TOO_LARGE = response("413 Content Too Large", b"no")
UPLOADING = request("POST", "/", "Content-Length: 1000000")


def test_an_early_answer_reaches_a_client_that_is_still_sending() -> None:
    script = each(play(Step.HEAD, TOO_LARGE), answering())
    with serving(script) as (endpoint, plane), plane.connect() as client:
        client.send(UPLOADING, b"x" * 1000)
        answer = client.response()
        assert (answer.status, answer.body, answer.fields.one("connection")) == (413, b"no", "close")
        # It may go on sending: that does not reset the connection under the answer.
        client.send(b"x" * 100_000)
        assert client.rest() == b""
        assert plane.endings(1) == {"ok": 1}
        endpoint.conversations[0].wait_end()
        assert plane.ask(request()).body == b"ok"
        assert len(endpoint.conversations) == 2


def test_an_early_answer_counts_also_when_the_endpoint_closes_behind_it() -> None:
    closed = threading.Event()

    def script(conversation: Conversation) -> None:
        conversation.head()
        conversation.send(TOO_LARGE)
        conversation.close()
        closed.set()

    with serving(script) as (_, plane), plane.connect() as client:
        client.send(UPLOADING)
        assert closed.wait(10)
        client.send(b"x" * 100_000)
        assert client.response().status == 413
        assert plane.endings(1) == {"ok": 1}


def test_an_early_answer_counts_also_when_the_endpoint_resets_behind_it() -> None:
    with serving(play(Step.HEAD, TOO_LARGE, Step.RESET)) as (_, plane), plane.connect() as client:
        client.send(UPLOADING, b"x" * 500_000)
        # The reset may be faster than the answer: then nobody ever read it.
        assert client.response().status in (413, 502)


def test_an_answer_can_stream_while_its_request_does() -> None:
    def echo(conversation: Conversation) -> None:
        conversation.head()
        conversation.send(response(length=False).replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n"))
        for _ in range(3):
            conversation.send(conversation.stream.exactly(1))

    with serving(echo) as (_, plane), plane.connect() as client:
        client.send(request("POST", "/", "Content-Length: 3"))
        client.head()
        for letter in (b"a", b"b", b"c"):
            client.send(letter)
            assert client.stream.exactly(1) == letter
        assert plane.endings(1) == {"ok": 1}


@pytest.mark.parametrize("content", [request(), request("POST", body=b"hello")], ids=["GET", "POST"])
def test_a_client_that_has_half_closed_still_gets_its_answer(content: bytes) -> None:
    go = threading.Event()
    with serving(play(Step.READ, go, response(body=b"x" * 100_000))) as (endpoint, plane):
        with plane.connect() as client:
            client.send(content)
            client.finish()
            endpoint.wait_requests(1)
            go.set()
            assert len(client.response().body) == 100_000
            assert client.rest() == b""
        assert plane.endings(1) == {"ok": 1}


def test_a_client_that_half_closes_within_its_body_has_aborted() -> None:
    with serving(play(Step.HEAD, Step.BODY)) as (endpoint, plane), plane.connect() as client:
        client.send(UPLOADING, b"x")
        endpoint.wait_conversations(1)
        client.finish()
        assert client.rest() == b""
        assert plane.endings(1) == {"client_aborted": 1}
        endpoint.conversations[0].wait_end()
        assert endpoint.requests == []


@pytest.mark.parametrize(
    "content", [request(), request("POST", body=b"hello"), UPLOADING], ids=["GET", "POST", "within the body"]
)
def test_a_client_that_resets_while_it_waits_frees_the_endpoint(content: bytes) -> None:
    over = threading.Event()
    with serving(play(Step.HEAD, Conversation.watch, over)) as (endpoint, plane):
        with plane.connect() as client:
            client.send(content)
            endpoint.wait_conversations(1)
            eventually(lambda: b"\r\n\r\n" in endpoint.conversations[0].received, "the head to arrive")
            client.reset()
        assert plane.endings(1) == {"client_aborted": 1}
        assert plane.codes(1) == {0: 1}
        over.set()
        endpoint.conversations[0].wait_end()
        plane.wait_stats(lambda stats: stats.listeners[0].in_flight == stats.endpoints[0].in_flight == 0)


def test_a_client_that_resets_within_the_answer_frees_the_endpoint() -> None:
    script = play(Step.READ, response(body=b"x" * 10)[:-5], Conversation.watch)
    with serving(script) as (endpoint, plane):
        with plane.connect() as client:
            client.send(request())
            client.head()
            client.reset()
        endpoint.conversations[0].wait_end()
        assert plane.endings(1) == {"client_aborted": 1}
        assert plane.codes(1) == {200: 1}


def test_a_client_that_resets_between_two_requests_is_no_exchange() -> None:
    with serving() as (_, plane):
        with plane.connect() as client:
            client.ask(request())
            client.reset()
        plane.wait_stats(lambda stats: stats.listeners[0].open == 0)
        assert plane.endings(1) == {"ok": 1}
        assert plane.stats().listeners[0].requests == 1


def test_an_endpoint_that_resets_within_a_body_on_its_way_is_answered_for() -> None:
    with serving(play(Step.HEAD, Step.RESET), attempts=0) as (_, plane), plane.connect() as client:
        client.send(UPLOADING, b"x" * 1000)
        assert client.response().status == 502
        assert set(plane.endings(1)) <= {"endpoint_reset", "endpoint_closed"}


def test_an_endpoint_that_stops_reading_half_way_may_still_answer() -> None:
    """It shuts its receiving side down; the answer comes all the same."""

    def script(conversation: Conversation) -> None:
        conversation.head()
        conversation.stream.exactly(1000)
        conversation.send(OK)

    with serving(script) as (_, plane), plane.connect() as client:
        client.send(UPLOADING, b"x" * 1000)
        assert client.response().body == b"ok"


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_exchanges_that_end_in_any_way_leave_no_file_open() -> None:
    half = response(body=b"x" * 10)[:-5]
    script = each(
        play(Step.HEAD, Step.RESET),
        play(Step.HEAD, half, Step.CLOSE),
        play(Step.HEAD, b"nonsense\r\n\r\n"),
        play(Step.HEAD, TOO_LARGE),
        play(Step.HEAD, half),
    )
    with serving(script, attempts=0, idle=0) as (endpoint, plane):

        def vanish_within_an_exchange() -> None:
            known = len(endpoint.conversations)
            with plane.connect() as client:
                client.send(UPLOADING, b"x" * 100)
                endpoint.wait_conversations(known + 1)
                client.reset()
            plane.wait_stats(lambda stats: stats.listeners[0].open == 0)
            endpoint.conversations[-1].wait_end()

        # The first one also shows that all threads are up.
        vanish_within_an_exchange()
        before = open_files()
        for _ in range(9):
            vanish_within_an_exchange()
        eventually(lambda: open_files() <= before, lambda: f"{open_files()} files, {before} before")
