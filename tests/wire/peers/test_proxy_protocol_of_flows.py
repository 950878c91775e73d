"""HAProxy and nginx speak the PROXY protocol to our TCP listeners, and we to theirs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from asyncmy import connect
from tests.support import mariadb
from tests.support.certificates import Authority
from tests.support.endpoints import Conversation, ScriptedEndpoint
from tests.support.plane import RunningPlane, pool
from tests.support.processes import haproxy, nginx
from tests.support.program import free_port
from tests.support.proxy_header import AUTHORITY, Header, read_header, v1, v2
from tests.support.raw import RawClient, request
from tests.support.strict import Stream, read_response
from tests.support.tcp import flow_listener, flow_route
from tests.support.tls import TlsClient, trusting

from bascule import contract
from bascule.health.check import Target
from bascule.health.checks.mysql import MysqlCheck

CLIENT = ("203.0.113.7", 4711)
LINE = v1(CLIENT, ("192.0.2.1", 80))
CA = Authority()
ANNOUNCES = [
    contract.Announce("v1", ()),
    contract.Announce("v2", ("alpn", "sni", "unique_id", "crc32c")),
]


class Told:
    """A script that keeps the header of each connection, and then greets."""

    def __init__(self) -> None:
        self.headers: list[Header] = []

    def __call__(self, conversation: Conversation) -> None:
        self.headers.append(read_header(conversation.stream))
        conversation.send(b"hello")


@contextmanager
def behind(announce: contract.Announce) -> Iterator[tuple[Told, RunningPlane]]:
    """A TCP listener that others on this machine pass connections on to, and that tells its endpoint."""
    told, only = Told(), flow_listener(proxies=["127.0.0.1"])
    with ScriptedEndpoint(told) as endpoint:
        with RunningPlane([pool(endpoint, proxy_protocol=announce)], [only]) as plane:
            yield told, plane


@pytest.mark.parametrize("sends", ["send-proxy", "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
@pytest.mark.parametrize("announce", ANNOUNCES, ids=["v1", "v2"])
def test_haproxy_passes_its_clients_on_to_us(sends: str, announce: contract.Announce) -> None:
    with behind(announce) as (told, plane):
        settings = f"mode tcp\nunique-id-format %ID\nserver us {plane.address()} {sends}\n"
        with haproxy(settings, bind="accept-proxy") as path, RawClient(f"unix:{path}") as client:
            client.send(LINE)
            assert client.stream.exactly(5) == b"hello"
    assert (told.headers[0].source, told.headers[0].destination) == (CLIENT, ("192.0.2.1", 80))


def test_nginx_passes_its_clients_on_to_us() -> None:
    with behind(ANNOUNCES[1]) as (told, plane):
        own = f"127.0.0.1:{free_port()}"
        taking = f"set_real_ip_from 127.0.0.1; listen {own} proxy_protocol"
        passing = f"server {{ {taking}; proxy_pass {plane.address()}; proxy_protocol on; }}"
        with nginx("", stream=passing), RawClient(own) as client:
            client.send(LINE)
            assert client.stream.exactly(5) == b"hello"
    assert told.headers[0].source == CLIENT


@pytest.mark.parametrize("announce", ANNOUNCES, ids=["v1", "v2"])
def test_haproxy_takes_our_clients(announce: contract.Announce) -> None:
    tells = 'mode http\nhttp-request return status 200 content-type text/plain lf-string "%ci:%cp"\n'
    with haproxy(tells, bind="accept-proxy") as path:
        endpoint = contract.Endpoint("haproxy", contract.UnixAddress(path), weight=1)
        pools = [pool(endpoint, proxy_protocol=announce)]
        with RunningPlane(pools, [flow_listener()]) as plane, plane.connect() as client:
            host, port = client.socket.getsockname()
            assert client.ask(request()).body.decode() == f"{host}:{port}"


@pytest.mark.parametrize("announce", ANNOUNCES, ids=["v1", "v2"])
def test_nginx_that_speaks_first_takes_our_clients(announce: contract.Announce) -> None:
    own = f"127.0.0.1:{free_port()}"
    says = 'return "$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_port";'
    with nginx("", stream=f"server {{ listen {own} proxy_protocol; {says} }}"):
        pools = [pool(own, proxy_protocol=announce)]
        with RunningPlane(pools, [flow_listener()]) as plane, plane.connect() as client:
            host, port = client.socket.getsockname()
            assert client.rest().decode() == f"{host}:{port} {client.socket.getpeername()[1]}"


@pytest.mark.parametrize("announce", ANNOUNCES, ids=["v1", "v2"])
def test_nginx_takes_our_clients_whose_tls_we_pass_on(announce: contract.Announce, tmp_path: Path) -> None:
    own = f"127.0.0.1:{free_port()}"
    issued = CA.issue("a.test").write(tmp_path, "a")
    says = 'return 200 "$proxy_protocol_addr:$proxy_protocol_port";'
    secure = f"listen {own} ssl proxy_protocol; ssl_certificate {issued}; ssl_certificate_key {issued}"
    with nginx("", outside=f"server {{ {secure}; location / {{ {says} }} }}"):
        only = flow_listener(flow_route(names=["a.test"]))
        with RunningPlane([pool(own, proxy_protocol=announce)], [only]) as plane:
            with TlsClient(plane.address(), trusting(CA)) as client:
                host, port = client.socket.getsockname()
                assert client.ask(request()).body.decode() == f"{host}:{port}"


def test_haproxy_passes_tls_on_to_us_and_we_pass_it_on_by_its_name(tmp_path: Path) -> None:
    """Two balancers, and the endpoint ends TLS: it knows the client by the header alone."""
    issued = CA.issue("a.test").write(tmp_path, "a")
    ends = f"mode http\nbind 127.0.0.1:{(port := free_port())} accept-proxy ssl crt {issued}\n"
    tells = 'http-request return status 200 content-type text/plain lf-string "%ci:%cp"\n'
    only = flow_listener(flow_route(names=["a.test"]), proxies=["127.0.0.1"])
    with haproxy(ends + tells):
        pools = [pool(f"127.0.0.1:{port}", proxy_protocol=ANNOUNCES[1])]
        with RunningPlane(pools, [only]) as plane, RawClient(plane.address()) as client:
            client.send(v2(CLIENT, tlvs={AUTHORITY: b"else.test"}))
            with trusting(CA).wrap_socket(client.socket, server_hostname="a.test") as secure:
                secure.sendall(request())
                answer = read_response(Stream(lambda: secure.recv(65536)), to="GET")
                assert answer.body.decode() == f"{CLIENT[0]}:{CLIENT[1]}"


@pytest.mark.parametrize("announce", ANNOUNCES, ids=["v1", "v2"])
async def test_mariadb_takes_our_clients_and_checks_without_a_header(announce: contract.Announce) -> None:
    """It speaks first, and a client's first packet follows our header."""
    login = {"user": mariadb.USER, "password": mariadb.PASSWORD}
    with mariadb.MariaDb() as server:
        server.execute("SET GLOBAL proxy_protocol_networks = '127.0.0.1'")
        target = Target("site", "db", host="127.0.0.1", port=server.port, announce=announce.version)
        await MysqlCheck.from_options(login).run(target)
        with RunningPlane([pool(server.address, proxy_protocol=announce)], [flow_listener()]) as plane:
            host, _, port = plane.address().rpartition(":")
            async with connect(host=host, port=int(port), **login) as client, client.cursor() as cursor:
                await cursor.execute(
                    "SELECT host FROM information_schema.processlist WHERE id = connection_id()"
                )
                own, own_port = cast("Any", client)._transport.get_extra_info("sockname")
                assert await cursor.fetchone() == (f"{own}:{own_port}",)
