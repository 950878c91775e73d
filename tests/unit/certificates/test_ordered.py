"""Certificates that are ordered, as their store finds them: not yet, there, broken, elsewhere."""

import time
from pathlib import Path

from tests.support.certificates import Authority
from tests.unit.acme.conftest import plan_of

from bascule.certificates.gather import NOTHING, Gathered, Gathering
from bascule.config.effective import portable
from bascule.config.model import Config
from bascule.plan.plan import Plan

AUTHORITY = Authority()
OLD, NEW = AUTHORITY.issue("a.example"), AUTHORITY.issue("a.example")


def gathered(plan: Plan, before: Gathered = NOTHING) -> Gathered:
    return Gathering(before, time.time()).gather(plan)


def file_of(plan: Plan) -> Path:
    (planned,) = plan.tls["secure"].certificates
    return Path(planned.certificate)


def shown(found: Gathered) -> list[str]:
    return [each.certificate.serial for each in found.served]


def put(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def test_what_is_not_there_yet_is_no_fault_and_nothing_is_shown(tmp_path: Path) -> None:
    found = gathered(plan_of(tmp_path, "a.example"))
    tls = found.held.listeners["secure"]
    assert (tls.certificates, tls.defaults, found.faults) == ((), (), ())


def test_it_is_shown_once_it_is_there_and_kept_when_its_file_breaks(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "a.example")
    put(file_of(plan), NEW.chain + NEW.key_pem)
    first = gathered(plan)
    assert shown(first) == [f"{NEW.certificate.serial_number:x}"]
    assert first.held.listeners["secure"].defaults
    put(file_of(plan), "broken")
    after = gathered(plan, first)
    assert shown(after) == shown(first) and len(after.faults) == 1
    assert shown(gathered(plan)) == [], "a broken file keeps nothing from starting: it is ordered anew"


def test_until_another_authority_has_issued_the_old_one_is_shown(tmp_path: Path) -> None:
    before = plan_of(tmp_path, "a.example")
    put(file_of(before), OLD.chain + OLD.key_pem)
    after = plan_of(tmp_path, "a.example", directory="https://other.example/directory")
    assert file_of(after) != file_of(before)
    assert shown(gathered(after)) == [f"{OLD.certificate.serial_number:x}"]
    put(file_of(after), NEW.chain + NEW.key_pem)
    assert shown(gathered(after)) == [f"{NEW.certificate.serial_number:x}"]


def test_a_configuration_that_is_printed_has_no_secret_and_absolute_paths() -> None:
    config = Config.model_validate(
        {
            "acme": {
                "terms_agreed": True,
                "storage": "store",
                "external_account": {"key_id": "k", "hmac_key": "c2VjcmV0"},
            }
        }
    )
    acme = portable(config, defaults=False)["acme"]
    assert Path(acme["storage"]).is_absolute() and acme["external_account"]["hmac_key"] == "…"
