"""The storage directory: who may read it, and what happens when it cannot be used."""

import stat
from pathlib import Path

import pytest

from bascule.acme.layout import certificate_file, home, stem
from bascule.acme.renewal import Advice, Record
from bascule.acme.storage import Busy, Storage, StorageFailed, write

DIRECTORY = "https://ca.example/acme/directory"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    made = Storage(str(tmp_path / "store"), DIRECTORY)
    made.prepare()
    return made


def test_nobody_else_may_read_it(tmp_path: Path, storage: Storage) -> None:
    ours = home(str(tmp_path / "store"), DIRECTORY)
    ours.chmod(0o755)
    storage.prepare()
    storage.keep_account(b"key", {"uri": "u"})
    storage.keep_certificate(("a.example",), b"pem")
    storage.keep_record(("a.example",), Record())
    with storage.lock("certificates/a.example"):
        pass
    for path in (ours, *ours.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_one_at_a_time_holds_a_lock(storage: Storage) -> None:
    with storage.lock("account"), pytest.raises(Busy), storage.lock("account"):
        pass
    with storage.lock("account"):
        pass


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    write(file, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageFailed, match="no space left"):
        write(file, b"new")
    assert file.read_bytes() == b"old" and list(tmp_path.iterdir()) == [file]


def test_records_come_back_as_they_were_and_what_makes_no_sense_is_forgotten(
    tmp_path: Path, storage: Storage
) -> None:
    record = Record(1.0, 2, 3.0, 4.0, "why", "settings", Advice(5.0, 6.0), "c")
    storage.keep_record(("a.example",), record)
    assert storage.record(("a.example",)) == record
    file = certificate_file(str(tmp_path / "store"), DIRECTORY, ("a.example",)).with_suffix(".json")
    for odd in (b"", b"[]", b"{", b'{"new": 1}', b'{"advice": 3}'):
        file.write_bytes(odd)
        assert storage.record(("a.example",)) == Record()


def test_an_account_key_that_cannot_be_read_is_not_replaced(storage: Storage, tmp_path: Path) -> None:
    assert storage.account() == (None, {})
    storage.keep_account(b"key", {"uri": "u"})
    assert storage.account() == (b"key", {"uri": "u"})
    key = home(str(tmp_path / "store"), DIRECTORY) / "account.key"
    key.unlink()
    key.mkdir()
    with pytest.raises(StorageFailed):
        storage.account()


def test_names_lead_to_files_that_do_not_clash() -> None:
    assert stem(("b.example", "a.example")) == stem(("a.example", "b.example"))
    assert len({stem(it) for it in [("a.example",), ("*.a.example",), ("a.example", "b.example")]}) == 3
    assert home("s", DIRECTORY) != home("s", DIRECTORY + "2")
