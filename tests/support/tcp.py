"""TCP flows in tests: listeners that carry them, and what was counted about them."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.endpoints import Conversation, Script, ScriptedEndpoint
from tests.support.plane import RunningPlane, client_limits, client_timeouts, pool

from bascule import contract


def flow_route(
    to: str = "site",
    *,
    id: str = "all",
    names: Iterable[str] = (),
    alpn: Iterable[str] = (),
    clients: Iterable[str] = (),
    limits: Iterable[contract.RateLimit] = (),
    idle_ms: int = 60_000,
    total_ms: int | None = None,
) -> contract.FlowRoute:
    """A route of flows to a pool."""
    return contract.FlowRoute(
        id=id,
        server_names=tuple(names),
        alpn=tuple(alpn),
        clients=tuple(clients),
        pool=to,
        limits=tuple(limits),
        priority=5,
        idle_ms=idle_ms,
        total_ms=total_ms,
    )


def flow_listener(
    *routes: contract.FlowRoute,
    id: str = "web",
    bind: str = "127.0.0.1:0",
    passthrough: Iterable[contract.FlowRoute] = (),
    probe_ms: int | None = None,
    limits: contract.ClientLimits | None = None,
    timeouts: contract.ClientTimeouts | None = None,
    tls: contract.ListenerTls | None = None,
    proxies: Iterable[str] = (),
) -> contract.Listener:
    """A listener that carries TCP; without routes all goes to the pool "site"."""
    path = bind.removeprefix("unix:")
    return contract.Listener(
        id=id,
        binds=(contract.TcpBind(bind) if path == bind else contract.UnixBind(path, 0o600),),
        routes=(),
        timeouts=timeouts or client_timeouts(),
        limits=limits or client_limits(),
        forwarded=contract.Forwarded(x_forwarded=False, rfc7239=False, trusted=()),
        tls=tls,
        carries="tcp",
        proxy_protocol=contract.Announced(tuple(proxies)) if proxies else None,
        flows=contract.Flows(
            routes=routes or (flow_route(),), passthrough=tuple(passthrough), probe_ms=probe_ms
        ),
    )


@contextmanager
def carrying(
    script: Script | None = None, only: contract.Listener | None = None, **pool_options: Any
) -> Iterator[tuple[ScriptedEndpoint, RunningPlane]]:
    """One scripted endpoint behind a listener that carries TCP. Options are those of `pool`."""
    with ScriptedEndpoint(script) as endpoint:
        with RunningPlane([pool(endpoint, **pool_options)], [only or flow_listener()]) as plane:
            yield endpoint, plane


def flow_endings(plane: RunningPlane, total: int) -> dict[str, int]:
    """How the flows ended, once `total` of them have."""
    stats = plane.wait_stats(
        lambda stats: sum(one.count for series in stats.flows for one in series.endings) >= total
    )
    counted = Counter[str]()
    for series in stats.flows:
        counted.update({one.ending: one.count for one in series.endings})
    return dict(counted)


def open_flows(plane: RunningPlane, listener: str = "web") -> int:
    """Flows that are open now."""
    return next(one.flows for one in plane.stats().listeners if one.listener == listener)


def named(name: str) -> Script:
    """Says its name, then sends back what arrives."""

    def play(conversation: Conversation) -> None:
        conversation.send(name.encode())
        echo(conversation)

    return play


def hear(_: Conversation) -> None:
    """Says nothing, and reads to the end."""


def echo(conversation: Conversation) -> None:
    """Sends back what arrives, to its end, and ends then."""
    while received := conversation.socket.recv(65536):
        conversation.send(received)
    # A client that has left without reading all has reset the connection by now.
    with contextlib.suppress(OSError):
        conversation.finish()
