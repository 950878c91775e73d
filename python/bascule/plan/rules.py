"""What may not be: everything that makes no sense together although each part is well written.

A rule looks at the whole configuration and yields what is wrong. `RULES` is the list.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bascule import contract
from bascule.config.messages import did_you_mean
from bascule.config.model import Config, Match, Route
from bascule.config.places import Path, Span
from bascule.config.problems import Problem
from bascule.plan import acme_rules, binds, flow_rules, pool_rules, protection_rules, tls_rules

Rule = Callable[[Config, contract.Catalog], Iterator[Problem]]

MOST_HEAD = 1 << 20
LEAST_HEAD = 512


def problems(config: Config, catalog: contract.Catalog) -> list[Problem]:
    """What every rule finds."""
    return [problem for rule in RULES for problem in rule(config, catalog)]


def something_listens(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A balancer without a listener does nothing."""
    if not config.listeners:
        at = config.places.key(("listeners",))
        yield at.problem(
            "no listener is defined", "add one: listeners: {web: {bind: 127.0.0.1:8080, pool: …}}"
        )


def listeners_have_routes(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A listener that sends nothing anywhere would answer 404 to everything."""
    for name, listener in config.listeners.items():
        if not listener.routes and listener.pool is None and listener.redirect_to_https is None:
            at = config.places.key(("listeners", name))
            yield at.problem(
                f'listener "{name}" has no routes', "add routes, or `pool: …` to send everything to one pool"
            )


def pools_exist(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A route names a pool that is defined."""
    for sent in _sends(config):
        if sent.pool not in config.pools:
            what = f'{sent.sender} sends traffic to pool "{sent.pool}", which is not defined'
            yield sent.at.problem(what, _pool_hint(config, sent.pool))


def pools_are_used(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A pool that nothing sends to is checked and resolved for nothing; often a name is wrong elsewhere."""
    used = {sent.pool for sent in _sends(config)}
    for name in config.pools:
        if name not in used:
            at = config.places.key(("pools", name))
            yield at.problem(
                f'pool "{name}" is not used by any route', "send a route to it, or remove it", "warning"
            )


def routes_are_reachable(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A route behind one that takes everything, or the same, is never reached."""
    for name, listener in config.listeners.items():
        seen: dict[str, int] = {}
        everything: int | None = None
        for at, route in enumerate(listener.routes):
            path = ("listeners", name, "routes", at)
            match = route.match.model_dump_json()
            before = everything if everything is not None else seen.get(match)
            if before is not None:
                yield _unreachable(config, path, before, f"route {_called(route, at)}")
            seen.setdefault(match, at)
            if everything is None and route.match == Match():
                everything = at
        if everything is not None and listener.pool is not None:
            yield _unreachable(config, ("listeners", name, "pool"), everything, "the pool of the listener")


def route_names_are_unique(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Metrics and logs tell routes of a listener apart by their names."""
    for name, listener in config.listeners.items():
        first: dict[str, Path] = {}
        for at, route in enumerate(listener.routes):
            path = ("listeners", name, "routes", at, "name")
            if route.name is None:
                continue
            if route.name in first:
                hint = f"first at {config.places.value(first[route.name]).place}; give it another name"
                what = f'two routes of listener "{name}" are called "{route.name}"'
                yield config.places.value(path).problem(what, hint)
            first.setdefault(route.name, path)


def edits_have_an_effect(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Nothing is forwarded by a route that answers itself: nothing is rewritten, copied or waits."""
    for name, listener in config.listeners.items():
        for at, route in enumerate(listener.routes):
            path = ("listeners", name, "routes", at)
            if route.pool is not None or route.split is not None:
                continue
            for key in ("rewrite", "request_headers", "mirror", "priority"):
                if getattr(route, key) != type(route).model_fields[key].default:
                    place = config.places.key((*path, key))
                    what = f"`{key}` has no effect on a route that answers itself"
                    yield place.problem(what, "remove it, or send the route to a pool")


def head_limits_fit(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A head is held in memory while it arrives, and its first line is part of it."""
    for name, listener in config.listeners.items():
        limits, path = listener.limits, ("listeners", name, "limits")
        if not LEAST_HEAD <= limits.head <= MOST_HEAD:
            what = "the limit of a head is from 512B to 1MiB"
            yield config.places.value((*path, "head")).problem(
                what, "each connection may need that much memory"
            )
        elif limits.target > limits.head:
            place, whole = config.places.find((*path, "target"))
            span = place.value if whole else config.places.value((*path, "head"))
            yield span.problem(
                "the limit of the target is larger than that of the head it is part of",
                "raise `head`, or lower `target`",
            )
        elif limits.target < 1:
            yield config.places.value((*path, "target")).problem("the limit of the target is at least 1B")


def trust_is_limited(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Trusting the whole Internet lets every client choose the address that endpoints see."""
    for name, listener in config.listeners.items():
        for at, network in enumerate(listener.forwarded.trusted):
            if network.endswith("/0"):
                place = config.places.value(("listeners", name, "forwarded", "trusted", at))
                what = f"{network} trusts every client to say who it is"
                yield place.problem(what, "list the networks of your own proxies only", "warning")


def binds_do_not_clash(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """One address is accepted on once."""
    by_port: dict[str, list[binds.Used]] = {}
    for used in binds.of(config):
        earlier = by_port.setdefault(used.address.rpartition(":")[2], [])
        first = next((each for each in earlier if binds.overlap(each.address, used.address)), None)
        if first is not None:
            hint = (
                f"first at {config.places.value(first.path).place}; give one of them another address or port"
            )
            yield config.places.value(used.path).problem(_clash(first, used), hint)
        earlier.append(used)


def _clash(first: binds.Used, second: binds.Used) -> str:
    if first.owner == second.owner:
        return f"{first.owner} accepts on {second.address} twice ({first.address} is there already)"
    if first.address == second.address:
        return f"{first.owner} and {second.owner} both accept on {first.address}"
    return f"{second.owner} accepts on {second.address}, which overlaps with {first.address} of {first.owner}"


def matchers_are_known(config: Config, catalog: contract.Catalog) -> Iterator[Problem]:
    """What a route matches by is in the catalogue."""
    for name, listener in config.listeners.items():
        for at, route in enumerate(listener.routes):
            for matcher, options in route.match.others.items():
                path = ("listeners", name, "routes", at, "match", "others", matcher)
                chosen = pool_rules.Chosen("matcher", matcher, config.places.key(path), options, path)
                yield from pool_rules.fits_catalog(config, catalog.matchers, chosen)


@dataclass(frozen=True, slots=True)
class _Sent:
    """Traffic that is sent to a pool."""

    at: Span
    """Where the pool is named."""
    sender: str
    """Who sends it, as messages name it."""
    pool: str


def _sends(config: Config) -> Iterator[_Sent]:
    for name, listener in config.listeners.items():
        for at, route in enumerate(listener.routes):
            path: Path = ("listeners", name, "routes", at)
            sender = f"route {_called(route, at)}"
            if route.pool is not None:
                yield _Sent(config.places.value((*path, "pool")), sender, route.pool)
            for pool in route.split or ():
                yield _Sent(config.places.key((*path, "split", pool)), sender, pool)
            if route.mirror is not None:
                mirrored = config.places.value((*path, "mirror", "pool"))
                yield _Sent(mirrored, f"the mirror of {sender}", route.mirror.pool)
        for at, route in enumerate(listener.passthrough):
            if route.pool is not None:
                path = ("listeners", name, "passthrough", at)
                sender = f"passthrough {_called(route, at)}"
                yield _Sent(config.places.value((*path, "pool")), sender, route.pool)
        if listener.pool is not None:
            yield _Sent(config.places.value(("listeners", name, "pool")), f'listener "{name}"', listener.pool)


def _called(route: Route, at: int) -> str:
    return f'"{route.name}"' if route.name is not None else str(at + 1)


def _pool_hint(config: Config, pool: str) -> str:
    near = did_you_mean(pool, config.pools)
    if near is not None:
        name = near.split('"')[1]
        return f"{near} (defined at {config.places.key(('pools', name)).place})"
    if config.pools:
        return f"define it under `pools`, or use one of: {', '.join(sorted(config.pools)[:10])}"
    return f"define it: pools: {{{pool}: {{endpoints: [10.0.0.1:8000]}}}}"


def _unreachable(config: Config, path: Path, before: int, who: str) -> Problem:
    listener = config.listeners[str(path[1])]
    earlier = config.places.value((*path[:2], "routes", before))
    takes = "everything" if listener.routes[before].match == Match() else "the same"
    what = f"{who} is never reached: route {_called(listener.routes[before], before)} takes {takes}"
    at = config.places.value(path)
    return at.problem(what, f"it is at {earlier.place}; the first route that matches wins", "warning")


RULES: tuple[Rule, ...] = (
    something_listens,
    listeners_have_routes,
    pools_exist,
    pools_are_used,
    routes_are_reachable,
    route_names_are_unique,
    edits_have_an_effect,
    head_limits_fit,
    trust_is_limited,
    binds_do_not_clash,
    matchers_are_known,
    *pool_rules.RULES,
    *protection_rules.RULES,
    *tls_rules.RULES,
    *acme_rules.RULES,
    *flow_rules.RULES,
)
"""Every rule there is."""
