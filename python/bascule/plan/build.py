"""Step 3: model → plan: every rule is run, names are resolved, short things become what they mean.

What sources and checks get as options:

| kind | options |
|---|---|
| `static` | `endpoints`: a list of `{address, weight, id, tier, zone, limit}` |
| `file` | `path` (absolute), `every_ms` |
| `dns` | `name`, `port`, `weight`, `minimum_ttl_ms`, `maximum_ttl_ms`, `nameservers` (a list or `None`) |
| `dns_srv` | `name`, `weight`, `minimum_ttl_ms`, `maximum_ttl_ms`, `nameservers` |
| check `http` | `path`, `method`, `host`, `expect_status` (a list of pairs), `expect_body`, `headers` |
| check `grpc` | `service` (empty: the whole server), `authority`, `headers` |
| check `tcp` | `send` and `expect`, each `{text}` or `{hex}`, `expect` also `{regex}` |
| check `tls` | `min_days` |
| check `udp` | as `tcp`, and `silence_ms` where silence passes |
| check `dns` | `name`, `type`, `expect` (a list), `transport` |
| check `command` | `command` (a list), `env` |
| checks `postgres`, `mysql` | `role`, `max_lag_ms`, `user`, `password`, `database` |
| check `redis` | as those, and `max_lag_bytes`; `sentinels` (a list), `service`, `sentinel_password` |
| check `python` | `function`: an `OwnCheck`, equal to that of the same code in another reading of the file |
| a package's | as they are written |
"""

from collections.abc import Mapping
from dataclasses import replace

from bascule import contract
from bascule.config.carried import pools_of_flows
from bascule.config.model import (
    Agent,
    Check,
    Config,
    DnsSource,
    Endpoint,
    FileSource,
    OtherSource,
    Pool,
    Source,
    SrvSource,
)
from bascule.config.places import Path
from bascule.config.problems import ConfigRefused, Problem, in_order
from bascule.plan.acme import plan_acme
from bascule.plan.algorithms import plan_algorithm
from bascule.plan.check_kinds import plan_options
from bascule.plan.flows import for_flows
from bascule.plan.own_check import OwnCheck
from bascule.plan.plan import (
    Plan,
    PlannedAdmin,
    PlannedAgent,
    PlannedCheck,
    PlannedLoad,
    PlannedPool,
    PlannedPoolTls,
    PlannedSource,
)
from bascule.plan.protecting import (
    plan_protection,
    plan_retries,
    plan_sessions,
    plan_spread,
    plan_store,
)
from bascule.plan.routing import plan_listener
from bascule.plan.rules import problems
from bascule.plan.tls import plan_check_tls, plan_listener_tls, plan_pool_tls, uploads


def build(config: Config, catalog: contract.Catalog) -> Plan:
    """The plan of a configuration. Raises `ConfigRefused` with every problem, warnings among them."""
    plan, found = check(config, catalog)
    if plan is None:
        raise ConfigRefused(found)
    return plan


def check(config: Config, catalog: contract.Catalog) -> tuple[Plan | None, list[Problem]]:
    """The plan, or `None` when a problem is an error; and every problem, in the order of the file."""
    found = in_order(problems(config, catalog))
    if any(problem.severity == "error" for problem in found):
        return None, found
    return _plan(config), found


def _plan(config: Config) -> Plan:
    of_flows = pools_of_flows(config)
    return Plan(
        listeners=tuple(plan_listener(name, listener) for name, listener in config.listeners.items()),
        pools=tuple(_pool(config, name, pool, name in of_flows) for name, pool in config.pools.items()),
        access_log=_access_log(config),
        admin=PlannedAdmin(config.admin.bind, config.admin.metrics, uploads(config)),
        threads=config.threads,
        stop_grace_ms=config.stop.grace,
        log_level=config.log_level,
        stores=tuple(plan_store(name, store) for name, store in config.stores.items()),
        tls={
            name: tls
            for name, listener in config.listeners.items()
            if (tls := plan_listener_tls(config, name, listener)) is not None
        },
        acme=plan_acme(config),
    )


def _access_log(config: Config) -> contract.AccessLog | None:
    log = config.access_log
    if log is None:
        return None
    path = None if log.path is None else config.places.beside(("access_log", "path"), log.path)
    return contract.AccessLog(log.format, path)


def _pool(config: Config, name: str, pool: Pool, of_flows: bool) -> PlannedPool:
    announce = pool.proxy_protocol
    template = contract.Pool(
        id=name,
        algorithm=plan_algorithm(pool.algorithm),
        endpoints=(),
        connect_ms=pool.connect,
        idle=contract.IdleConnections(pool.idle.per_thread, pool.idle.timeout),
        retries=plan_retries(pool),
        panic_percent=pool.panic,
        protection=plan_protection(pool),
        sessions=plan_sessions(pool.sessions),
        spread=plan_spread(config, pool),
        load_reports=pool.load_reports or pool.load is not None,
        protocol="http1" if pool.protocol == "http1" else "http2",
        proxy_protocol=None if announce is None else contract.Announce(announce.version, announce.tlvs),
    )
    tls = plan_pool_tls(config, name, pool)
    if of_flows:
        template = for_flows(pool, template)
        # What is agreed on is a matter of what is within.
        tls = None if tls is None else replace(tls, alpn=())
    return PlannedPool(
        name,
        template,
        _sources(config, name, pool),
        plan_check(config, name, pool),
        agent=_agent(pool.agent),
        load=_load(pool, tls),
        tls=tls,
    )


def _agent(agent: Agent | None) -> PlannedAgent | None:
    if agent is None:
        return None
    return PlannedAgent(agent.port, agent.host, agent.every, agent.timeout, agent.send)


def _load(pool: Pool, tls: PlannedPoolTls | None) -> PlannedLoad | None:
    load = pool.load
    if load is None:
        return None
    return PlannedLoad(load.path, load.every, load.timeout, tls, _announce(pool))


def _announce(pool: Pool) -> contract.ProxyVersion | None:
    return None if pool.proxy_protocol is None else pool.proxy_protocol.version


def _sources(config: Config, name: str, pool: Pool) -> tuple[PlannedSource, ...]:
    """One source for all endpoints that are written out, and one for each place to look."""
    static = [source for source in pool.endpoints if isinstance(source, Endpoint)]
    elsewhere = [
        _source(config, ("pools", name, "endpoints", at), source)
        for at, source in enumerate(pool.endpoints)
        if not isinstance(source, Endpoint)
    ]
    if not static and elsewhere:
        return tuple(elsewhere)
    endpoints = [
        {
            "address": each.address,
            "weight": each.weight,
            "id": each.id or each.address,
            "tier": each.in_tier,
            "zone": each.zone,
            "limit": each.limit,
        }
        for each in static
    ]
    return (PlannedSource("static", {"endpoints": endpoints}), *elsewhere)


def _source(config: Config, path: Path, source: Source) -> PlannedSource:
    if isinstance(source, FileSource):
        absolute = config.places.beside((*path, "file"), source.file)
        return PlannedSource("file", {"path": absolute, "every_ms": source.every})
    if isinstance(source, OtherSource):
        return PlannedSource(source.source, source.options)
    assert isinstance(source, DnsSource | SrvSource), "endpoints are planned together"
    asked = {
        "weight": source.weight,
        "minimum_ttl_ms": source.minimum_ttl,
        "maximum_ttl_ms": source.maximum_ttl,
        "nameservers": None if source.nameservers is None else list(source.nameservers),
    }
    if isinstance(source, SrvSource):
        return PlannedSource("dns_srv", {"name": source.dns_srv, **asked})
    host, _, port = source.dns.rpartition(":")
    return PlannedSource("dns", {"name": host, "port": int(port), **asked})


def plan_check(config: Config, name: str, pool: Pool) -> PlannedCheck | None:
    """How the endpoints of a pool are probed; `None`: they are not."""
    check = pool.check
    if check is None:
        return None
    kind, options = _kind(check)
    return PlannedCheck(
        kind,
        options,
        check.every,
        check.timeout,
        check.rise,
        check.fall,
        check.initially == "up",
        tls=plan_check_tls(config, name, pool),
        announce=_announce(pool),
        port=check.port,
        exclusive=check.exclusive,
    )


def _kind(check: Check) -> tuple[str, Mapping[str, object]]:
    if check.http is not None:
        return "http", {
            "path": check.http,
            "method": check.method,
            "host": check.host,
            "expect_status": [list(ends) for ends in check.expect.status],
            "expect_body": check.expect.body,
            "headers": dict(check.headers),
        }
    if check.grpc is not None:
        return "grpc", {
            "service": check.grpc,
            "authority": check.authority,
            "headers": dict(check.headers),
        }
    if check.python is not None:
        return "python", {"function": OwnCheck(check.python)}
    if check.kind is not None:
        return check.kind, dict(check.options)
    return check.asked_kind, plan_options(check)
