"""What the status says of endpoints and pools, and in which words."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.plans import plan_of, planned_check, planned_pool, static

from bascule import contract
from bascule.control.generations import Live
from bascule.control.standing import Command, Standing
from bascule.control.troubles import Ejection
from bascule.health.agent import AgentWord
from bascule.health.duty import Duty
from bascule.health.prober import EndpointHealth
from bascule.health.reports import Report
from bascule.observe import status
from bascule.observe.endpoint_status import Known, describe
from bascule.observe.rates import QUIET
from bascule.plan.compose import compose
from bascule.plan.found import FoundEndpoint

UP = EndpointHealth(up=True, streak=0, reason="http check passed", since=10.0, last_checked=98.0)
DOWN = EndpointHealth(up=False, streak=0, reason="HTTP 503 from GET /", since=40.0, last_checked=99.0)
FOUND = FoundEndpoint("10.0.0.1:8000", contract.TcpAddress("10.0.0.1:8000"), 1, None)
COUNTED = contract.EndpointStats("site", "10.0.0.1:8000", True, False, 1, 0, 0, 0, 0, 0, 0)


def known(**changes: Any) -> Known:
    given: dict[str, Any] = {
        "found": FOUND,
        "standing": Standing(1),
        "counted": COUNTED,
        "health": UP,
        "agent": None,
        "load": None,
        "ejection": None,
        "rates": QUIET,
        "now": 100.0,
    }
    return Known(**{**given, **changes})


@pytest.mark.parametrize(
    ("counted", "state"),
    [
        ({}, "up"),
        ({"draining": True}, "draining"),
        ({"ejected": True}, "ejected"),
        ({"ejected": True, "draining": True}, "ejected"),
        ({"up": False, "ejected": True, "draining": True}, "down"),
        ({"up": False, "maintenance": True}, "maintenance"),
    ],
)
def test_of_several_states_the_one_that_lets_the_least_through_is_told(
    counted: dict[str, Any], state: str
) -> None:
    assert describe(known(counted=replace(COUNTED, **counted)))["state"] == state


EJECTED = replace(COUNTED, ejected=True)
ROW = Ejection("5 failures in a row", 10_000)
DRAINED = Standing(1, command=Command(Duty.DRAIN))


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (known(), "http check passed"),
        (known(health=None), "no check"),
        (known(health=DOWN), "HTTP 503 from GET /"),
        (known(counted=EJECTED, ejection=ROW), "up by its check, ejected by traffic: 5 failures in a row"),
        (known(counted=EJECTED), "up by its check, ejected by traffic"),
        (
            known(counted=EJECTED, ejection=ROW, health=None),
            "no check, ejected by traffic: 5 failures in a row",
        ),
        (
            known(counted=EJECTED, ejection=ROW, health=DOWN),
            "HTTP 503 from GET /; ejected by traffic: 5 failures in a row",
        ),
        (known(ejection=ROW), "http check passed"),
        (known(standing=DRAINED), "draining by command; http check passed"),
        (
            known(standing=Standing(1, command=Command(Duty.MAINTENANCE)), health=None),
            "in maintenance by command; no check",
        ),
        (
            known(standing=Standing(1, agent=AgentWord(Duty.DRAIN))),
            "draining as its agent says; http check passed",
        ),
        (
            known(standing=replace(DRAINED, agent=AgentWord(Duty.MAINTENANCE))),
            "in maintenance as its agent says; http check passed",
        ),
        (
            known(standing=Standing(1, agent=AgentWord(up=False, reason="disk full"))),
            "down as its agent says: disk full; http check passed",
        ),
        (
            known(standing=Standing(1, command=Command(weight=0))),
            "no new work at weight 0 by command; http check passed",
        ),
        (
            known(standing=Standing(1, agent=AgentWord(percent=0))),
            "no new work at weight 0 as its agent says; http check passed",
        ),
    ],
)
def test_everybody_who_has_a_say_in_it_is_named(seen: Known, reason: str) -> None:
    assert describe(seen)["reason"] == reason


def test_weights_are_told_as_a_configuration_writes_them() -> None:
    standing = Standing(1, scale=100, agent=AgentWord(percent=75))
    assert describe(known(standing=standing, counted=replace(COUNTED, weight=75)))["weight"] == 0.75
    assert describe(known(standing=standing, counted=replace(COUNTED, weight=300)))["weight"] == 3


def test_an_agent_and_a_load_are_told_with_what_is_wrong_with_them() -> None:
    agent = Report(AgentWord(Duty.DRAIN, up=False, percent=50, reason="disk full"), "refused", 90.0)
    told = describe(known(agent=agent, load=Report(420, None, 99.5)))
    assert told["agent"] == {
        "state": "drain",
        "up": False,
        "weight_percent": 50,
        "reason": "disk full",
        "problem": "refused",
        "heard_s_ago": 10.0,
    }
    assert told["load"] == {"permille": 420, "problem": None, "heard_s_ago": 0.5}
    assert describe(known())["agent"] is None


def test_what_was_learned_and_counted_of_an_endpoint_is_told() -> None:
    counted = replace(COUNTED, limit=16, learned_limit=12, pace_us=20_000, failures=7, ejections=2)
    told = describe(known(counted=counted))
    assert {name: told[name] for name in ("limit", "learned_limit", "pace_us", "failures", "ejections")} == {
        "limit": 16,
        "learned_limit": 12,
        "pace_us": 20_000,
        "failures": 7,
        "ejections": 2,
    }


NOTHING = status.Noted({}, {}, {}, {}, {}, 100.0)


def test_what_the_requests_of_a_pool_met_is_told() -> None:
    plan = replace(plan_of(), pools=(planned_pool("site", (static(),), planned_check("tcp")),))
    found = {"site": (FOUND,)}
    receipt = contract.Receipt(1, 1, "", (), ())
    live = Live(plan, found, compose(plan, found, 1), receipt, 0.0)
    pool = contract.PoolStats(
        "site",
        waiting=1,
        queued=2,
        shed=3,
        overloaded=True,
        hedged=4,
        hedges_won=5,
        retries_denied=6,
        sessions_kept=7,
        sessions_moved=8,
        sessions_refused=9,
        sessions_remembered=10,
        mirrored=11,
    )
    seen = status.Seen(live, contract.Stats(pools=(pool,)), NOTHING, {}, {"site": 0.25})
    (told,) = status.pools(seen)
    endpoints = told.pop("endpoints")
    assert told == {
        "pool": "site",
        "algorithm": "least_busy",
        "check": "tcp",
        "up": 1,
        "waiting": 1,
        "queued": 2,
        "shed": 3,
        "shed_per_s": 0.2,
        "overloaded": True,
        "hedged": 4,
        "hedges_won": 5,
        "retries_denied": 6,
        "sessions": {"kept": 7, "moved": 8, "refused": 9, "remembered": 10},
        "mirrored": 11,
    }
    assert [it["endpoint"] for it in endpoints] == ["10.0.0.1:8000"]
    with pytest.raises(KeyError):
        status.endpoint(seen, ("site", "10.0.0.2:8000"))


def test_agents_that_give_no_usable_answer_are_one_problem_for_each_pool() -> None:
    well, ill = Report(AgentWord(), None, 1.0), Report(AgentWord(), "refused", None)
    agents = {("site", "a"): well, ("site", "b"): ill, ("site", "c"): ill, ("api", "a"): ill}
    noted = replace(NOTHING, agents=agents, loads={("api", "a"): Report(None, "HTTP 404", None)})
    assert status.problems(noted) == [
        "pool site: 2 of 3 agents give no usable answer: b: refused",
        "pool api: 1 of 1 agents give no usable answer: a: refused",
        "pool api: 1 of 1 load URLs give no usable answer: a: HTTP 404",
    ]
