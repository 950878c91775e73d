"""What may not be in protection: pools and stores that are not there, and settings without an effect."""

from collections.abc import Iterator

from bascule import contract
from bascule.config.messages import did_you_mean
from bascule.config.model import Config, Endpoint
from bascule.config.places import Path
from bascule.config.problems import Problem


def stores_exist(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Sessions and rate limits name stores that are defined."""
    for path, name in _stores_used(config):
        if name not in config.stores:
            define = f"define it: stores: {{{name}: redis://127.0.0.1:6379}}"
            hint = did_you_mean(name, config.stores) or define
            yield config.places.value(path).problem(f'store "{name}" is not defined', hint)


def stores_are_used(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A store that nothing uses is connected to for nothing."""
    used = {name for _, name in _stores_used(config)}
    for name in config.stores:
        if name not in used:
            at = config.places.key(("stores", name))
            yield at.problem(
                f'store "{name}" is not used',
                "name it in `sessions` or `rate_limit`, or remove it",
                "warning",
            )


def stores_have_addresses(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """The data plane resolves no names."""
    for name, store in config.stores.items():
        host = store.address.rpartition(":")[0]
        is_name = not host.startswith("[") and any(it.isalpha() for it in host)
        if is_name and not store.address.startswith("unix:"):
            at = config.places.value(("stores", name, "address"))
            yield at.problem(f'store "{name}" needs an address, not the name {host}', "write 10.0.0.5:6379")


def mirrors_are_other_pools(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A mirror of a pool to itself would do everything twice."""
    for name, listener in config.listeners.items():
        for at, route in enumerate(listener.routes):
            if route.mirror is not None and route.mirror.pool == route.pool:
                path: Path = ("listeners", name, "routes", at, "mirror")
                what = f'the mirror of this route is its own pool "{route.pool}"'
                yield config.places.value(path).problem(what, "name another pool")


def cookie_sessions_have_keys(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Without a key of one's own, sessions end with the process."""
    for name, pool in config.pools.items():
        if pool.sessions is not None and pool.sessions.cookie is not None and not pool.sessions.keys:
            at = config.places.key(("pools", name, "sessions"))
            yield at.problem(
                "these sessions end when the balancer restarts, and no other balancer knows them",
                'give them a key: sessions: {cookie: bascule, keys: "${COOKIE_KEY}"}',
                "warning",
            )


def zones_are_of_use(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Zones of endpoints say nothing while nobody says where the balancer is."""
    if config.zone is not None:
        return
    for name, pool in config.pools.items():
        for at, endpoint in enumerate(pool.endpoints):
            if isinstance(endpoint, Endpoint) and endpoint.zone is not None:
                place = config.places.value(("pools", name, "endpoints", at, "zone"))
                yield place.problem(
                    "zones have no effect while it is not said where this balancer is",
                    f"add `zone: {endpoint.zone}` at the top, or remove this",
                    "warning",
                )
                return


def _stores_used(config: Config) -> Iterator[tuple[Path, str]]:
    for name, pool in config.pools.items():
        if pool.sessions is not None and pool.sessions.store is not None:
            yield ("pools", name, "sessions", "store"), pool.sessions.store
    for name, listener in config.listeners.items():
        for at, route in enumerate(listener.routes):
            for position, limit in enumerate(route.rate_limit):
                if limit.store is not None:
                    yield ("listeners", name, "routes", at, "rate_limit", position, "store"), limit.store


RULES = (
    stores_exist,
    stores_are_used,
    stores_have_addresses,
    mirrors_are_other_pools,
    cookie_sessions_have_keys,
    zones_are_of_use,
)
"""Every rule of this file."""
