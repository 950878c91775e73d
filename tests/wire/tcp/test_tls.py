"""TLS of flows: ended here, passed on by name or protocol, spoken to endpoints; on one port if wanted."""

import contextlib
import hashlib
import random
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.certificates import Authority, Issued
from tests.support.endpoints import Conversation, ScriptedEndpoint
from tests.support.plane import RunningPlane, client_timeouts, listener, pool
from tests.support.raw import RawClient, request
from tests.support.tcp import carrying, echo, flow_endings, flow_listener, flow_route, named
from tests.support.tls import TlsClient, authorities, listener_tls, material, trusting

from bascule import contract

AUTHORITY = Authority()
OURS = AUTHORITY.issue("a.test")
MATERIAL = (material("a", OURS), authorities("ca", AUTHORITY))
TLS = listener_tls(("a", ("a.test",)))


@contextmanager
def secure_echo(issued: Issued, folder: Path, *alpn: str) -> Iterator[str]:
    """An endpoint with a certificate of its own, which sends back what arrives. Gives its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.write(folder, f"echo-{id(context)}"))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(plain: socket.socket) -> None:
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                while received := secure.recv(65536):
                    secure.sendall(received)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)


def dial(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), 10)


def certificate_of(client: TlsClient) -> bytes:
    shown = client.socket.getpeercert(binary_form=True)
    assert shown is not None
    return shown


def der(issued: Issued) -> bytes:
    return ssl.PEM_cert_to_DER_cert(issued.chain)


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda it: it.name)
def test_tls_ends_here_and_the_endpoint_sees_plain_bytes(newest: ssl.TLSVersion) -> None:
    body = random.Random(3).randbytes(3_000_000)
    with ScriptedEndpoint(echo) as endpoint:
        with RunningPlane([pool(endpoint)], [flow_listener(tls=TLS)], material=MATERIAL) as plane:
            with TlsClient(plane.address(), trusting(AUTHORITY, newest=newest)) as client:
                back = b""
                # One thread: OpenSSL does not let two use a session at a time.
                for at in range(0, len(body), 50_000):
                    client.send(body[at : at + 50_000])
                    back += client.stream.exactly(50_000)
            assert hashlib.sha256(back).digest() == hashlib.sha256(body).digest()
            assert plane.stats().listeners[0].handshakes == 1
            plane.wait_stats(lambda stats: stats.flows[0].received_bytes == len(body))


def test_a_client_that_says_goodbye_within_tls_still_hears() -> None:
    def answer_late(conversation: Conversation) -> None:
        while conversation.socket.recv(65536):
            pass
        conversation.send(b"late")

    with ScriptedEndpoint(answer_late) as endpoint:
        with RunningPlane([pool(endpoint)], [flow_listener(tls=TLS)], material=MATERIAL) as plane:
            plain = dial(plane.address())
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            session = trusting(AUTHORITY).wrap_bio(incoming, outgoing, server_hostname="a.test")
            with plain:
                while True:
                    try:
                        session.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        plain.sendall(outgoing.read())
                        incoming.write(plain.recv(65536))
                session.write(b"all")
                with contextlib.suppress(ssl.SSLWantReadError):
                    session.unwrap()
                plain.sendall(outgoing.read())
                heard = b""
                while not heard:
                    incoming.write(plain.recv(65536))
                    with contextlib.suppress(ssl.SSLWantReadError):
                        heard = session.read()
                assert heard == b"late"
            assert flow_endings(plane, 1) == {"ok": 1}


def test_endpoints_are_spoken_to_over_tls(tmp_path: Path) -> None:
    spoken = contract.PoolTls(server_name="b.test", authorities="ca", certificate=None, alpn=())
    with secure_echo(AUTHORITY.issue("b.test"), tmp_path) as endpoint:
        pools = [pool(endpoint, tls=spoken)]
        with RunningPlane(pools, [flow_listener()], material=MATERIAL) as plane, plane.connect() as client:
            client.send(b"ping")
            assert client.stream.exactly(4) == b"ping"


def test_an_endpoint_that_is_somebody_else_gets_no_byte(tmp_path: Path) -> None:
    spoken = contract.PoolTls(server_name="b.test", authorities="ca", certificate=None, alpn=())
    with secure_echo(AUTHORITY.issue("evil.test"), tmp_path) as endpoint:
        pools = [pool(endpoint, tls=spoken)]
        with RunningPlane(pools, [flow_listener()], material=MATERIAL) as plane, plane.connect() as client:
            client.send(b"secret")
            assert client.is_closed()
            assert flow_endings(plane, 1) == {"endpoint_tls_failed": 1}


def test_names_that_are_passed_on_and_names_that_end_here_share_a_port(tmp_path: Path) -> None:
    theirs = AUTHORITY.issue("b.test")
    routes = [flow_route("theirs", id="b", names=["b.test", "*.b.test"])]
    with secure_echo(theirs, tmp_path) as endpoint, ScriptedEndpoint(echo) as plain:
        only = flow_listener(passthrough=routes, tls=TLS)
        pools = [pool(plain), pool(endpoint, id="theirs")]
        with RunningPlane(pools, [only], material=MATERIAL) as plane:
            for name, shown in (("a.test", OURS), ("b.test", theirs)):
                with TlsClient(plane.address(), trusting(AUTHORITY), name) as client:
                    client.send(b"ping")
                    assert client.stream.exactly(4) == b"ping"
                    assert certificate_of(client) == der(shown)
            assert plane.stats().listeners[0].handshakes == 1
            assert {series.route for series in plane.stats().flows} == {"all", "b"}


def test_a_listener_for_http_passes_names_on_as_well(tmp_path: Path) -> None:
    theirs = AUTHORITY.issue("b.test")
    with secure_echo(theirs, tmp_path) as endpoint, ScriptedEndpoint() as site:
        only = listener(tls=TLS)
        flows = contract.Flows(passthrough=(flow_route("theirs", id="b", names=["b.test"]),))
        only = contract.Listener(**{**{f: getattr(only, f) for f in only.__slots__}, "flows": flows})
        pools = [pool(site), pool(endpoint, id="theirs")]
        with RunningPlane(pools, [only], material=MATERIAL) as plane:
            with TlsClient(plane.address(), trusting(AUTHORITY), "a.test") as client:
                assert client.ask(request()).status == 200
                assert client.ask(request()).status == 200
                assert certificate_of(client) == der(OURS)
            with TlsClient(plane.address(), trusting(AUTHORITY), "b.test") as client:
                client.send(b"ping")
                assert client.stream.exactly(4) == b"ping"
                assert certificate_of(client) == der(theirs)
            assert plane.codes(2) == {200: 2}


def test_a_hello_in_pieces_is_waited_for_and_passed_on_whole(tmp_path: Path) -> None:
    theirs = AUTHORITY.issue("b.test")
    with secure_echo(theirs, tmp_path) as endpoint:
        only = flow_listener(flow_route(names=["b.test"]))
        with RunningPlane([pool(endpoint)], [only]) as plane:
            plain = dial(plane.address())
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            session = trusting(AUTHORITY).wrap_bio(incoming, outgoing, server_hostname="b.test")
            with plain:
                with contextlib.suppress(ssl.SSLWantReadError):
                    session.do_handshake()
                hello = outgoing.read()
                for at in range(0, len(hello), 50):
                    plain.sendall(hello[at : at + 50])
                    time.sleep(0.002)
                while True:
                    incoming.write(plain.recv(65536))
                    try:
                        session.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        plain.sendall(outgoing.read())
                session.write(b"ping")
                plain.sendall(outgoing.read())
                heard = b""
                while not heard:
                    incoming.write(plain.recv(65536))
                    with contextlib.suppress(ssl.SSLWantReadError):
                        heard = session.read()
                assert heard == b"ping"


def test_flows_are_told_apart_by_the_protocols_that_they_offer(tmp_path: Path) -> None:
    one, other = AUTHORITY.issue("b.test"), AUTHORITY.issue("b.test")
    with secure_echo(one, tmp_path, "xmpp") as xmpp, secure_echo(other, tmp_path) as rest:
        routes = (flow_route("xmpp", id="xmpp", alpn=["xmpp"]), flow_route("rest", id="rest"))
        pools = [pool(xmpp, id="xmpp"), pool(rest, id="rest")]
        with RunningPlane(pools, [flow_listener(*routes)]) as plane:
            for protocols, shown in ((["xmpp", "h2"], one), (["h2"], other), ([], other)):
                context = trusting(AUTHORITY)
                if protocols:
                    context.set_alpn_protocols(protocols)
                with TlsClient(plane.address(), context, "b.test") as client:
                    assert certificate_of(client) == der(shown)


def test_what_is_no_tls_goes_where_no_name_is_asked_for() -> None:
    routes = (flow_route("named", id="named", names=["b.test"]), flow_route(id="rest"))
    with carrying(echo, flow_listener(*routes[1:])) as (endpoint, plane):
        plane.apply([pool(endpoint), pool(id="named")], [flow_listener(*routes)])
        with plane.connect() as client:
            client.send(b"SSH-2.0-x\r\n")
            assert client.stream.exactly(11) == b"SSH-2.0-x\r\n"


def test_a_client_that_says_nothing_goes_where_no_name_is_asked_for_when_its_time_is_over() -> None:
    routes = (flow_route("named", id="named", names=["b.test"]), flow_route(id="rest"))
    only = flow_listener(*routes, timeouts=client_timeouts(head_ms=200))
    with ScriptedEndpoint(named("220 ready")) as endpoint:
        with RunningPlane([pool(endpoint), pool(id="named")], [only]) as plane, plane.connect() as client:
            assert client.stream.exactly(9) == b"220 ready"


def test_a_hello_that_two_readers_could_read_in_two_ways_goes_nowhere() -> None:
    only = flow_listener(flow_route(names=["b.test"]), flow_route(id="rest"))
    hello = Path("fuzz/corpus/client_hello/name_twice").read_bytes()
    with carrying(echo, only) as (endpoint, plane), RawClient(plane.address()) as client:
        client.send(hello)
        assert client.is_closed()
        assert flow_endings(plane, 1) == {"bad_request": 1}
        assert not endpoint.conversations


def test_a_client_that_does_not_shake_hands_in_time_is_let_go() -> None:
    only = flow_listener(tls=TLS, timeouts=client_timeouts(head_ms=200))
    with ScriptedEndpoint(echo) as endpoint:
        with RunningPlane([pool(endpoint)], [only], material=MATERIAL) as plane, plane.connect() as client:
            assert client.is_closed()
            failed = plane.stats().listeners[0].failed_handshakes
            assert failed == (contract.FailedHandshakes("timed_out", 1),)
            assert not endpoint.conversations
