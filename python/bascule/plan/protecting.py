"""Protection, sessions and stores of the model → those of the contract."""

from collections.abc import Set
from itertools import chain, count

from bascule import contract
from bascule.config.keys import KeyBy
from bascule.config.model import Config, Listener, Pool, RateLimit, Route, Sessions, Store
from bascule.config.sessions import OWN_KEY


def plan_protection(pool: Pool) -> contract.Protection:
    """Limits, queue, ejection, hedging and slow start of a pool."""
    queue, ejection, hedge = pool.queue, pool.ejection, pool.hedge
    return contract.Protection(
        limit=_limit(pool.limit),
        queue=None if queue is None else contract.Queue(queue.length, queue.wait, queue.service_level),
        ejection=None
        if ejection is None
        else contract.Ejection(
            failures=ejection.failures,
            failure_percent=ejection.share,
            slowness_percent=ejection.slowness,
            time_ms=ejection.time,
            longest_ms=ejection.longest,
            most_percent=ejection.most,
        ),
        hedge=None if hedge is None else contract.Hedge(hedge.budget, hedge.after),
        slow_start_ms=pool.slow_start,
    )


def plan_retries(pool: Pool) -> contract.Retries:
    """Tries beyond the first."""
    retries = pool.retries
    limit: contract.TryLimit = contract.NoTryLimit()
    if retries.try_ == "learned":
        limit = contract.LearnedTryLimit()
    elif isinstance(retries.try_, int):
        limit = contract.FixedTryLimit(retries.try_)
    return contract.Retries(retries.attempts, retries.budget, retries.minimum, retries.on, limit)


def plan_sessions(sessions: Sessions | None) -> contract.Sessions | None:
    """What keeps a client on one endpoint."""
    return None if sessions is None else contract.Sessions(_session_by(sessions), sessions.strict)


def plan_spread(config: Config, pool: Pool) -> contract.Spread:
    """Which of the endpoints are used first."""
    subset = pool.subset
    return contract.Spread(
        zone=config.zone,
        subset=None if subset is None else contract.Subset(subset.size, subset.balancer),
    )


def plan_rate_limits(
    route: Route | Listener, route_id: str, route_ids: Set[str]
) -> tuple[contract.RateLimit, ...]:
    """The rate limits of a route, named after it; no two of a listener have one name."""
    numbered = (f"{route_id}-{number}" for number in count(2))
    # A route of that name may have limits itself.
    names = chain([route_id], (name for name in numbered if name not in route_ids))
    return tuple(_rate_limit(limit, name) for limit, name in zip(route.rate_limit, names, strict=False))


def plan_store(name: str, store: Store) -> contract.Store:
    """A shared store."""
    path = store.address.removeprefix("unix:")
    at_path = path != store.address
    return contract.Store(
        id=name,
        address=contract.UnixAddress(path) if at_path else contract.TcpAddress(store.address),
        username=store.username,
        password=None if store.password is None else contract.Secret(store.password),
        database=store.database,
        prefix=store.prefix,
        wait_ms=store.wait,
    )


def plan_key(key: KeyBy) -> contract.KeyBy:
    """Which part of a request is its key."""
    if key.header is not None:
        return contract.HeaderKey(key.header)
    if key.cookie is not None:
        return contract.CookieKey(key.cookie)
    if key.query is not None:
        return contract.QueryKey(key.query)
    if key.host:
        return contract.HostKey()
    if key.path:
        return contract.PathKey()
    return contract.UriKey() if key.uri else contract.ClientKey()


def _limit(limit: int | str) -> contract.Limit:
    if isinstance(limit, int):
        return contract.FixedLimit(limit)
    return contract.LearnedLimit() if limit == "learned" else contract.NoLimit()


def _rate_limit(limit: RateLimit, name: str) -> contract.RateLimit:
    return contract.RateLimit(
        id=name,
        by=None if limit.by is None else plan_key(limit.by),
        requests=limit.requests,
        per_ms=limit.per,
        burst=limit.requests if limit.burst is None else limit.burst,
        store=limit.store,
    )


def _session_by(sessions: Sessions) -> contract.SessionBy:
    table = contract.SessionTable(sessions.expiry, sessions.entries, sessions.store)
    if sessions.cookie is not None:
        return contract.BySessionCookie(_cookie(sessions, sessions.cookie))
    if sessions.learned is not None:
        return contract.ByLearnedCookie(sessions.learned, table)
    assert sessions.key is not None, "the model has one of the three"
    return contract.ByKey(plan_key(sessions.key), table)


def _cookie(sessions: Sessions, name: str) -> contract.IssuedCookie:
    return contract.IssuedCookie(
        name=name,
        path=sessions.path,
        domain=sessions.domain,
        secure=sessions.secure,
        http_only=sessions.http_only,
        same_site=sessions.same_site,
        lifetime_ms=sessions.lifetime,
        keys=tuple(contract.Secret(key) for key in sessions.keys or (OWN_KEY,)),
        encrypted=sessions.encrypted,
    )
