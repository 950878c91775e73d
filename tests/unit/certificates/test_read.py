"""Files become certificates, or an error that names the file, the fault and what to do."""

import subprocess
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from tests.support.certificates import NOW, Authority, make_key

from bascule.certificates.fault import CertificateRefused
from bascule.certificates.read import Reader, read_authorities, read_secret
from bascule.plan.plan import PlannedCertificate

AUTHORITY = Authority()
BELOW = Authority("Below", above=AUTHORITY)
NOW_S = NOW.timestamp()


def read(certificate: Path, key: Path | None = None) -> Reader:
    reader = Reader()
    reader.read(PlannedCertificate(str(certificate), None if key is None else str(key)), NOW_S)
    return reader


def refused(certificate: Path, key: Path | None = None) -> tuple[str, str]:
    """What is said, and what to do."""
    with pytest.raises(CertificateRefused) as told:
        read(certificate, key)
    return str(told.value.fault), told.value.hint or ""


@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "ed25519"])
def test_a_certificate_is_read_with_its_names_and_chain(tmp_path: Path, kind: str) -> None:
    issued = BELOW.issue("A.test", "*.b.test", kind=kind)  # type: ignore[arg-type]
    certificate, key = issued.write_apart(tmp_path, "a")
    source = PlannedCertificate(str(certificate), str(key))
    (found,) = Reader().read(source, NOW_S).certificates
    assert (found.names, found.kind, found.doubts) == (("a.test", "*.b.test"), kind, ())
    assert found.material.chain.count("BEGIN CERTIFICATE") == 2
    both = PlannedCertificate(str(issued.write(tmp_path, "both")))
    assert Reader().read(both, NOW_S).certificates[0].id == found.id


def test_keys_are_in_no_representation(tmp_path: Path) -> None:
    issued = AUTHORITY.issue("a.test")
    (found,) = Reader().read(PlannedCertificate(str(issued.write(tmp_path, "a"))), NOW_S).certificates
    secret = issued.key_pem.splitlines()[1]
    assert found.material.key.splitlines()[1] == secret
    assert secret not in f"{found!r} {found.material!r} {found}"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    issued = AUTHORITY.issue("a.test")
    certificate, key = issued.write_apart(tmp_path, "a")
    assert refused(tmp_path / "none.pem")[0] == f"{tmp_path}/none.pem: no such file or directory"
    assert refused(certificate) == (
        f"{certificate}: holds no private key",
        "name its file with `key`, or put it behind the certificate",
    )
    assert refused(key)[0] == f"{key}: holds no certificate"
    assert refused(certificate, certificate)[0] == f"{certificate}: holds no private key"
    (tmp_path / "empty.pem").write_text("")
    assert refused(tmp_path / "empty.pem")[0].endswith("is empty")


def test_a_key_of_another_certificate_is_found_out(tmp_path: Path) -> None:
    certificate, _ = AUTHORITY.issue("a.test").write_apart(tmp_path, "a")
    _, key = AUTHORITY.issue("b.test").write_apart(tmp_path, "b")
    assert refused(certificate, key) == (
        f"{key}: the key does not belong to the certificate of {certificate} (a.test)",
        "they come from two orders; take both from the same one",
    )


def test_what_no_client_would_read_is_found_out_before_it_is_shown(tmp_path: Path) -> None:
    issued = AUTHORITY.issue("a.test")
    openssl = partial(subprocess.run, check=True, capture_output=True, text=True, cwd=tmp_path)
    (tmp_path / "a.key").write_text(issued.key_pem)
    openssl(["openssl", "req", "-new", "-key", "a.key", "-subj", "/CN=a.test", "-out", "a.csr"])
    (tmp_path / "more").write_text("subjectAltName=DNS:a.test\n1.2.3.4.5=critical,ASN1:UTF8String:hello\n")
    for extensions, told in (
        ([], "version 1, which says nothing of names: no client accepts it"),
        (["-extfile", "more"], "a critical extension that clients do not know (1.2.3.4.5)"),
    ):
        sign = ["openssl", "x509", "-req", "-in", "a.csr", "-signkey", "a.key", *extensions]
        (tmp_path / "a.pem").write_text(openssl(sign).stdout + issued.key_pem)
        what, hint = refused(tmp_path / "a.pem")
        assert told in what and "issued" in hint


def test_a_chain_in_the_wrong_order_is_found_out(tmp_path: Path) -> None:
    issued = BELOW.issue("a.test")
    file = tmp_path / "a.pem"
    file.write_text(BELOW.pem + issued.chain + issued.key_pem)
    assert refused(file) == (
        f"{file}: the certificate of the key is number 2 of the chain, not the first",
        "put it first, then who issued it, and so on",
    )
    file.write_text(issued.chain + Authority("Other").pem + issued.key_pem)
    assert refused(file)[0] == f"{file}: certificate 3 of the chain did not issue certificate 2"


def test_a_key_that_is_encrypted_broken_or_weak_is_refused_and_not_shown(tmp_path: Path) -> None:
    issued = AUTHORITY.issue("a.test")
    certificate, key = issued.write_apart(tmp_path, "a")
    key.write_bytes(
        issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    assert "is encrypted" in refused(certificate, key)[0]
    lines = issued.key_pem.splitlines()
    key.write_text("\n".join([lines[0], lines[1][:-8], lines[-1]]))
    what, hint = refused(certificate, key)
    assert what == f"{key}: the key cannot be read" and lines[1][:20] not in what + hint
    for weak, why in (
        (rsa.generate_private_key(65537, 1024), "an RSA key of 1024 bits"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
    ):
        file = AUTHORITY.issue("a.test", key=weak).write(tmp_path, "weak")
        assert why in refused(file)[0]


def test_an_expired_or_nameless_certificate_is_still_shown_with_a_warning(tmp_path: Path) -> None:
    old = PlannedCertificate(str(AUTHORITY.issue("a.test", days=-1).write(tmp_path, "old")))
    (found,) = Reader().read(old, NOW_S).certificates
    assert "the certificate has expired on " in str(found.doubts[0])
    nameless = PlannedCertificate(str(AUTHORITY.issue(subject="CN=a.test").write(tmp_path, "nameless")))
    (found,) = Reader().read(nameless, NOW_S).certificates
    assert "is for no name" in str(found.doubts[0])


def test_in_a_directory_certificates_and_keys_find_each_other(tmp_path: Path) -> None:
    AUTHORITY.issue("a.test").write(tmp_path, "together")
    _, key = BELOW.issue("b.test").write_apart(tmp_path, "b")
    key.rename(tmp_path / "something-else.key")
    below = tmp_path / "c.test"
    below.mkdir()
    chain, key = BELOW.issue("c.test").write_apart(below, "cert")
    chain.rename(below / "fullchain.pem")
    key.rename(below / "privkey.pem")
    (below / "chain.pem").write_text(BELOW.pem)
    (tmp_path / "notes.txt").write_text("-----BEGIN CERTIFICATE-----")
    found = Reader().read(PlannedCertificate(str(tmp_path)), NOW_S)
    assert sorted(it.names[0] for it in found.certificates) == ["a.test", "b.test", "c.test"]
    assert found.faults == ()


def test_a_broken_file_in_a_directory_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    AUTHORITY.issue("a.test").write(tmp_path, "a")
    lonely, key = AUTHORITY.issue("b.test").write_apart(tmp_path, "b")
    key.unlink()
    found = Reader().read(PlannedCertificate(str(tmp_path)), NOW_S)
    assert [it.names for it in found.certificates] == [("a.test",)]
    assert [str(it) for it in found.faults] == [
        f"{lonely}: no key in this directory belongs to the certificate"
    ]


def test_authorities_and_revocations_are_read_and_a_stale_list_is_refused(tmp_path: Path) -> None:
    file, crl = AUTHORITY.write(tmp_path), tmp_path / "crl.pem"
    crl.write_text(AUTHORITY.revoke(AUTHORITY.issue("a.test")))
    trusted = read_authorities([str(file)], [str(crl)], NOW_S)
    assert "BEGIN CERTIFICATE" in trusted.certificates and "BEGIN X509 CRL" in trusted.revoked
    crl.write_text(AUTHORITY.revoke(days=-1))
    with pytest.raises(CertificateRefused, match="out of date"):
        read_authorities([str(file)], [str(crl)], NOW_S)
    with pytest.raises(CertificateRefused, match="holds no certificate"):
        read_authorities([str(crl)], [], NOW_S)


def test_a_ticket_key_in_a_file_is_long_enough(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("0123456789abcdef\n")
    assert read_secret(str(file)) == "0123456789abcdef"
    file.write_text("short\n")
    with pytest.raises(CertificateRefused, match="at least 16 characters, this file has 5"):
        read_secret(str(file))


def test_what_has_not_changed_is_not_parsed_again(tmp_path: Path) -> None:
    source = PlannedCertificate(str(AUTHORITY.issue("a.test", key=make_key("rsa")).write(tmp_path, "a")))
    reader = Reader()
    assert reader.read(source, NOW_S).certificates[0] is reader.read(source, NOW_S).certificates[0]
