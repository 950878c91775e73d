"""What a balancer is doing now, as one JSON document: for `bascule status`, dashboards and scripts. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bascule import contract
from bascule.control.generations import Live
from bascule.control.standing import Standing
from bascule.control.troubles import Ejection
from bascule.health.agent import AgentWord
from bascule.health.prober import EndpointHealth
from bascule.health.reports import Report
from bascule.observe.endpoint_status import Known, describe
from bascule.observe.rates import QUIET, Key, Rates
from bascule.plan.found import FoundEndpoint
from bascule.plan.plan import PlannedPool


@dataclass(frozen=True, slots=True)
class Noted:
    """What the control plane itself knows of endpoints, at one moment."""

    standings: Mapping[Key, Standing]
    health: Mapping[Key, EndpointHealth]
    agents: Mapping[Key, Report[AgentWord]]
    loads: Mapping[Key, Report[int | None]]
    ejections: Mapping[Key, Ejection]
    now: float
    """By the clock that all of it was noted with."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was observed at one moment."""

    live: Live
    stats: contract.Stats
    noted: Noted
    rates: Mapping[Key, Rates]
    shed_per_s: Mapping[str, float]
    """By pool."""


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
            **(_handshakes(counted.get(listener.id)) if listener.tls is not None else {}),
        }
        for listener in seen.live.snapshot.listeners
    ]


def pools(seen: Seen) -> list[dict[str, Any]]:
    """In the order of the configuration, each with its endpoints and what is believed about them."""
    endpoints = {(it.pool, it.endpoint): it for it in seen.stats.endpoints}
    counted = {it.pool: it for it in seen.stats.pools}
    return [
        _pool(pool, seen, endpoints, counted.get(pool.id, contract.PoolStats(pool.id)))
        for pool in seen.live.plan.pools
    ]


def endpoint(seen: Seen, key: Key) -> dict[str, object]:
    """One endpoint that is live. Raises `KeyError` for others."""
    counted = {(it.pool, it.endpoint): it for it in seen.stats.endpoints}
    for pool in seen.live.plan.pools:
        for found in seen.live.found.get(pool.id, ()) if pool.id == key[0] else ():
            if found.id == key[1]:
                return {"pool": pool.id, **describe(_known(pool, found, seen, counted.get(key)))}
    raise KeyError(key)


def problems(noted: Noted) -> list[str]:
    """Agents and load URLs that say nothing which can be used, one line for each pool."""
    kinds: tuple[tuple[str, Mapping[Key, Report[Any]]], ...] = (
        ("agents", noted.agents),
        ("load URLs", noted.loads),
    )
    return [line for what, reports in kinds for line in _unusable(what, reports)]


def _unusable(what: str, reports: Mapping[Key, Report[Any]]) -> Iterator[str]:
    asked = Counter(pool for pool, _ in reports)
    silent: dict[str, list[str]] = {}
    for (pool, endpoint), report in reports.items():
        if report.problem is not None:
            silent.setdefault(pool, []).append(f"{endpoint}: {report.problem}")
    for pool, those in silent.items():
        yield f"pool {pool}: {len(those)} of {asked[pool]} {what} give no usable answer: {those[0]}"


def _pool(
    pool: PlannedPool,
    seen: Seen,
    endpoints: Mapping[Key, contract.EndpointStats],
    counted: contract.PoolStats,
) -> dict[str, Any]:
    described = [
        describe(_known(pool, found, seen, endpoints.get((pool.id, found.id))))
        for found in seen.live.found.get(pool.id, ())
    ]
    return {
        "pool": pool.id,
        "algorithm": pool.template.algorithm.name,
        "check": pool.check.kind if pool.check is not None else None,
        "up": sum(1 for endpoint in described if endpoint["up"]),
        "waiting": counted.waiting,
        "queued": counted.queued,
        "shed": counted.shed,
        "shed_per_s": round(seen.shed_per_s.get(pool.id, 0.0), 1),
        "overloaded": counted.overloaded,
        "hedged": counted.hedged,
        "hedges_won": counted.hedges_won,
        "retries_denied": counted.retries_denied,
        "sessions": {
            "kept": counted.sessions_kept,
            "moved": counted.sessions_moved,
            "refused": counted.sessions_refused,
            "remembered": counted.sessions_remembered,
        },
        "mirrored": counted.mirrored,
        "endpoints": described,
    }


def _known(
    pool: PlannedPool, found: FoundEndpoint, seen: Seen, counted: contract.EndpointStats | None
) -> Known:
    key, noted = (pool.id, found.id), seen.noted
    standing = noted.standings.get(key, Standing(found.weight))
    return Known(
        found=found,
        standing=standing,
        counted=counted or _uncounted(pool.id, found.id, found.weight * standing.scale),
        health=noted.health.get(key),
        agent=noted.agents.get(key),
        load=noted.loads.get(key),
        ejection=noted.ejections.get(key),
        rates=seen.rates.get(key, QUIET),
        now=noted.now,
    )


def _uncounted(pool: str, endpoint: str, weight: int) -> contract.EndpointStats:
    """An endpoint that the data plane has not counted yet: up, and idle."""
    return contract.EndpointStats(
        pool,
        endpoint,
        up=True,
        draining=False,
        weight=weight,
        in_flight=0,
        picked=0,
        connects=0,
        connect_failures=0,
        retried=0,
        idle=0,
    )


def _numbers(counted: contract.ListenerStats) -> dict[str, object]:
    return {
        "accepted": counted.accepted,
        "open": counted.open,
        "requests": counted.requests,
        "in_flight": counted.in_flight,
        "tunnels": counted.tunnels,
        "flows": counted.flows,
    }


def _handshakes(counted: contract.ListenerStats | None) -> dict[str, object]:
    counted = counted or contract.ListenerStats()
    return {
        "tls": {
            "handshakes": counted.handshakes,
            "resumed": counted.resumed,
            "failed": {it.reason: it.count for it in counted.failed_handshakes},
        }
    }
