"""Step 4: plan + the endpoints found just now → snapshot. Never refuses: a plan always composes."""

from dataclasses import replace

from bascule import contract
from bascule.plan.found import Found, FoundEndpoint
from bascule.plan.plan import Plan


def compose(plan: Plan, found: Found, generation: int) -> contract.Snapshot:
    """All that the data plane needs to know. Equal arguments give equal snapshots.

    A pool for which nothing was found has no endpoints, and answers 503. Of several endpoints with one
    id the first counts. What was found for pools that are not in the plan is left out.
    """
    return contract.Snapshot(
        contract=contract.CONTRACT_VERSION,
        generation=generation,
        listeners=plan.listeners,
        pools=tuple(
            replace(pool.template, endpoints=_endpoints(found.get(pool.id, ()))) for pool in plan.pools
        ),
        access_log=plan.access_log,
        stores=plan.stores,
    )


def _endpoints(found: tuple[FoundEndpoint, ...]) -> tuple[contract.Endpoint, ...]:
    unique: dict[str, contract.Endpoint] = {}
    for each in found:
        unique.setdefault(
            each.id,
            contract.Endpoint(each.id, each.address, each.weight, each.tier, each.zone, each.limit),
        )
    return tuple(unique.values())
