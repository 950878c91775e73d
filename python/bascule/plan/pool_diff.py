"""What changes between the pools of two plans, in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bascule import contract
from bascule.plan.differences import by_id, differences, in_words, part
from bascule.plan.plan import PlannedPool, PlannedPoolTls
from bascule.units import format_duration


def describe_pools(old: Sequence[PlannedPool], new: Sequence[PlannedPool]) -> Iterator[str]:
    """One line for each change of a pool."""
    before, after = by_id(old), by_id(new)
    for name, pool in after.items():
        if name not in before:
            yield f"pool {name}: added, with {_found_by(pool)}"
        elif pool != before[name]:
            yield from (f"pool {name}: {change}" for change in _pool(before[name], pool))
    yield from (f"pool {name}: removed; its exchanges finish" for name in before if name not in after)


def _pool(old: PlannedPool, new: PlannedPool) -> Iterator[str]:
    one, other = old.template, new.template
    if one.algorithm != other.algorithm:
        yield f"algorithm {one.algorithm.name} → {other.algorithm.name}{_options(other.algorithm)}"
    yield from _endpoints(_written(old), _written(new))
    searched = [source for source in new.sources if source.kind != "static"]
    if searched != [source for source in old.sources if source.kind != "static"]:
        yield f"endpoints are now found by {_found_by(new)}"
    yield from _asked(old, new)
    for name in ("idle", "retries"):
        yield from (f"{name}.{change}" for change in differences(getattr(one, name), getattr(other, name)))
    yield from differences(one, other, ("connect_ms", "panic_percent"))
    yield from _protection(one.protection, other.protection)
    yield from _sessions(one.sessions, other.sessions)
    if one.spread.subset != other.spread.subset:
        yield f"subset: {_subset(one.spread.subset)} → {_subset(other.spread.subset)}"
    yield from differences(one, other, ("load_reports", "protocol"))
    yield from differences(one.flows, other.flows)
    if old.tls != new.tls:
        yield _tls(old.tls, new.tls)


def _tls(old: PlannedPoolTls | None, new: PlannedPoolTls | None) -> str:
    if new is None:
        return "endpoints are no longer spoken to over TLS"
    return "endpoints are spoken to over TLS" if old is None else "TLS to endpoints differs"


def _endpoints(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, endpoint in new.items():
        if name not in old:
            yield f"endpoint {name} added"
            continue
        if endpoint["address"] != old[name]["address"]:
            yield f"endpoint {name} moves from {old[name]['address']} to {endpoint['address']}"
        for key in ("weight", "tier", "zone", "limit"):
            one, other = old[name].get(key), endpoint.get(key)
            if one != other:
                yield f"endpoint {name} {key} {in_words(one)} → {in_words(other)}"
    yield from (f"endpoint {name} removed; its exchanges finish" for name in old if name not in new)


def _asked(old: PlannedPool, new: PlannedPool) -> Iterator[str]:
    """How endpoints are checked, and what else they or their agents are asked."""
    if old.check != new.check:
        yield _check(old, new)
    if old.agent is not None and new.agent is None:
        yield "its agents are no longer asked"
    elif old.agent is None and new.agent is not None:
        yield f"its agents are now asked, on port {new.agent.port}"
    else:
        yield from part("agent", old.agent, new.agent)
    if old.load is not None and new.load is None:
        yield "its endpoints are no longer asked for their load"
    elif old.load is None and new.load is not None:
        yield f"its endpoints are now asked for their load, at {new.load.path}"
    else:
        yield from part("load", old.load, new.load)


def _check(old: PlannedPool, new: PlannedPool) -> str:
    if new.check is None:
        return "is no longer checked; all its endpoints count as up"
    return f"is now checked ({new.check.kind})" if old.check is None else "is checked differently"


def _protection(old: contract.Protection, new: contract.Protection) -> Iterator[str]:
    yield from differences(old, new, ("limit",))
    for name in ("queue", "ejection", "hedge"):
        yield from part(name, getattr(old, name), getattr(new, name))
    if old.slow_start_ms != new.slow_start_ms:
        yield f"slow_start: {_or_off(old.slow_start_ms)} → {_or_off(new.slow_start_ms)}"


def _sessions(old: contract.Sessions | None, new: contract.Sessions | None) -> Iterator[str]:
    if old == new:
        return
    if old is None or new is None or _known_by(old.by) != _known_by(new.by):
        yield f"sessions: {_sessions_in_words(old)} → {_sessions_in_words(new)}"
    elif isinstance(old.by, contract.BySessionCookie) and isinstance(new.by, contract.BySessionCookie):
        yield from _cookie(old.by.cookie, new.by.cookie)
    elif (table := _table(new.by)) is not None:
        yield from (f"sessions.{change}" for change in differences(_table(old.by), table))
    if old is not None and new is not None:
        yield from (f"sessions.{change}" for change in differences(old, new, ("strict",)))


def _cookie(old: contract.IssuedCookie, new: contract.IssuedCookie) -> Iterator[str]:
    if old.keys != new.keys:
        kept = any(key in new.keys for key in old.keys)
        yield f"sessions.keys: other keys{'' if kept else '; its sessions end'}"
    for change in differences(old, new):
        if not change.startswith("keys:"):
            yield f"sessions.{change}"


def _table(by: contract.SessionBy) -> contract.SessionTable | None:
    return None if isinstance(by, contract.BySessionCookie) else by.table


def _known_by(by: contract.SessionBy) -> str:
    match by:
        case contract.BySessionCookie():
            return "cookie of ours"
        case contract.ByLearnedCookie(cookie):
            return f"learned cookie {cookie}"
        case contract.ByKey(key):
            return in_words(key)


def _sessions_in_words(sessions: contract.Sessions | None) -> str:
    return "none" if sessions is None else f"by {_known_by(sessions.by)}"


def _subset(subset: contract.Subset | None) -> str:
    return "none" if subset is None else f"{subset.size} endpoints (balancer {subset.balancer})"


def _or_off(milliseconds: int | None) -> str:
    return "off" if milliseconds is None else format_duration(milliseconds)


def _written(pool: PlannedPool) -> dict[str, Mapping[str, Any]]:
    """The endpoints that the configuration itself lists, by id."""
    listed = [source.options["endpoints"] for source in pool.sources if source.kind == "static"]
    return {str(each["id"]): each for part in listed if isinstance(part, list) for each in part}


def _found_by(pool: PlannedPool) -> str:
    count = len(_written(pool))
    parts = [f"{count} endpoint{'s' if count != 1 else ''}"] if count else []
    parts += [
        f"{source.kind} {source.options.get('name') or source.options.get('path') or ''}".rstrip()
        for source in pool.sources
        if source.kind != "static"
    ]
    return ", ".join(parts) or "no endpoints"


def _options(algorithm: contract.Algorithm) -> str:
    return f" {dict(algorithm.options)}" if algorithm.options else ""
