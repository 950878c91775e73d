"""What did not change is not read again, and nothing that did change is taken for the same."""

import os
import ssl
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support.certificates import Authority, make_key

from bascule.certificates import files
from bascule.certificates.fault import CertificateRefused
from bascule.certificates.files import PemFiles, entries
from bascule.certificates.read import Reader
from bascule.plan.plan import PlannedCertificate

AUTHORITY = Authority()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that were parsed, in their order. All are taken for settled."""
    names: list[str] = []
    parse = files._parse

    def counted(path: str, state: files.State, content: bytes) -> tuple[files.PemFile, files.Parsed]:
        names.append(Path(path).name)
        return parse(path, state, content)

    monkeypatch.setattr(files, "_parse", counted)
    monkeypatch.setattr(files, "SETTLED_S", -1.0)
    return names


def read(reader: Reader, path: Path, now: float | None = None) -> dict[tuple[str, ...], str]:
    """Serial numbers by names."""
    found = reader.read(PlannedCertificate(str(path)), now or time.time())
    assert not found.faults
    return {it.names: it.serial for it in found.certificates}


def test_of_a_directory_only_what_changed_is_parsed_again(tmp_path: Path, parsed: list[str]) -> None:
    key, reader = make_key("ecdsa"), Reader()
    for number in range(50):
        AUTHORITY.issue(f"n{number}.test", key=key).write(tmp_path, f"c{number:02}")
    first = read(reader, tmp_path)
    assert len(first) == len(parsed) == 50
    assert read(reader, tmp_path) == first and len(parsed) == 50
    new = AUTHORITY.issue("n7.test", key=key)
    new.write(tmp_path, "c07")
    AUTHORITY.issue("more.test", key=key).write(tmp_path, "more")
    assert read(reader, tmp_path)["n7.test",] == f"{new.certificate.serial_number:x}"
    assert set(parsed[50:]) == {"c07.pem", "more.pem"}


def test_a_file_that_was_changed_and_dated_back_is_read_again(tmp_path: Path, parsed: list[str]) -> None:
    reader, file = Reader(), tmp_path / "a.pem"
    one, other = (AUTHORITY.issue("a.test", key=make_key("ed25519")) for _ in range(2))
    size = max(len(it.chain + it.key_pem) for it in (one, other))
    file.write_text((one.chain + one.key_pem).ljust(size))
    before, state = read(reader, file), file.stat()
    assert read(reader, file) == before and len(parsed) == 1
    with file.open("r+") as written:  # In place: the same inode and size.
        written.write((other.chain + other.key_pem).ljust(size))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_ino) == (state.st_size, state.st_ino)
    assert read(reader, file) != before


def test_a_file_that_was_written_just_now_may_be_written_again_without_a_sign(tmp_path: Path) -> None:
    file = AUTHORITY.issue("a.test").write(tmp_path, "a")
    seen = PemFiles()
    assert seen.look(str(file)) is not seen.look(str(file))


def test_keys_are_let_go_and_what_changes_between_look_and_use_is_refused(
    tmp_path: Path, parsed: list[str]
) -> None:
    file, seen = AUTHORITY.issue("a.test").write(tmp_path, "a"), PemFiles()
    looked = seen.look(str(file))
    assert seen.parsed(looked).keys and len(parsed) == 1
    seen.let_go()
    assert seen.parsed(looked).keys and len(parsed) == 2
    seen.let_go()
    AUTHORITY.issue("a.test").write(tmp_path, "a")
    with pytest.raises(CertificateRefused, match="is being written just now"):
        seen.parsed(looked)


def test_what_has_expired_since_it_was_read_is_doubted(tmp_path: Path, parsed: list[str]) -> None:
    file, reader = AUTHORITY.issue("a.test", days=2).write(tmp_path, "a"), Reader()
    source = PlannedCertificate(str(file))
    assert not reader.read(source, time.time()).certificates[0].doubts
    (doubt,) = reader.read(source, time.time() + 3 * 86_400).certificates[0].doubts
    assert "has expired" in doubt.what


def test_what_is_hidden_odd_or_a_broken_link_is_not_looked_at(tmp_path: Path) -> None:
    for name in ("b.pem", "a.crt", ".c.pem", "note.txt", "live/x/deep.pem", "live/site.KEY", ".git/d.pem"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "gone.pem").symlink_to(tmp_path / "nowhere")
    found = [str(Path(path).relative_to(tmp_path)) for path, _ in entries(str(tmp_path))]
    assert found == ["a.crt", "b.pem", "live/site.KEY"]


def test_a_certificate_for_a_kind_of_key_that_nobody_knows_is_a_fault_and_no_failure(tmp_path: Path) -> None:
    good = AUTHORITY.issue("a.test")
    good.write(tmp_path, "a")
    ec_public_key, unknown = bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0209")
    odd = good.certificate.public_bytes(Encoding.DER).replace(ec_public_key, unknown)
    (tmp_path / "odd.pem").write_text(ssl.DER_cert_to_PEM_cert(odd))
    found = Reader().read(PlannedCertificate(str(tmp_path)), time.time())
    assert len(found.certificates) == 1
    assert [str(fault) for fault in found.faults] == [
        f"{tmp_path}/odd.pem: the certificate is for a key of a kind that is not known"
    ]
