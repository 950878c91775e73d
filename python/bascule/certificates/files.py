"""PEM files: what is in them, read and parsed once for as long as they stay the same. Blocks on files.

Of ten thousand files that did not change a reload asks the system for their state, and opens none.
"""

import contextlib
import hashlib
import io
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from bascule.certificates import pem
from bascule.certificates.certificate import spki
from bascule.certificates.fault import CertificateRefused, Fault
from bascule.wording import in_words

LARGEST_BYTES = 1 << 20
SUFFIXES = (".pem", ".crt", ".cer", ".key", ".chain", ".fullchain")
"""Of the files in a directory that are read."""
SETTLED_S = 2.0
"""What was written less than this before it was read may be written again without a sign: clocks of file
systems tick in milliseconds, some in seconds."""

State = tuple[int, int, int, int]
"""Inode, size, and when content and file were changed. Nobody can set the last one back."""


@dataclass(frozen=True, slots=True)
class PemFile:
    """What is in a file, but for the content, which holds keys and is let go."""

    path: str
    state: State
    digest: bytes
    """Of the content."""
    leaf: bytes | None
    """What the first certificate has in common with its key; `None`: there is no certificate."""
    keys: tuple[bytes, ...]
    """The same of each private key."""
    is_blank: bool
    is_authority: bool
    """Its first certificate is one that issues others."""
    chain_fault: Fault | None
    key_fault: Fault | None


@dataclass(frozen=True, slots=True)
class Parsed:
    """The certificates and keys of a file."""

    chain: tuple[x509.Certificate, ...] = ()
    keys: tuple[PrivateKeyTypes, ...] = ()


class PemFiles:
    """Knows files that it has seen before."""

    def __init__(self) -> None:
        self._known: dict[str, PemFile] = {}
        self._used: set[str] = set()
        self._parsed: dict[str, tuple[PemFile, Parsed]] = {}

    def look(self, path: str, status: os.stat_result | None = None) -> PemFile:
        """What is in it now. Raises `CertificateRefused` when it cannot be read."""
        self._used.add(path)
        known = self._known.get(path)
        if known is not None and known.state == _state(status or _status(path)):
            return known
        return self._read(path)[0]

    def parsed(self, file: PemFile) -> Parsed:
        """What it holds. Raises `CertificateRefused` when that has changed since the look."""
        held = self._parsed.get(file.path) or self._read(file.path)
        if held[0].digest != file.digest:
            raise CertificateRefused(file.path, "is being written just now", "it is read again soon")
        return held[1]

    def let_go(self) -> None:
        """Forgets all keys. What is in the files is still known."""
        self._parsed = {}

    def forget_unused(self) -> None:
        """Forgets files that nobody has looked at since the last call."""
        used, self._used = self._used, set()
        self._known = {path: self._known[path] for path in tuple(self._known) if path in used}

    def _read(self, path: str) -> tuple[PemFile, Parsed]:
        state, content = _read(path, LARGEST_BYTES)
        file, parsed = _parse(path, state, content)
        if time.time() - max(state[2], state[3]) / 1e9 > SETTLED_S:
            self._known[path] = file
        self._parsed[path] = file, parsed
        return file, parsed


def read_file(path: Path, largest: int = LARGEST_BYTES) -> bytes:
    """The content of a file. Raises `CertificateRefused`."""
    return _read(str(path), largest)[1]


def entries(directory: str) -> list[tuple[str, os.stat_result]]:
    """The files of a directory that are read, and those one level down, as certbot lays them out.

    Each with its state, in the order of their names. Raises `OSError`.
    """
    own, below = [], []
    for entry in sorted(_visible(directory), key=lambda it: it.name):
        if entry.is_dir():
            below += [it for it in sorted(_visible(entry.path), key=lambda it: it.name) if _is_read(it)]
        elif _is_read(entry):
            own.append(entry)
    found = []
    for entry in (*own, *below):
        with contextlib.suppress(FileNotFoundError):  # Gone meanwhile.
            found.append((entry.path, entry.stat()))
    return found


def _visible(directory: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(directory) as found:
        yield from (entry for entry in found if not entry.name.startswith("."))


def _is_read(entry: os.DirEntry[str]) -> bool:
    return os.path.splitext(entry.name)[1].lower() in SUFFIXES and entry.is_file()  # noqa: PTH122 (ten thousand times)


def _state(status: os.stat_result) -> State:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)  # noqa: PTH116 (ten thousand times)
    except OSError as error:
        raise CertificateRefused(path, in_words(error)) from error


def _read(path: str, largest: int) -> tuple[State, bytes]:
    """The state before the content: what is written meanwhile is a change."""
    try:
        # Opening a named pipe would wait for its writer, and everything else with it.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 (ten thousand times)
            raise CertificateRefused(path, "is not a file")
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            state = _state(os.fstat(file.fileno()))
            content = _all_of(file, largest)
    except OSError as error:
        hint = "the balancer's user may not read it" if isinstance(error, PermissionError) else None
        raise CertificateRefused(path, in_words(error), hint) from error
    if len(content) > largest:
        raise CertificateRefused(path, f"is larger than {largest >> 20} MiB")
    return state, content


def _all_of(file: io.FileIO, largest: int) -> bytes:
    pieces, left = [], largest + 1
    while left > 0 and (piece := file.read(min(left, 1 << 20))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _parse(path: str, state: State, content: bytes) -> tuple[PemFile, Parsed]:
    chain: tuple[x509.Certificate, ...] = ()
    keys: tuple[PrivateKeyTypes, ...] = ()
    leaf, chain_fault, key_fault = None, None, None
    try:
        chain = pem.certificates_in(content, path)
        leaf = spki(chain[0]) if chain else None
    except CertificateRefused as refused:
        chain_fault = refused.fault
    except (ValueError, UnsupportedAlgorithm):
        chain_fault = Fault(path, "the certificate is for a key of a kind that is not known")
    try:
        keys = tuple(key for _, key in pem.keys_in(content, path))
    except CertificateRefused as refused:
        key_fault = refused.fault
    file = PemFile(
        path=path,
        state=state,
        digest=hashlib.sha256(content).digest(),
        leaf=leaf,
        keys=tuple(spki(key) for key in keys),
        is_blank=not content.strip(),
        is_authority=_is_authority(chain),
        chain_fault=chain_fault,
        key_fault=key_fault,
    )
    return file, Parsed(chain, keys)


def _is_authority(chain: tuple[x509.Certificate, ...]) -> bool:
    try:
        return chain[0].extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (IndexError, x509.ExtensionNotFound, ValueError):
        return False
