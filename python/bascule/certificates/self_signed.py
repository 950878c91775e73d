"""For development: an authority made on the spot, and certificates that it issues.

Both are kept in a directory of the user, so that a client which was told once to trust the authority can
go on trusting it.
"""

import datetime
import ipaddress
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bascule.certificates import pem
from bascule.certificates.certificate import Certificate, assemble
from bascule.certificates.fault import CertificateRefused
from bascule.certificates.files import read_file
from bascule.wording import in_words

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 90
EARLY_S = 3600
"""Clocks of clients may be behind by this much."""


def state_directory() -> Path:
    """Where it is kept: as systemd says, else as the user's system says."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0]) / "tls"
    if given := os.environ.get("XDG_STATE_HOME"):
        return Path(given) / "bascule" / "tls"
    return Path.home() / ".local" / "state" / "bascule" / "tls"


def authority_file() -> Path:
    """The certificate of the authority, for clients to trust."""
    return state_directory() / "ca.pem"


def issue(names: Sequence[str], directory: Path, now: float) -> Certificate:
    """A certificate for these names and addresses. Makes the authority if there is none yet.

    Raises `CertificateRefused` when the directory cannot be used.
    """
    file = directory / "ca.pem"
    authority, key = _authority(directory, file, now)
    own_key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(now, CERTIFICATE_DAYS, own_key)
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .add_extension(x509.SubjectAlternativeName([_name(each) for each in names]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return assemble([certificate], own_key, str(file), str(file), now)


def _authority(
    directory: Path, file: Path, now: float
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key_file = directory / "ca.key"
    if file.exists() and key_file.exists():
        known = pem.certificates_in(read_file(file), str(file))
        keys = pem.keys_in(read_file(key_file), str(key_file))
        # What is about to end is made anew, and so is what does not fit.
        if known and keys and isinstance(keys[0][1], ec.EllipticCurvePrivateKey):
            lasts = known[0].not_valid_after_utc.timestamp() - now
            if lasts > CERTIFICATE_DAYS * 86_400 and known[0].public_key() == keys[0][1].public_key():
                return known[0], keys[0][1]
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Bascule of {_whose()} (development)")])
    authority = (
        _builder(now, AUTHORITY_DAYS, key)
        .subject_name(subject)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _keep(directory, key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _keep(directory, file, authority.public_bytes(Encoding.PEM))
    return authority, key


def _builder(now: float, days: int, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    begins = datetime.datetime.fromtimestamp(now - EARLY_S, datetime.UTC)
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .public_key(key.public_key())
        .not_valid_before(begins)
        .not_valid_after(begins + datetime.timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _whose() -> str:
    return os.environ.get("USER") or f"user {os.getuid()}"


def _keep(directory: Path, file: Path, content: bytes) -> None:
    """Writes a file that nobody else may read, all of it or nothing."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        # `mkstemp` makes it 0600.
        descriptor, name = tempfile.mkstemp(dir=directory, prefix=f".{file.name}.")
        with os.fdopen(descriptor, "wb") as written:
            written.write(content)
        Path(name).replace(file)
    except OSError as error:
        hint = "name a directory that the balancer may write to: STATE_DIRECTORY=/path"
        raise CertificateRefused(str(file), f"cannot be written: {in_words(error)}", hint) from error
