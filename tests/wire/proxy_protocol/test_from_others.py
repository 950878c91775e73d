"""Connections that another balancer passes on: its PROXY header says who the client is, whatever we do."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import Authority
from tests.support.endpoints import ScriptedEndpoint, Step, play, response
from tests.support.eventually import eventually
from tests.support.plane import (
    RunningPlane,
    client_limits,
    client_timeouts,
    forwarded,
    listener,
    pool,
    route,
)
from tests.support.proxy_header import SIGNATURE, v1, v2
from tests.support.raw import request
from tests.support.strict import Stream, read_response
from tests.support.tls import listener_tls, material, trusting

from bascule import contract

CLIENT = ("203.0.113.7", 4711)
WIDE = ("2001:db8::7", 4711)
AUTHORITY = Authority()


@contextmanager
def announced(*routes: contract.Route, **options: Any) -> Iterator[tuple[ScriptedEndpoint, RunningPlane]]:
    """A listener that everybody on this machine passes connections on to."""
    usual: dict[str, Any] = {"proxies": ["127.0.0.0/8"], "forwarded": forwarded(True, False, [])}
    options = usual | options
    with (
        ScriptedEndpoint() as endpoint,
        RunningPlane([pool(endpoint)], [listener(*routes, **options)]) as plane,
    ):
        yield endpoint, plane


def said_of(endpoint: ScriptedEndpoint, number: int = 0) -> str | None:
    """Who the endpoint was told the client is."""
    return endpoint.wait_requests(number + 1)[number].fields.one("x-forwarded-for")


@pytest.mark.parametrize("header", [v1, v2], ids=["v1", "v2"])
@pytest.mark.parametrize("client", [CLIENT, WIDE], ids=["IPv4", "IPv6"])
def test_the_header_names_the_client_of_every_request_behind_it(header: Any, client: Any) -> None:
    to = ("192.0.2.1", 443) if client is CLIENT else ("2001:db8::1", 443)
    with announced() as (endpoint, plane), plane.connect() as connection:
        assert connection.ask(header(client, to) + request()).status == 200
        assert connection.ask(request()).status == 200
        assert [said_of(endpoint, number) for number in (0, 1)] == [client[0]] * 2


@pytest.mark.parametrize("header", [v2(None), b"PROXY UNKNOWN\r\n"], ids=["local", "unknown"])
def test_a_connection_of_the_balancer_itself_keeps_its_own_address(header: bytes) -> None:
    with announced() as (endpoint, plane), plane.connect() as connection:
        assert connection.ask(header + request()).status == 200
        assert said_of(endpoint) == "127.0.0.1"


@pytest.mark.parametrize("header", [v1(CLIENT), v2(CLIENT, tlvs={2: b"a.test"})], ids=["v1", "v2"])
def test_a_header_may_come_byte_by_byte(header: bytes) -> None:
    with announced() as (endpoint, plane), plane.connect() as connection:
        for byte in header:
            connection.send(bytes([byte]))
        assert connection.ask(request()).status == 200
        assert said_of(endpoint) == CLIENT[0]


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda it: it.name)
def test_the_header_comes_before_tls(newest: ssl.TLSVersion) -> None:
    only = listener(
        tls=listener_tls(("a", ("a.test",))), proxies=["127.0.0.1"], forwarded=forwarded(True, False, [])
    )
    with (
        ScriptedEndpoint() as endpoint,
        RunningPlane([pool(endpoint)], [only], material=[material("a", AUTHORITY.issue("a.test"))]) as plane,
        plane.connect() as plain,
    ):
        plain.send(v2(CLIENT))
        context = trusting(AUTHORITY, newest=newest)
        with context.wrap_socket(plain.socket, server_hostname="a.test") as secure:
            secure.sendall(request())
            assert read_response(Stream(lambda: secure.recv(65536)), to="GET").status == 200
        assert said_of(endpoint) == CLIENT[0]


def test_the_header_comes_before_http2() -> None:
    with announced() as (endpoint, plane), plane.connect_http2(begin=False) as client:
        client.socket.sendall(v1(CLIENT))
        client.flush()
        assert {client.ask().status for _ in range(2)} == {200}
        assert [said_of(endpoint, number) for number in (0, 1)] == [CLIENT[0]] * 2


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (request(), "the connection does not begin with one"),
        (b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\n", "version 1 with a CR or an LF alone"),
        (b"PROXY TCP4 203.0.113.7 2001:db8::1 1 2\r\n", "an address that is none of its family"),
        (SIGNATURE + b"\x31", "whose version is not 2"),
        (SIGNATURE + b"\x21\x11\xff\xff", "longer than 4096 bytes"),
        (v2(CLIENT, tlvs={3: b"\0\0\0\0"}), "wrong CRC32C"),
    ],
    ids=["none", "line_end", "address", "version", "length", "checksum"],
)
def test_without_a_header_that_can_be_relied_on_nothing_is_served(sent: bytes, reason: str) -> None:
    with announced() as (endpoint, plane):
        with plane.connect() as connection:
            connection.send(sent)
            assert connection.is_closed()
        refused = plane.wait_refused_header()
        assert (refused.listener, refused.client) == ("web", "127.0.0.1")
        assert reason in refused.reason
        assert plane.stats().listeners[0].refused_proxy_headers == 1
        assert not endpoint.conversations


def test_half_a_header_is_closed_when_its_time_is_over_or_its_sender_ends_it() -> None:
    with announced(timeouts=client_timeouts(head_ms=200)) as (_, plane):
        for ends, reason in ((False, "it did not come in time"), (True, "ended before it was complete")):
            with plane.connect() as connection:
                connection.send(v2(CLIENT)[:20])
                if ends:
                    connection.finish()
                assert connection.is_closed()
            refused = plane.wait_refused_header()
            assert reason in refused.reason
        assert plane.stats().listeners[0].refused_proxy_headers == 2


def test_somebody_who_only_looks_whether_the_port_is_open_is_not_told_of() -> None:
    with announced() as (_, plane):
        plane.connect().close()
        plane.wait_stats(lambda it: it.listeners[0].accepted == 1 and it.listeners[0].open == 0)
        assert plane.stats().listeners[0].refused_proxy_headers == 0


@pytest.mark.parametrize("header", [v1(CLIENT), v2(CLIENT)], ids=["v1", "v2"])
def test_nobody_else_can_claim_to_be_somebody(header: bytes) -> None:
    """From elsewhere the bytes are what they are: no request that anybody would read."""
    with announced(proxies=["192.0.2.0/24"]) as (endpoint, plane):
        with plane.connect() as connection:
            assert connection.ask(header + request()).status in (400, 505)
        assert not endpoint.conversations
        assert plane.ask(request()).status == 200
        assert said_of(endpoint) == "127.0.0.1"


def test_routes_and_trust_go_by_the_client_that_is_named() -> None:
    matching = contract.Matcher("client", {"networks": ["203.0.113.0/24"]})
    own = contract.RespondAction(200, (), "known")
    with announced(
        route(own, id="known", match=[matching]),
        route(),
        forwarded=forwarded(True, False, ["127.0.0.1", "198.51.100.1"]),
    ) as (endpoint, plane):
        with plane.connect() as connection:
            assert connection.ask(v2(CLIENT) + request()).body == b"known"
        claimed = request("GET", "/", "X-Forwarded-For: 192.0.2.99")
        for client in ("198.51.100.1", "198.51.100.2"):
            with plane.connect() as connection:
                assert connection.ask(v2((client, 1)) + claimed).status == 200
        assert said_of(endpoint, 0) == "192.0.2.99, 198.51.100.1", "its own fields are kept: it is trusted"
        assert said_of(endpoint, 1) == "198.51.100.2", "the balancer is trusted, its client is not"


def test_the_access_log_names_the_client(short_path: Path) -> None:
    path = short_path / "log"
    with ScriptedEndpoint() as endpoint:
        log = contract.AccessLog("json", str(path))
        only = listener(proxies=["127.0.0.1"])
        with RunningPlane([pool(endpoint)], [only], access_log=log) as plane:
            with plane.connect() as connection:
                connection.ask(v1(CLIENT) + request())
            eventually(lambda: path.exists() and path.stat().st_size > 0, lambda: "no line")
    assert json.loads(path.read_text())["client"] == CLIENT[0]


def test_connections_per_client_are_those_of_the_clients_that_are_named() -> None:
    with announced(limits=client_limits(connections_per_client=1)) as (_, plane):
        with plane.connect() as first, plane.connect() as second:
            assert first.ask(v2(CLIENT) + request()).status == 200
            assert second.ask(v2(("203.0.113.8", 1)) + request()).status == 200, "another client"
            with plane.connect() as third:
                third.send(v2(CLIENT) + request())
                assert third.is_closed()
        plane.wait_stats(lambda it: it.listeners[0].turned_away == 1 and it.listeners[0].open == 0)
        with plane.connect() as again:
            assert again.ask(v2(CLIENT) + request()).status == 200, "its place is free again"


def test_a_setting_that_comes_with_a_reload_holds_for_connections_after_it() -> None:
    with ScriptedEndpoint(play(Step.READ, response(), Step.READ, response())) as endpoint:
        with RunningPlane([pool(endpoint)], [listener()]) as plane, plane.connect() as before:
            assert before.ask(request()).status == 200
            plane.apply([pool(endpoint)], [listener(proxies=["127.0.0.1"])])
            assert before.ask(request()).status == 200
            with plane.connect() as after:
                after.send(request())
                assert after.is_closed()
