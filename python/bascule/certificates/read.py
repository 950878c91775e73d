"""Files and directories → certificates, authorities and secrets. Blocks on files.

What was read before and has not changed is neither read nor parsed again (`files.py`).
"""

import hashlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bascule import contract
from bascule.certificates import pem
from bascule.certificates.certificate import Certificate, assemble
from bascule.certificates.fault import CertificateRefused, Fault
from bascule.certificates.files import SUFFIXES, PemFile, PemFiles, entries, read_file
from bascule.config.secrets import SHORTEST_KEY
from bascule.plan.plan import PlannedCertificate
from bascule.wording import in_words

LARGEST_BUNDLE = 16 << 20

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a source of certificates gives."""

    certificates: tuple[Certificate, ...]
    faults: tuple[Fault, ...] = ()
    """Of files in a directory of which nothing can be made."""


class Reader:
    """Reads sources again and again."""

    def __init__(self) -> None:
        self._files = PemFiles()
        self._assembled: dict[bytes, Certificate] = {}
        self._used: set[bytes] = set()

    def read(self, source: PlannedCertificate, now: float) -> Found:
        """Everything that a source names. Raises `CertificateRefused` when that is one file, or nothing."""
        try:
            path = Path(source.certificate)
            if source.uploaded and not path.exists():
                return Found(())
            if path.is_dir():
                if source.key is not None:
                    what = "is a directory, whose keys are found in it"
                    raise CertificateRefused(source.certificate, what, "remove `key`")
                return self._directory(source, now)
            file = self._files.look(source.certificate)
            key_file = file if source.key is None else self._files.look(source.key)
            return Found((self._pair(file, key_file, now),))
        finally:
            self._files.let_go()

    def forget_unused(self) -> None:
        """Lets go of what was not read since the last call."""
        used, self._used = self._used, set()
        self._assembled = {it: self._assembled[it] for it in tuple(self._assembled) if it in used}
        self._files.forget_unused()

    def _pair(self, file: PemFile, key_file: PemFile, now: float) -> Certificate:
        _check_pair(file, key_file)
        mark = _mark(file.path, file.digest, key_file.path, key_file.digest)
        self._used.add(mark)
        known = self._assembled.get(mark)
        if known is not None and not known.doubts and now < known.not_after:
            return known
        chain, keys = self._files.parsed(file).chain, self._files.parsed(key_file).keys
        # Of several the one that fits; else `assemble` says what is wrong with the first.
        fitting = keys[key_file.keys.index(file.leaf) if file.leaf in key_file.keys else 0]
        made = self._assembled[mark] = assemble(chain, fitting, file.path, key_file.path, now)
        return made

    def _directory(self, source: PlannedCertificate, now: float) -> Found:
        """Certificates and keys of a directory find each other by their public keys, whatever their names."""
        files, faults = self._look_around(source.certificate)
        keys = {key: file for file in reversed(files) for key in file.keys}
        certificates = []
        for file in files:
            if file.chain_fault is not None:
                faults.append(file.chain_fault)
            if file.leaf is None:
                continue
            try:
                key_file = file if file.leaf in file.keys else keys.get(file.leaf)
                if key_file is not None:
                    certificates.append(self._pair(file, key_file, now))
                elif file.keys or file.key_fault is not None or not file.is_authority:
                    # Else a chain that stands by itself, as in certbot's `chain.pem`.
                    faults.append(Fault(file.path, "no key in this directory belongs to the certificate"))
            except CertificateRefused as refused:
                faults.append(refused.fault)
        unique = tuple({it.id: it for it in certificates}.values())
        if not unique and not faults and not source.uploaded:
            what = "this directory holds no certificate"
            raise CertificateRefused(source.certificate, what, f"files end in {', '.join(SUFFIXES)}")
        return Found(unique, tuple(faults))

    def _look_around(self, path: str) -> tuple[list[PemFile], list[Fault]]:
        files, faults = [], []
        try:
            around = entries(path)
        except OSError as error:
            raise CertificateRefused(path, in_words(error)) from error
        for each, status in around:
            try:
                files.append(self._files.look(each, status))
            except CertificateRefused as refused:
                faults.append(refused.fault)
        return files, [*faults, *(it.key_fault for it in files if it.key_fault is not None)]


SHARED = Reader()
"""Of this process: what the rules of a configuration have read, its store need not read again."""


def read_authorities(
    files: Sequence[str], revoked: Sequence[str], now: float
) -> contract.AuthoritiesMaterial:
    """Those of all files together. Raises `CertificateRefused`."""
    bundles: list[str] = []
    lists: list[str] = []
    for file in files:
        content = read_file(Path(file), LARGEST_BUNDLE)
        found = pem.certificates_in(content, file)
        if not found:
            raise CertificateRefused(
                file, "holds no certificate", "it begins with -----BEGIN CERTIFICATE-----"
            )
        bundles.extend(_written(each) for each in found)
    for file in revoked:
        content = read_file(Path(file), LARGEST_BUNDLE)
        crls = pem.revocations_in(content, file)
        if not crls:
            raise CertificateRefused(
                file, "holds no revocation list", "it begins with -----BEGIN X509 CRL-----"
            )
        for crl in crls:
            _check_fresh(crl, file, now)
            lists.append(crl.public_bytes(Encoding.PEM).decode())
    together, lists_together = "".join(bundles), "".join(lists)
    identity = hashlib.sha256(f"{together}\0{lists_together}".encode()).hexdigest()[:32]
    return contract.AuthoritiesMaterial(identity, together, lists_together)


def system_authorities() -> str:
    """The file of those that the system trusts. Raises `CertificateRefused`."""
    paths = ssl.get_default_verify_paths()
    for file in (paths.cafile, paths.openssl_cafile, *_BUNDLES):
        if file is not None and Path(file).is_file():
            return file
    raise CertificateRefused(
        _BUNDLES[0],
        "the authorities that this system trusts are not there",
        "install them (Debian: apt-get install ca-certificates), or name your own with `ca`",
    )


def read_secret(file: str) -> contract.Secret:
    """A key for tickets. Raises `CertificateRefused`."""
    content = read_file(Path(file)).strip()
    if len(content) < SHORTEST_KEY:
        what = f"a key has at least {SHORTEST_KEY} characters, this file has {len(content)}"
        raise CertificateRefused(file, what, "make one with: openssl rand -base64 32")
    return contract.Secret(content.decode("latin-1"))


def _check_pair(file: PemFile, key_file: PemFile) -> None:
    """Raises `CertificateRefused` for what can be told of either by itself."""
    if file.chain_fault is not None:
        raise _refused(file.chain_fault)
    if file.leaf is None:
        what = "is empty" if file.is_blank else "holds no certificate"
        raise CertificateRefused(file.path, what, "it begins with -----BEGIN CERTIFICATE-----")
    if key_file.key_fault is not None and file.leaf not in key_file.keys:
        raise _refused(key_file.key_fault)
    if not key_file.keys:
        together = file.path == key_file.path
        hint = "name its file with `key`, or put it behind the certificate" if together else None
        raise CertificateRefused(key_file.path, "holds no private key", hint)


def _refused(fault: Fault) -> CertificateRefused:
    return CertificateRefused(fault.file, fault.what, fault.hint)


def _check_fresh(crl: x509.CertificateRevocationList, file: str, now: float) -> None:
    if crl.next_update_utc is not None and crl.next_update_utc.timestamp() <= now:
        what = "this revocation list is out of date: everybody whom it speaks of would be refused"
        raise CertificateRefused(file, what, "get a fresh one from the authority")


def _mark(*parts: str | bytes) -> bytes:
    hasher = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        hasher.update(len(content).to_bytes(8, "big") + content)
    return hasher.digest()


def _written(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
