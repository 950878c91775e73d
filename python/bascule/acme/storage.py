"""The storage directory: account, records and certificates, for our user alone. Blocks on files.

What is written is there whole or not at all. Balancers that share the directory take turns by locks, which
end with the process that holds them.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from bascule.acme.layout import CHALLENGES, certificate_file, home, stem
from bascule.acme.renewal import Advice, Record
from bascule.certificates.certificate import Certificate
from bascule.certificates.fault import CertificateRefused
from bascule.certificates.files import read_file
from bascule.certificates.read import Reader
from bascule.errors import BasculeError
from bascule.plan.plan import PlannedCertificate
from bascule.replace import replace_file
from bascule.wording import in_words

PRIVATE = 0o700


class StorageFailed(BasculeError):  # noqa: N818 (an answer, as ConfigRefused is)
    """The directory cannot be used."""


class Busy(Exception):  # noqa: N818 (not an error: somebody else is at it)
    """Another balancer, or another task, holds the lock."""


class Storage:
    """What is kept of one authority."""

    def __init__(self, storage: str, directory: str) -> None:
        self._storage = storage
        self._directory = directory
        self._home = home(storage, directory)

    @property
    def challenges(self) -> Path:
        """Where answers to authorities lie while they are wanted."""
        return self._home / CHALLENGES

    def prepare(self) -> None:
        """Makes the directories. Raises `StorageFailed`."""
        for path in (self._home, self._home / "certificates", self.challenges):
            with _told(path):
                path.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
                # `mkdir` makes parents with the usual mode, and an old directory may have any.
                path.chmod(PRIVATE)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Holds the lock of this name. Raises `Busy` when somebody else does, or `StorageFailed`."""
        path = self._home / f"{name}.lock"
        with _told(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as held:
                raise Busy from held
            yield
        finally:
            os.close(descriptor)

    def certificate(self, names: tuple[str, ...], now: float) -> Certificate | None:
        """The one that is there; `None`: none that can be used."""
        file = certificate_file(self._storage, self._directory, names)
        try:
            return Reader().read(PlannedCertificate(str(file)), now).certificates[0]
        except CertificateRefused:
            return None

    def keep_certificate(self, names: tuple[str, ...], content: bytes) -> None:
        """Puts it in the place of the one before."""
        write(certificate_file(self._storage, self._directory, names), content)

    def record(self, names: tuple[str, ...]) -> Record:
        """What is remembered of an order; what cannot be read is forgotten."""
        try:
            kept = json.loads(read_file(self._record_file(names)))
            advice = kept.pop("advice", None)
            return Record(**kept, advice=None if advice is None else Advice(**advice))
        except (CertificateRefused, ValueError, TypeError, AttributeError):
            return Record()

    def keep_record(self, names: tuple[str, ...], record: Record) -> None:
        write(self._record_file(names), json.dumps(asdict(record), indent=1).encode())

    def account(self) -> tuple[bytes | None, dict[str, str]]:
        """The key of the account (PEM), and what is known of the account."""
        key, about = self._home / "account.key", self._home / "account.json"
        try:
            known = json.loads(read_file(about)) if about.exists() else {}
        except (CertificateRefused, ValueError):
            known = {}
        if not key.exists():
            return None, {}
        try:
            return read_file(key), known if isinstance(known, dict) else {}
        except CertificateRefused as refused:
            # Another key would be another account: somebody has to look.
            raise StorageFailed(str(refused.fault), refused.hint) from refused

    def keep_account(self, key: bytes, about: dict[str, str]) -> None:
        write(self._home / "account.key", key)
        write(self._home / "account.json", json.dumps(about, indent=1).encode())

    def _record_file(self, names: tuple[str, ...]) -> Path:
        return self._home / "certificates" / f"{stem(names)}.json"


def write(path: Path, content: bytes) -> None:
    """Replaces a file, which nobody else may read. Raises `StorageFailed`, and leaves the old one."""
    with _told(path):
        replace_file(path, content)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "name another directory with acme: {storage: …}, or let the balancer's user write there"
        raise StorageFailed(f"{path}: {in_words(error)}", hint) from error
