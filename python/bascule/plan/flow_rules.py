"""What may not be on layer 4: what belongs to HTTP, and what belongs to flows only."""

from collections.abc import Iterator

from bascule import contract
from bascule.config.carried import pools_of_flows, routes_of_flows
from bascule.config.model import Config, Endpoint, Listener, Pool, Route
from bascule.config.places import Path
from bascule.config.problems import Problem
from bascule.config.section import Section

HTTP_ONLY = ("redirect_to_https", "hsts", "forwarded", "http2")
HTTP_TIMEOUTS = ("body", "keep_alive", "send")
HTTP_LIMITS = ("head", "headers", "target", "body", "requests_per_connection")
FLOWS_ONLY = ("rate_limit", "probe", "udp")
FLOW_TIMEOUTS = ("idle", "total")
POOL_FLOWS_ONLY = ("hold", "on_down", "drain", "transparent")
POOL_HTTP_ONLY = ("protocol", "idle", "hedge", "load_reports", "load")
FLOW_ROUTE = frozenset(("name", "match", "pool", "timeouts", "priority", "rate_limit"))
FLOW_MATCH = frozenset(("sni", "alpn", "client"))
FLOW_KEYS = ("client", "host")
BY_ANSWERS = ("fastest", "prequal")


def listeners_speak_one_language(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """What is said about HTTP stands where HTTP is carried, and what is said about flows where they are."""
    for name, listener in config.listeners.items():
        path: Path = ("listeners", name)
        if listener.protocol == "http":
            belongs = "belongs to TCP and UDP, and this listener carries HTTP"
            hint = "remove it, or add `protocol: tcp`"
            yield from _foreign(config, path, listener, FLOWS_ONLY, (belongs, hint))
            yield from _foreign(
                config, (*path, "timeouts"), listener.timeouts, FLOW_TIMEOUTS, (belongs, hint)
            )
            continue
        said = (f"belongs to HTTP, and this listener carries {listener.protocol.upper()}", "remove it")
        yield from _foreign(config, path, listener, HTTP_ONLY, said)
        yield from _foreign(config, (*path, "timeouts"), listener.timeouts, HTTP_TIMEOUTS, said)
        yield from _foreign(config, (*path, "limits"), listener.limits, HTTP_LIMITS, said)
        if listener.protocol == "tcp":
            yield from _foreign(
                config,
                path,
                listener,
                ("udp",),
                ("belongs to UDP, and this listener carries TCP", "remove it"),
            )
        else:
            yield from _udp(config, path, listener)


def _udp(config: Config, path: Path, listener: Listener) -> Iterator[Problem]:
    said = ("belongs to TCP, and this listener carries UDP", "remove it")
    yield from _foreign(config, path, listener, ("tls", "passthrough", "probe", "proxy_protocol"), said)
    for at, bind in enumerate(listener.bind):
        if bind.unix is not None:
            span = config.places.value((*path, "bind", at))
            yield span.problem(
                "UDP is accepted on addresses, not on Unix sockets", "write bind: 127.0.0.1:53"
            )


def passthrough_is_of_tls(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Without TLS there is nothing that could be left encrypted."""
    for name, listener in config.listeners.items():
        if listener.passthrough and listener.tls is None and listener.protocol != "udp":
            span = config.places.key(("listeners", name, "passthrough"))
            hint = "add `tls`, or `protocol: tcp` with these as its routes"
            yield span.problem("`passthrough` goes with `tls`: without it nothing is decrypted", hint)
        for at, route in enumerate(listener.passthrough):
            if not route.match.sni and not route.match.alpn and not route.match.client:
                span = config.places.value(("listeners", name, "passthrough", at))
                what = "this would pass on everything, and nothing would be decrypted"
                yield span.problem(what, "add match: {sni: db.example.com}, or leave `tls` out")


def routes_of_flows_are_simple(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A flow is not looked into: it goes to a pool, by what is known before it begins."""
    for path, route, protocol in _flow_routes(config):
        for key in sorted(route.model_fields_set - FLOW_ROUTE):
            if key == "split" or getattr(route, key) != type(route).model_fields[key].default:
                what = f"`{key}` belongs to HTTP: a flow is passed on as it is"
                yield config.places.key((*path, key)).problem(what, "remove it, or send the route to a pool")
        allowed = FLOW_MATCH if protocol != "udp" else frozenset(("client",))
        for key in sorted(route.match.model_fields_set - allowed):
            what = f"a {protocol.upper()} route cannot match by `{key}`"
            hint = "match by client, sni or alpn" if protocol != "udp" else "match by client"
            yield config.places.key((*path, "match", key)).problem(what, hint)
        for key in sorted(route.timeouts.model_fields_set - set(FLOW_TIMEOUTS)):
            what = f"`{key}` belongs to HTTP: a flow has the timeouts idle and total"
            yield config.places.key((*path, "timeouts", key)).problem(what, "remove it")
        yield from _rate_limits(config, path, route)
    for name, listener in config.listeners.items():
        yield from _rate_limits(config, ("listeners", name), listener)


def _rate_limits(config: Config, path: Path, limited: Route | Listener) -> Iterator[Problem]:
    for position, limit in enumerate(limited.rate_limit):
        span = config.places.value((*path, "rate_limit", position))
        if limit.by is not None and not any(getattr(limit.by, key) for key in FLOW_KEYS):
            yield span.problem("flows are counted by client, or all together", "write 100/s by client")
        if limit.store is not None:
            yield span.problem("flows are counted by each balancer for itself", "remove `store`")


def routes_of_http_see_no_hello(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """What is asked for in the hello is matched before TLS is decrypted; afterwards there is the host."""
    for name, listener in config.listeners.items():
        if listener.protocol != "http":
            continue
        for at, route in enumerate(listener.routes):
            for key in ("sni", "alpn"):
                if getattr(route.match, key):
                    span = config.places.key(("listeners", name, "routes", at, "match", key))
                    hint = "match by `host`, or move the route to `passthrough`"
                    yield span.problem(f"an HTTP route cannot match by `{key}`", hint)


def pools_carry_one_kind(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """A pool learns from HTTP answers, or counts flows; both at once would mean neither."""
    flows, http = pools_of_flows(config), _pools_of_http(config)
    of_udp = _pools_of_udp(config)
    for name, pool in config.pools.items():
        path: Path = ("pools", name)
        if name in of_udp and pool.proxy_protocol is not None:
            what = f'a datagram has no room for a PROXY header, and pool "{name}" is used for UDP'
            hint = "remove it; `transparent` shows endpoints the client's address"
            yield config.places.key((*path, "proxy_protocol")).problem(what, hint)
        if name in flows and name in http:
            what = f'pool "{name}" is used for HTTP and for flows'
            hint = "write a second pool with the same endpoints, one for each"
            yield config.places.key(path).problem(what, hint)
        elif name in flows:
            yield from _pool_of_flows(config, path, pool)
        else:
            said = ("belongs to pools of TCP and UDP, and this one is of HTTP", "remove it")
            yield from _foreign(config, path, pool, POOL_FLOWS_ONLY, said)


def _pool_of_flows(config: Config, path: Path, pool: Pool) -> Iterator[Problem]:
    said = ("belongs to HTTP, and this pool is of flows", "remove it")
    yield from _foreign(config, path, pool, POOL_HTTP_ONLY, said)
    if "algorithm" in pool.model_fields_set and pool.algorithm.name in BY_ANSWERS:
        what = f"`{pool.algorithm.name}` goes by the time that answers take, and a flow has none"
        yield config.places.key((*path, "algorithm")).problem(what, "use least_busy, which counts flows")
    by = pool.algorithm.options.get("by")
    if by is not None and by not in FLOW_KEYS:
        span = config.places.key((*path, "algorithm"))
        yield span.problem(
            "flows are hashed by client, or by host (the name asked for)", "write {hash: {by: client}}"
        )
    if pool.sessions is not None and (pool.sessions.key is None or pool.sessions.key.client is None):
        span = config.places.key((*path, "sessions"))
        yield span.problem("flows have no cookies and no headers", "write sessions: client")
    if pool.transparent:
        yield from _transparent(config, path, pool)
    if "limit" in pool.model_fields_set and pool.limit == "learned":
        span = config.places.key((*path, "limit"))
        yield span.problem("a limit of flows cannot be learned", "write a number, or `off`")


def _transparent(config: Config, path: Path, pool: Pool) -> Iterator[Problem]:
    """Addresses are of clients and endpoints that have one."""
    for at, endpoint in enumerate(pool.endpoints):
        if isinstance(endpoint, Endpoint) and endpoint.address.startswith("unix:"):
            span = config.places.value((*path, "endpoints", at))
            yield span.problem("over a Unix socket an endpoint sees no address", "remove `transparent`")
    for name, listener in config.listeners.items():
        is_unix = any(bind.unix is not None for bind in listener.bind)
        if is_unix and listener.proxy_protocol is None and _sends_flows_to(listener, path[-1]):
            what = f'clients of "{name}" come over a Unix socket without an address, and this pool needs one'
            hint = "have who passes them on announce them: proxy_protocol: {from: …} of the listener"
            yield config.places.key((*path, "transparent")).problem(what, hint)


def _sends_flows_to(listener: Listener, pool: object) -> bool:
    return any(route.pool == pool for route in (*routes_of_flows(listener), *listener.passthrough))


def _pools_of_http(config: Config) -> frozenset[str]:
    pools = set()
    for listener in config.listeners.values():
        if listener.protocol != "http":
            continue
        pools.add(listener.pool)
        for route in listener.routes:
            pools |= {route.pool, *(route.split or ()), route.mirror.pool if route.mirror else None}
    return frozenset(pool for pool in pools if pool is not None)


def _pools_of_udp(config: Config) -> frozenset[str | None]:
    udp = [listener for listener in config.listeners.values() if listener.protocol == "udp"]
    return frozenset(route.pool for listener in udp for route in routes_of_flows(listener))


def _flow_routes(config: Config) -> Iterator[tuple[Path, Route, str]]:
    for name, listener in config.listeners.items():
        if listener.protocol != "http":
            for at, route in enumerate(listener.routes):
                yield ("listeners", name, "routes", at), route, listener.protocol
        for at, route in enumerate(listener.passthrough):
            yield ("listeners", name, "passthrough", at), route, "tcp"


def _foreign(
    config: Config, path: Path, section: Section, keys: tuple[str, ...], said: tuple[str, str]
) -> Iterator[Problem]:
    """Those of `keys` that are written, and are not what they are anyway."""
    for key in keys:
        usual = type(section).model_fields[key].get_default(call_default_factory=True)
        if getattr(section, key) not in (usual, None):
            what, hint = said
            yield config.places.key((*path, key)).problem(f"`{key}` {what}", hint)


RULES = (
    listeners_speak_one_language,
    passthrough_is_of_tls,
    routes_of_flows_are_simple,
    routes_of_http_see_no_hello,
    pools_carry_one_kind,
)
"""Every rule of this file."""
