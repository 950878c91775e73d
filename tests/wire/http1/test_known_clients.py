"""Ready-made clients and a ready-made parser on both sides: curl, http.client, h11."""

import http.client
import subprocess
from pathlib import Path

import h11
import pytest
from tests.support.endpoints import OK, Step, answering, echo_targets, play, response
from tests.support.plane import RunningPlane, serving
from tests.support.processes import tool
from tests.support.raw import request
from tests.wire.http1.malformed import ACCEPTED

BODY = bytes(range(256)) * 2_000


def curl(plane: RunningPlane, *arguments: str, path: str = "/") -> bytes:
    """What curl prints; fails when curl does."""
    command = [tool("curl"), "-sS", "--max-time", "10", "--noproxy", "*", *arguments]
    return subprocess.run(
        [*command, f"http://{plane.address()}{path}"], check=True, capture_output=True
    ).stdout


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
def test_curl_gets_whole_bodies_however_they_end(version: str) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
        len(BODY),
        BODY,
    )
    with serving(answering(response(body=BODY), chunked)) as (_, plane):
        assert curl(plane, version) == BODY
        assert curl(plane, version) == BODY
    with serving(play(Step.READ, b"HTTP/1.1 200 OK\r\n\r\n" + BODY, Step.CLOSE)) as (_, plane):
        assert curl(plane, version) == BODY


def test_curl_reuses_its_connection() -> None:
    with serving(echo_targets) as (endpoint, plane):
        url = f"http://{plane.address()}/second"
        printed = curl(plane, url, "-w", "%{num_connects} ", path="/first")
        assert printed == b"/second1 /first0 "
        assert len(endpoint.conversations) == 1


@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "X: y"])
@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
def test_curl_sends_whole_bodies(tmp_path: Path, framing: str, expect: str) -> None:
    file = tmp_path / "body"
    file.write_bytes(BODY * 4)
    # Waits two seconds for a `100 Continue` before it sends all the same: long enough to tell.
    script = play(Step.HEAD, b"HTTP/1.1 100 Continue\r\n\r\n", Step.BODY, OK)
    with serving(script) as (endpoint, plane):
        arguments = ["-H", framing, "-H", expect, "--expect100-timeout", "20", "--data-binary", f"@{file}"]
        assert curl(plane, *arguments) == b"ok"
    assert endpoint.requests[0].body == BODY * 4


def test_curl_sees_heads_without_bodies() -> None:
    with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")) as (_, plane):
        assert b"Content-Length: 1000" in curl(plane, "-I")


def test_http_client_goes_through_many_kinds_of_exchanges_on_one_connection() -> None:
    script = answering(
        response(body=b"1"),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n3\r\n0\r\nX: y\r\n\r\n",
        response("404 Not Found", b"4"),
    )
    with serving(script) as (endpoint, plane):
        connection = http.client.HTTPConnection(plane.address(), timeout=10)
        bodies = []
        for method, sent in (
            ("GET", None),
            ("DELETE", None),
            ("POST", b"hello"),
            ("PUT", iter([b"a", b"b"])),
        ):
            connection.request(method, "/", sent)
            bodies.append(connection.getresponse().read())
        connection.close()
        assert bodies == [b"1", b"", b"3", b"4"]
        assert plane.stats().listeners[0].accepted == 1
    assert [seen.body for seen in endpoint.requests] == [b"", b"", b"hello", b"ab"]


def events_of(connection: h11.Connection, content: bytes) -> list[h11.Event]:
    """What h11 makes of all bytes that one peer sent on a connection, message after message."""
    connection.receive_data(content)
    found: list[h11.Event] = []
    while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        assert not isinstance(event, type)
        found.append(event)
    return found


@pytest.mark.parametrize("sent", [sent for _, sent, _ in ACCEPTED], ids=[name for name, _, _ in ACCEPTED])
def test_h11_reads_what_reaches_the_endpoint_as_we_do(sent: bytes) -> None:
    with serving() as (endpoint, plane):
        plane.ask(sent)
    (ours,) = endpoint.requests
    first, *middle, last = events_of(h11.Connection(h11.SERVER), endpoint.received())
    assert isinstance(first, h11.Request)
    assert (first.method.decode(), first.target.decode()) == (ours.method, ours.target)
    assert b"".join(bytes(event.data) for event in middle if isinstance(event, h11.Data)) == ours.body
    assert isinstance(last, h11.EndOfMessage)


@pytest.mark.parametrize(
    "sent",
    [
        response(body=b"hello"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + response(body=b"hello"),
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=["length", "chunked", "hints", "HTTP/1.0"],
)
def test_h11_reads_what_reaches_the_client_as_we_do(sent: bytes) -> None:
    with serving(answering(sent)) as (_, plane), plane.connect() as client:
        assert client.ask(request()).body == b"hello"
        received = bytes(client.stream.received)
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    events = events_of(connection, received)
    assert b"".join(bytes(event.data) for event in events if isinstance(event, h11.Data)) == b"hello"
    assert isinstance(events[-1], h11.EndOfMessage)
