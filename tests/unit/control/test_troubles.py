"""Why endpoints are ejected and stores are silent, for whoever looks later."""

from bascule import contract
from bascule.control.troubles import MOST_REMEMBERED, Ejection, Troubles


def test_why_an_endpoint_was_ejected_is_known_until_it_is_restored() -> None:
    troubles = Troubles()
    troubles.hear(contract.Ejected("site", "a", "5 failures in a row", 10_000))
    troubles.hear(contract.Ejected("site", "a", "it failed again when it was tried", 20_000))
    troubles.hear(contract.Ejected("site", "b", "5 failures in a row", 10_000))
    assert troubles.ejections()["site", "a"] == Ejection("it failed again when it was tried", 20_000)
    troubles.hear(contract.Restored("site", "a"))
    assert list(troubles.ejections()) == [("site", "b")]


def test_endpoints_that_never_come_back_do_not_fill_the_memory() -> None:
    troubles = Troubles()
    for number in range(MOST_REMEMBERED + 10):
        troubles.hear(contract.Ejected("site", f"e{number}", "5 failures in a row", 10_000))
    assert len(troubles.ejections()) == MOST_REMEMBERED
    assert ("site", "e9") not in troubles.ejections()
    assert ("site", f"e{MOST_REMEMBERED + 9}") in troubles.ejections()


def test_a_store_is_a_problem_until_it_answers() -> None:
    troubles = Troubles()
    troubles.hear(contract.StoreFailed("shared", "connection refused"))
    assert troubles.problems() == [
        "store shared does not answer: connection refused; requests go on without it"
    ]
    troubles.hear(contract.StoreRecovered("shared"))
    assert troubles.problems() == []
