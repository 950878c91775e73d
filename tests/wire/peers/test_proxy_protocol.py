"""HAProxy, nginx and curl speak the PROXY protocol to us, and we to them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.certificates import Authority
from tests.support.endpoints import ScriptedEndpoint
from tests.support.eventually import PATIENCE
from tests.support.plane import RunningPlane, forwarded, listener, pool
from tests.support.processes import haproxy, nginx
from tests.support.program import free_port
from tests.support.proxy_header import ALPN, AUTHORITY, UNIQUE_ID, v1
from tests.support.raw import RawClient, request
from tests.support.strict import Stream, read_response
from tests.support.tls import curl, listener_tls, material, trusting
from tests.wire.proxy_protocol.test_to_endpoints import Told

from bascule import contract
from bascule.health.check import CheckFailed, Target
from bascule.health.checks.http import HttpCheck

CLIENT = ("203.0.113.7", 4711)
LINE = v1(CLIENT, ("192.0.2.1", 80))
CA = Authority()


@contextmanager
def behind(tls: contract.ListenerTls | None = None) -> Iterator[tuple[ScriptedEndpoint, RunningPlane]]:
    """A balancer that other balancers on this machine pass connections on to."""
    only = listener(proxies=["127.0.0.1"], forwarded=forwarded(True, False, []), tls=tls)
    given = [material("a", CA.issue("a.test"))]
    with ScriptedEndpoint() as endpoint, RunningPlane([pool(endpoint)], [only], material=given) as plane:
        yield endpoint, plane


@pytest.mark.parametrize(
    "sends", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"]
)
def test_haproxy_passes_its_clients_on_to_us(sends: str) -> None:
    with behind() as (endpoint, plane):
        settings = f"unique-id-format %ID\nserver us {plane.address()} {sends}\n"
        with (
            haproxy(f"mode http\n{settings}", bind="accept-proxy") as path,
            RawClient(f"unix:{path}") as client,
        ):
            assert client.ask(LINE + request()).status == 200
        assert endpoint.wait_requests(1)[0].fields.one("x-forwarded-for") == CLIENT[0]


def test_haproxy_tells_us_of_the_tls_that_it_has_taken_off(tmp_path: Path) -> None:
    """With everything it can tell, the client's certificate among it; we pass on what is wanted."""
    server, own = (CA.issue(name).write(tmp_path, name) for name in ("a.test", "client.test"))
    ca, told = CA.write(tmp_path), Told()
    options = "ssl,cert-cn,ssl-cipher,cert-key,cert-sig,authority,unique-id,crc32c"
    announce = contract.Announce("v2", ("alpn", "sni", "unique_id"))
    with ScriptedEndpoint(told) as endpoint:
        only = listener(proxies=["127.0.0.1"])
        with (
            RunningPlane([pool(endpoint, proxy_protocol=announce)], [only]) as plane,
            haproxy(
                "mode tcp\nunique-id-format %ci-%cp\n"
                f"server us {plane.address()} send-proxy-v2-ssl-cn proxy-v2-options {options}",
                bind=f"accept-proxy ssl crt {server} ca-file {ca} verify required alpn http/1.1",
            ) as path,
            RawClient(f"unix:{path}") as plain,
        ):
            plain.send(LINE)
            context = trusting(CA)
            context.load_cert_chain(own)
            context.set_alpn_protocols(["http/1.1"])
            with context.wrap_socket(plain.socket, server_hostname="a.test") as secure:
                secure.sendall(request())
                assert read_response(Stream(lambda: secure.recv(65536)), to="GET").status == 200
    (header,) = told.headers
    assert (header.source, header.destination) == (CLIENT, ("192.0.2.1", 80))
    assert header.tlvs == {
        ALPN: b"http/1.1",
        AUTHORITY: b"a.test",
        UNIQUE_ID: f"{CLIENT[0]}-{CLIENT[1]}".encode(),
    }


def test_nginx_passes_its_clients_on_to_us() -> None:
    with behind() as (endpoint, plane):
        # Over TCP: of a Unix socket nginx writes lines that name it, which no specification knows.
        own = f"127.0.0.1:{free_port()}"
        taking = f"set_real_ip_from 127.0.0.1; listen {own} proxy_protocol"
        passing = f"server {{ {taking}; proxy_pass {plane.address()}; proxy_protocol on; }}"
        with nginx("", stream=passing), RawClient(own) as client:
            assert client.ask(LINE + request()).status == 200
        assert endpoint.wait_requests(1)[0].fields.one("x-forwarded-for") == CLIENT[0]


def test_curl_passes_itself_on_to_us() -> None:
    with behind() as (endpoint, plane):
        ran = subprocess.run(
            ["curl", "-sS", "--haproxy-protocol", f"http://{plane.address()}/"],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert (ran.returncode, ran.stdout) == (0, "ok"), ran.stderr
        assert endpoint.wait_requests(1)[0].fields.one("x-forwarded-for") == "127.0.0.1"


@pytest.mark.parametrize("words", [[], ["--http2"]], ids=["http1", "http2"])
def test_curl_passes_itself_on_before_tls(words: list[str], tmp_path: Path) -> None:
    with behind(listener_tls(("a", ("a.test",)))) as (endpoint, plane):
        ca = CA.write(tmp_path)
        ran = curl(plane.address(), ca, "--haproxy-protocol", *words)
        assert (ran.returncode, ran.stdout) == (0, "ok"), ran.stderr
        assert endpoint.wait_requests(1)[0].fields.one("x-forwarded-for") == "127.0.0.1"


ANNOUNCES = [
    contract.Announce("v1", ()),
    contract.Announce("v2", ("alpn", "sni", "unique_id", "crc32c")),
]


@pytest.mark.parametrize("announce", ANNOUNCES, ids=["v1", "v2"])
def test_nginx_takes_our_clients(announce: contract.Announce) -> None:
    says = 'return 200 "$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_port";'
    with nginx(f"location / {{ {says} }}", bind="proxy_protocol") as path:
        endpoint = contract.Endpoint("nginx", contract.UnixAddress(path), weight=1)
        with RunningPlane([pool(endpoint, proxy_protocol=announce)]) as plane, plane.connect() as client:
            host, port = client.socket.getsockname()
            answers = [client.ask(request()).body.decode() for _ in range(3)]
            assert answers == [f"{host}:{port} {client.socket.getpeername()[1]}"] * 3


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_nginx_and_haproxy_take_our_checks(version: contract.ProxyVersion) -> None:
    own = f"127.0.0.1:{free_port()}"
    host, _, port = own.rpartition(":")
    here = f"server {{ listen {own} proxy_protocol; location / {{ return 200 here; }} }}"
    with nginx("", outside=here), haproxy("mode http\nmonitor-uri /\n", bind="accept-proxy") as path:
        for target in (
            Target("site", "nginx", host=host, port=int(port), announce=version),
            Target("site", "haproxy", path=path, announce=version),
        ):
            await HttpCheck("/").run(target)
            with pytest.raises(CheckFailed):
                await HttpCheck("/").run(replace(target, announce=None))


@pytest.mark.parametrize("announce", ANNOUNCES, ids=["v1", "v2"])
def test_haproxy_takes_our_clients_with_all_that_we_tell(announce: contract.Announce, tmp_path: Path) -> None:
    tells = (
        "mode http\nhttp-request return status 200 content-type text/plain lf-string "
        '"%ci:%cp %[fc_pp_authority] %[fc_pp_unique_id]"\n'
    )
    given = [material("a", CA.issue("a.test"))]
    with haproxy(tells, bind="accept-proxy") as path:
        endpoint = contract.Endpoint("haproxy", contract.UnixAddress(path), weight=1)
        only = listener(tls=listener_tls(("a", ("a.test",))))
        with RunningPlane([pool(endpoint, proxy_protocol=announce)], [only], material=given) as plane:
            ran = curl(
                plane.address(), CA.write(tmp_path), "-w", " %{local_ip}:%{local_port} %{http_version}"
            )
    assert ran.returncode == 0, ran.stderr
    if announce.version == "v1":
        client, own, version = ran.stdout.split()
    else:
        client, name, unique_id, own, version = ran.stdout.split()
        assert name == "a.test"
        assert unique_id.endswith("-1")
    assert client == own
    assert version == "2"
