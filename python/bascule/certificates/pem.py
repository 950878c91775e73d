"""The text of a PEM file → certificates and keys. Pure; what is wrong is told without showing any of it."""

import re
import warnings
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.utils import CryptographyDeprecationWarning

from bascule.certificates.fault import CertificateRefused

# Old authorities of the system have serial numbers that are not positive. Nobody can do anything about it.
warnings.filterwarnings("ignore", category=CryptographyDeprecationWarning, message="Parsed a serial number")

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----.*?-----END \1-----", re.DOTALL)
_KEYS = (b"PRIVATE KEY", b"RSA PRIVATE KEY", b"EC PRIVATE KEY", b"ENCRYPTED PRIVATE KEY")


def certificates_in(content: bytes, file: str) -> tuple[x509.Certificate, ...]:
    """All certificates, in their order; perhaps none."""
    found = []
    for number, block in enumerate(_blocks(content, (b"CERTIFICATE", b"TRUSTED CERTIFICATE")), 1):
        try:
            found.append(x509.load_pem_x509_certificate(block))
        except ValueError as error:
            what = f"certificate {number} cannot be read: {error}"
            raise CertificateRefused(file, what, "get it anew from who issued it") from error
    return tuple(found)


def keys_in(content: bytes, file: str) -> tuple[tuple[bytes, PrivateKeyTypes], ...]:
    """All private keys, each as it is written and as it is; perhaps none."""
    return tuple((block, _key(block, file)) for block in _blocks(content, _KEYS))


def revocations_in(content: bytes, file: str) -> tuple[x509.CertificateRevocationList, ...]:
    """All revocation lists; perhaps none."""
    try:
        return tuple(x509.load_pem_x509_crl(block) for block in _blocks(content, (b"X509 CRL",)))
    except ValueError as error:
        raise CertificateRefused(file, f"a revocation list cannot be read: {error}") from error


def has_key(content: bytes) -> bool:
    """Whether there is a private key in it."""
    return any(True for _ in _blocks(content, _KEYS))


def _blocks(content: bytes, labels: tuple[bytes, ...]) -> Iterator[bytes]:
    return (found[0] + b"\n" for found in _BLOCK.finditer(content) if found[1] in labels)


def _key(block: bytes, file: str) -> PrivateKeyTypes:
    if b"ENCRYPTED" in block:
        raise CertificateRefused(
            file,
            "the key is encrypted, and there is nobody to ask for its passphrase",
            f"write it without one: openssl pkey -in {file} -out NEW, and protect NEW with chmod 600",
        )
    try:
        # Unchecked: a weak key pair is found by comparing it with its certificate, which is faster.
        return load_pem_private_key(block, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Not chained, nor quoted: whatever the library says could hold a part of the key.
        pass
    raise CertificateRefused(file, "the key cannot be read", "it is cut off, or not PEM; copy it anew")
