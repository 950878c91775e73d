"""What the checks believe → what the data plane is told. Pure."""

from collections.abc import Mapping

from bascule import contract
from bascule.health.prober import EndpointHealth
from bascule.plan.found import Found, FoundEndpoint
from bascule.plan.plan import Plan, PlannedCheck

Key = tuple[str, str]
"""Pool and endpoint."""


def targets_of(plan: Plan, found: Found) -> dict[Key, tuple[PlannedCheck, FoundEndpoint]]:
    """Every endpoint that is checked, and how."""
    return {
        (pool.id, endpoint.id): (pool.check, endpoint)
        for pool in plan.pools
        if pool.check is not None
        for endpoint in found.get(pool.id, ())
    }


def farewells(before: Found, after: Found) -> contract.Marks:
    """What takes back every mark of endpoints that are gone, so that the data plane may forget them."""
    there = {(pool, endpoint.id) for pool, endpoints in after.items() for endpoint in endpoints}
    return tuple(
        contract.Mark(pool, endpoint.id, up=True, draining=False)
        for pool, endpoints in before.items()
        for endpoint in endpoints
        if (pool, endpoint.id) not in there
    )


def marks_of(plan: Plan, found: Found, states: Mapping[Key, EndpointHealth]) -> contract.Marks:
    """The verdict on every endpoint, complete, so that no older mark lingers.

    An endpoint that was not checked before begins as its check says; one without a check is up,
    also when a check that has since been taken away had it down.
    """
    marks = []
    for pool in plan.pools:
        for endpoint in found.get(pool.id, ()):
            state = states.get((pool.id, endpoint.id))
            up = pool.check is None or (pool.check.initially_up if state is None else state.up)
            marks.append(contract.Mark(pool.id, endpoint.id, up=up))
    return tuple(marks)
