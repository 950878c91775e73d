"""Malformed and ambiguous requests: refused with the right status, or one request for the endpoint."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.support.endpoints import ScriptedEndpoint
from tests.support.plane import RunningPlane, listener, pool
from tests.support.raw import RawClient
from tests.support.strict import Ended, NotStrict, requests_in
from tests.wire.http1.malformed import ACCEPTED, CANARY, CHUNKS, CODINGS, LENGTHS, LINES, REFUSED_HEADS

SECOND = b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n"


def of(table: Sequence[tuple[str, bytes, object]], *names: str) -> list[bytes]:
    """The bytes of some cases, by their names."""
    return [next(sent for name, sent, _ in table if name == wanted) for wanted in names]


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint() as one:
        yield one


@pytest.fixture
def plane(endpoint: ScriptedEndpoint, tmp_path: Path) -> Iterator[RunningPlane]:
    """Listens on TCP, and on a Unix socket where clients can see what was read."""
    with RunningPlane([pool(endpoint)], [listener(bind=["127.0.0.1:0", f"unix:{tmp_path}/web"])]) as running:
        yield running


def assert_refused(client: RawClient, statuses: set[int]) -> None:
    response = client.response()
    assert response.status in statuses
    assert response.fields.one("connection") == "close"
    assert client.rest() == b""


def assert_no_more_than_a_part_of_one_request(endpoint: ScriptedEndpoint) -> None:
    for conversation in endpoint.conversations:
        conversation.wait_end()
        try:
            seen = requests_in(conversation.received)
        except Ended:
            continue
        assert seen == [], "the endpoint could take the refused request for a whole one"


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [case[1:] for case in REFUSED_HEADS],
    ids=[case[0] for case in REFUSED_HEADS],
)
def test_a_malformed_head_is_refused_and_no_endpoint_is_picked(
    plane: RunningPlane, endpoint: ScriptedEndpoint, sent: bytes, statuses: set[int]
) -> None:
    with plane.connect() as client:
        client.send(sent, CANARY)
        assert_refused(client, statuses)
    assert plane.endpoint(endpoint).picked == 0
    assert set(plane.endings(1)) <= {"bad_request", "too_large"}


@pytest.mark.parametrize(
    ("sent", "statuses"), [case[1:] for case in CHUNKS], ids=[case[0] for case in CHUNKS]
)
def test_a_malformed_body_is_refused_and_the_endpoint_sees_a_part_of_one_request_at_most(
    plane: RunningPlane, endpoint: ScriptedEndpoint, sent: bytes, statuses: set[int]
) -> None:
    with plane.connect() as client:
        client.send(sent, CANARY)
        assert_refused(client, statuses)
    assert plane.endings(1) == {"bad_request": 1}
    assert_no_more_than_a_part_of_one_request(endpoint)
    assert plane.endpoint(endpoint).idle == 0


@pytest.mark.parametrize(
    ("sent", "body"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED]
)
def test_an_odd_request_reaches_the_endpoint_as_exactly_one(
    plane: RunningPlane, endpoint: ScriptedEndpoint, sent: bytes, body: bytes
) -> None:
    with plane.connect() as client:
        client.send(sent, SECOND)
        assert [client.response().status, client.response().status] == [200, 200]
    odd, second = requests_in(endpoint.received())
    assert (odd.target, odd.body) == ("/", body)
    assert second.target == "/second"
    assert {"upgrade", "http2-settings", "transfer_encoding", "content_length"}.isdisjoint(odd.fields.names())
    assert {"content-length", "transfer-encoding"}.isdisjoint(odd.trailers.names())


BYTE_BY_BYTE = of(
    [*REFUSED_HEADS, *CHUNKS],
    "a length beside a coding",
    "two lengths",
    "chunked twice in one line",
    "a coding hidden behind a bare LF",
    "a coding hidden in a folded line",
    "a bare LF behind the request line",
    "a bare LF at the end of the head",
    "bare LFs alone",
    "two CRs before an LF",
    "a blank before a colon",
    "a NUL in a value",
    "no Host",
    "two Hosts",
    "a fragment",
    "HTTP/2.0",
    "the preface of HTTP/3",
    "a bare LF behind a size",
    "a chunk longer than its size",
    "a bare LF in an extension",
    "a bare LF at the end",
    "a bare LF in a trailer",
    "a request in the place of trailers",
)


@pytest.mark.parametrize("sent", BYTE_BY_BYTE)
def test_a_malformed_request_is_refused_also_when_it_comes_byte_by_byte(
    plane: RunningPlane, endpoint: ScriptedEndpoint, sent: bytes
) -> None:
    with RawClient(plane.address(bind=1)) as client:
        client.send_apart(*(sent[at : at + 1] for at in range(len(sent))), CANARY)
        assert client.response().status in {400, 501, 505}
        assert client.rest() == b""
    assert_no_more_than_a_part_of_one_request(endpoint)


@pytest.mark.parametrize(
    "sent",
    of(
        [*REFUSED_HEADS, *CHUNKS],
        "a length beside a coding",
        "bare LFs alone",
        "a bare LF behind a chunk",
        "a bare LF in a trailer",
    ),
)
def test_a_malformed_request_is_refused_wherever_it_is_split(
    plane: RunningPlane, endpoint: ScriptedEndpoint, sent: bytes
) -> None:
    for at in range(1, len(sent)):
        with RawClient(plane.address(bind=1)) as client:
            client.send_apart(sent[:at], sent[at:] + CANARY)
            assert client.response().status == 400, f"split at {at}"
            assert client.rest() == b""
    assert_no_more_than_a_part_of_one_request(endpoint)


SPLIT = of(
    ACCEPTED,
    "an empty line before it",
    "a length without a blank",
    "a size with zeros before it",
    "an extension",
    "a trailer",
    "an absolute target",
)


@pytest.mark.parametrize("sent", SPLIT)
def test_a_request_means_the_same_wherever_it_is_split(
    plane: RunningPlane, endpoint: ScriptedEndpoint, sent: bytes
) -> None:
    for at in range(1, len(sent)):
        with RawClient(plane.address(bind=1)) as client:
            client.send_apart(sent[:at], sent[at:] + SECOND)
            assert [client.response().status, client.response().status] == [200, 200], f"split at {at}"
    first = endpoint.requests[0]
    for odd, second in zip(endpoint.requests[::2], endpoint.requests[1::2], strict=True):
        assert (odd.target, odd.body, odd.trailers) == (first.target, first.body, first.trailers)
        assert second.target == "/second"


@pytest.mark.parametrize("sent", SPLIT)
def test_a_request_means_the_same_when_it_comes_byte_by_byte(
    plane: RunningPlane, endpoint: ScriptedEndpoint, sent: bytes
) -> None:
    with RawClient(plane.address(bind=1)) as client:
        client.send(sent)
        assert client.response().status == 200
        client.send_apart(*(sent[at : at + 1] for at in range(len(sent))))
        assert client.response().status == 200
    at_once, slowly = endpoint.requests
    assert (slowly.target, slowly.body, slowly.trailers) == (at_once.target, at_once.body, at_once.trailers)


def test_a_head_that_is_cut_off_is_no_request(plane: RunningPlane, endpoint: ScriptedEndpoint) -> None:
    whole = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for at in range(len(whole)):
        with plane.connect() as client:
            client.send(whole[:at])
            client.finish()
            assert client.rest() == b"", f"cut off at {at}"
    assert plane.endpoint(endpoint).picked == 0


def test_a_body_that_is_cut_off_is_no_whole_request_for_the_endpoint(
    plane: RunningPlane, endpoint: ScriptedEndpoint
) -> None:
    for sent in of(ACCEPTED, "a length without a blank", "chunked"):
        with plane.connect() as client:
            client.send(sent[:-1])
            client.finish()
            assert client.rest() == b""
    assert plane.endings(2) == {"client_aborted": 2}
    assert_no_more_than_a_part_of_one_request(endpoint)


def test_the_table_is_as_large_as_the_field_asks() -> None:
    names = [name for name, _, _ in [*REFUSED_HEADS, *CHUNKS, *ACCEPTED]]
    assert len(names) == len(set(names))
    assert len(REFUSED_HEADS) + len(CHUNKS) >= 100


def test_our_own_parser_refuses_the_table_too() -> None:
    """It judges what endpoints get: it must not take what the balancer has to refuse."""
    too_lenient = []
    for name, sent, statuses in [*LENGTHS, *CODINGS, *LINES, *CHUNKS]:
        if 431 in statuses:
            continue  # Merely too large.
        with contextlib.suppress(NotStrict, Ended):
            requests_in(sent)
            too_lenient.append(name)
    assert too_lenient == []
