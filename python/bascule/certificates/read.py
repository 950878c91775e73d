"""Files and directories → certificates, authorities and secrets. Blocks on files.

Files are small and read whole; what was read before and has not changed is not parsed again, so that a
reload with ten thousand certificates takes no longer than comparing their bytes.
"""

import hashlib
import ssl
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bascule import contract
from bascule.certificates import pem
from bascule.certificates.certificate import Certificate, assemble, spki
from bascule.certificates.fault import CertificateRefused, Fault
from bascule.config.secrets import SHORTEST_KEY
from bascule.plan.plan import PlannedCertificate
from bascule.wording import in_words

LARGEST_BYTES = 1 << 20
LARGEST_BUNDLE = 16 << 20

_SUFFIXES = (".pem", ".crt", ".cer", ".key", ".chain", ".fullchain")
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
        self._assembled: dict[bytes, Certificate] = {}
        self._used: set[bytes] = set()

    def read(self, source: PlannedCertificate, now: float) -> Found:
        """Everything that a source names. Raises `CertificateRefused` when that is one file, or nothing."""
        path = Path(source.certificate)
        if path.is_dir():
            if source.key is not None:
                raise CertificateRefused(
                    str(path), "is a directory, whose keys are found in it", "remove `key`"
                )
            return self._directory(path, now)
        content = read_file(path)
        key_path = Path(source.key) if source.key is not None else path
        key_content = content if source.key is None else read_file(key_path)
        return Found((self._pair(path, content, key_path, key_content, now),))

    def forget_unused(self) -> None:
        """Lets go of what was not read since the last call."""
        self._assembled = {mark: it for mark, it in self._assembled.items() if mark in self._used}
        self._used = set()

    def _pair(
        self, path: Path, content: bytes, key_path: Path, key_content: bytes, now: float
    ) -> Certificate:
        mark = _mark(str(path), content, str(key_path), key_content)
        self._used.add(mark)
        if (known := self._assembled.get(mark)) is not None and not known.doubts:
            return known
        chain = pem.certificates_in(content, str(path))
        if not chain:
            what = "holds no certificate" if content.strip() else "is empty"
            raise CertificateRefused(str(path), what, "it begins with -----BEGIN CERTIFICATE-----")
        keys = pem.keys_in(key_content, str(key_path))
        if not keys:
            hint = "name its file with `key`, or put it behind the certificate" if path == key_path else None
            raise CertificateRefused(str(key_path), "holds no private key", hint)
        fitting = next((key for _, key in keys if spki(key) == spki(chain[0])), keys[0][1])
        made = self._assembled[mark] = assemble(chain, fitting, str(path), str(key_path), now)
        return made

    def _directory(self, path: Path, now: float) -> Found:
        """Certificates and keys of a directory find each other by their public keys, whatever their names."""
        contents, faults = _contents(path)
        keys, broken = _keys_of(contents)
        faults += broken
        certificates = []
        for file, content in contents.items():
            if b"-----BEGIN CERTIFICATE-----" not in content:
                continue
            try:
                chain = pem.certificates_in(content, str(file))
                key_file = keys.get(spki(chain[0])) if chain else None
                if key_file is not None:
                    certificates.append(self._pair(file, content, key_file, contents[key_file], now))
                elif not pem.has_key(content) and _is_authority(chain):
                    continue  # A chain that stands by itself, as in certbot's `chain.pem`.
                else:
                    faults.append(Fault(str(file), "no key in this directory belongs to the certificate"))
            except CertificateRefused as refused:
                faults.append(refused.fault)
        unique = tuple({it.id: it for it in certificates}.values())
        if not unique and not faults:
            what = "this directory holds no certificate"
            raise CertificateRefused(str(path), what, f"files end in {', '.join(_SUFFIXES)}")
        return Found(unique, tuple(faults))


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


def read_file(path: Path, largest: int = LARGEST_BYTES) -> bytes:
    """The content of a file. Raises `CertificateRefused`."""
    try:
        # Opening a named pipe would wait for its writer, and everything else with it.
        if not stat.S_ISREG(path.stat().st_mode):
            raise CertificateRefused(str(path), "is not a file")
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        hint = "the balancer's user may not read it" if isinstance(error, PermissionError) else None
        raise CertificateRefused(str(path), in_words(error), hint) from error
    if len(content) > largest:
        raise CertificateRefused(str(path), f"is larger than {largest >> 20} MiB")
    return content


def _contents(path: Path) -> tuple[dict[Path, bytes], list[Fault]]:
    """Also of the directories in it, one level down, as certbot lays them out."""
    contents, faults = {}, []
    try:
        entries = sorted(path.iterdir())
        below = [
            sorted(each.iterdir()) for each in entries if each.is_dir() and not each.name.startswith(".")
        ]
    except OSError as error:
        raise CertificateRefused(str(path), in_words(error)) from error
    for file in [*entries, *(each for some in below for each in some)]:
        if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".") and file.is_file():
            try:
                contents[file] = read_file(file)
            except CertificateRefused as refused:
                faults.append(refused.fault)
    return contents, faults


def _keys_of(contents: Mapping[Path, bytes]) -> tuple[dict[bytes, Path], list[Fault]]:
    keys: dict[bytes, Path] = {}
    faults: list[Fault] = []
    for file, content in contents.items():
        try:
            for _, key in pem.keys_in(content, str(file)):
                keys.setdefault(spki(key), file)
        except CertificateRefused as refused:
            faults.append(refused.fault)
    return keys, faults


def _is_authority(chain: Sequence[x509.Certificate]) -> bool:
    try:
        return chain[0].extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (IndexError, x509.ExtensionNotFound, ValueError):
        return False


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
