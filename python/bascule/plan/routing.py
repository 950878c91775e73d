"""Listeners and routes of the model → those of the contract."""

from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import replace

from bascule import contract
from bascule.config.addresses import each_port
from bascule.config.carried import routes_of_flows
from bascule.config.model import (
    Bind,
    CertificateTest,
    HeaderEdits,
    Http2,
    Listener,
    Match,
    PathTest,
    Redirect,
    Respond,
    Rewrite,
    Route,
    ValueTest,
)
from bascule.plan.flows import plan_flows
from bascule.plan.protecting import plan_rate_limits
from bascule.plan.tls import https_routes, with_hsts

SOCKET_MODE = 0o660
"""Permission bits of a Unix socket for which none are given: the user and group that run the balancer."""


def plan_listener(name: str, listener: Listener) -> contract.Listener:
    """A listener as the data plane knows it. Its pool, if it has one, is its last route."""
    timeouts, limits = listener.timeouts, listener.limits
    routes = routes_of_flows(listener) or _routes(listener)
    ids = _ids([*routes, *listener.passthrough])
    ids, passthrough_ids = ids[: len(routes)], ids[len(routes) :]
    carries_http = listener.protocol == "http"
    taken = frozenset(ids)
    return contract.Listener(
        id=name,
        binds=tuple(each for bind in listener.bind for each in _binds(bind, listener)),
        routes=tuple(
            _secured(_route(route, route_id, taken), listener)
            for route, route_id in zip(routes, ids, strict=True)
            if carries_http
        ),
        timeouts=contract.ClientTimeouts(timeouts.head, timeouts.body, timeouts.keep_alive, timeouts.send),
        limits=contract.ClientLimits(
            limits.head,
            limits.headers,
            limits.target,
            limits.body,
            limits.connections,
            limits.requests_per_connection,
            limits.connections_per_client,
        ),
        forwarded=contract.Forwarded(
            listener.forwarded.x_forwarded, listener.forwarded.rfc7239, listener.forwarded.trusted
        ),
        http2=_http2(listener.http2),
        carries=listener.protocol,
        flows=plan_flows(listener, ids, passthrough_ids),
        proxy_protocol=None
        if listener.proxy_protocol is None
        else contract.Announced(listener.proxy_protocol.from_),
    )


def _routes(listener: Listener) -> list[Route]:
    """The routes of HTTP; the pool is the last of what is matched."""
    last = [] if listener.pool is None else [Route(pool=listener.pool)]
    return [*listener.routes, *last, *https_routes(listener.redirect_to_https)]


def _secured(route: contract.Route, listener: Listener) -> contract.Route:
    hsts = listener.hsts if listener.tls is not None else None
    return replace(route, response_headers=with_hsts(route.response_headers, hsts))


def _http2(http2: Http2 | None) -> contract.Http2:
    if http2 is None:
        return contract.Http2(enabled=False)
    return contract.Http2(streams=http2.streams, window_bytes=http2.window)


def _ids(routes: list[Route]) -> list[str]:
    """A name for each route: its own, or what it does, numbered where that is taken."""
    taken = {route.name for route in routes if route.name is not None}
    # Where counting goes on for each word: thousands of routes may do the same.
    last: Counter[str] = Counter()
    ids = []
    for route in routes:
        wanted = name = route.name or route.pool or _deed(route)
        while route.name is None and name in taken:
            last[wanted] += 1
            name = f"{wanted}-{last[wanted] + 1}"
        taken.add(name)
        ids.append(name)
    return ids


def _deed(route: Route) -> str:
    if route.split is not None:
        return "-".join(route.split)[:64]
    return "redirect" if route.redirect is not None else "respond"


def _binds(bind: Bind, listener: Listener) -> Iterable[contract.Bind]:
    """One for each port of a range."""
    if bind.unix is not None:
        return [contract.UnixBind(bind.unix, SOCKET_MODE if bind.mode is None else bind.mode)]
    assert bind.address is not None, "the model has one of the two"
    kind = contract.UdpBind if listener.protocol == "udp" else contract.TcpBind
    return [kind(address) for address in each_port(bind.address)]


def _route(route: Route, route_id: str, route_ids: Set[str]) -> contract.Route:
    timeouts = route.timeouts
    return contract.Route(
        id=route_id,
        matchers=tuple(_matchers(route.match)),
        action=_action(route),
        rewrite=None if route.rewrite is None else _rewrite(route.rewrite),
        request_headers=_edits(route.request_headers),
        response_headers=_edits(route.response_headers),
        timeouts=contract.RouteTimeouts(
            timeouts.response, timeouts.idle, timeouts.total, timeouts.tunnel, timeouts.deadline_header
        ),
        limits=plan_rate_limits(route, route_id, route_ids),
        priority=route.priority,
        mirror=None if route.mirror is None else contract.Mirror(route.mirror.pool, route.mirror.share),
        connect=route.connect or "off",
        half_closed=route.half_closed,
    )


def _matchers(match: Match) -> Iterable[contract.Matcher]:
    """Cheap and selective ones first: the data plane tries them in this order."""
    if match.host:
        yield contract.Matcher("host", {"hosts": list(match.host)})
    if match.path:
        yield contract.Matcher("path", {"paths": [_path(test) for test in match.path]})
    if match.method:
        yield contract.Matcher("method", {"methods": list(match.method)})
    if match.client:
        yield contract.Matcher("client", {"networks": list(match.client)})
    for name, test in match.header.items():
        yield contract.Matcher("header", {"name": name, "test": _test(test)})
    for name, test in match.query.items():
        yield contract.Matcher("query", {"name": name, "test": _test(test)})
    yield from plan_matchers(match.client_certificate)
    for name, options in match.others.items():
        yield contract.Matcher(name, options)


def plan_matchers(test: CertificateTest | None) -> Iterable[contract.Matcher]:
    """One matcher for each part of a certificate that is tested."""
    if test is None:
        return
    if test.present is not None:
        options = {"part": "fingerprint", "test": {"kind": "present" if test.present else "absent"}}
        yield contract.Matcher("client_certificate", options)
    for part in ("subject", "dns", "uri", "fingerprint"):
        if (wanted := getattr(test, part)) is not None:
            yield contract.Matcher("client_certificate", {"part": part, "test": _test(wanted)})


def _path(test: PathTest) -> dict[str, str]:
    for kind, value in (("exact", test.exact), ("prefix", test.prefix), ("regex", test.regex)):
        if value is not None:
            return {"kind": kind, "value": value}
    raise AssertionError("the model has one of the three")


def _test(test: ValueTest) -> dict[str, str]:
    if test.present is not None:
        return {"kind": "present" if test.present else "absent"}
    if test.exact is not None:
        return {"kind": "exact", "value": test.exact}
    assert test.regex is not None, "the model has one of the three"
    return {"kind": "regex", "value": test.regex}


def _action(route: Route) -> contract.Action:
    if isinstance(route.redirect, Redirect):
        return contract.RedirectAction(route.redirect.status, route.redirect.to)
    if isinstance(route.respond, Respond):
        headers = tuple(contract.HeaderValue(name, value) for name, value in route.respond.headers.items())
        return contract.RespondAction(route.respond.status, headers, route.respond.body)
    if route.split is not None:
        return contract.SplitAction(tuple(contract.Share(*share) for share in route.split.items()))
    assert route.pool is not None, "the model has one of the four"
    return contract.PoolAction(route.pool)


def _rewrite(rewrite: Rewrite) -> contract.Rewrite:
    if rewrite.strip is not None:
        return contract.PrefixRewrite(rewrite.strip, "/")
    if rewrite.prefix is not None:
        return contract.PrefixRewrite(rewrite.prefix.from_, rewrite.prefix.to)
    if rewrite.set is not None:
        return contract.SetRewrite(rewrite.set)
    assert rewrite.regex is not None and rewrite.with_ is not None, "the model has one of the four"
    return contract.RegexRewrite(rewrite.regex, rewrite.with_)


def _edits(edits: HeaderEdits) -> contract.HeaderEdits:
    return contract.HeaderEdits(
        remove=edits.remove,
        set=tuple(contract.HeaderValue(name, value) for name, value in edits.set.items()),
        add=tuple(
            contract.HeaderValue(name, value) for name, values in edits.add.items() for value in values
        ),
    )
