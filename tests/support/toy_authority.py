"""An ACME authority without a network, on any clock: what it issues, refuses, and was shown."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bascule.acme.authority import Proof
from bascule.acme.failure import OrderFailed
from bascule.acme.renewal import DAY, Advice
from bascule.acme.storage import Storage
from bascule.plan.plan import PlannedAcme


class ToyAuthority:
    """Issues for `lasts_s`, or fails with what is in `fails_with`."""

    def __init__(self, wall: Callable[[], float], lasts_s: float = 90 * DAY) -> None:
        self.wall = wall
        self.lasts_s = lasts_s
        self.fails_with: BaseException | None = None
        self.asked_at: list[float] = []
        """When each order was begun."""
        self.wishes: float | None = None
        """When it would like renewals."""
        self.looks: Callable[[], object] = lambda: None
        """Called when it is told to look."""
        self.saw: list[Any] = []
        self.issues_for: list[str] | None = None
        """`None`: what is asked for."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Toy authority")])

    def connect(self, _planned: PlannedAcme, _storage: Storage) -> "ToyAuthority":
        return self

    def begin(self, csr: bytes) -> "_ToyOrder":
        self.asked_at.append(self.wall())
        if self.fails_with is not None:
            raise self.fails_with
        return _ToyOrder(self, x509.load_pem_x509_csr(csr))

    def advice(self, _certificate: bytes, now: float) -> Advice:
        return Advice(self.wishes, now + DAY)

    def issue(self, request: x509.CertificateSigningRequest) -> str:
        self.saw.append(self.looks())
        begins = datetime.fromtimestamp(self.wall(), UTC)
        asked = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = asked.get_values_for_type(x509.DNSName) if self.issues_for is None else self.issues_for
        certificate = (
            x509.CertificateBuilder()
            .serial_number(x509.random_serial_number())
            .public_key(request.public_key())
            .subject_name(x509.Name([]))
            .issuer_name(self._name)
            .not_valid_before(begins)
            .not_valid_after(begins + timedelta(seconds=self.lasts_s))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(it) for it in names]), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM).decode()


class _ToyOrder:
    def __init__(self, authority: ToyAuthority, request: x509.CertificateSigningRequest) -> None:
        self._authority = authority
        self._request = request
        asked = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = asked.get_values_for_type(x509.DNSName)
        self.proofs = tuple(
            Proof(name.removeprefix("*."), f"token-{at}-{name.removeprefix('*.')}", f"proof-{at}.of-{name}")
            for at, name in enumerate(names)
        )

    def finish(self) -> str:
        return self._authority.issue(self._request)


def busy(retry_after_s: float) -> OrderFailed:
    """What an authority says of whom has asked for too much."""
    return OrderFailed("the authority says: rateLimited: too many", None, retry_after_s)
