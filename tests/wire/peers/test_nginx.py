"""nginx behind us and in front of us: what it says we understand, and what we say it understands."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.endpoints import ScriptedEndpoint
from tests.support.plane import RunningPlane, forwarded, listener, pool
from tests.support.processes import nginx
from tests.support.raw import RawClient, request

from bascule import contract

BIG = bytes(range(256)) * 40_000
"""10 MB."""

SERVER = """
    root {root};
    client_max_body_size 1k;
    client_body_buffer_size 64k;
    location /gzip/ {{ alias {root}/; gzip on; gzip_min_length 1; gzip_types *; }}
    location /gone {{ return 410 "gone"; }}
    location /moved {{ return 302 /elsewhere; }}
    location /one-each {{ return 200 "last"; keepalive_requests 1; }}
    location /upload {{ client_max_body_size 0; dav_methods PUT; create_full_put_path on; }}
"""


@contextmanager
def behind_us(root: Path) -> Iterator[tuple[RunningPlane, RawClient]]:
    """nginx as the only endpoint, and a client connection to the balancer."""
    (root / "big").write_bytes(BIG)
    (root / "small.txt").write_text("small" * 100)
    with nginx(SERVER.format(root=root)) as path:
        endpoint = contract.Endpoint("nginx", contract.UnixAddress(path), weight=1)
        with RunningPlane([pool(endpoint)]) as plane, plane.connect() as client:
            yield plane, client


def test_files_ranges_and_conditions_pass_through(short_path: Path) -> None:
    with behind_us(short_path) as (plane, client):
        whole = client.ask(request("GET", "/big"))
        assert hashlib.sha256(whole.body).digest() == hashlib.sha256(BIG).digest()
        part = client.ask(request("GET", "/big", "Range: bytes=1000-1999"))
        assert (part.status, part.body) == (206, BIG[1000:2000])
        tag = whole.fields.one("etag")
        assert client.ask(request("GET", "/big", f"If-None-Match: {tag}")).status == 304
        head = client.ask(request("HEAD", "/big"), to="HEAD")
        assert (head.status, head.fields.one("content-length")) == (200, str(len(BIG)))
        assert client.ask(request("GET", "/nowhere")).status == 404
        assert client.ask(request("GET", "/moved")).status == 302
        assert client.ask(request("GET", "/gone")).body == b"gone"
        assert plane.endings(7) == {"ok": 7}
        assert plane.endpoint("nginx").connects == 1, "nginx and we agree where each message ends"


def test_a_compressed_answer_comes_in_chunks_and_on_the_same_connection(short_path: Path) -> None:
    with behind_us(short_path) as (plane, client):
        for _ in range(3):
            answer = client.ask(request("GET", "/gzip/small.txt", "Accept-Encoding: gzip"))
            assert answer.fields.one("transfer-encoding") == "chunked"
            assert answer.fields.one("content-encoding") == "gzip"
        assert plane.endpoint("nginx").connects == 1


def test_a_connection_that_nginx_announces_to_close_is_not_used_again(short_path: Path) -> None:
    with behind_us(short_path) as (plane, client):
        for _ in range(5):
            assert client.ask(request("POST", "/one-each")).body == b"last"
        assert plane.endpoint("nginx").connects == 5
        plane.wait_stats(lambda stats: stats.endpoints[0].idle == 0)


def test_an_upload_that_nginx_refuses_early_is_answered_with_413(short_path: Path) -> None:
    with behind_us(short_path) as (plane, client):
        client.send(request("POST", "/big", f"Content-Length: {len(BIG)}"))
        # nginx answers without having read the body; the client is still sending then.
        client.send(BIG[:100_000])
        assert client.response().status == 413
        assert client.is_closed()
        assert plane.ask(request("GET", "/gone")).status == 410


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_in_front_of_us_nginx_sees_whole_answers(version: str) -> None:
    keep = 'proxy_set_header Connection "";' if version == "1.1" else ""
    with (
        ScriptedEndpoint() as endpoint,
        RunningPlane([pool(endpoint)], [listener(forwarded=forwarded(True, False, ["127.0.0.1"]))]) as plane,
        nginx(
            f"location / {{ proxy_pass http://balancer; proxy_http_version {version}; {keep} "
            "proxy_set_header X-Forwarded-For 192.0.2.7; proxy_set_header Host shop.test; }",
            outside=f"upstream balancer {{ server {plane.address()}; keepalive 4; }}",
        ) as path,
        RawClient(f"unix:{path}") as client,
    ):
        for _ in range(5):
            assert client.ask(request("POST", "/x", body=b"hello")).body == b"ok"
        seen = endpoint.requests[-1]
        assert (seen.body, seen.fields.one("host")) == (b"hello", "shop.test")
        assert seen.fields.one("x-forwarded-for") == "192.0.2.7, 127.0.0.1"
        # HTTP/1.0 closes each time; to the endpoint one connection is enough all the same.
        assert plane.stats().listeners[0].accepted == (1 if version == "1.1" else 5)
        assert len(endpoint.conversations) == 1
        assert plane.endings(5) == {"ok": 5}
