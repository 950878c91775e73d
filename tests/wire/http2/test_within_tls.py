"""HTTP/2 within TLS, on both sides: agreed on by ALPN, never guessed."""

import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.certificates import Authority
from tests.support.endpoints import ScriptedEndpoint
from tests.support.eventually import PATIENCE
from tests.support.plane import RunningPlane, listener, pool
from tests.support.processes import nginx
from tests.support.raw import request
from tests.support.tls import TlsClient, authorities, curl, listener_tls, material, trusting

from bascule import contract

AUTHORITY = Authority()
GOOD = AUTHORITY.issue("a.test")
TLS = listener_tls(("a", ("a.test",)))


@contextmanager
def terminating(http2: contract.Http2 = contract.Http2()) -> Iterator[tuple[ScriptedEndpoint, RunningPlane]]:  # noqa: B008
    with (
        ScriptedEndpoint() as endpoint,
        RunningPlane(
            [pool(endpoint)], [listener(tls=TLS, http2=http2)], material=(material("a", GOOD),)
        ) as plane,
    ):
        yield endpoint, plane


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    return AUTHORITY.write(tmp_path)


@pytest.mark.parametrize(("asked", "spoken"), [("--http2", "2"), ("--http1.1", "1.1")])
def test_curl_gets_the_version_that_it_offers(trusted: Path, asked: str, spoken: str) -> None:
    with terminating() as (endpoint, plane):
        done = curl(plane.address(), trusted, asked, "-d", "hello", "-w", " %{http_version} %{http_code}")
        assert (done.stdout, done.stderr) == (f"ok {spoken} 200", "")
        (seen,) = endpoint.requests
        assert seen.body == b"hello"


def test_a_request_within_tls_is_told_to_be_https() -> None:
    with ScriptedEndpoint() as endpoint:
        told = contract.Forwarded(x_forwarded=True, rfc7239=False, trusted=())
        web = listener(tls=TLS, forwarded=told)
        with (
            RunningPlane([pool(endpoint)], [web], material=(material("a", GOOD),)) as plane,
            tempfile.TemporaryDirectory() as folder,
        ):
            assert curl(plane.address(), AUTHORITY.write(Path(folder)), "--http2").stdout == "ok"
        (seen,) = endpoint.requests
        assert seen.fields.one("x-forwarded-proto") == "https"


def test_who_agreed_on_http_1_does_not_get_http_2_by_its_preface() -> None:
    context = trusting(AUTHORITY)
    context.set_alpn_protocols(["http/1.1"])
    with terminating() as (_, plane), TlsClient(plane.address(), context) as client:
        assert client.socket.selected_alpn_protocol() == "http/1.1"
        assert client.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status in (400, 505)


def test_who_agreed_on_http_2_and_speaks_http_1_is_sent_away() -> None:
    context = trusting(AUTHORITY)
    context.set_alpn_protocols(["h2"])
    with terminating() as (endpoint, plane), TlsClient(plane.address(), context) as client:
        assert client.socket.selected_alpn_protocol() == "h2"
        client.send(request())
        said = b""
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            while True:
                part = client.socket.recv(65_536)
                said += part
                if not part:
                    raise EOFError
        assert b"HTTP/1.1" not in said
        assert endpoint.requests == []


@contextmanager
def nginx_within_tls(folder: Path, version: str) -> Iterator[str]:
    """Answers with the version that it was spoken to in; `version` is what it offers besides HTTP/1.1."""
    GOOD.write_apart(folder, "a")
    with tempfile.TemporaryDirectory(prefix="tls") as place:
        Path(place).chmod(0o755)
        secure = (
            f"server {{ listen unix:{place}/socket ssl {version}; ssl_certificate {folder}/a.crt; "
            f"ssl_certificate_key {folder}/a.key; location / {{ return 200 $server_protocol; }} }}"
        )
        with nginx("return 200;", outside=secure):
            yield f"{place}/socket"


def before(socket: str) -> RunningPlane:
    endpoint = contract.Endpoint("nginx", contract.UnixAddress(socket), weight=1)
    tls = contract.PoolTls("trust", "a.test", None, ("h2",))
    given = (authorities("trust", AUTHORITY),)
    return RunningPlane([pool(endpoint, protocol="http2", tls=tls)], material=given)


def test_an_endpoint_within_tls_is_spoken_to_in_http_2(tmp_path: Path) -> None:
    with nginx_within_tls(tmp_path, "http2") as socket, before(socket) as plane:
        assert [plane.ask(request()).body for _ in range(5)] == [b"HTTP/2.0"] * 5
        assert plane.stats().endpoints[0].connects <= 2


def test_an_endpoint_that_offers_no_http_2_is_a_fault_with_a_name(tmp_path: Path) -> None:
    with nginx_within_tls(tmp_path, "") as socket, before(socket) as plane:
        assert plane.ask(request()).status == 502
        assert plane.endings(1) == {"endpoint_tls_failed": 1}


def test_h2load_is_served_by_many_streams_within_tls(trusted: Path) -> None:
    with terminating() as (_, plane):
        done = subprocess.run(
            ["h2load", "-n", "2000", "-c", "4", "-m", "25", f"https://{plane.address()}/"],
            capture_output=True,
            text=True,
            timeout=6 * PATIENCE,
            check=False,
        )
        assert "Application protocol: h2" in done.stdout
        assert "2000 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout
