"""TLS as tests speak it: clients of the standard library, and what a listener is given."""

import socket
import ssl
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.support.certificates import Authority, Issued
from tests.support.eventually import PATIENCE
from tests.support.strict import Response, Stream, read_response

from bascule import contract

IGNORE_UNEXPECTED_EOF = 0x80
"""`SSL_OP_IGNORE_UNEXPECTED_EOF` of OpenSSL 3, which Python 3.11 does not name everywhere."""


def material(name: str, issued: Issued) -> contract.CertificateMaterial:
    return contract.CertificateMaterial(name, issued.chain, contract.Secret(issued.key_pem))


def authorities(name: str, authority: Authority, revoked: str = "") -> contract.AuthoritiesMaterial:
    return contract.AuthoritiesMaterial(name, authority.pem, revoked)


def listener_tls(
    *served: tuple[str, Iterable[str]],
    defaults: Iterable[str] | None = None,
    oldest: contract.TlsVersion = "tls12",
    keys: Iterable[str] | None = (),
    clients: contract.ClientCertificates | None = None,
) -> contract.ListenerTls:
    """Certificates by id and names; the first is the default one."""
    return contract.ListenerTls(
        certificates=tuple(contract.ServedCertificate(name, tuple(names)) for name, names in served),
        defaults=(served[0][0],) if defaults is None else tuple(defaults),
        oldest=oldest,
        alpn=("h2", "http/1.1"),
        tickets=None if keys is None else contract.Tickets(tuple(contract.Secret(key) for key in keys)),
        clients=clients,
    )


def trusting(authority: Authority, *, newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client that trusts an authority and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem)
    if newest is not None:
        context.maximum_version = newest
    return context


class TlsClient:
    """One connection over TLS. Reads and writes like `RawClient`."""

    def __init__(
        self,
        address: str,
        context: ssl.SSLContext,
        name: str | None = "a.test",
        session: ssl.SSLSession | None = None,
    ) -> None:
        host, _, port = address.rpartition(":")
        # Python sets this with OpenSSL 3: an end without a goodbye would look like any other.
        context.options &= ~IGNORE_UNEXPECTED_EOF
        plain = socket.create_connection((host, int(port)), PATIENCE)
        try:
            self.socket = context.wrap_socket(
                plain, server_hostname=name, session=session, suppress_ragged_eofs=False
            )
        except BaseException:
            plain.close()
            raise
        self.stream = Stream(lambda: self.socket.recv(65536))

    def __enter__(self) -> "TlsClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        self.socket.sendall(b"".join(pieces))

    def read(self, to: str = "GET") -> Response:
        return read_response(self.stream, to=to)

    def ask(self, content: bytes, to: str = "GET") -> Response:
        self.send(content)
        return self.read(to)

    def shown(self) -> str:
        """The serial number of the certificate that was shown."""
        shown = self.socket.getpeercert()
        assert shown is not None
        return str(shown["serialNumber"]).lower().lstrip("0")


def serial(issued: Issued) -> str:
    return f"{issued.certificate.serial_number:x}"


def openssl(address: str, *words: str, say: str = "") -> str:
    """What `openssl s_client` says about a connection."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", address, *words],
        input=say,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.stdout + done.stderr


def curl(
    address: str, authority: Path, *words: str, name: str = "a.test"
) -> subprocess.CompletedProcess[str]:
    """`curl` to https://NAME at this address."""
    host, _, port = address.rpartition(":")
    return subprocess.run(
        [
            "curl", "-sS", "--cacert", str(authority), "--connect-to", f"::{host}:{port}", *words,
            f"https://{name}/",
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )  # fmt: skip
