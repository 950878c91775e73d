"""What a balancer is doing now, as one JSON document: for `bascule status`, dashboards and scripts. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from bascule import contract
from bascule.control.generations import Live
from bascule.health.prober import EndpointHealth
from bascule.observe.rates import QUIET, Key, Rates
from bascule.plan.found import FoundEndpoint
from bascule.plan.plan import PlannedPool


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was observed at one moment."""

    live: Live
    stats: contract.Stats
    health: Mapping[Key, EndpointHealth]
    rates: Mapping[Key, Rates]
    now: float
    """By the clock that `health` was noted with."""


def listeners(seen: Seen) -> list[dict[str, object]]:
    """In the order of the configuration, each with its addresses as they came out."""
    counted = {it.listener: it for it in seen.stats.listeners}
    return [
        {
            "listener": listener.id,
            "addresses": [
                bound.address or bound.asked
                for bound in seen.live.receipt.binds
                if bound.listener == listener.id
            ],
            **_numbers(counted.get(listener.id, contract.ListenerStats(listener.id))),
        }
        for listener in seen.live.snapshot.listeners
    ]


def pools(seen: Seen) -> list[dict[str, object]]:
    """In the order of the configuration, each with its endpoints and what is believed about them."""
    counted = {(it.pool, it.endpoint): it for it in seen.stats.endpoints}
    return [_pool(pool, seen, counted) for pool in seen.live.plan.pools]


def _pool(pool: PlannedPool, seen: Seen, counted: Mapping[Key, contract.EndpointStats]) -> dict[str, object]:
    endpoints = [
        _endpoint(pool, found, seen, counted.get((pool.id, found.id)))
        for found in seen.live.found.get(pool.id, ())
    ]
    return {
        "pool": pool.id,
        "algorithm": pool.template.algorithm.name,
        "check": pool.check.kind if pool.check is not None else None,
        "up": sum(1 for endpoint in endpoints if endpoint["up"]),
        "endpoints": endpoints,
    }


def _endpoint(
    pool: PlannedPool, found: FoundEndpoint, seen: Seen, counted: contract.EndpointStats | None
) -> dict[str, object]:
    rates = seen.rates.get((pool.id, found.id), QUIET)
    described: dict[str, object] = {
        "endpoint": found.id,
        "name": found.host,
        "up": counted.up if counted is not None else True,
        "draining": counted.draining if counted is not None else False,
        "weight": counted.weight if counted is not None else found.weight,
        **_health(seen.health.get((pool.id, found.id)), seen.now),
        "requests_per_s": round(rates.requests_per_s, 1),
        "errors_per_s": round(rates.errors_per_s, 1),
        "p50_us": rates.p50_us,
        "p99_us": rates.p99_us,
    }
    if counted is not None:
        described |= {
            "in_flight": counted.in_flight,
            "picked": counted.picked,
            "connects": counted.connects,
            "connect_failures": counted.connect_failures,
            "retried": counted.retried,
            "idle": counted.idle,
        }
    return described


def _health(health: EndpointHealth | None, now: float) -> dict[str, object]:
    if health is None:
        return {"reason": "no check", "changed_s_ago": None, "checked_s_ago": None}
    checked = health.last_checked
    return {
        "reason": health.reason,
        "changed_s_ago": round(now - health.since, 1),
        "checked_s_ago": round(now - checked, 1) if checked is not None else None,
    }


def _numbers(counted: contract.ListenerStats) -> dict[str, object]:
    return {
        "accepted": counted.accepted,
        "open": counted.open,
        "requests": counted.requests,
        "in_flight": counted.in_flight,
    }
