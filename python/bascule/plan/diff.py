"""What changes between two plans, in words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bascule import contract
from bascule.config.protection_values import format_permille
from bascule.plan.differences import by_id, differences, in_words
from bascule.plan.plan import Plan, PlannedAcme, PlannedListenerTls
from bascule.plan.pool_diff import describe_pools
from bascule.units import format_duration


def describe(old: Plan | None, new: Plan) -> list[str]:
    """One line for each change, and for each listener without one. Without `old`: everything that begins.

    Secrets are not in it, only that they are others.
    """
    return [
        *_listeners(old.listeners if old else (), new.listeners),
        *_tls(old.tls if old else {}, new.tls),
        *_acme(old.acme if old else None, new.acme),
        *describe_pools(old.pools if old else (), new.pools),
        *_stores(old.stores if old else (), new.stores),
        *(_settings(old, new) if old else ()),
    ]


def _listeners(old: Sequence[contract.Listener], new: Sequence[contract.Listener]) -> Iterator[str]:
    before, after = by_id(old), by_id(new)
    for name, listener in after.items():
        if name not in before:
            yield f"listener {name}: added, on {_listed(_binds(listener))}"
        elif listener == before[name]:
            yield f"listener {name}: unchanged (keeps its socket and connections)"
        else:
            yield from _listener(before[name], listener)
    yield from (f"listener {name}: removed; its connections drain" for name in before if name not in after)


def _tls(old: Mapping[str, PlannedListenerTls], new: Mapping[str, PlannedListenerTls]) -> Iterator[str]:
    for name, tls in new.items():
        if name not in old:
            yield f"listener {name}: speaks TLS"
        elif tls != old[name]:
            yield f"listener {name}: speaks TLS differently; open connections stay as they are"
    yield from (f"listener {name}: no longer speaks TLS" for name in old if name not in new)


def _acme(old: PlannedAcme | None, new: PlannedAcme | None) -> Iterator[str]:
    before, after = (it.orders if it is not None else () for it in (old, new))
    yield from (f"certificate for {', '.join(it)}: ordered" for it in after if it not in before)
    yield from (f"certificate for {', '.join(it)}: no longer renewed" for it in before if it not in after)
    if old is not None and new is not None:
        ours = ("directory", "email", "storage", "challenge", "dns_hook", "dns_wait_ms", "ca", "account")
        changed = [each for each in ours if getattr(old, each) != getattr(new, each)]
        yield from (f"acme: {each.removesuffix('_ms')} differs" for each in changed)


def _listener(old: contract.Listener, new: contract.Listener) -> Iterator[str]:
    opened = [bind for bind in _binds(new) if bind not in _binds(old)]
    closed = [bind for bind in _binds(old) if bind not in _binds(new)]
    if opened:
        yield f"listener {new.id}: opens {_listed(opened)}"
    if closed:
        yield f"listener {new.id}: closes {_listed(closed)}; its connections drain"
    for part in ("timeouts", "limits", "forwarded", "http2"):
        for change in differences(getattr(old, part), getattr(new, part)):
            yield f"listener {new.id}: {part}.{change}"
    if old.carries != new.carries:
        yield f"listener {new.id}: carries {new.carries.upper()}, no longer {old.carries.upper()}"
    yield from _routes(new.id, old.routes, new.routes)
    yield from _flows(new.id, old.flows, new.flows)


def _flows(listener: str, old: contract.Flows, new: contract.Flows) -> Iterator[str]:
    yield from (f"listener {listener}: {change}" for change in differences(old, new, ("probe_ms",)))
    yield from (f"listener {listener}: udp.{change}" for change in differences(old.udp, new.udp))
    for some, others in ((old.routes, new.routes), (old.passthrough, new.passthrough)):
        before, after = by_id(some), by_id(others)
        for name, route in after.items():
            if name not in before:
                yield f"flow {listener}/{name}: added; sends to pool {route.pool}"
            elif route != before[name]:
                yield from (f"flow {listener}/{name}: {change}" for change in _flow(before[name], route))
        yield from (f"flow {listener}/{name}: removed" for name in before if name not in after)


def _flow(old: contract.FlowRoute, new: contract.FlowRoute) -> Iterator[str]:
    conditions = ("server_names", "alpn", "clients")
    if any(getattr(old, each) != getattr(new, each) for each in conditions):
        yield "matches differently"
    yield from differences(old, new, ("pool", "priority", "idle_ms", "total_ms"))
    yield from _rate_limits(old.limits, new.limits)


def _routes(listener: str, old: Sequence[contract.Route], new: Sequence[contract.Route]) -> Iterator[str]:
    before, after = by_id(old), by_id(new)
    for name, route in after.items():
        if name not in before:
            yield f"route {listener}/{name}: added; {_does(route.action)}"
        elif route != before[name]:
            yield from (f"route {listener}/{name}: {change}" for change in _route(before[name], route))
    yield from (f"route {listener}/{name}: removed" for name in before if name not in after)
    kept = [name for name in before if name in after]
    if kept != [name for name in after if name in before]:
        yield f"listener {listener}: its routes are tried in another order"


def _route(old: contract.Route, new: contract.Route) -> Iterator[str]:
    if old.action != new.action:
        yield f"now {_does(new.action)}"
    changed = {
        "matches differently": old.matchers != new.matchers,
        "rewrites the path differently": old.rewrite != new.rewrite,
        "changes other request headers": old.request_headers != new.request_headers,
        "changes other response headers": old.response_headers != new.response_headers,
    }
    yield from (words for words, differs in changed.items() if differs)
    yield from (f"timeouts.{change}" for change in differences(old.timeouts, new.timeouts))
    yield from differences(old, new, ("priority",))
    if old.mirror != new.mirror:
        yield _mirrors(new.mirror)
    yield from _rate_limits(old.limits, new.limits)


def _mirrors(mirror: contract.Mirror | None) -> str:
    if mirror is None:
        return "is no longer mirrored"
    return f"now mirrors {format_permille(mirror.permille)} of its requests to pool {mirror.pool}"


def _rate_limits(old: Sequence[contract.RateLimit], new: Sequence[contract.RateLimit]) -> Iterator[str]:
    before, after = by_id(old), by_id(new)
    for name, limit in after.items():
        if name not in before:
            yield f"rate limit {name}: added, {_rate(limit)}"
        elif limit != before[name]:
            yield f"rate limit {name}: {_rate(before[name])} → {_rate(limit)}"
    yield from (f"rate limit {name}: removed" for name in before if name not in after)


def _rate(limit: contract.RateLimit) -> str:
    by = "" if limit.by is None else f" by {in_words(limit.by)}"
    store = "" if limit.store is None else f", counted in {limit.store}"
    return f"{limit.requests} in {format_duration(limit.per_ms)}{by} (burst {limit.burst}{store})"


def _stores(old: Sequence[contract.Store], new: Sequence[contract.Store]) -> Iterator[str]:
    before, after = by_id(old), by_id(new)
    for name, store in after.items():
        if name not in before:
            yield f"store {name}: added, at {in_words(store.address)}"
            continue
        yield from (f"store {name}: {change}" for change in differences(before[name], store))
    yield from (f"store {name}: removed" for name in before if name not in after)


def _settings(old: Plan, new: Plan) -> Iterator[str]:
    if old.access_log != new.access_log:
        yield f"access log: {_log(old.access_log)} → {_log(new.access_log)}"
    if old.log_level != new.log_level:
        yield f"log level: {old.log_level} → {new.log_level}"
    if old.stop_grace_ms != new.stop_grace_ms:
        yield f"stop: grace {format_duration(old.stop_grace_ms)} → {format_duration(new.stop_grace_ms)}"
    if old.pools and new.pools and _zone(old) != _zone(new):
        yield f"zone: {in_words(_zone(old))} → {in_words(_zone(new))}"


def _zone(plan: Plan) -> str | None:
    """Where the balancer is: the same for all of its pools."""
    return plan.pools[0].template.spread.zone


def _does(action: contract.Action) -> str:
    if isinstance(action, contract.PoolAction):
        return f"sends to pool {action.pool}"
    if isinstance(action, contract.SplitAction):
        return f"sends to pools {', '.join(f'{it.pool} ({it.weight})' for it in action.shares)}"
    if isinstance(action, contract.RedirectAction):
        return f"redirects ({action.status}) to {action.location}"
    return f"answers {action.status}"


def _log(log: contract.AccessLog | None) -> str:
    return "off" if log is None else f"{log.format} to {log.path or 'standard output'}"


def _binds(listener: contract.Listener) -> list[str]:
    return [_bind(bind) for bind in listener.binds]


def _bind(bind: contract.Bind) -> str:
    match bind:
        case contract.TcpBind(address):
            return address
        case contract.UdpBind(address):
            return f"udp:{address}"
        case contract.UnixBind(path, mode):
            return f"unix:{path} ({mode:o})"


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)
