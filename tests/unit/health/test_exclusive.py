"""Of those that pass a check which only one may pass, one is up at most."""

from hypothesis import given
from hypothesis import strategies as some

from bascule.health.exclusive import claims, seat
from bascule.health.verdict import Verdict

PASSES = Verdict(up=True)
FAILS = Verdict(up=False)
FAILED_ONCE = Verdict(up=True, streak=1)
PASSED_ONCE = Verdict(up=False, streak=1)
UNASKED = Verdict(up=False, is_guess=True)


def up(verdicts: dict[str, Verdict], sitting: str | None = None) -> list[str]:
    return [name for name, it in seat(verdicts, sitting).items() if it.up]


def test_a_single_claimant_is_up() -> None:
    assert up({"a": PASSES, "b": FAILS, "c": FAILS}) == ["a"]


def test_of_two_claimants_none_is_up_and_the_reason_names_both() -> None:
    seats = seat({"a": PASSES, "b": PASSES, "c": FAILS}, "a")
    said = "a and b pass a check that only one may pass: none of them is used"
    assert [(it.up, it.reason) for it in seats.values()] == [(False, said), (False, said), (False, None)]


def test_one_that_failed_when_it_was_last_asked_is_no_claimant() -> None:
    assert up({"a": FAILED_ONCE, "b": PASSES}, "a") == ["b"]


def test_one_that_is_forgiven_a_failure_stays_while_nobody_else_claims() -> None:
    assert up({"a": FAILED_ONCE, "b": FAILS}, "a") == ["a"]


def test_one_that_begins_to_pass_ends_the_others_time_before_it_is_up_itself() -> None:
    assert up({"a": PASSES, "b": PASSED_ONCE}, "a") == []
    assert up({"a": FAILED_ONCE, "b": PASSED_ONCE}, "a") == []


def test_nobody_comes_up_before_everybody_was_asked() -> None:
    seats = seat({"a": PASSES, "b": UNASKED}, None)
    assert seats["a"].reason == "passes, but b has not been asked yet, and only one may pass"
    assert up({"a": PASSES, "b": UNASKED}) == []


def test_one_that_is_up_stays_when_another_is_found() -> None:
    assert up({"a": PASSES, "b": UNASKED}, "a") == ["a"]


verdicts = some.dictionaries(
    some.sampled_from("abcd"),
    some.builds(Verdict, up=some.booleans(), streak=some.integers(0, 2), is_guess=some.booleans()),
)


@given(verdicts, some.sampled_from([None, *"abcd"]))
def test_two_are_never_up_and_whoever_is_up_is_believed_to_pass(
    verdicts: dict[str, Verdict], sitting: str | None
) -> None:
    chosen = up(verdicts, sitting)
    assert len(chosen) <= 1
    assert all(verdicts[it].up for it in chosen)
    claimants = [name for name, it in verdicts.items() if claims(it)]
    if len(claimants) > 1:
        assert not chosen
    if any(it.is_guess for it in verdicts.values()):
        return
    if len(claimants) == 1 and verdicts[claimants[0]].up:
        assert chosen == claimants
