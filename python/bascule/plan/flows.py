"""Layer 4 of the model → that of the contract: what listeners pass on as it is, and how pools treat it."""

from dataclasses import replace

from bascule import contract
from bascule.config.carried import routes_of_flows
from bascule.config.model import Listener, Pool, Route, Udp
from bascule.config.routes import RouteTimeouts
from bascule.plan.protecting import plan_rate_limits

SECOND = 1000
TCP_IDLE = 3600 * SECOND
UDP_IDLE = 30 * SECOND
PROBE = 60 * SECOND


def plan_flows(listener: Listener, ids: list[str], passthrough_ids: list[str]) -> contract.Flows:
    """Where the flows of a listener go; its pool is its last route. `ids` are the names of all routes."""
    if listener.protocol == "http" and not listener.passthrough:
        return contract.Flows()
    taken = frozenset((*ids, *passthrough_ids))
    routes = routes_of_flows(listener)
    probe = PROBE if listener.probe is None else listener.probe
    return contract.Flows(
        routes=tuple(_route(listener, *each, taken) for each in zip(routes, ids, strict=False)),
        passthrough=tuple(
            _route(listener, *each, taken) for each in zip(listener.passthrough, passthrough_ids, strict=True)
        ),
        probe_ms=None if probe == 0 or listener.protocol == "udp" else probe,
        udp=_udp(listener.udp),
    )


def for_flows(pool: Pool, template: contract.Pool) -> contract.Pool:
    """A pool whose traffic is flows: what is learned from answers does not apply."""
    protection = template.protection
    algorithm = template.algorithm
    if "algorithm" not in pool.model_fields_set:
        algorithm = contract.Algorithm("least_busy", {})
    learned = isinstance(protection.limit, contract.LearnedLimit)
    ejection = protection.ejection
    return replace(
        template,
        algorithm=algorithm,
        idle=contract.IdleConnections(0, template.idle.timeout_ms),
        retries=replace(template.retries, statuses=(), try_limit=contract.NoTryLimit()),
        protection=replace(
            protection,
            limit=contract.NoLimit() if learned else protection.limit,
            ejection=None if ejection is None else replace(ejection, slowness_percent=None),
            hedge=None,
        ),
        flows=contract.PoolFlows(
            hold_ms=pool.hold or 0,
            on_down=pool.on_down or "keep",
            drain_ms=pool.drain,
            transparent=bool(pool.transparent),
        ),
    )


def _route(listener: Listener, route: Route, route_id: str, taken: frozenset[str]) -> contract.FlowRoute:
    assert route.pool is not None, "the rules demand it"
    given = route.timeouts.model_fields_set
    usual = UDP_IDLE if listener.protocol == "udp" else TCP_IDLE
    return contract.FlowRoute(
        id=route_id,
        server_names=route.match.sni,
        alpn=route.match.alpn,
        clients=route.match.client,
        pool=route.pool,
        limits=(
            *plan_rate_limits(listener, "listener", taken),
            *plan_rate_limits(route, route_id, taken),
        ),
        priority=route.priority,
        idle_ms=route.timeouts.idle if "idle" in given else listener.timeouts.idle or usual,
        total_ms=_total(route.timeouts, listener),
    )


def _total(timeouts: RouteTimeouts, listener: Listener) -> int | None:
    return timeouts.total if "total" in timeouts.model_fields_set else listener.timeouts.total


def _udp(udp: Udp | None) -> contract.Udp:
    return contract.Udp() if udp is None else contract.Udp(udp.responses, udp.flows, udp.quic)
