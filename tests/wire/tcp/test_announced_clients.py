"""Endpoints that are told whose flow it is: a PROXY header before the first byte, whoever speaks first."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.certificates import Authority
from tests.support.endpoints import Conversation, ScriptedEndpoint
from tests.support.folders import short_path
from tests.support.places import closed_port
from tests.support.plane import RunningPlane, pool
from tests.support.proxy_header import ALPN, AUTHORITY, CRC32C, UNIQUE_ID, Header, read_header, v2
from tests.support.raw import RawClient, request
from tests.support.secure_endpoint import SecureEndpoint
from tests.support.strict import read_response
from tests.support.tcp import carrying, flow_endings, flow_listener, flow_route
from tests.support.tls import TlsClient, authorities, listener_tls, material, trusting

from bascule import contract

__all__ = ["short_path"]

V1 = contract.Announce("v1", ())
V2 = contract.Announce("v2", ())
ALL = contract.Announce("v2", ("alpn", "sni", "unique_id", "crc32c"))
CA = Authority()
MATERIAL = (material("a", CA.issue("a.test")), authorities("ca", CA))
TLS = listener_tls(("a", ("a.test",)))
PASSED = v2(("203.0.113.7", 4711), ("192.0.2.1", 443), {ALPN: b"h2", AUTHORITY: b"b.test", UNIQUE_ID: b"id"})


class Told:
    """A script that keeps the header of each connection, greets, and sends back what arrives."""

    def __init__(self, greeting: bytes = b"") -> None:
        self.headers: list[Header] = []
        self.greeting = greeting

    def __call__(self, conversation: Conversation) -> None:
        self.headers.append(read_header(conversation.stream))
        conversation.send(self.greeting)
        while True:
            conversation.send(conversation.stream.exactly(4))


def ends_of(client: RawClient | TlsClient) -> tuple[object, object]:
    """The client's address and where it connected to."""
    return client.socket.getsockname(), client.socket.getpeername()


def ping(client: RawClient | TlsClient, greeting: bytes = b"") -> None:
    client.send(b"ping")
    expected = greeting + b"ping"
    assert client.stream.exactly(len(expected)) == expected


@contextmanager
def behind_another(inner: str, announce: contract.Announce) -> Iterator[RunningPlane]:
    """A balancer in front of the balancer at `inner`."""
    with RunningPlane([pool(inner, proxy_protocol=announce)], [flow_listener()]) as plane:
        yield plane


@pytest.mark.parametrize(("announce", "version"), [(V1, 1), (V2, 2)])
def test_each_flow_begins_with_a_header_and_goes_on_with_what_the_client_says(
    announce: contract.Announce, version: int
) -> None:
    told = Told()
    with carrying(told, proxy_protocol=announce) as (_, plane):
        with plane.connect() as one, plane.connect() as other:
            for client in (one, other):
                ping(client)
                ping(client)
            expected = [ends_of(one), ends_of(other)]
        # Endpoints are reached before clients say anything: who comes first is open.
        assert sorted((it.source, it.destination) for it in told.headers) == sorted(expected)
        assert {it.version for it in told.headers} == {version}
        assert flow_endings(plane, 2) == {"ok": 2}


@pytest.mark.parametrize("announce", [V1, ALL], ids=["v1", "v2"])
def test_an_endpoint_that_speaks_first_is_told_before_the_client_says_anything(
    announce: contract.Announce,
) -> None:
    told = Told(b"220 ready")
    with carrying(told, proxy_protocol=announce) as (_, plane), plane.connect() as client:
        assert client.stream.exactly(9) == b"220 ready"
        ping(client)
        assert told.headers[0].source == client.socket.getsockname()


def test_what_the_client_has_said_and_how_it_has_ended_follow_the_header() -> None:
    heard, complete = bytearray(), threading.Event()

    def script(conversation: Conversation) -> None:
        read_header(conversation.stream)
        heard.extend(conversation.stream.rest())
        conversation.send(b"done")
        complete.set()

    body = bytes(range(256)) * 2000
    with carrying(script, proxy_protocol=V2) as (_, plane):
        with plane.connect() as client:
            client.send(body)
            client.finish()
            assert client.rest() == b"done"
        assert complete.wait(10)
        assert bytes(heard) == body
        stats = plane.wait_stats(lambda it: any(one.received_bytes >= len(body) for one in it.flows))
        assert stats.flows[0].received_bytes == len(body), "a header is no traffic of the client"


def test_another_endpoint_is_told_the_same() -> None:
    told = Told()
    with ScriptedEndpoint(told) as works, closed_port() as refuses:
        with RunningPlane([pool(refuses, works, proxy_protocol=ALL)], [flow_listener()]) as plane:
            expected = []
            for _ in range(4):
                with plane.connect() as client:
                    ping(client)
                    expected.append(ends_of(client))
            assert plane.endpoint(refuses).retried > 0
        assert [(it.source, it.destination) for it in told.headers] == expected
        assert len({it.tlvs[UNIQUE_ID] for it in told.headers}) == 4


def test_a_flow_that_was_held_is_announced_when_there_is_an_endpoint() -> None:
    told, held = Told(), contract.PoolFlows(hold_ms=20_000)
    with ScriptedEndpoint(told) as endpoint:
        with RunningPlane([pool(flows=held)], [flow_listener()]) as plane, plane.connect() as client:
            client.send(b"ping")
            plane.wait_stats(lambda stats: stats.listeners[0].open == 1)
            plane.apply([pool(endpoint, flows=held, proxy_protocol=V2)], [flow_listener()])
            assert client.stream.exactly(4) == b"ping"
            assert told.headers[0].source == client.socket.getsockname()


def test_the_header_comes_before_tls_to_an_endpoint(tmp_path: Path) -> None:
    spoken = contract.PoolTls(server_name="b.test", authorities="ca", certificate=None, alpn=())
    with SecureEndpoint(CA.issue("b.test"), tmp_path, announced=True) as endpoint:
        pools = [pool(endpoint.address, tls=spoken, proxy_protocol=ALL)]
        with RunningPlane(pools, [flow_listener()], material=MATERIAL) as plane:
            with plane.connect() as client:
                client.send(request())
                assert read_response(client.stream, to="GET").status == 200
                ends = ends_of(client)
        assert [(it.source, it.destination) for it in endpoint.headers] == [ends]
        assert not endpoint.faults


def test_what_the_clients_tls_has_told_us_is_told() -> None:
    told = Told()
    with ScriptedEndpoint(told) as endpoint:
        pools = [pool(endpoint, proxy_protocol=ALL)]
        with RunningPlane(pools, [flow_listener(tls=TLS)], material=MATERIAL) as plane:
            with TlsClient(plane.address(), trusting(CA)) as client:
                ping(client)
                assert ends_of(client) == (told.headers[0].source, told.headers[0].destination)
    assert told.headers[0].tlvs[AUTHORITY] == b"a.test"
    assert ALPN not in told.headers[0].tlvs


def test_the_name_of_a_hello_that_is_passed_on_is_told(tmp_path: Path) -> None:
    with SecureEndpoint(CA.issue("b.test"), tmp_path, announced=True) as endpoint:
        only = flow_listener(flow_route(names=["b.test"]), proxies=["127.0.0.1"])
        with RunningPlane([pool(endpoint.address, proxy_protocol=ALL)], [only]) as plane:
            with plane.connect() as client:
                client.send(v2(("203.0.113.7", 4711), tlvs={AUTHORITY: b"else.test"}))
                with trusting(CA).wrap_socket(client.socket, server_hostname="b.test") as secure:
                    secure.sendall(request())
                    assert secure.recv(65536).startswith(b"HTTP/1.1 200")
        (header,) = endpoint.headers
        assert header.source == ("203.0.113.7", 4711)
        assert header.tlvs[AUTHORITY] == b"b.test", "what the client says itself counts"


@pytest.mark.parametrize("front", [V1, ALL], ids=["v1", "v2"])
@pytest.mark.parametrize("back", [V1, ALL], ids=["v1", "v2"])
def test_two_balancers_in_a_row_keep_the_client(front: contract.Announce, back: contract.Announce) -> None:
    told = Told(b"hello")
    with ScriptedEndpoint(told) as endpoint:
        only = flow_listener(proxies=["127.0.0.1"])
        with (
            RunningPlane([pool(endpoint, proxy_protocol=back)], [only]) as second,
            behind_another(second.address(), front) as first,
            first.connect() as client,
        ):
            ping(client, b"hello")
            assert ends_of(client) == (told.headers[0].source, told.headers[0].destination)


def test_what_a_balancer_in_front_has_told_is_passed_on() -> None:
    told = Told()
    only = flow_listener(proxies=["127.0.0.1"])
    with carrying(told, only, proxy_protocol=ALL) as (_, plane), plane.connect() as client:
        client.send(PASSED)
        ping(client)
    (header,) = told.headers
    assert (header.source, header.destination) == (("203.0.113.7", 4711), ("192.0.2.1", 443))
    assert {kind: value for kind, value in header.tlvs.items() if kind != CRC32C} == {
        ALPN: b"h2",
        AUTHORITY: b"b.test",
        UNIQUE_ID: b"id",
    }


@pytest.mark.parametrize("announce", [V1, V2])
def test_a_client_without_an_address_is_unknown(announce: contract.Announce, short_path: Path) -> None:
    told = Told()
    with carrying(told, flow_listener(bind=f"unix:{short_path}/s"), proxy_protocol=announce) as (_, plane):
        with plane.connect() as client:
            ping(client)
    assert told.headers == [Header(1 if announce.version == "v1" else 2)]


def test_an_endpoint_that_wants_no_header_ends_the_flow() -> None:

    def breaks_off(conversation: Conversation) -> None:
        read_header(conversation.stream)
        conversation.reset()

    with carrying(breaks_off, proxy_protocol=V2) as (_, plane), plane.connect() as client:
        assert client.is_closed()
        assert flow_endings(plane, 1) == {"endpoint_reset": 1}
