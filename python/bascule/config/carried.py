"""Which routes and pools of a configuration carry flows, and not HTTP."""

from collections.abc import Iterator

from bascule.config.model import Config, Listener, Route


def routes_of_flows(listener: Listener) -> list[Route]:
    """The routes of a listener that carries no HTTP; its pool is the last."""
    if listener.protocol == "http":
        return []
    last = [] if listener.pool is None else [Route(pool=listener.pool)]
    return [*listener.routes, *last]


def pools_of_flows(config: Config) -> frozenset[str]:
    """The pools that flows go to."""
    return frozenset(route.pool for route in _all_routes(config) if route.pool is not None)


def _all_routes(config: Config) -> Iterator[Route]:
    for listener in config.listeners.values():
        yield from routes_of_flows(listener)
        yield from listener.passthrough
