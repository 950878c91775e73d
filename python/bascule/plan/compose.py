"""Step 4: plan + the endpoints found just now → snapshot. Never refuses: a plan always composes."""

from dataclasses import replace

from bascule import contract
from bascule.config.concealed import HIDDEN
from bascule.plan.credentials import NOTHING_HELD, Held
from bascule.plan.found import Found, FoundEndpoint
from bascule.plan.plan import Plan

_HIDDEN = contract.Secret(HIDDEN)


def compose(plan: Plan, found: Found, generation: int, held: Held = NOTHING_HELD) -> contract.Snapshot:
    """All that the data plane needs to know. Equal arguments give equal snapshots.

    A pool for which nothing was found has no endpoints, and answers 503. Of several endpoints with one
    id the first counts. What was found for pools that are not in the plan is left out. `held` is what was
    read of the certificates; without, nothing speaks TLS.
    """
    return contract.Snapshot(
        contract=contract.CONTRACT_VERSION,
        generation=generation,
        listeners=tuple(_listener(it, held) for it in plan.listeners),
        pools=tuple(
            replace(pool.template, endpoints=_endpoints(found.get(pool.id, ())), tls=held.pools.get(pool.id))
            for pool in plan.pools
        ),
        access_log=plan.access_log,
        stores=plan.stores,
    )


def _listener(planned: contract.Listener, held: Held) -> contract.Listener:
    tls = held.listeners.get(planned.id)
    return replace(
        planned, tls=tls, routes=planned.routes if tls is not None else (*held.answers, *planned.routes)
    )


def without_secrets(snapshot: contract.Snapshot) -> contract.Snapshot:
    """The same with an ellipsis for each secret: for eyes, not for the data plane."""
    return replace(
        snapshot,
        listeners=tuple(replace(listener, tls=_tls(listener.tls)) for listener in snapshot.listeners),
        pools=tuple(replace(pool, sessions=_sessions(pool.sessions)) for pool in snapshot.pools),
        stores=tuple(
            replace(store, password=None if store.password is None else _HIDDEN) for store in snapshot.stores
        ),
    )


def _tls(tls: contract.ListenerTls | None) -> contract.ListenerTls | None:
    if tls is None or tls.tickets is None:
        return tls
    return replace(tls, tickets=contract.Tickets(tuple(_HIDDEN for _ in tls.tickets.keys)))


def _sessions(sessions: contract.Sessions | None) -> contract.Sessions | None:
    if sessions is None or not isinstance(sessions.by, contract.BySessionCookie):
        return sessions
    cookie = sessions.by.cookie
    hidden = replace(cookie, keys=tuple(_HIDDEN for _ in cookie.keys))
    return replace(sessions, by=contract.BySessionCookie(hidden))


def _endpoints(found: tuple[FoundEndpoint, ...]) -> tuple[contract.Endpoint, ...]:
    unique: dict[str, contract.Endpoint] = {}
    for each in found:
        unique.setdefault(
            each.id,
            contract.Endpoint(each.id, each.address, each.weight, each.tier, each.zone, each.limit),
        )
    return tuple(unique.values())
