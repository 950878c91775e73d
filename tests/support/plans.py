"""Small plans for tests of what follows a plan."""

from bascule import contract
from bascule.plan.plan import Plan, PlannedAdmin, PlannedCheck, PlannedPool, PlannedSource


def plan_of(**pools: tuple[PlannedSource, ...]) -> Plan:
    """A plan with these pools and nothing else; each is given by its sources."""
    return Plan(
        listeners=(),
        pools=tuple(planned_pool(name, sources) for name, sources in pools.items()),
        access_log=None,
        admin=PlannedAdmin(None, None),
        threads=None,
        stop_grace_ms=30_000,
        log_level="info",
    )


def planned_pool(
    name: str, sources: tuple[PlannedSource, ...], check: PlannedCheck | None = None
) -> PlannedPool:
    """A pool with the defaults."""
    template = contract.Pool(
        id=name,
        algorithm=contract.Algorithm("least_busy", {}),
        endpoints=(),
        connect_ms=5_000,
        idle=contract.IdleConnections(256, 60_000),
        retries=contract.Retries(1, 20, 3),
        panic_percent=50,
    )
    return PlannedPool(name, template, sources, check)


def static(*addresses: str) -> PlannedSource:
    """A source of endpoints as the plan writes them."""
    return PlannedSource(
        "static", {"endpoints": [{"address": it, "weight": 1, "id": it} for it in addresses]}
    )


def planned_check(kind: str, options: dict[str, object] | None = None, **changes: int) -> PlannedCheck:
    """A check with the defaults: every 2 s, 1 s at most, rise 2, fall 3, initially up."""
    return PlannedCheck(
        kind,
        options or {},
        every_ms=changes.get("every_ms", 2_000),
        timeout_ms=changes.get("timeout_ms", 1_000),
        rise=changes.get("rise", 2),
        fall=changes.get("fall", 3),
        initially_up=bool(changes.get("initially_up", 1)),
    )
