"""Which endpoints there are, who is asked about each, and what is said when one is gone."""

from dataclasses import replace

from tests.support.plans import plan_of, planned_check, planned_pool, static

from bascule import contract
from bascule.control.marks import checked, farewells, places_of, with_agent, with_load
from bascule.plan.found import FoundEndpoint
from bascule.plan.plan import Plan, PlannedAgent, PlannedLoad, PlannedPool

AGENT = PlannedAgent(9707, None, every_ms=2_000, timeout_ms=1_000, send=None)
LOAD = PlannedLoad("/load", every_ms=2_000, timeout_ms=1_000)


def found(*names: str, weight: int = 1) -> tuple[FoundEndpoint, ...]:
    return tuple(FoundEndpoint(name, contract.TcpAddress(name), weight, None) for name in names)


def plan_with(*pools: PlannedPool) -> Plan:
    return replace(plan_of(), pools=pools)


def test_every_endpoint_of_the_plan_has_a_place_and_no_other() -> None:
    plan = plan_of(site=(static(),), api=(static(),))
    places = places_of(plan, {"api": found("a"), "site": found("a", "b"), "old": found("c")})
    assert list(places) == [("site", "a"), ("site", "b"), ("api", "a")]


def test_of_several_endpoints_with_one_id_the_first_counts() -> None:
    twice = (*found("a", weight=3), *found("a", weight=5))
    assert places_of(plan_of(site=(static(),)), {"site": twice})["site", "a"].endpoint.weight == 3


def test_only_who_has_a_check_an_agent_or_a_load_url_is_asked() -> None:
    plain = planned_pool("plain", (static(),))
    plan = plan_with(
        plain,
        replace(plain, id="checked", check=planned_check("tcp")),
        replace(plain, id="agent", agent=AGENT),
        replace(plain, id="load", load=LOAD),
    )
    places = places_of(plan, {pool.id: found("a") for pool in plan.pools})
    assert list(checked(places)) == [("checked", "a")]
    assert list(with_agent(places)) == [("agent", "a")]
    assert list(with_load(places)) == [("load", "a")]


def test_marked_weights_are_larger_only_where_agents_ask_for_shares_of_them() -> None:
    plain = planned_pool("plain", (static(),))
    plan = plan_with(plain, replace(plain, id="agent", agent=AGENT), replace(plain, id="heavy", agent=AGENT))
    places = places_of(
        plan,
        {
            "plain": found("a"),
            "agent": (*found("a"), *found("b", weight=5)),
            "heavy": (*found("a"), *found("b", weight=30_000)),
        },
    )
    assert {key: it.scale for key, it in places.items()} == {
        ("plain", "a"): 1,
        ("agent", "a"): 100,
        ("agent", "b"): 100,
        ("heavy", "a"): 2,
        ("heavy", "b"): 2,
    }


def test_only_endpoints_that_are_gone_are_bidden_farewell() -> None:
    before, after = {"site": found("a", "b"), "old": found("a")}, {"site": found("b", "c")}
    assert farewells(before, after) == (
        contract.Mark("site", "a", forget=True),
        contract.Mark("old", "a", forget=True),
    )
