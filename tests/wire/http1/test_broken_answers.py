"""Endpoints that break the protocol: 502 or a cut, a worded ending, and never that connection again."""

import threading
from pathlib import Path

import pytest
from tests.support.endpoints import OK, Conversation, ScriptedEndpoint, Step, answering, each, play, response
from tests.support.plane import RunningPlane, pool, serving
from tests.support.raw import request
from tests.wire.http1.broken import BROKEN_BODIES, BROKEN_HEADS, CUT_SHORT, SPLIT


def assert_the_next_request_gets_a_connection_of_its_own(
    plane: RunningPlane, endpoint: ScriptedEndpoint
) -> None:
    endpoint.conversations[0].wait_end()
    before = len(endpoint.conversations)
    answer = plane.ask(request(target="/next"))
    assert (answer.status, answer.body) == (200, b"ok")
    assert len(endpoint.conversations) == before + 1
    assert [seen.target for seen in endpoint.conversations[-1].requests()] == ["/next"]


@pytest.mark.parametrize("sent", [sent for _, sent in BROKEN_HEADS], ids=[name for name, _ in BROKEN_HEADS])
def test_a_broken_head_is_answered_with_502(sent: bytes) -> None:
    script = each(play(Step.READ, sent + SPLIT), answering())
    with serving(script) as (endpoint, plane):
        with plane.connect() as client:
            answer = client.ask(request())
            assert answer.status == 502
            assert b"SMUGGLED" not in answer.body
            # The client is not to blame: its connection goes on.
            assert client.ask(request(target="/other")).status == 200
        assert plane.endings(2) == {"bad_response": 1, "ok": 1}
        endpoint.conversations[0].wait_end()
        seen = [[one.target for one in conversation.requests()] for conversation in endpoint.conversations]
        assert seen == [["/"], ["/other"]]


@pytest.mark.parametrize("sent", [sent for _, sent in BROKEN_BODIES], ids=[name for name, _ in BROKEN_BODIES])
def test_a_broken_body_is_never_a_whole_one_for_the_client(sent: bytes) -> None:
    script = each(play(Step.READ, sent + SPLIT), answering())
    with serving(script) as (endpoint, plane):
        with plane.connect() as client:
            client.send(request())
            assert b"SMUGGLED" not in client.cut_response()
        assert plane.endings(1) == {"bad_response": 1}
        assert_the_next_request_gets_a_connection_of_its_own(plane, endpoint)


@pytest.mark.parametrize(
    ("sent", "ending"), [case[1:] for case in CUT_SHORT], ids=[case[0] for case in CUT_SHORT]
)
def test_an_answer_that_breaks_off_is_never_a_whole_one_for_the_client(sent: bytes, ending: str) -> None:
    script = each(play(Step.READ, sent, Step.CLOSE), answering())
    with serving(script, attempts=0) as (endpoint, plane):
        with plane.connect() as client:
            client.send(request())
            if ending == "endpoint_closed":
                assert client.response().status == 502
            else:
                client.cut_response()
        assert plane.endings(1) == {ending: 1}
        assert_the_next_request_gets_a_connection_of_its_own(plane, endpoint)


@pytest.mark.parametrize(
    ("sent", "ending"),
    [
        (b"", "endpoint_reset"),
        (b"HTTP/1.1 200 OK\r\n", "endpoint_reset"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "response_cut"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "response_cut"),
    ],
    ids=[
        "before the answer",
        "within the head",
        "within the body",
        "within a body that would end with a close",
    ],
)
def test_a_reset_is_told_apart_from_a_close(sent: bytes, ending: str) -> None:
    seen = threading.Event()
    script = each(play(Step.READ, sent, seen, Step.RESET), answering())
    with serving(script, attempts=0) as (endpoint, plane):
        with plane.connect() as client:
            client.send(request())
            if ending == "response_cut":
                client.head()
            # A reset throws away what the balancer has not read yet.
            endpoint.wait_requests(1)
            seen.set()
            if ending == "endpoint_reset":
                assert client.response().status == 502
            else:
                client.rest()
        assert plane.endings(1) == {ending: 1}


def test_a_reset_within_a_body_that_ends_with_a_close_leaves_the_chunks_open() -> None:
    began = threading.Event()
    script = play(Step.READ, b"HTTP/1.1 200 OK\r\n\r\nhello", began, Step.RESET)
    with serving(script) as (_, plane), plane.connect() as client:
        client.send(request())
        client.stream.exactly(len("HTTP/1.1 200 OK\r\n"))
        began.set()
        assert not client.rest().endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("GET", OK + b"more"),
        ("GET", OK + OK),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore"),
        ("HEAD", response(body=b"a body")),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\na body"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\na body"),
        ("GET", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\na body"),
    ],
    ids=[
        "bytes behind a body",
        "a second answer",
        "bytes behind the chunks",
        "a body for HEAD",
        "a body for 204",
        "a body for 304",
        "chunks for 204",
        "a body of length 0",
    ],
)
def test_bytes_beyond_an_answer_are_nobodys_and_end_the_connection(method: str, answer: bytes) -> None:
    script = each(play(Step.READ, answer), answering())
    with serving(script) as (endpoint, plane):
        with plane.connect() as client:
            first = client.ask(request(method), to=method)
            assert first.body in (b"", b"ok")
            second = client.ask(request(target="/second"))
            assert (second.status, second.body) == (200, b"ok")
        assert plane.endings(2) == {"ok": 2}
        endpoint.conversations[0].wait_end()
        assert len(endpoint.conversations[0].requests()) == 1


def test_bytes_that_come_after_an_answer_end_the_idle_connection() -> None:
    more = threading.Event()
    script = each(play(Step.READ, OK, more, OK), answering())
    with serving(script) as (endpoint, plane):
        with plane.connect() as client:
            client.ask(request())
            plane.wait_stats(lambda stats: stats.endpoints[0].idle == 1)
            more.set()
            plane.wait_stats(lambda stats: stats.endpoints[0].idle == 0)
            assert client.ask(request(target="/second")).body == b"ok"
        assert [seen.target for seen in endpoint.conversations[1].requests()] == ["/second"]


@pytest.mark.parametrize(
    "answer",
    [
        response("200 OK", b"ok", "Connection: close"),
        response("200 OK", b"ok", "connection: Keep-Alive, CLOSE"),
        response("200 OK", b"ok", version="1.0"),
    ],
    ids=["close", "close in a list", "HTTP/1.0"],
)
def test_an_endpoint_that_wants_its_connection_closed_gets_no_second_request_on_it(answer: bytes) -> None:
    with serving(answering(answer)) as (endpoint, plane):
        with plane.connect() as client:
            for _ in range(2):
                assert client.ask(request()).body == b"ok"
        assert [len(seen.requests()) for seen in endpoint.wait_conversations(2)] == [1, 1]


def test_an_endpoint_of_http_1_0_that_says_keep_alive_gets_a_second_request() -> None:
    answer = response("200 OK", b"ok", "Connection: keep-alive", version="1.0")
    with serving(answering(answer)) as (endpoint, plane):
        with plane.connect() as client:
            for _ in range(2):
                assert client.ask(request()).body == b"ok"
        assert [len(seen.requests()) for seen in endpoint.conversations] == [2]


def test_a_flood_of_interim_answers_does_not_flood_the_client() -> None:
    def flood(conversation: Conversation) -> None:
        conversation.read()
        while True:
            conversation.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)

    with serving(flood) as (endpoint, plane):
        with plane.connect() as client:
            answer = client.ask(request())
        assert answer.status == 502
        assert len(answer.interim) <= 16
        endpoint.conversations[0].wait_end()


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a\r\nhello\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.1 103 Early\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=["length", "chunked", "hints"],
)
def test_an_answer_means_the_same_however_it_is_cut_into_pieces(sent: bytes, tmp_path: Path) -> None:
    cuts = [[sent[:at], sent[at:]] for at in range(1, len(sent))]
    cuts.append([sent[at : at + 1] for at in range(len(sent))])
    answers = iter(cuts)

    def script(conversation: Conversation) -> None:
        while True:
            conversation.read()
            conversation.send_apart(*next(answers))

    endpoint = ScriptedEndpoint(script, path=tmp_path / "endpoint")
    with endpoint, RunningPlane([pool(endpoint)]) as plane, plane.connect() as client:
        got = [client.ask(request()) for _ in cuts]
        assert len(endpoint.conversations) == 1
    assert {(answer.status, answer.body, answer.trailers) for answer in got} == {
        (200, b"hello", got[0].trailers)
    }
    assert {len(answer.interim) for answer in got} == {len(got[0].interim)}


@pytest.mark.parametrize(
    "sent", [sent for _, sent in BROKEN_HEADS[:40]], ids=[name for name, _ in BROKEN_HEADS[:40]]
)
def test_a_broken_head_is_answered_with_502_also_when_it_comes_byte_by_byte(
    sent: bytes, tmp_path: Path
) -> None:
    def script(conversation: Conversation) -> None:
        conversation.read()
        conversation.send_apart(*(sent[at : at + 1] for at in range(len(sent))), SPLIT)

    endpoint = ScriptedEndpoint(script, path=tmp_path / "endpoint")
    with endpoint, RunningPlane([pool(endpoint)]) as plane:
        assert plane.ask(request()).status == 502
        assert plane.endings(1) == {"bad_response": 1}


def test_a_status_line_without_its_last_space_gets_it_back() -> None:
    """Origins leave it out; a server must not (RFC 9112, 4). Refusing it would be right as well."""
    with serving(answering(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok")) as (_, plane):
        assert plane.ask(request()).status in (200, 502)
