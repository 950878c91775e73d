"""Endpoints that are told whose connection it is: a PROXY header before everything else, one client each."""

from pathlib import Path

import pytest
from tests.support.certificates import Authority
from tests.support.endpoints import OK, Conversation, ScriptedEndpoint, each
from tests.support.plane import RunningPlane, forwarded, listener, pool, route, serving
from tests.support.proxy_header import (
    ALPN,
    AUTHORITY,
    CRC32C,
    SIGNATURE,
    UNIQUE_ID,
    Header,
    read_header,
    v2,
)
from tests.support.raw import RawClient, request
from tests.support.secure_endpoint import SecureEndpoint
from tests.support.tls import TlsClient, listener_tls, material, trusting

from bascule import contract
from bascule.plane.plane import SnapshotRefused

V1 = contract.Announce("v1", ())
V2 = contract.Announce("v2", ())
ALL = contract.Announce("v2", ("alpn", "sni", "unique_id", "crc32c"))
AUTHORITY_OF_ALL = Authority()


class Told:
    """A script that reads a header before the requests of each connection, and keeps it."""

    def __init__(self) -> None:
        self.headers: list[Header] = []

    def __call__(self, conversation: Conversation) -> None:
        self.headers.append(read_header(conversation.stream))
        while True:
            conversation.read()
            conversation.send(OK)


def ends_of(client: RawClient) -> tuple[object, object]:
    """The client's address and where it connected to."""
    return client.socket.getsockname(), client.socket.getpeername()


@pytest.mark.parametrize(("announce", "version"), [(V1, 1), (V2, 2)])
def test_each_client_is_announced_and_shares_with_nobody(announce: contract.Announce, version: int) -> None:
    told = Told()
    with serving(told, proxy_protocol=announce) as (endpoint, plane):
        with plane.connect() as one, plane.connect() as other:
            for client in (one, other, one):
                assert client.ask(request()).status == 200
            expected = [ends_of(client) for client in (one, other, one)]
        assert [(it.source, it.destination) for it in told.headers] == expected
        assert {it.version for it in told.headers} == {version}
        plane.wait_stats(lambda it: it.endpoints[0].idle == 0 and it.endpoints[0].connects == 3)
        for conversation in endpoint.conversations:
            conversation.wait_end()


def test_the_header_and_the_request_arrive_together() -> None:
    """In one packet: an endpoint that reads once has both."""
    first: list[bytes] = []

    def script(conversation: Conversation) -> None:
        first.append(conversation.socket.recv(65536))
        conversation.send(OK)

    with serving(script, proxy_protocol=V2) as (_, plane):
        assert plane.ask(request()).status == 200
    assert first[0].startswith(SIGNATURE)
    assert first[0].endswith(b"\r\n\r\n")


def test_a_body_follows_the_header_too() -> None:
    told = Told()
    with serving(told, proxy_protocol=V2) as (endpoint, plane):
        assert plane.ask(request("POST", body=b"x" * 300_000), to="POST").status == 200
        assert endpoint.wait_requests(1)[0].body == b"x" * 300_000
        assert len(told.headers) == 1


def test_another_try_is_announced_as_well() -> None:
    told = Told()

    def fails(conversation: Conversation) -> None:
        read_header(conversation.stream)
        conversation.read()
        conversation.close()

    with ScriptedEndpoint(fails) as bad, ScriptedEndpoint(told) as good:
        with RunningPlane([pool(bad, good, proxy_protocol=V1)]) as plane, plane.connect() as client:
            assert [client.ask(request()).status for _ in range(4)] == [200] * 4
            assert [(it.source, it.destination) for it in told.headers] == [ends_of(client)] * 4
        assert bad.conversations


def test_the_client_of_another_balancer_is_passed_on() -> None:
    told = Told()
    passed = v2(
        ("203.0.113.7", 4711), ("192.0.2.1", 443), {ALPN: b"h2", AUTHORITY: b"a.test", UNIQUE_ID: b"id"}
    )
    with ScriptedEndpoint(told) as endpoint:
        only = listener(proxies=["127.0.0.1"])
        with RunningPlane([pool(endpoint, proxy_protocol=ALL)], [only]) as plane, plane.connect() as client:
            assert client.ask(passed + request()).status == 200
    (header,) = told.headers
    assert (header.source, header.destination) == (("203.0.113.7", 4711), ("192.0.2.1", 443))
    assert {kind: value for kind, value in header.tlvs.items() if kind != CRC32C} == {
        ALPN: b"h2",
        AUTHORITY: b"a.test",
        UNIQUE_ID: b"id",
    }


def test_what_the_clients_tls_has_agreed_on_is_told() -> None:
    told = Told()
    tls = listener_tls(("a", ("a.test",)))
    given = [material("a", AUTHORITY_OF_ALL.issue("a.test"))]
    with ScriptedEndpoint(told) as endpoint:
        pools = [pool(endpoint, proxy_protocol=ALL)]
        with RunningPlane(pools, [listener(tls=tls)], material=given) as plane:
            for offered in (["http/1.1"], []):
                context = trusting(AUTHORITY_OF_ALL)
                if offered:
                    context.set_alpn_protocols(offered)
                with TlsClient(plane.address(), context) as client:
                    assert [client.ask(request()).status for _ in range(2)] == [200, 200]
    assert [it.tlvs.get(ALPN) for it in told.headers] == [b"http/1.1"] * 2 + [None] * 2
    assert {it.tlvs[AUTHORITY] for it in told.headers} == {b"a.test"}
    ids = [it.tlvs[UNIQUE_ID] for it in told.headers]
    assert len(set(ids)) == 2, "one for each client connection"
    assert ids[0] == ids[1]


def test_the_streams_of_a_client_are_announced_with_its_address() -> None:
    told = Told()
    with serving(told, proxy_protocol=V2) as (_, plane), plane.connect_http2() as client:
        assert {client.ask().status for _ in range(3)} == {200}
        ends = (client.socket.getsockname(), client.socket.getpeername())
        assert [(it.source, it.destination) for it in told.headers] == [ends] * 3


def test_a_client_without_an_address_is_unknown(short_path: Path) -> None:
    for announce in (V1, V2):
        told = Told()
        with ScriptedEndpoint(told) as endpoint:
            only = listener(bind=f"unix:{short_path}/{announce.version}")
            with RunningPlane([pool(endpoint, proxy_protocol=announce)], [only]) as plane:
                assert plane.ask(request()).status == 200
        assert [it.source for it in told.headers] == [None]


def test_the_header_comes_before_tls_to_an_endpoint(tmp_path: Path) -> None:
    with SecureEndpoint(AUTHORITY_OF_ALL.issue("a.test"), tmp_path, announced=True) as endpoint:
        tls = contract.PoolTls(None, "a.test", None, ("http/1.1",))
        with RunningPlane([pool(endpoint.address, tls=tls, proxy_protocol=V1)]) as plane:
            with plane.connect() as client:
                assert [client.ask(request()).status for _ in range(2)] == [200, 200]
                ends = ends_of(client)
        assert [(it.source, it.destination) for it in endpoint.headers] == [ends] * 2
        assert not endpoint.faults


def test_a_copy_for_a_mirror_is_for_nobody() -> None:
    told = Told()
    with ScriptedEndpoint() as endpoint, ScriptedEndpoint(told) as shadow:
        pools = [pool(endpoint), pool(shadow, id="shadow", proxy_protocol=V2)]
        only = listener(route(mirror=contract.Mirror("shadow", 1000)), forwarded=forwarded())
        with RunningPlane(pools, [only]) as plane:
            assert plane.ask(request()).status == 200
            shadow.wait_requests(1)
    assert told.headers == [Header(2)]


def test_connections_from_before_a_reload_are_not_used_for_clients_that_are_announced() -> None:
    told = Told()

    def silent(conversation: Conversation) -> None:
        conversation.read()
        conversation.send(OK)

    with ScriptedEndpoint(each(silent, told)) as endpoint:
        with RunningPlane([pool(endpoint)]) as plane, plane.connect() as client:
            assert client.ask(request()).status == 200
            plane.wait_stats(lambda it: it.endpoints[0].idle == 1)
            plane.apply([pool(endpoint, proxy_protocol=V2)])
            assert client.ask(request()).status == 200
            assert told.headers[0].source == client.socket.getsockname()


def test_endpoints_of_http2_cannot_be_told() -> None:
    with pytest.raises(SnapshotRefused, match="proxy_protocol names one client"):
        RunningPlane([pool("127.0.0.1:1", protocol="http2", proxy_protocol=V2)])
