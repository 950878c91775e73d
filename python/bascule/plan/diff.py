"""What changes between two plans, in words."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Protocol, TypeVar

from bascule import contract
from bascule.plan.plan import Plan, PlannedPool
from bascule.units import format_duration, format_percent, format_size


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=_Identified)


def describe(old: Plan | None, new: Plan) -> list[str]:
    """One line for each change, and for each listener without one. Without `old`: everything that begins."""
    return [
        *_listeners(old.listeners if old else (), new.listeners),
        *_pools(old.pools if old else (), new.pools),
        *(_settings(old, new) if old else ()),
    ]


def _listeners(old: Sequence[contract.Listener], new: Sequence[contract.Listener]) -> Iterator[str]:
    before, after = _by_id(old), _by_id(new)
    for name, listener in after.items():
        if name not in before:
            yield f"listener {name}: added, on {_listed(_binds(listener))}"
        elif listener == before[name]:
            yield f"listener {name}: unchanged (keeps its socket and connections)"
        else:
            yield from _listener(before[name], listener)
    yield from (f"listener {name}: removed; its connections drain" for name in before if name not in after)


def _listener(old: contract.Listener, new: contract.Listener) -> Iterator[str]:
    opened = [bind for bind in _binds(new) if bind not in _binds(old)]
    closed = [bind for bind in _binds(old) if bind not in _binds(new)]
    if opened:
        yield f"listener {new.id}: opens {_listed(opened)}"
    if closed:
        yield f"listener {new.id}: closes {_listed(closed)}; its connections drain"
    for part in ("timeouts", "limits", "forwarded"):
        for change in _differences(getattr(old, part), getattr(new, part)):
            yield f"listener {new.id}: {part}.{change}"
    yield from _routes(new.id, old.routes, new.routes)


def _routes(listener: str, old: Sequence[contract.Route], new: Sequence[contract.Route]) -> Iterator[str]:
    before, after = _by_id(old), _by_id(new)
    for name, route in after.items():
        if name not in before:
            yield f"route {listener}/{name}: added; {_does(route.action)}"
        elif route != before[name]:
            yield from _route(listener, before[name], route)
    yield from (f"route {listener}/{name}: removed" for name in before if name not in after)
    kept = [name for name in before if name in after]
    if kept != [name for name in after if name in before]:
        yield f"listener {listener}: its routes are tried in another order"


def _route(listener: str, old: contract.Route, new: contract.Route) -> Iterator[str]:
    where = f"route {listener}/{new.id}"
    if old.action != new.action:
        yield f"{where}: now {_does(new.action)}"
    changed = {
        "matches differently": old.matchers != new.matchers,
        "rewrites the path differently": old.rewrite != new.rewrite,
        "changes other request headers": old.request_headers != new.request_headers,
        "changes other response headers": old.response_headers != new.response_headers,
    }
    yield from (f"{where}: {words}" for words, differs in changed.items() if differs)
    yield from (f"{where}: timeouts.{change}" for change in _differences(old.timeouts, new.timeouts))


def _pools(old: Sequence[PlannedPool], new: Sequence[PlannedPool]) -> Iterator[str]:
    before, after = _by_id(old), _by_id(new)
    for name, pool in after.items():
        if name not in before:
            yield f"pool {name}: added, with {_found_by(pool)}"
        elif pool != before[name]:
            yield from _pool(before[name], pool)
    yield from (f"pool {name}: removed; its exchanges finish" for name in before if name not in after)


def _pool(old: PlannedPool, new: PlannedPool) -> Iterator[str]:
    where = f"pool {new.id}"
    one, other = old.template, new.template
    if one.algorithm != other.algorithm:
        yield f"{where}: algorithm {one.algorithm.name} → {other.algorithm.name}{_options(other.algorithm)}"
    yield from (f"{where}: {change}" for change in _endpoints(_written(old), _written(new)))
    searched = [source for source in new.sources if source.kind != "static"]
    if searched != [source for source in old.sources if source.kind != "static"]:
        yield f"{where}: endpoints are now found by {_found_by(new)}"
    if old.check != new.check:
        yield f"{where}: {_check(old, new)}"
    for part in ("idle", "retries"):
        yield from (
            f"{where}: {part}.{change}" for change in _differences(getattr(one, part), getattr(other, part))
        )
    yield from (f"{where}: {change}" for change in _differences(one, other, ("connect_ms", "panic_percent")))


def _endpoints(
    old: Mapping[str, Mapping[str, object]], new: Mapping[str, Mapping[str, object]]
) -> Iterator[str]:
    for name, endpoint in new.items():
        if name not in old:
            yield f"endpoint {name} added"
        elif endpoint["address"] != old[name]["address"]:
            yield f"endpoint {name} moves from {old[name]['address']} to {endpoint['address']}"
        elif endpoint["weight"] != old[name]["weight"]:
            yield f"endpoint {name} weight {old[name]['weight']} → {endpoint['weight']}"
    yield from (f"endpoint {name} removed; its exchanges finish" for name in old if name not in new)


def _check(old: PlannedPool, new: PlannedPool) -> str:
    if new.check is None:
        return "is no longer checked; all its endpoints count as up"
    return f"is now checked ({new.check.kind})" if old.check is None else "is checked differently"


def _settings(old: Plan, new: Plan) -> Iterator[str]:
    if old.access_log != new.access_log:
        yield f"access log: {_log(old.access_log)} → {_log(new.access_log)}"
    if old.log_level != new.log_level:
        yield f"log level: {old.log_level} → {new.log_level}"
    if old.stop_grace_ms != new.stop_grace_ms:
        yield f"stop: grace {format_duration(old.stop_grace_ms)} → {format_duration(new.stop_grace_ms)}"


def _written(pool: PlannedPool) -> dict[str, Mapping[str, object]]:
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
    return _listed(parts) or "no endpoints"


def _does(action: contract.Action) -> str:
    if isinstance(action, contract.PoolAction):
        return f"sends to pool {action.pool}"
    if isinstance(action, contract.SplitAction):
        return f"sends to pools {', '.join(f'{it.pool} ({it.weight})' for it in action.shares)}"
    if isinstance(action, contract.RedirectAction):
        return f"redirects ({action.status}) to {action.location}"
    return f"answers {action.status}"


def _differences(old: object, new: object, only: tuple[str, ...] | None = None) -> Iterator[str]:
    """Field by field, for records of numbers and words; named and written as in a configuration."""
    for name in only or tuple(field.name for field in fields(new)):  # type: ignore[arg-type]
        one, other = getattr(old, name), getattr(new, name)
        if one != other:
            word, _, unit = name.rpartition("_")
            form = _UNITS.get(unit)
            yield f"{word if form else name}: {_value(one, form)} → {_value(other, form)}"


_UNITS = {"ms": format_duration, "bytes": format_size, "percent": format_percent}


def _value(value: object, form: Callable[[int], str] | None) -> str:
    if isinstance(value, tuple):
        return _listed(map(str, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return form(value) if form is not None and isinstance(value, int) else str(value)


def _options(algorithm: contract.Algorithm) -> str:
    return f" {dict(algorithm.options)}" if algorithm.options else ""


def _log(log: contract.AccessLog | None) -> str:
    return "off" if log is None else f"{log.format} to {log.path or 'standard output'}"


def _binds(listener: contract.Listener) -> list[str]:
    return [
        bind.address if isinstance(bind, contract.TcpBind) else f"unix:{bind.path} ({bind.mode:o})"
        for bind in listener.binds
    ]


def _by_id(items: Iterable[Item]) -> dict[str, Item]:
    return {item.id: item for item in items}


def _listed(items: Iterable[str]) -> str:
    return ", ".join(items)
