"""What authorities are answered, and for how long."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from cryptography import x509
from tests.unit.acme.conftest import EPOCH, Run

from bascule.acme.answers import LASTS_S, Answer, are_shown
from bascule.acme.proof import challenge_certificate


def put(folder: Path, answer: Answer) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{answer.token}.json"
    file.write_text(json.dumps(asdict(answer)))
    return file


async def test_what_a_dead_balancer_has_left_behind_is_not_answered_for_ever(run: Run) -> None:
    folder = run.storage().challenges
    answer = Answer("http-01", "a.example", "token", "proof", EPOCH + 100)
    file = put(folder, answer)
    (folder / "odd.json").write_text("{")
    run.keepers.answers.look_in(folder)
    await run.keepers.answers.look()
    assert are_shown([answer], run.snapshot())
    await run.clock.advance(101)
    await run.keepers.answers.look()
    assert not are_shown([answer], run.snapshot())
    await run.clock.advance(LASTS_S + 1)
    await run.keepers.answers.look()
    assert not file.exists()


async def test_a_challenge_certificate_is_the_same_as_long_as_it_is_wanted(run: Run) -> None:
    folder = run.storage().challenges
    answer = Answer("tls-alpn-01", "a.example", "token", "proof", EPOCH + 100)
    put(folder, answer)
    run.keepers.answers.look_in(folder)
    await run.keepers.answers.look()
    assert run.snapshot() == run.snapshot() and are_shown([answer], run.snapshot())


def test_a_challenge_certificate_is_as_rfc_8737_wants_it() -> None:
    made = challenge_certificate("a.example", "token.thumbprint", EPOCH)
    certificate = x509.load_pem_x509_certificate(made.chain.encode())
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternatives.get_values_for_type(x509.DNSName) == ["a.example"]
    extension = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31"))
    assert extension.critical
    digest = hashlib.sha256(b"token.thumbprint").digest()
    assert extension.value.public_bytes() == b"\x04\x20" + digest
