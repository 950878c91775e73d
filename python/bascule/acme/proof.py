"""What proves that a name is ours, and what is ordered. Pure, but for keys."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bascule import contract
from bascule.plan.plan import KeyKind

_ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_key(kind: KeyKind = "p256") -> tuple[Key, bytes]:
    """A key for a certificate, also as PEM."""
    key = _new_key(kind)
    return key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _new_key(kind: KeyKind) -> Key:
    match kind:
        case "p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "p384":
            return ec.generate_private_key(ec.SECP384R1())
        case "rsa2048" | "rsa4096":
            return rsa.generate_private_key(65_537, int(kind.removeprefix("rsa")))


def request(names: Sequence[str], key: Key) -> bytes:
    """A certificate signing request for these names (PEM)."""
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = builder.add_extension(alternatives, critical=True).sign(key, hashes.SHA256())
    return signed.public_bytes(Encoding.PEM)


def dns_record(name: str, authorization: str) -> tuple[str, str]:
    """Name and value of the TXT record for DNS-01 (RFC 8555, 8.4)."""
    digest = hashlib.sha256(authorization.encode()).digest()
    return f"_acme-challenge.{name}", base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def challenge_certificate(name: str, authorization: str, now: float) -> contract.CertificateMaterial:
    """What is shown for TLS-ALPN-01 (RFC 8737, 3): nobody but the authority gets to see it."""
    key, pem = new_key()
    begins = datetime.fromtimestamp(now, UTC) - timedelta(hours=1)
    nobody = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ACME challenge")])
    digest = hashlib.sha256(authorization.encode()).digest()
    certificate = (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .public_key(key.public_key())
        .subject_name(nobody)
        .issuer_name(nobody)
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        # An OCTET STRING (tag 4) of 32 bytes.
        .add_extension(x509.UnrecognizedExtension(_ACME_IDENTIFIER, b"\x04\x20" + digest), critical=True)
        .sign(key, hashes.SHA256())
    )
    text = certificate.public_bytes(Encoding.PEM).decode()
    identity = hashlib.sha256(text.encode()).hexdigest()[:32]
    return contract.CertificateMaterial(identity, text, contract.Secret(pem.decode()))
