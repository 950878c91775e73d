"""What is said over TLS arrives, and what is not TLS is told so."""

import contextlib
import hashlib
import random
import socket
import ssl

import pytest
from tests.support.certificates import Authority
from tests.support.endpoints import ScriptedEndpoint, Step, answering, echo_targets, play, response
from tests.support.plane import RunningPlane, client_timeouts, listener, pool
from tests.support.raw import RawClient, request
from tests.support.tls import TlsClient, listener_tls, material, trusting

from bascule import contract

AUTHORITY = Authority()
ISSUED = AUTHORITY.issue("a.test")
MATERIAL = (material("a", ISSUED),)
TLS = listener_tls(("a", ("a.test",)))
VERSIONS = pytest.mark.parametrize(
    "newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda it: it.name
)


def plane(*pools: contract.Pool, timeouts: contract.ClientTimeouts | None = None) -> RunningPlane:
    only = listener(tls=TLS, timeouts=timeouts, forwarded=contract.Forwarded(True, False, ()))
    return RunningPlane(pools or [pool()], [only], material=MATERIAL)


@VERSIONS
def test_large_bodies_arrive_as_they_were_sent_both_ways(newest: ssl.TLSVersion) -> None:
    body = random.Random(7).randbytes(3_000_000)
    back = random.Random(8).randbytes(5_000_000)
    with (
        ScriptedEndpoint(answering(response(body=back))) as endpoint,
        plane(pool(endpoint)) as running,
        TlsClient(running.address(), trusting(AUTHORITY, newest=newest)) as client,
    ):
        answer = client.ask(request("POST", body=body), to="POST")
        arrived = endpoint.wait_requests(1)[0].body
    assert hashlib.sha256(arrived).digest() == hashlib.sha256(body).digest()
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(back).digest()


@VERSIONS
def test_requests_that_come_all_at_once_are_answered_in_order(newest: ssl.TLSVersion) -> None:
    with (
        ScriptedEndpoint(echo_targets) as endpoint,
        plane(pool(endpoint)) as running,
        TlsClient(running.address(), trusting(AUTHORITY, newest=newest)) as client,
    ):
        client.send(*(request(target=f"/{n}") for n in range(50)))
        assert [client.read().body for _ in range(50)] == [f"/{n}".encode() for n in range(50)]


def test_endpoints_are_told_that_the_client_speaks_tls() -> None:
    with (
        ScriptedEndpoint() as endpoint,
        plane(pool(endpoint)) as running,
        TlsClient(running.address(), trusting(AUTHORITY)) as client,
    ):
        client.ask(request())
        assert endpoint.wait_requests(1)[0].fields.one("X-Forwarded-Proto") == "https"


def test_plain_http_is_answered_in_plain_http() -> None:
    with (
        plane() as running,
        RawClient(running.address()) as client,
    ):
        answer = client.ask(request())
        assert answer.status == 400
        assert b"speaks TLS" in answer.body
        counted = running.wait_stats(lambda stats: bool(stats.listeners[0].failed_handshakes)).listeners[0]
        assert [it.reason for it in counted.failed_handshakes] == ["plain_http"]


def test_noise_ends_the_connection_and_nothing_else() -> None:
    with plane() as running:
        for noise in (
            b"\x00" * 100,
            b"\x16\x03\x01\xff\xff" + b"a" * 70_000,
            b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
        ):
            # It may be gone before all of it is said.
            with RawClient(running.address()) as client, contextlib.suppress(OSError):
                client.send(noise)
                client.socket.shutdown(socket.SHUT_WR)
                while client.socket.recv(4096):
                    pass
        with TlsClient(running.address(), trusting(AUTHORITY)) as client:
            assert client.ask(request()).status == 503


def test_a_handshake_that_never_ends_is_cut_off_in_time() -> None:
    with (
        plane(timeouts=client_timeouts(head_ms=200)) as running,
        RawClient(running.address()) as client,
    ):
        client.send(hello()[:40])
        assert client.socket.recv(1) == b""
        counted = running.wait_stats(lambda stats: bool(stats.listeners[0].failed_handshakes)).listeners[0]
        assert [it.reason for it in counted.failed_handshakes] == ["timed_out"]


@pytest.mark.parametrize("apart", [1, 7, 100])
def test_a_hello_in_many_pieces_is_the_same_hello(apart: int) -> None:
    context, incoming, outgoing = trusting(AUTHORITY), ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="a.test")
    with plane() as running, RawClient(running.address()) as client:
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                said = outgoing.read()
                for at in range(0, len(said), apart):
                    client.socket.sendall(said[at : at + apart])
                incoming.write(client.socket.recv(65536))
        assert session.getpeercert()["serialNumber"]  # type: ignore[index]


def test_the_end_of_a_whole_response_is_told_and_that_of_a_cut_one_is_not() -> None:
    whole = play(Step.READ, b"HTTP/1.1 200 OK\r\n\r\nall of it", Step.CLOSE)
    ask = b"GET / HTTP/1.0\r\nHost: a.test\r\n\r\n"
    with (
        ScriptedEndpoint(whole) as endpoint,
        plane(pool(endpoint)) as running,
        TlsClient(running.address(), trusting(AUTHORITY)) as client,
    ):
        client.send(ask)
        assert everything(client).endswith(b"all of it")
    cut = play(Step.READ, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nall o\r\n", Step.CLOSE)
    with (
        ScriptedEndpoint(cut) as endpoint,
        plane(pool(endpoint)) as running,
        TlsClient(running.address(), trusting(AUTHORITY)) as client,
    ):
        client.send(ask)
        with pytest.raises(ssl.SSLError, match=r"(?i)eof"):
            everything(client)


def test_a_slow_reader_gets_everything() -> None:
    back = random.Random(9).randbytes(2_000_000)
    with (
        ScriptedEndpoint(answering(response(body=back))) as endpoint,
        plane(pool(endpoint)) as running,
        TlsClient(running.address(), trusting(AUTHORITY)) as client,
    ):
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        answer = client.ask(request())
    assert answer.body == back


def test_a_client_that_reads_nothing_is_dropped() -> None:
    back = bytes(30_000_000)
    with (
        ScriptedEndpoint(answering(response(body=back))) as endpoint,
        plane(pool(endpoint), timeouts=client_timeouts(send_ms=300)) as running,
        TlsClient(running.address(), trusting(AUTHORITY)) as client,
    ):
        client.send(request())
        assert running.endings(1) == {"client_not_reading": 1}


def test_connections_stay_open_when_a_listener_begins_to_speak_tls() -> None:
    with (
        ScriptedEndpoint() as endpoint,
        RunningPlane([pool(endpoint)]) as running,
        running.connect() as before,
    ):
        assert before.ask(request()).status == 200
        running.give(*MATERIAL)
        running.apply([pool(endpoint)], [listener(tls=TLS)])
        assert before.ask(request()).status == 200
        with TlsClient(running.address(), trusting(AUTHORITY)) as after:
            assert after.ask(request()).status == 200


def everything(client: TlsClient) -> bytes:
    received = b""
    while piece := client.socket.recv(65536):
        received += piece
    return received


def hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    session = trusting(AUTHORITY).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a.test")
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()
