"""A response over TLS is as few records as it fits in: each costs a system call and bytes of its own."""

import socket
import ssl

import pytest
from tests.support.certificates import Authority
from tests.support.endpoints import ScriptedEndpoint, answering, response
from tests.support.eventually import PATIENCE
from tests.support.plane import RunningPlane, listener, pool
from tests.support.raw import request
from tests.support.tls import listener_tls, material, trusting

AUTHORITY = Authority()
MATERIAL = (material("a", AUTHORITY.issue("a.test")),)
TLS = listener_tls(("a", ("a.test",)))
FULL = 16_384
"""What fits in a record."""
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
VERSIONS = pytest.mark.parametrize(
    "newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda it: it.name
)


class Records:
    """A client that sees the records which it is sent."""

    def __init__(self, address: str, newest: ssl.TLSVersion) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), PATIENCE)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = trusting(AUTHORITY, newest=newest)
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="a.test")
        self._received = b""
        self.lengths: list[int] = []
        """Of the plain text in each record since the last question."""

    def __enter__(self) -> "Records":
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
            else:
                self._flush()
                return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, content: bytes, until: bytes) -> list[int]:
        """The lengths of the records of the answer, which ends so."""
        self.lengths, said = [], b""
        self._tls.write(content)
        self._flush()
        while not said.endswith(until):
            self._feed()
            try:
                piece = self._tls.read(1 << 20)
            except ssl.SSLWantReadError:
                continue
            self.lengths.append(len(piece))
            said += piece
        return self.lengths

    def _flush(self) -> None:
        self._socket.sendall(self._outgoing.read())

    def _feed(self) -> None:
        """Exactly one record."""
        while len(self._received) < 5 or len(self._received) < 5 + int.from_bytes(self._received[3:5]):
            more = self._socket.recv(65_536)
            assert more, "the connection has ended"
            self._received += more
        length = 5 + int.from_bytes(self._received[3:5])
        self._incoming.write(self._received[:length])
        self._received = self._received[length:]


@VERSIONS
@pytest.mark.parametrize("length", [0, 1, 1_000, 15_000])
def test_head_and_body_are_one_record_where_they_fit(newest: ssl.TLSVersion, length: int) -> None:
    body = b"x" * length
    with (
        ScriptedEndpoint(answering(response(body=body + b"."))) as endpoint,
        RunningPlane([pool(endpoint)], [listener(tls=TLS)], material=MATERIAL) as running,
        Records(running.address(), newest) as client,
    ):
        for _ in range(3):
            (only,) = client.ask(request(), b".")
            assert only > length


@VERSIONS
def test_a_body_in_chunks_that_came_at_once_goes_out_at_once(newest: ssl.TLSVersion) -> None:
    with (
        ScriptedEndpoint(answering(CHUNKED)) as endpoint,
        RunningPlane([pool(endpoint)], [listener(tls=TLS)], material=MATERIAL) as running,
        Records(running.address(), newest) as client,
    ):
        assert len(client.ask(request(), b"0\r\n\r\n")) == 1


@VERSIONS
def test_answers_of_our_own_are_one_record(newest: ssl.TLSVersion) -> None:
    with (
        RunningPlane([pool()], [listener(tls=TLS)], material=MATERIAL) as running,
        Records(running.address(), newest) as client,
    ):
        assert len(client.ask(request(), b"\n")) == 1


@VERSIONS
def test_long_bodies_are_full_records(newest: ssl.TLSVersion) -> None:
    body = b"x" * 1_000_000
    with (
        ScriptedEndpoint(answering(response(body=body + b"."))) as endpoint,
        RunningPlane([pool(endpoint)], [listener(tls=TLS)], material=MATERIAL) as running,
        Records(running.address(), newest) as client,
    ):
        lengths = client.ask(request(), b".")
    # Each piece that came from the endpoint ends with a record that need not be full.
    assert max(lengths) == FULL
    assert len(lengths) <= 2 * (len(body) // FULL)
