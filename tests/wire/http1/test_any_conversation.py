"""Conversations that nobody thought of: random ones come through whole, mutated ones stay strict."""

import contextlib
import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.endpoints import OK, Conversation, ScriptedEndpoint, response
from tests.support.plane import RunningPlane, listener, pool, serving
from tests.support.raw import RawClient, request
from tests.support.strict import Ended, requests_in
from tests.wire.http1.broken import SPLIT
from tests.wire.http1.malformed import ACCEPTED, CANARY


def pieces_of(content: bytes, source: random.Random) -> Iterable[bytes]:
    """Cuts `content` at random places, most pieces small."""
    at = 0
    while at < len(content):
        size = source.choice([1, 2, 3, 7, 50, 1_000, 40_000])
        yield content[at : at + size]
        at += size


def chunks_of(body: bytes, source: random.Random) -> bytes:
    sent = b""
    for piece in pieces_of(body, source):
        sent += b"%s%x%s\r\n%s\r\n" % (
            b"0" * source.randint(0, 2),
            len(piece),
            source.choice([b"", b";", b";a=b"]),
            piece,
        )
    return sent + source.choice([b"0\r\n\r\n", b"000\r\n\r\n", b"0;x\r\n\r\n", b"0\r\nX-Trailer: y\r\n\r\n"])


@dataclass(frozen=True)
class Planned:
    """One exchange: what is asked, and what is answered."""

    target: str
    method: str
    sent: bytes
    body: bytes
    answer: bytes
    answered: bytes
    ends_connection: bool


def plan(number: int, source: random.Random) -> Planned:
    method = source.choice(["GET", "HEAD", "POST", "PUT", "BREW"])
    body = source.randbytes(source.choice([0, 0, 1, 100, 5_000, 200_000]))
    head = f"{method} /{number} HTTP/1.1\r\nHost: a\r\n" + "X: y\r\n" * source.randint(0, 5)
    if body and source.random() < 0.5:
        sent = head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks_of(body, source)
    elif body:
        sent = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    else:
        sent = head.encode() + b"\r\n"
    answered = source.randbytes(source.choice([0, 1, 100, 5_000, 300_000]))
    way = source.choice(["length", "length", "chunked", "close"])
    if method == "HEAD":
        return Planned(f"/{number}", method, sent, body, response(length=True), b"", False)
    answer = {
        "length": response(body=answered),
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks_of(answered, source),
        "close": b"HTTP/1.1 200 OK\r\n\r\n" + answered,
    }[way]
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" * source.choice([0, 0, 0, 1, 3])
    return Planned(f"/{number}", method, sent, body, hints + answer, answered, way == "close")


@pytest.mark.parametrize("seed", range(12))
def test_a_random_conversation_comes_through_whole(seed: int) -> None:
    source = random.Random(seed)
    plans = [plan(number, source) for number in range(source.randint(5, 25))]

    def script(conversation: Conversation) -> None:
        while True:
            planned = plans[int(conversation.read().target[1:])]
            for piece in pieces_of(planned.answer, random.Random(seed)):
                conversation.send(piece)
            if planned.ends_connection:
                return conversation.close()

    def send(client: RawClient) -> None:
        for piece in pieces_of(b"".join(planned.sent for planned in plans), source):
            client.send(piece)

    with serving(script, attempts=0) as (endpoint, plane), plane.connect() as client:
        sending = threading.Thread(target=send, args=(client,))
        sending.start()
        for planned in plans:
            answer = client.response(to=planned.method)
            assert (answer.status, answer.body) == (200, planned.answered), planned.target
        sending.join()
        assert plane.endings(len(plans)) == {"ok": len(plans)}
    assert [(seen.method, seen.target) for seen in endpoint.requests] == [(p.method, p.target) for p in plans]
    assert [seen.body for seen in endpoint.requests] == [planned.body for planned in plans]


MEANINGFUL = b"\r\n \t:;,/\0\x7f\x0b0\xff"


def mutate(content: bytes, source: random.Random) -> bytes:
    """Changes, drops, doubles or moves a few bytes, with a liking for those that mean something."""
    changed = bytearray(content)
    for _ in range(source.choice([1, 1, 1, 2, 3])):
        at = source.randrange(len(changed))
        what = source.randrange(6)
        if what == 0:
            changed[at] = source.choice(MEANINGFUL)
        elif what == 1:
            del changed[at : at + source.randint(1, 3)]
        elif what == 2:
            changed[at:at] = bytes(source.choice(MEANINGFUL) for _ in range(source.randint(1, 3)))
        elif what == 3:
            changed[at:at] = source.choice([b"\r\n", b"\n", b"\r\n\r\n", b"Content-Length: 5\r\n", b"\r\n "])
        elif what == 4:
            changed[at] ^= 0x20
        else:
            end = at + source.randint(1, 30)
            changed[at:at] = changed[at:end]
    return bytes(changed)


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_request_is_strict_for_the_endpoint_or_is_not_there(seed: int, tmp_path: Path) -> None:
    source = random.Random(seed)
    endpoint = ScriptedEndpoint(path=tmp_path / "endpoint")
    only = listener(bind=f"unix:{tmp_path}/web")
    with endpoint, RunningPlane([pool(endpoint, attempts=0, idle=1)], [only]) as plane:
        for _ in range(500):
            sent = mutate(source.choice(ACCEPTED)[1], source)
            with plane.connect() as client:
                client.send(sent, CANARY)
                client.finish()
                client.rest()
        ended = plane.endings(400)
        assert ended["ok"] > 50
        assert ended["bad_request"] > 100
        for conversation in endpoint.conversations:
            try:
                requests_in(conversation.received)
            except Ended:
                continue


ANSWERS = [
    response(body=b"hello"),
    response("200 OK", b"hello", "Connection: keep-alive", "X: y"),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + response(body=b"hello"),
    b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\n\r\nhello",
]


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_answer_is_strict_for_the_client_and_stays_with_its_request(
    seed: int, tmp_path: Path
) -> None:
    source = random.Random(seed)

    def script(conversation: Conversation) -> None:
        while conversation.read().target != "/mutated":
            conversation.send(OK)
        conversation.send(mutate(source.choice(ANSWERS), source), SPLIT)
        conversation.finish()

    endpoint = ScriptedEndpoint(script, path=tmp_path / "endpoint")
    only = listener(bind=f"unix:{tmp_path}/web")
    with endpoint, RunningPlane([pool(endpoint, attempts=0)], [only]) as plane:
        whole = 0
        for _ in range(300):
            with plane.connect() as client:
                client.send(request(target="/mutated"), request(target="/next"))
                with contextlib.suppress(Ended, ConnectionResetError):
                    client.response()
                    following = client.response()
                    assert (following.status, following.body) == (200, b"ok")
                    whole += 1
        assert whole > 200
