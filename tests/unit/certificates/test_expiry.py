"""The end of a certificate is told 30, 7 and 1 days before, once each."""

from pathlib import Path

from tests.support.certificates import NOW, Authority

from bascule.certificates.certificate import Certificate
from bascule.certificates.expiry import DAY_S, Served, Warnings, in_words
from bascule.certificates.read import Reader
from bascule.plan.plan import PlannedCertificate


def lasting(folder: Path, days: float) -> Certificate:
    file = Authority().issue("a.test", days=days).write(folder, "a")
    return Reader().read(PlannedCertificate(str(file)), NOW.timestamp()).certificates[0]


def test_each_warning_is_said_once(tmp_path: Path) -> None:
    served, warnings = [Served("listener web", lasting(tmp_path, 40))], Warnings()
    said = []
    for day in range(42):
        said += [(day, days) for _, days in warnings.due(served, NOW.timestamp() + day * DAY_S + 1)]
    assert said == [(10, 30), (33, 7), (39, 1), (40, 0)]


def test_a_renewed_certificate_is_not_warned_of(tmp_path: Path) -> None:
    warnings, now = Warnings(), NOW.timestamp()
    assert warnings.due([Served("listener web", lasting(tmp_path, 5))], now)
    assert warnings.due([Served("listener web", lasting(tmp_path, 90))], now) == []


def test_words_name_owner_name_file_and_day(tmp_path: Path) -> None:
    served = Served("listener web", lasting(tmp_path, 5.5))
    words = in_words(served, NOW.timestamp())
    assert words.startswith(
        f"listener web: the certificate for a.test ({tmp_path}/a.pem) expires in 5 days, on "
    )
    assert "has expired on" in in_words(served, NOW.timestamp() + 6 * DAY_S)
