"""For development: an authority made on the spot, and what it issues."""

import stat
from pathlib import Path

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from tests.support.certificates import NOW

from bascule.certificates.self_signed import issue

NOW_S = NOW.timestamp()


def test_clients_that_trust_the_authority_accept_the_certificate(tmp_path: Path) -> None:
    issued = issue(["localhost", "127.0.0.1", "*.a.test"], tmp_path / "tls", NOW_S)
    authority = x509.load_pem_x509_certificate((tmp_path / "tls" / "ca.pem").read_bytes())
    leaf = x509.load_pem_x509_certificate(issued.material.chain.encode())
    for name in ("localhost", "x.a.test"):
        PolicyBuilder().store(Store([authority])).time(NOW).build_server_verifier(x509.DNSName(name)).verify(
            leaf, []
        )


def test_the_authority_is_kept_and_nobody_else_can_read_its_key(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    issue(["localhost"], folder, NOW_S)
    kept = (folder / "ca.pem").read_bytes()
    issue(["other.test"], folder, NOW_S)
    assert (folder / "ca.pem").read_bytes() == kept
    assert stat.S_IMODE((folder / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_authority_that_is_about_to_end_is_made_anew(tmp_path: Path) -> None:
    issue(["localhost"], tmp_path, NOW_S)
    kept = (tmp_path / "ca.pem").read_bytes()
    issue(["localhost"], tmp_path, NOW_S + 3600 * 86_400)
    assert (tmp_path / "ca.pem").read_bytes() != kept
