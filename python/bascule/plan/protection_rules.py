"""What may not be in mirrors, sessions, stores and protection: what is not there, or has no effect."""

from collections.abc import Iterator

from bascule import contract
from bascule.config.messages import did_you_mean
from bascule.config.model import Agent, Config, Endpoint, FileSource, LoadUrl, OtherSource, Route
from bascule.config.places import Path
from bascule.config.problems import Problem
from bascule.units import format_duration


def stores_exist(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Sessions and rate limits name stores that are defined."""
    for path, name in _stores_used(config):
        if name not in config.stores:
            near = did_you_mean(name, config.stores)
            hint = near or f"define it at the top: stores: {{{name}: redis://127.0.0.1:6379}}"
            yield config.places.value(path).problem(f'store "{name}" is not defined', hint)


def stores_are_used(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A store that nothing uses is connected to for nothing."""
    used = {name for _, name in _stores_used(config)}
    for name in config.stores:
        if name not in used:
            at = config.places.key(("stores", name))
            hint = "name it in `sessions` or `rate_limit`, or remove it"
            yield at.problem(f'store "{name}" is not used', hint, "warning")


def mirrors_are_other_pools(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A mirror of a pool to itself would do everything twice."""
    for path, route in _routes(config):
        if route.mirror is not None and route.mirror.pool in (route.pool, *(route.split or ())):
            at = config.places.value((*path, "mirror", "pool"))
            what = f'pool "{route.mirror.pool}" would get copies of its own requests'
            yield at.problem(what, "name another pool")


def cookie_sessions_have_keys(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Without a key of one's own, sessions end with the process."""
    for name, pool in config.pools.items():
        if pool.sessions is not None and pool.sessions.cookie is not None and not pool.sessions.keys:
            at = config.places.key(("pools", name, "sessions"))
            yield at.problem(
                "these sessions end when the balancer restarts, and no other balancer knows them",
                f'give them a key: sessions: {{cookie: {pool.sessions.cookie}, keys: "${{SESSION_KEY}}"}}',
                "warning",
            )


def cookies_of_a_split_are_several(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Two pools behind one path would each overwrite the other's cookie, and no session would stay."""
    for path, route in _routes(config):
        first: dict[tuple[str, str], str] = {}
        for name in route.split or ():
            sessions = config.pools[name].sessions if name in config.pools else None
            if sessions is None or sessions.cookie is None:
                continue
            other = first.setdefault((sessions.cookie, sessions.path), name)
            if other != name:
                at = config.places.key((*path, "split", name))
                what = f'pools "{other}" and "{name}" of this split have one cookie, "{sessions.cookie}"'
                hint = "each overwrites the other's; give one of them another name: sessions: {cookie: …}"
                yield at.problem(what, hint, "warning")


def zones_are_of_use(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Zones say nothing unless both sides have one: the balancer and its endpoints."""
    zoned = [
        ("pools", name, "endpoints", at, "zone")
        for name, pool in config.pools.items()
        for at, endpoint in enumerate(pool.endpoints)
        if isinstance(endpoint, Endpoint) and endpoint.zone is not None
    ]
    if config.zone is None and zoned:
        at, zone = config.places.value(zoned[0]), _zone_at(config, zoned[0])
        yield at.problem(
            "zones have no effect while it is not said where this balancer is",
            f"add `zone: {zone}` at the top if that is where it is",
            "warning",
        )
    sources = [source for pool in config.pools.values() for source in pool.endpoints]
    if config.zone is not None and not zoned and not any(map(_may_have_zones, sources)):
        at = config.places.value(("zone",))
        what = "the zone has no effect: no endpoint says where it is"
        yield at.problem(what, "give endpoints a `zone`, or remove it", "warning")


def deadlines_are_known(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Endpoints can be told of a deadline where there is one."""
    for path, route in _routes(config):
        trusted = config.listeners[str(path[1])].forwarded.trusted
        if route.timeouts.deadline_header is not None and route.timeouts.total is None and not trusted:
            at = config.places.value((*path, "timeouts", "deadline_header"))
            yield at.problem("there is no deadline to tell endpoints of", "set `total`, too", "warning")


def questions_do_not_overlap(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """An agent or a load URL is not asked again before it could answer, and there is somewhere to ask."""
    for name, pool in config.pools.items():
        for key, asked in (("agent", pool.agent), ("load", pool.load)):
            if asked is not None and asked.timeout > asked.every:
                yield _too_slow(config, ("pools", name, key), asked)
        if pool.agent is None or pool.agent.host is not None:
            continue
        for at, endpoint in enumerate(pool.endpoints):
            if isinstance(endpoint, Endpoint) and endpoint.address.startswith("unix:"):
                place = config.places.value(("pools", name, "endpoints", at, "address"))
                what = "this endpoint has no agent: a Unix socket has no ports"
                yield place.problem(what, "give the agent a `host`, or leave `agent` out", "warning")


def _too_slow(config: Config, path: Path, asked: Agent | LoadUrl) -> Problem:
    place, whole = config.places.find((*path, "timeout"))
    span = place.value if whole else config.places.value((*path, "every"))
    what = (
        f"an answer may take {format_duration(asked.timeout)}, longer than the "
        f"{format_duration(asked.every)} to the next question"
    )
    return span.problem(what, "lower `timeout`, or raise `every`", "warning")


def _zone_at(config: Config, path: tuple[str, str, str, int, str]) -> str:
    endpoint = config.pools[path[1]].endpoints[path[3]]
    return str(getattr(endpoint, "zone", ""))


def _may_have_zones(source: object) -> bool:
    return isinstance(source, FileSource | OtherSource)


def _routes(config: Config) -> Iterator[tuple[Path, Route]]:
    for name, listener in config.listeners.items():
        for at, route in enumerate(listener.routes):
            yield ("listeners", name, "routes", at), route


def _stores_used(config: Config) -> Iterator[tuple[Path, str]]:
    for name, pool in config.pools.items():
        if pool.sessions is not None and pool.sessions.store is not None:
            yield ("pools", name, "sessions", "store"), pool.sessions.store
    for path, route in _routes(config):
        for position, limit in enumerate(route.rate_limit):
            if limit.store is not None:
                yield (*path, "rate_limit", position, "store"), limit.store


RULES = (
    stores_exist,
    stores_are_used,
    mirrors_are_other_pools,
    cookie_sessions_have_keys,
    cookies_of_a_split_are_several,
    zones_are_of_use,
    deadlines_are_known,
    questions_do_not_overlap,
)
"""Every rule of this file."""
