"""Certificates made on the spot: an authority, and whatever it issues."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Kind = Literal["ecdsa", "rsa", "ed25519"]

NOW = datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True)
class Issued:
    """A certificate, those above it, and its key."""

    certificate: x509.Certificate
    above: tuple[x509.Certificate, ...]
    key: Key

    @property
    def chain(self) -> str:
        return "".join(pem(it) for it in (self.certificate, *self.above))

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def write(self, folder: Path, name: str) -> Path:
        """Certificate and key in one file."""
        file = folder / f"{name}.pem"
        file.write_text(self.chain + self.key_pem)
        return file

    def write_apart(self, folder: Path, name: str) -> tuple[Path, Path]:
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_text(self.chain)
        key.write_text(self.key_pem)
        return certificate, key


class Authority:
    """Issues certificates; may itself be issued by another."""

    def __init__(self, name: str = "Test", above: "Authority | None" = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} authority")])
        self._above = above
        builder = (
            _builder(365, self.key)
            .subject_name(subject)
            .issuer_name(subject if above is None else above.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
        )
        self.certificate: x509.Certificate = builder.sign(
            self.key if above is None else above.key, hashes.SHA256()
        )

    @property
    def pem(self) -> str:
        return pem(self.certificate)

    def write(self, folder: Path, name: str = "ca") -> Path:
        file = folder / f"{name}.pem"
        file.write_text(self.pem)
        return file

    def issue(
        self, *names: str, kind: Kind = "ecdsa", days: float = 90, subject: str = "", key: Key | None = None
    ) -> Issued:
        own = key or make_key(kind)
        builder = _builder(days, own).issuer_name(self.certificate.subject).subject_name(_subject(subject))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(_names(names)), critical=False)
        # Who is issued by an authority below the root has to show that authority, too.
        above = () if self._above is None else (self.certificate,)
        return Issued(builder.sign(self.key, hashes.SHA256()), above, own)

    def as_issued(self) -> Issued:
        """Its own certificate: that of an authority below another can be revoked."""
        return Issued(self.certificate, (), self.key)

    def revoke(self, *revoked: Issued, days: float = 30) -> str:
        """A revocation list, as PEM."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(NOW - datetime.timedelta(days=60))
            .next_update(NOW + datetime.timedelta(days=days))
            .add_extension(x509.CRLNumber(1), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
        )
        for it in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(it.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(NOW).build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def make_key(kind: Kind) -> Key:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return (
        ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    )


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _builder(days: float, key: Key) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .public_key(key.public_key())
        .not_valid_before(min(NOW, NOW + datetime.timedelta(days=days)) - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=days))
    )


def _subject(text: str) -> x509.Name:
    return x509.Name.from_rfc4514_string(text) if text else x509.Name([])


def _names(names: Sequence[str]) -> list[x509.GeneralName]:
    return [_name(it) for it in names]


def _name(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
