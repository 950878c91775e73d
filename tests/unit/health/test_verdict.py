"""Outcomes add up to verdicts."""

from hypothesis import given
from hypothesis import strategies as st

from bascule.health.verdict import Verdict


def believe(up: bool, outcomes: tuple[bool, ...], *, rise: int = 2, fall: int = 3) -> Verdict:
    verdict = Verdict(up=up)
    for passed in outcomes:
        verdict = verdict.after(passed, rise=rise, fall=fall)
    return verdict


def test_one_success_forgives_earlier_failures() -> None:
    assert believe(True, (False, False, True, False, False)).up


def test_an_endpoint_falls_with_the_last_of_fall_failures_in_a_row() -> None:
    assert believe(True, (False, False)) == Verdict(up=True, streak=2)
    assert believe(True, (False, False, False)) == Verdict(up=False)


def test_an_endpoint_rises_with_the_last_of_rise_passes_in_a_row() -> None:
    assert believe(False, (True, False, True)) == Verdict(up=False, streak=1)
    assert believe(False, (True, False, True, True)) == Verdict(up=True)


def test_with_rise_and_fall_of_one_the_latest_outcome_is_the_verdict() -> None:
    assert believe(True, (False,), fall=1) == Verdict(up=False)
    assert believe(False, (True,), rise=1) == Verdict(up=True)


@given(st.booleans(), st.booleans(), st.integers(1, 5), st.integers(1, 5))
def test_the_first_outcome_of_all_decides_alone(up: bool, passed: bool, rise: int, fall: int) -> None:
    assert Verdict(up=up, is_guess=True).after(passed, rise=rise, fall=fall) == Verdict(up=passed)


@given(st.booleans(), st.lists(st.booleans()).map(tuple), st.integers(1, 5), st.integers(1, 5))
def test_a_verdict_is_what_the_longest_recent_run_says(
    up: bool, outcomes: tuple[bool, ...], rise: int, fall: int
) -> None:
    verdict = believe(up, outcomes, rise=rise, fall=fall)
    run = 0
    for passed in reversed(outcomes):
        if passed == verdict.up:
            break
        run += 1
    assert verdict.streak == run < (fall if verdict.up else rise)
