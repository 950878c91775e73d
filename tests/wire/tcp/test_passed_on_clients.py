"""Flows that another balancer passes on: its PROXY header says who the client is, whatever they carry."""

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import Authority
from tests.support.endpoints import ScriptedEndpoint
from tests.support.eventually import eventually
from tests.support.folders import short_path
from tests.support.plane import RunningPlane, client_limits, client_timeouts, forwarded, listener, pool
from tests.support.proxy_header import SIGNATURE, v1, v2
from tests.support.raw import RawClient, request
from tests.support.tcp import carrying, echo, flow_endings, flow_listener, flow_route, named
from tests.support.tls import listener_tls, material, trusting
from tests.wire.tcp.test_tls import der, secure_echo

from bascule import contract

__all__ = ["short_path"]

CLIENT = ("203.0.113.7", 4711)
WIDE = ("2001:db8::7", 4711)
AUTHORITY = Authority()
OURS, THEIRS = AUTHORITY.issue("a.test"), AUTHORITY.issue("b.test")
GIVEN = (material("a", OURS),)
TLS = listener_tls(("a", ("a.test",)))
US = ["127.0.0.1"]


def logged(path: Path, count: int = 1) -> list[dict[str, Any]]:
    """The lines of an access log, once there are so many."""

    def lines() -> list[str]:
        return path.read_text().splitlines() if path.exists() else []

    eventually(lambda: len(lines()) >= count, lines)
    return [json.loads(line) for line in lines()]


def ping(client: RawClient, before: bytes = b"") -> None:
    """Asserts that an endpoint which sends back what arrives gets this, and nothing that comes before."""
    client.send(before + b"ping")
    assert client.stream.exactly(4) == b"ping"


@contextlib.contextmanager
def over_tls(client: RawClient, header: bytes, name: str) -> Iterator[ssl.SSLSocket]:
    """TLS on a connection that begins with a header."""
    client.send(header)
    with trusting(AUTHORITY).wrap_socket(client.socket, server_hostname=name) as secure:
        yield secure


def shown(secure: ssl.SSLSocket) -> bytes | None:
    return secure.getpeercert(binary_form=True)


@pytest.mark.parametrize("header", [v1, v2], ids=["v1", "v2"])
@pytest.mark.parametrize("client", [CLIENT, WIDE], ids=["IPv4", "IPv6"])
def test_the_log_names_the_client_and_the_endpoint_gets_what_follows(
    header: Any, client: Any, short_path: Path
) -> None:
    to = ("192.0.2.1", 443) if client is CLIENT else ("2001:db8::1", 443)
    log, only = short_path / "log", flow_listener(proxies=US)
    with ScriptedEndpoint(echo) as endpoint:
        with RunningPlane([pool(endpoint)], [only], access_log=contract.AccessLog("json", str(log))) as plane:
            with plane.connect() as connection:
                ping(connection, header(client, to))
            assert flow_endings(plane, 1) == {"ok": 1}
        (line,) = logged(log)
        assert (line["client"], line["received_bytes"], line["sent_bytes"]) == (client[0], 4, 4)


@pytest.mark.parametrize("header", [v2(None), b"PROXY UNKNOWN\r\n"], ids=["local", "unknown"])
def test_a_connection_of_the_balancer_itself_keeps_its_own_address(header: bytes, short_path: Path) -> None:
    log, only = short_path / "log", flow_listener(proxies=US)
    with ScriptedEndpoint(echo) as endpoint:
        with RunningPlane([pool(endpoint)], [only], access_log=contract.AccessLog("json", str(log))) as plane:
            with plane.connect() as connection:
                ping(connection, header)
        assert logged(log)[0]["client"] == "127.0.0.1"


@pytest.mark.parametrize("header", [v1(CLIENT), v2(CLIENT, tlvs={2: b"a.test"})], ids=["v1", "v2"])
def test_a_header_may_come_byte_by_byte(header: bytes, short_path: Path) -> None:
    path = f"{short_path}/s"
    with carrying(echo, flow_listener(bind=f"unix:{path}", proxies=US)) as (_, plane):
        with plane.connect() as connection:
            for byte in header:
                connection.send(bytes([byte]))
            ping(connection)
        assert flow_endings(plane, 1) == {"ok": 1}


def test_an_endpoint_that_speaks_first_is_heard_after_the_header() -> None:
    with carrying(named("220 ready"), flow_listener(proxies=US)) as (_, plane):
        with plane.connect() as connection:
            connection.send(v2(CLIENT))
            assert connection.stream.exactly(9) == b"220 ready"


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"SSH-2.0-x\r\n", "the connection does not begin with one"),
        (b"PROXY TCP4 203.0.113.7 2001:db8::1 1 2\r\n", "an address that is none of its family"),
        (SIGNATURE + b"\x31", "whose version is not 2"),
        (v2(CLIENT, tlvs={3: b"\0\0\0\0"}), "wrong CRC32C"),
    ],
    ids=["none", "address", "version", "checksum"],
)
def test_without_a_header_that_can_be_relied_on_no_endpoint_is_reached(sent: bytes, reason: str) -> None:
    with carrying(echo, flow_listener(proxies=US)) as (endpoint, plane):
        with plane.connect() as connection:
            connection.send(sent)
            assert connection.is_closed()
        refused = plane.wait_refused_header()
        assert (refused.listener, refused.client) == ("web", "127.0.0.1")
        assert reason in refused.reason
        assert plane.stats().listeners[0].refused_proxy_headers == 1
        assert not endpoint.conversations


@pytest.mark.parametrize(
    ("ends", "reason"), [(False, "it did not come in time"), (True, "ended before it was complete")]
)
def test_half_a_header_is_closed_when_its_time_is_over_or_its_sender_ends_it(ends: bool, reason: str) -> None:
    only = flow_listener(proxies=US, timeouts=client_timeouts(head_ms=200))
    with carrying(echo, only) as (endpoint, plane):
        with plane.connect() as connection:
            connection.send(v2(CLIENT)[:20])
            if ends:
                connection.finish()
            assert connection.is_closed()
        refused = plane.wait_refused_header()
        assert reason in refused.reason
        assert not endpoint.conversations


def test_from_anybody_else_a_header_is_bytes_like_others(short_path: Path) -> None:
    """The endpoint gets them: whether they are nonsense is for it to say. Who sent them is not believed."""
    log, only = short_path / "log", flow_listener(proxies=["192.0.2.0/24"])
    with ScriptedEndpoint(echo) as endpoint:
        with RunningPlane([pool(endpoint)], [only], access_log=contract.AccessLog("json", str(log))) as plane:
            with plane.connect() as connection:
                connection.send(v1(CLIENT))
                assert connection.stream.exactly(len(v1(CLIENT))) == v1(CLIENT)
        assert logged(log)[0]["client"] == "127.0.0.1"


def test_routes_and_limits_go_by_the_client_that_is_named() -> None:
    rate = contract.RateLimit("few", contract.ClientKey(), requests=1, per_ms=3_600_000, burst=1)
    routes = (
        flow_route("known", id="known", clients=["203.0.113.0/24"], limits=[rate]),
        flow_route(id="rest", clients=["127.0.0.0/8"]),
    )
    with ScriptedEndpoint(named("known")) as known, ScriptedEndpoint(named("other")) as other:
        pools = [pool(other), pool(known, id="known")]
        with RunningPlane(pools, [flow_listener(*routes, proxies=US)]) as plane:
            for header, heard in (
                (v2(CLIENT), b"known"),
                (v2(("203.0.113.8", 1)), b"known"),
                (v2(None), b"other"),
            ):
                with plane.connect() as connection:
                    connection.send(header)
                    assert connection.stream.exactly(5) == heard
            for client in (CLIENT, ("198.51.100.1", 1)):
                with plane.connect() as connection:
                    connection.send(v2(client))
                    assert connection.is_closed()
            assert flow_endings(plane, 5) == {"ok": 3, "rate_limited": 1, "no_route": 1}


def test_connections_per_client_are_those_of_the_clients_that_are_named() -> None:
    only = flow_listener(proxies=US, limits=client_limits(connections_per_client=1))
    with carrying(echo, only) as (_, plane):
        with plane.connect() as first, plane.connect() as second:
            ping(first, v2(CLIENT))
            ping(second, v2(("203.0.113.8", 1)))
            with plane.connect() as third:
                third.send(v2(CLIENT))
                assert third.is_closed()
        plane.wait_stats(lambda it: it.listeners[0].turned_away == 1 and it.listeners[0].open == 0)
        with plane.connect() as again:
            ping(again, v2(CLIENT))


def test_the_header_comes_before_tls_that_ends_here(short_path: Path) -> None:
    log, only = short_path / "log", flow_listener(proxies=US, tls=TLS)
    with ScriptedEndpoint(echo) as endpoint:
        with RunningPlane(
            [pool(endpoint)], [only], material=GIVEN, access_log=contract.AccessLog("json", str(log))
        ) as plane:
            with plane.connect() as client, over_tls(client, v2(CLIENT), "a.test") as secure:
                secure.sendall(b"ping")
                assert secure.recv(65536) == b"ping"
        (line,) = logged(log)
        assert (line["client"], line["server_name"]) == (CLIENT[0], "a.test")


def test_the_header_comes_before_a_hello_that_is_passed_on(tmp_path: Path, short_path: Path) -> None:
    log, only = short_path / "log", flow_listener(flow_route(names=["b.test"]), proxies=US)
    with secure_echo(THEIRS, tmp_path) as endpoint:
        with RunningPlane([pool(endpoint)], [only], access_log=contract.AccessLog("json", str(log))) as plane:
            with plane.connect() as client, over_tls(client, v1(CLIENT), "b.test") as secure:
                assert shown(secure) == der(THEIRS)
                secure.sendall(b"ping")
                assert secure.recv(65536) == b"ping"
            # In one packet with the hello.
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            session = trusting(AUTHORITY).wrap_bio(incoming, outgoing, server_hostname="b.test")
            with contextlib.suppress(ssl.SSLWantReadError):
                session.do_handshake()
            with plane.connect() as client:
                client.send(v2(CLIENT) + outgoing.read())
                assert client.stream.exactly(1) == b"\x16", "its hello is answered"
        assert [line["client"] for line in logged(log, 2)] == [CLIENT[0]] * 2


def test_a_hello_that_goes_nowhere_is_accounted_for_with_its_client(short_path: Path) -> None:
    log, only = short_path / "log", flow_listener(flow_route(names=["b.test"]), proxies=US)
    hello = Path("fuzz/corpus/client_hello/name_twice").read_bytes()
    with ScriptedEndpoint(echo) as endpoint:
        with RunningPlane([pool(endpoint)], [only], access_log=contract.AccessLog("json", str(log))) as plane:
            with plane.connect() as client:
                client.send(v2(CLIENT) + hello)
                assert client.is_closed()
            assert flow_endings(plane, 1) == {"bad_request": 1}
        assert logged(log)[0]["client"] == CLIENT[0]


def test_names_that_end_here_and_names_that_are_passed_on_share_a_port_behind_a_balancer(
    tmp_path: Path, short_path: Path
) -> None:
    log = short_path / "log"
    flows = contract.Flows(passthrough=(flow_route("theirs", id="b", names=["b.test"]),))
    only = listener(tls=TLS, proxies=US, forwarded=forwarded(True, False, []))
    with secure_echo(THEIRS, tmp_path) as endpoint, ScriptedEndpoint() as site:
        with RunningPlane(
            [pool(site), pool(endpoint, id="theirs")],
            [replace(only, flows=flows)],
            material=GIVEN,
            access_log=contract.AccessLog("json", str(log)),
        ) as plane:
            for header in (v1(CLIENT), v2(WIDE, ("2001:db8::1", 443))):
                with plane.connect() as client, over_tls(client, header, "a.test") as secure:
                    assert shown(secure) == der(OURS)
                    secure.sendall(request())
                    assert secure.recv(65536).startswith(b"HTTP/1.1 200")
                with plane.connect() as client, over_tls(client, header, "b.test") as secure:
                    assert shown(secure) == der(THEIRS)
                    secure.sendall(b"ping")
                    assert secure.recv(65536) == b"ping"
            with plane.connect() as client, pytest.raises(OSError):
                with over_tls(client, b"", "b.test"):
                    pass
        assert sorted(line["client"] for line in logged(log, 4)) == sorted([CLIENT[0], WIDE[0]] * 2)
        assert [it.fields.one("x-forwarded-for") for it in site.requests] == [CLIENT[0], WIDE[0]]


def test_a_client_over_a_unix_socket_is_named_too(short_path: Path) -> None:
    log, path = short_path / "log", f"{short_path}/s"
    with ScriptedEndpoint(echo) as endpoint:
        only = flow_listener(bind=f"unix:{path}", proxies=US)
        with RunningPlane([pool(endpoint)], [only], access_log=contract.AccessLog("json", str(log))) as plane:
            with plane.connect() as client:
                ping(client, v2(CLIENT))
        assert logged(log)[0]["client"] == CLIENT[0]


def test_a_client_that_ends_its_side_right_after_the_header_still_hears() -> None:
    with carrying(named("bye"), flow_listener(proxies=US)) as (_, plane):
        with socket.create_connection(tuple(plane.address().split(":"))) as client:  # type: ignore[arg-type]
            client.sendall(v2(CLIENT))
            client.shutdown(socket.SHUT_WR)
            assert client.recv(65536) == b"bye"
        assert flow_endings(plane, 1) == {"ok": 1}
