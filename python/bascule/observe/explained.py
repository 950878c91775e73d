"""What would become of a request, in lines for people."""

from collections.abc import Iterator

from bascule import contract

SHOWN = 20
"""Endpoints of a pool that are shown where there are very many; candidates first."""


def in_lines(question: contract.Question, explanation: contract.Explanation) -> Iterator[str]:
    """One thing a line, in the order in which it is decided."""
    yield f"listener   {question.listener}"
    if (refused := explanation.refused) is not None:
        yield f"refused    {refused.status}: {refused.reason}"
        return
    if (seen := explanation.seen) is not None:
        client = seen.client or "over a Unix socket"
        yield f"seen as    host {seen.host or '(none)'}, path {seen.path}, client {client}"
    yield from _routes(explanation)
    match explanation.deed:
        case contract.RedirectDeed(status, location):
            yield f"answer     {status}, Location: {location}"
        case contract.RespondDeed(status):
            yield f"answer     {status}, written in the route"
    for pool in explanation.pools:
        yield from _pool(pool)


def _routes(explanation: contract.Explanation) -> Iterator[str]:
    for route in explanation.routes:
        if route.missed:
            yield f"  passed   {route.route}: not {'; not '.join(route.missed)}"
    if explanation.deed is None:
        yield "route      none matches: the answer is 404"
    else:
        yield f"route      {explanation.routes[-1].route}"


def _pool(pool: contract.PoolSeen) -> Iterator[str]:
    share = "" if pool.permille == 1000 else f", {pool.permille / 10:g}% of the route's requests"
    yield f"pool       {pool.pool} ({pool.algorithm}{share})"
    if pool.session is not None:
        yield f"session    {pool.session}"
    shown = sorted(pool.endpoints, key=lambda it: it.excluded is not None)[:SHOWN]
    width = max((len(it.endpoint) for it in shown), default=0)
    for endpoint in shown:
        yield f"  {_mark(endpoint, pool)} {endpoint.endpoint:<{width}}  {_said(endpoint)}"
    if more := len(pool.endpoints) - len(shown):
        yield f"    and {more} more"
    if pool.order:
        then = f"; then {', '.join(pool.order[1:])}" if pool.order[1:] else ""
        yield f"endpoint   {pool.order[0]}{then}"
    yield f"because    {pool.why}"


def _mark(endpoint: contract.EndpointSeen, pool: contract.PoolSeen) -> str:
    if pool.order and endpoint.endpoint == pool.order[0]:
        return "→"
    return "-" if endpoint.excluded is not None else " "


def _said(endpoint: contract.EndpointSeen) -> str:
    if endpoint.excluded is not None:
        return f"excluded: {endpoint.excluded}"
    if endpoint.score is not None:
        return endpoint.score
    limit = "" if endpoint.limit is None else f" of {endpoint.limit}"
    return f"{endpoint.in_flight}{limit} in flight, weight {endpoint.weight / 100:g}"
