"""What the checks believe, as marks."""

from dataclasses import replace

from tests.support.plans import plan_of, planned_check, planned_pool, static

from bascule import contract
from bascule.control.marks import farewells, marks_of, targets_of
from bascule.health.prober import EndpointHealth
from bascule.plan.found import FoundEndpoint
from bascule.plan.plan import Plan

DOWN = EndpointHealth(up=False, streak=0, reason="refused", since=0.0, last_checked=1.0)


def found(*names: str) -> tuple[FoundEndpoint, ...]:
    return tuple(FoundEndpoint(name, contract.TcpAddress(name), 1, None) for name in names)


def checked_plan(*, initially_up: bool) -> Plan:
    check = planned_check("tcp", initially_up=int(initially_up))
    return replace(plan_of(), pools=(planned_pool("site", (static(),), check),))


def test_an_endpoint_that_was_never_checked_begins_as_its_check_says() -> None:
    for initially_up in (True, False):
        marks = marks_of(checked_plan(initially_up=initially_up), {"site": found("a")}, {})
        assert marks == (contract.Mark("site", "a", up=initially_up),)


def test_a_verdict_counts_for_more_than_the_initial_state() -> None:
    marks = marks_of(checked_plan(initially_up=True), {"site": found("a", "b")}, {("site", "a"): DOWN})
    assert marks == (contract.Mark("site", "a", up=False), contract.Mark("site", "b", up=True))


def test_an_endpoint_whose_check_was_taken_away_is_up_again() -> None:
    marks = marks_of(plan_of(site=(static(),)), {"site": found("a")}, {("site", "a"): DOWN})
    assert marks == (contract.Mark("site", "a", up=True),)


def test_only_endpoints_that_are_gone_are_bidden_farewell() -> None:
    before, after = {"site": found("a", "b"), "old": found("a")}, {"site": found("b", "c")}
    assert farewells(before, after) == (
        contract.Mark("site", "a", up=True, draining=False),
        contract.Mark("old", "a", up=True, draining=False),
    )


def test_only_endpoints_of_pools_with_a_check_are_targets() -> None:
    plan = checked_plan(initially_up=True)
    assert list(targets_of(plan, {"site": found("a"), "other": found("b")})) == [("site", "a")]
    assert targets_of(plan_of(site=(static(),)), {"site": found("a")}) == {}
