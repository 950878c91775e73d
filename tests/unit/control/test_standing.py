"""What operators, checks and agents say of an endpoint, put together."""

from dataclasses import replace
from fractions import Fraction

import pytest

from bascule import contract
from bascule.control.standing import HEAVIEST, Command, Standing
from bascule.health.agent import AgentWord
from bascule.health.duty import Duty

READY, DRAIN, MAINTENANCE = Duty.READY, Duty.DRAIN, Duty.MAINTENANCE


@pytest.mark.parametrize(
    ("operator", "agent", "both"),
    [
        (READY, READY, READY),
        (READY, DRAIN, DRAIN),
        (DRAIN, READY, DRAIN),
        (DRAIN, MAINTENANCE, MAINTENANCE),
        (MAINTENANCE, DRAIN, MAINTENANCE),
        (MAINTENANCE, READY, MAINTENANCE),
    ],
)
def test_an_endpoint_is_given_what_the_operator_and_the_agent_both_let_through(
    operator: Duty, agent: Duty, both: Duty
) -> None:
    assert Standing(1, command=Command(operator), agent=AgentWord(agent)).duty is both


@pytest.mark.parametrize(("check", "agent"), [(True, True), (True, False), (False, True), (False, False)])
def test_an_endpoint_is_up_when_its_check_and_its_agent_say_so(check: bool, agent: bool) -> None:
    assert Standing(1, up_by_check=check, agent=AgentWord(up=agent)).up is (check and agent)


def test_an_agent_asks_for_a_share_of_the_configured_weight_unless_the_operator_set_one() -> None:
    assert Standing(4).weight == 4
    assert Standing(3, agent=AgentWord(percent=50)).weight == Fraction(3, 2)
    assert Standing(3, command=Command(weight=7), agent=AgentWord(percent=50)).weight == 7
    assert Standing(3, command=Command(weight=0), agent=AgentWord(percent=50)).weight == 0


@pytest.mark.parametrize(
    ("standing", "weight"),
    [
        (Standing(1, scale=100), 100),
        (Standing(1, scale=100, agent=AgentWord(percent=75)), 75),
        (Standing(1, scale=100, agent=AgentWord(percent=0)), 0),
        (Standing(1, scale=1, agent=AgentWord(percent=1)), 1),
        (Standing(60_000, scale=1, agent=AgentWord(percent=200)), HEAVIEST),
        (Standing(1, scale=100, command=Command(weight=0)), 0),
        (Standing(1, scale=100, command=Command(weight=2)), 200),
    ],
)
def test_the_marked_weight_is_whole_and_zero_only_for_no_work(standing: Standing, weight: int) -> None:
    assert standing.mark("site", "a", with_weight=True).weight == weight


def test_a_mark_says_all_axes_at_once() -> None:
    standing = Standing(1, up_by_check=False, command=Command(DRAIN), load_permille=420)
    assert standing.mark("site", "a", with_weight=False) == contract.Mark(
        "site", "a", up=False, draining=True, weight=None, maintenance=False, load_permille=420
    )
    silent = replace(standing, load_is_silent=True).mark("site", "a", with_weight=False)
    assert (silent.up, silent.load_permille, silent.forget) == (False, None, True)
    mark = Standing(1, command=Command(MAINTENANCE)).mark("site", "a", with_weight=False)
    assert (mark.up, mark.draining, mark.maintenance) == (True, False, True)
