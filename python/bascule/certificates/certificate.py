"""One certificate with its chain and key, checked: key, order, names, time."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtensionOID

from bascule import contract
from bascule.certificates.fault import CertificateRefused, Fault

Kind = Literal["ecdsa", "ed25519", "rsa"]
KINDS: tuple[Kind, ...] = ("ecdsa", "ed25519", "rsa")
"""The cheapest handshakes first. Few clients know Ed25519, but who does not is never shown it."""

SHORTEST_RSA = 2048
LONGEST_RSA = 8192
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_UNDERSTOOD = (
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.CRL_DISTRIBUTION_POINTS,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.NAME_CONSTRAINTS,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
)
"""Extensions that may be critical; the data plane, too, reads no certificate with another one."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a listener shows, or a pool."""

    id: str
    """Of the material; another content has another id."""
    file: str
    """Where the certificate was read."""
    key_file: str
    """Where its key was read."""
    names: tuple[str, ...]
    """Lower case; `*.` in front stands for one label."""
    kind: Kind
    not_before: int
    """Unix time."""
    not_after: int
    """Unix time; that of the first link of the chain that ends."""
    issuer: str
    serial: str
    material: contract.CertificateMaterial = field(repr=False)
    doubts: tuple[Fault, ...] = ()
    """What is odd but does not keep it from being shown."""


def assemble(
    chain: Sequence[x509.Certificate], key: PrivateKeyTypes, file: str, key_file: str, now: float
) -> Certificate:
    """Checks what belongs together. Raises `CertificateRefused`."""
    leaf, kind = chain[0], _kind(key, key_file)
    if spki(key) != spki(leaf):
        raise _mismatch(chain, key, file, key_file)
    _check_form(leaf, file)
    _check_order(chain, file)
    names = names_of(leaf)
    written = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    text = "".join(each.public_bytes(Encoding.PEM).decode() for each in chain)
    identity = hashlib.sha256(f"{text}{written}".encode()).hexdigest()[:32]
    return Certificate(
        id=identity,
        file=file,
        key_file=key_file,
        names=names,
        kind=kind,
        not_before=int(max(each.not_valid_before_utc for each in chain).timestamp()),
        not_after=int(min(each.not_valid_after_utc for each in chain).timestamp()),
        issuer=leaf.issuer.rfc4514_string(),
        serial=f"{leaf.serial_number:x}",
        material=contract.CertificateMaterial(identity, text, contract.Secret(written)),
        doubts=tuple(_doubts(chain, names, file, now)),
    )


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names that clients accept it for: those of `subjectAltName`; the common name counts no more."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(dict.fromkeys(name.lower().rstrip(".") for name in names.get_values_for_type(x509.DNSName)))


def addresses_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The IP addresses that it is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(str(address) for address in names.get_values_for_type(x509.IPAddress))


def spki(of: x509.Certificate | PrivateKeyTypes) -> bytes:
    """What a certificate and its key have in common."""
    return of.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def on_day(unix: float) -> str:
    """A date as messages write it."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _kind(key: PrivateKeyTypes, file: str) -> Kind:
    if isinstance(key, rsa.RSAPrivateKey):
        if not SHORTEST_RSA <= key.key_size <= LONGEST_RSA:
            what = f"an RSA key of {key.key_size} bits cannot be used"
            raise CertificateRefused(file, what, "take ECDSA (P-256), or RSA of 2048 to 8192 bits")
        return "rsa"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name not in _CURVES:
            what = f"a key on the curve {key.curve.name} cannot be used"
            raise CertificateRefused(file, what, "take P-256, P-384 or P-521")
        return "ecdsa"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise CertificateRefused(file, "keys of this kind cannot be used", "take ECDSA, Ed25519 or RSA")


def _mismatch(
    chain: Sequence[x509.Certificate], key: PrivateKeyTypes, file: str, key_file: str
) -> CertificateRefused:
    for number, other in enumerate(chain[1:], 2):
        if spki(other) == spki(key):
            what = f"the certificate of the key is number {number} of the chain, not the first"
            return CertificateRefused(file, what, "put it first, then who issued it, and so on")
    named = ", ".join(names_of(chain[0])) or chain[0].subject.rfc4514_string() or "without a name"
    what = f"the key does not belong to the certificate of {file} ({named})"
    hint = "they come from two orders; take both from the same one"
    return CertificateRefused(key_file, what, hint)


def _check_form(leaf: x509.Certificate, file: str) -> None:
    """What no client reads (RFC 5280, 4.1 and 4.2) cannot be shown to any."""
    if leaf.version is not x509.Version.v3:
        what = "the certificate is of X.509 version 1, which says nothing of names: no client accepts it"
        raise CertificateRefused(
            file,
            what,
            "have it issued with subjectAltName (openssl x509 -req … -extfile); that makes version 3",
        )
    try:
        unknown = [it.oid for it in leaf.extensions if it.critical and it.oid not in _UNDERSTOOD]
    except ValueError as error:
        what = f"the extensions of the certificate cannot be read: {error}"
        raise CertificateRefused(file, what, "get it anew from who issued it") from error
    if unknown:
        what = (
            f"the certificate has a critical extension that clients do not know ({unknown[0].dotted_string})"
        )
        raise CertificateRefused(file, what, "is it for something else than TLS? have one issued without it")


def _check_order(chain: Sequence[x509.Certificate], file: str) -> None:
    for number, (one, issuer) in enumerate(itertools.pairwise(chain), 1):
        try:
            one.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature) as error:
            what = f"certificate {number + 1} of the chain did not issue certificate {number}"
            hint = "the order is: the certificate, who issued it, who issued that; leave out everything else"
            raise CertificateRefused(file, what, hint) from error


def _doubts(
    chain: Sequence[x509.Certificate], names: tuple[str, ...], file: str, now: float
) -> Sequence[Fault]:
    doubts = []
    for number, each in enumerate(chain, 1):
        which = "the certificate" if number == 1 else f"certificate {number} of the chain"
        if (ended := each.not_valid_after_utc.timestamp()) <= now:
            doubts.append(
                Fault(file, f"{which} has expired on {on_day(ended)}", "clients refuse it; renew it")
            )
        if (begins := each.not_valid_before_utc.timestamp()) > now:
            what = f"{which} is not valid before {on_day(begins)}"
            doubts.append(Fault(file, what, "is the clock of this machine right?"))
    if not names and not addresses_of(chain[0]):
        what = "the certificate is for no name (it has no subjectAltName)"
        doubts.append(Fault(file, what, "clients refuse it; have it issued with the names of the site"))
    return doubts
