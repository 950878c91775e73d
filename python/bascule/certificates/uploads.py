"""Certificates that operators hand over while the balancer runs: checked, and kept in a directory.

Nothing here is shown to clients by itself: listeners name the directory, and read it as any other. Blocks on
files.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from bascule.certificates import pem
from bascule.certificates.certificate import Certificate, assemble, spki
from bascule.certificates.fault import CertificateRefused
from bascule.certificates.files import LARGEST_BYTES, read_file
from bascule.errors import BasculeError
from bascule.replace import replace_file
from bascule.wording import in_words

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_SUFFIX = ".pem"


@dataclass(frozen=True, slots=True)
class Uploads:
    """The directory of what was handed over."""

    directory: Path

    def check(self, name: str, content: bytes, now: float) -> Certificate:
        """A certificate, its chain and its key as PEM, in one text; as files are checked.

        Raises `CertificateRefused`, which calls it by its name, and never tells anything of a key.
        """
        self.file(name)
        if len(content) > LARGEST_BYTES:
            raise CertificateRefused(name, f"is larger than {LARGEST_BYTES >> 20} MiB")
        chain = pem.certificates_in(content, name)
        if not chain:
            what = "holds no certificate" if content.strip() else "is empty"
            raise CertificateRefused(name, what, "it begins with -----BEGIN CERTIFICATE-----")
        keys = [key for _, key in pem.keys_in(content, name)]
        if not keys:
            raise CertificateRefused(name, "holds no private key", "put it behind the certificate")
        fitting = next((key for key in keys if spki(key) == spki(chain[0])), keys[0])
        return assemble(chain, fitting, name, name, now)

    def keep(self, name: str, certificate: Certificate) -> bytes | None:
        """Puts it in the place of the one of that name, which is given back. Raises a `BasculeError`."""
        file = self.file(name)
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            before = file.read_bytes() if file.exists() else None
            replace_file(file, f"{certificate.material.chain}{certificate.material.key}".encode())
        except OSError as error:
            raise self._failed(error) from error
        return before

    def put_back(self, name: str, before: bytes | None) -> None:
        """As it was before `keep`, or as it is without. Raises a `BasculeError`."""
        file = self.file(name)
        try:
            if before is None:
                file.unlink(missing_ok=True)
            else:
                replace_file(file, before)
        except OSError as error:
            raise self._failed(error) from error

    def find(self, name: str, now: float) -> Certificate | None:
        """The one of that name; `None`: there is none. Raises `CertificateRefused` when it cannot be used."""
        return self.check(name, read_file(self.file(name)), now) if self.file(name).exists() else None

    def file(self, name: str) -> Path:
        """Where that of a name is. Raises `CertificateRefused` for what may not be one."""
        if _NAME.fullmatch(name) is None or name.endswith(_SUFFIX):
            what = "a certificate cannot be called that"
            raise CertificateRefused(
                name[:100], what, f"take letters, digits, `.`, `-` and `_`, and leave out {_SUFFIX}"
            )
        return self.directory / f"{name}{_SUFFIX}"

    def name_of(self, file: str) -> str | None:
        """What is in that file is called so; `None`: it was not handed over."""
        path = Path(file)
        return path.stem if path.parent == self.directory and path.suffix == _SUFFIX else None

    def _failed(self, error: OSError) -> BasculeError:
        hint = "name another directory with admin: {certificates: …}, or let the balancer's user write there"
        return BasculeError(f"{self.directory}: {in_words(error)}", hint)
