"""When certificates are ordered: pure decisions on any time."""

from hypothesis import given
from hypothesis import strategies as st

from bascule import contract
from bascule.acme.renewal import (
    DAY,
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    LONGEST_WISH_S,
    Advice,
    Record,
    due_at,
    pause_s,
    renew_at,
)
from bascule.certificates.certificate import Certificate


def certificate(identity: str = "c", begins: float = 0, ends: float = 90 * DAY) -> Certificate:
    return Certificate(
        id=identity,
        file="f",
        key_file="f",
        names=("a.example",),
        kind="ecdsa",
        not_before=int(begins),
        not_after=int(ends),
        issuer="",
        serial="1",
        material=contract.CertificateMaterial(identity, "", contract.Secret("")),
    )


@given(st.text(max_size=8), st.integers(60, 10_000_000))
def test_it_is_renewed_at_two_thirds_of_its_life_or_a_little_before(identity: str, life: int) -> None:
    at = renew_at(certificate(identity, 1000, 1000 + life), Record())
    assert life * (2 / 3 - 1 / 30) - 1 <= at - 1000 <= life * 2 / 3


def test_those_that_were_ordered_together_are_not_renewed_together() -> None:
    times = {renew_at(certificate(str(number)), Record()) for number in range(50)}
    assert len(times) == 50 and max(times) - min(times) > DAY


def test_the_authority_can_ask_for_it_earlier_but_never_later() -> None:
    shown = certificate()
    earlier = Record().after_advice(shown, Advice(5 * DAY, 0))
    assert renew_at(shown, earlier) == 5 * DAY
    later = Record().after_advice(shown, Advice(80 * DAY, 0))
    assert renew_at(shown, later) == renew_at(shown, Record())
    assert renew_at(certificate("other"), earlier) > 50 * DAY, "the advice was about another one"


@given(st.integers(1, 1000), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_pauses_grow_up_to_a_day_and_are_never_shorter_than_asked_for(
    failures: int, luck: float, asked: float | None
) -> None:
    pause = pause_s(failures, luck, asked)
    assert pause >= min(asked or 0, LONGEST_WISH_S)
    assert pause >= min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S) * 3 / 4
    if asked is None:
        assert pause <= LONGEST_PAUSE_S


def test_four_tries_fit_into_the_first_hour() -> None:
    begins, count = 0.0, 0
    while begins < 3600:
        count += 1
        begins += pause_s(count, 0, None)
    assert count == 4


def test_a_failure_holds_back_the_settings_that_have_failed_and_no_others() -> None:
    record = Record().after_failure(1000, "why", "these", 300)
    assert due_at(None, record, "these") == 1300
    assert due_at(None, record, "others") == 0
    assert record.after_failure(2000, "why", "these", 600).failures == 2
    assert record.after_failure(2000, "why", "others", 300).failures == 1


def test_what_was_just_got_is_not_ordered_again_at_once_whatever_the_clocks_and_the_authority_say() -> None:
    got = 85 * DAY
    record = Record(got_at=got).after_advice(certificate(), Advice(0, 0))
    assert due_at(certificate(), record, "any") == got + 3600


def test_without_a_certificate_it_is_due_at_once() -> None:
    assert due_at(None, Record(), "any") == 0
