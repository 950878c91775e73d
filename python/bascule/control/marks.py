"""Which endpoints there are, who is asked about each, and what is said when one is gone. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from bascule import contract
from bascule.control.standing import scale_of
from bascule.plan.found import Found, FoundEndpoint
from bascule.plan.plan import Plan, PlannedAgent, PlannedCheck, PlannedLoad, PlannedPool

Key = tuple[str, str]
"""Pool and endpoint."""

Asked = TypeVar("Asked", PlannedCheck, PlannedAgent, PlannedLoad)
Targets = Mapping[Key, tuple[Asked, FoundEndpoint]]
"""Who is asked, and how."""


@dataclass(frozen=True, slots=True)
class Place:
    """One endpoint within its pool."""

    pool: PlannedPool
    endpoint: FoundEndpoint
    scale: int
    """By how much marked weights are larger than those configured."""


Places = Mapping[Key, Place]
"""Every endpoint of every pool, in the order of the plan."""


def places_of(plan: Plan, found: Found) -> Places:
    """Every endpoint that was found for a pool of the plan."""
    places: dict[Key, Place] = {}
    for pool in plan.pools:
        endpoints = found.get(pool.id, ())
        scale = scale_of([it.weight for it in endpoints], has_agents=pool.agent is not None)
        for endpoint in endpoints:
            # Of several with one id the first counts, as in the snapshot.
            places.setdefault((pool.id, endpoint.id), Place(pool, endpoint, scale))
    return places


def checked(places: Places) -> Targets[PlannedCheck]:
    """Every endpoint that is checked, and how."""
    return {key: (check, it.endpoint) for key, it in places.items() if (check := it.pool.check) is not None}


def with_agent(places: Places) -> Targets[PlannedAgent]:
    """Every endpoint whose agent is asked, and how."""
    return {key: (agent, it.endpoint) for key, it in places.items() if (agent := it.pool.agent) is not None}


def with_load(places: Places) -> Targets[PlannedLoad]:
    """Every endpoint that is asked how busy it is, and how."""
    return {key: (load, it.endpoint) for key, it in places.items() if (load := it.pool.load) is not None}


def farewells(before: Found, after: Found) -> contract.Marks:
    """What takes back every mark of endpoints that are gone, so that the data plane may forget them."""
    there = {(pool, endpoint.id) for pool, endpoints in after.items() for endpoint in endpoints}
    return tuple(
        contract.Mark(pool, endpoint.id, forget=True)
        for pool, endpoints in before.items()
        for endpoint in endpoints
        if (pool, endpoint.id) not in there
    )
