"""A data plane in this process, started in a few lines, with defaults that suit tests."""

import os
import select
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from tests.support.endpoints import Script, ScriptedEndpoint
from tests.support.eventually import PATIENCE, eventually
from tests.support.http2 import Http2Client
from tests.support.raw import RawClient
from tests.support.strict import Response

from bascule import contract
from bascule.contract import codec
from bascule.plane import embedded

NO_EDITS = contract.HeaderEdits()
NO_TRY_LIMIT = contract.NoTryLimit()


def pool(
    *endpoints: ScriptedEndpoint | contract.Endpoint | str,
    id: str = "site",
    algorithm: str = "round_robin",
    options: Mapping[str, object] | None = None,
    connect_ms: int = 5_000,
    idle: int = 8,
    idle_ms: int = 60_000,
    attempts: int = 1,
    budget_percent: int = 20,
    budget_minimum: int = 3,
    panic_percent: int = 50,
    statuses: Iterable[int] = (),
    grpc_statuses: Iterable[int] = (),
    try_limit: contract.TryLimit = NO_TRY_LIMIT,
    **others: Any,
) -> contract.Pool:
    """A pool of endpoints; a string is an `ip:port`. `others` are fields of the contract's pool."""
    return contract.Pool(
        id=id,
        algorithm=contract.Algorithm(algorithm, dict(options or {})),
        endpoints=tuple(_endpoint(one) for one in endpoints),
        connect_ms=connect_ms,
        idle=contract.IdleConnections(per_thread=idle, timeout_ms=idle_ms),
        retries=contract.Retries(
            attempts, budget_percent, budget_minimum, tuple(statuses), try_limit, tuple(grpc_statuses)
        ),
        panic_percent=panic_percent,
        **others,
    )


def _endpoint(one: ScriptedEndpoint | contract.Endpoint | str) -> contract.Endpoint:
    if isinstance(one, ScriptedEndpoint):
        return one.contract()
    if isinstance(one, str):
        return contract.Endpoint(id=one, address=contract.TcpAddress(one), weight=1)
    return one


def route_timeouts(
    response_ms: int = 10_000,
    idle_ms: int = 10_000,
    total_ms: int | None = None,
    tunnel_ms: int = 10_000,
    deadline_header: str | None = None,
) -> contract.RouteTimeouts:
    """How long an endpoint may take: longer than any test, unless said otherwise."""
    return contract.RouteTimeouts(response_ms, idle_ms, total_ms, tunnel_ms, deadline_header)


def route(
    to: str | contract.Action = "site",
    *,
    id: str = "all",
    match: Iterable[contract.Matcher] = (),
    rewrite: contract.Rewrite | None = None,
    request_headers: contract.HeaderEdits = NO_EDITS,
    response_headers: contract.HeaderEdits = NO_EDITS,
    timeouts: contract.RouteTimeouts | None = None,
    **others: Any,
) -> contract.Route:
    """A route to a pool (by its id) or with an action of its own. `others` are fields of the contract."""
    action = contract.PoolAction(to) if isinstance(to, str) else to
    return contract.Route(
        id,
        tuple(match),
        action,
        rewrite,
        request_headers,
        response_headers,
        timeouts or route_timeouts(),
        **others,
    )


def prefix(*values: str) -> contract.Matcher:
    """Matches paths below any of `values`."""
    return contract.Matcher("path", {"paths": [{"kind": "prefix", "value": value} for value in values]})


def client_timeouts(
    head_ms: int = 10_000, body_ms: int = 10_000, keep_alive_ms: int = 10_000, send_ms: int = 10_000
) -> contract.ClientTimeouts:
    """How long a client may take: longer than any test, unless said otherwise."""
    return contract.ClientTimeouts(head_ms, body_ms, keep_alive_ms, send_ms)


def client_limits(
    *,
    head_bytes: int = 32_768,
    headers: int = 100,
    target_bytes: int = 8_192,
    body_bytes: int | None = None,
    connections: int | None = None,
    requests_per_connection: int | None = None,
    connections_per_client: int | None = None,
) -> contract.ClientLimits:
    """How much a client may send."""
    return contract.ClientLimits(
        head_bytes,
        headers,
        target_bytes,
        body_bytes,
        connections,
        requests_per_connection,
        connections_per_client,
    )


def forwarded(
    x_forwarded: bool = False, rfc7239: bool = False, trusted: Iterable[str] = ()
) -> contract.Forwarded:
    """What endpoints are told about the client: nothing, unless said otherwise."""
    return contract.Forwarded(x_forwarded, rfc7239, tuple(trusted))


def listener(
    *routes: contract.Route,
    id: str = "web",
    bind: str | Sequence[str] = "127.0.0.1:0",
    timeouts: contract.ClientTimeouts | None = None,
    limits: contract.ClientLimits | None = None,
    forwarded: contract.Forwarded | None = None,
    tls: contract.ListenerTls | None = None,
    http2: contract.Http2 | None = None,
    proxies: Sequence[str] = (),
) -> contract.Listener:
    """A listener; without routes all goes to the pool "site". Binds are `ip:port` or `unix:/path`."""
    binds = [bind] if isinstance(bind, str) else bind
    return contract.Listener(
        id=id,
        binds=tuple(_bind(one) for one in binds),
        routes=routes or (route(),),
        timeouts=timeouts or client_timeouts(),
        limits=limits or client_limits(),
        forwarded=forwarded or contract.Forwarded(x_forwarded=False, rfc7239=False, trusted=()),
        tls=tls,
        http2=http2 or contract.Http2(),
        proxy_protocol=contract.Announced(tuple(proxies)) if proxies else None,
    )


def _bind(address: str) -> contract.Bind:
    path = address.removeprefix("unix:")
    return contract.TcpBind(address) if path == address else contract.UnixBind(path, 0o600)


class RunningPlane:
    """A data plane that serves from the start of the `with` to its end, and is always stopped then."""

    def __init__(
        self,
        pools: Iterable[contract.Pool],
        listeners: Iterable[contract.Listener] | None = None,
        *,
        threads: int = 1,
        access_log: contract.AccessLog | None = None,
        stores: Iterable[contract.Store] = (),
        material: Iterable[contract.Material] = (),
    ) -> None:
        """Starts the threads and applies the first snapshot. Raises `SnapshotRefused` when it is refused."""
        self.plane = embedded.start(contract.Settings(threads=threads, seed=1))
        self.generation = 0
        """Of the snapshot that was offered last."""
        self.receipt: contract.Receipt
        """The answer to the snapshot that was applied last."""
        self.events: list[contract.Event] = []
        """All that were pulled so far, oldest first."""
        self._returned = 0
        try:
            self.give(*material)
            self.apply(pools, listeners, access_log=access_log, stores=stores)
        except BaseException:
            self.plane.stop(0)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not any(event.what.kind == "stopped" for event in self.events):
            self.stop(0)
            self.wait_event("stopped")
        panics = [event.what for event in self.events if event.what.kind == "task_panicked"]
        assert not panics, panics

    def apply(
        self,
        pools: Iterable[contract.Pool],
        listeners: Iterable[contract.Listener] | None = None,
        *,
        access_log: contract.AccessLog | None = None,
        generation: int | None = None,
        stores: Iterable[contract.Store] = (),
    ) -> contract.Receipt:
        """Makes another snapshot live, of the next generation unless `generation` is given.

        Raises `SnapshotRefused` and leaves the live one alone.
        """
        self.generation = self.generation + 1 if generation is None else generation
        snapshot = contract.Snapshot(
            contract=contract.CONTRACT_VERSION,
            generation=self.generation,
            listeners=tuple([listener()] if listeners is None else listeners),
            pools=tuple(pools),
            access_log=access_log,
            stores=tuple(stores),
        )
        self.receipt = codec.decode(contract.Receipt, self.plane.apply(codec.encode(snapshot)))
        return self.receipt

    def give(self, *material: contract.Material) -> None:
        """Hands over certificates, keys and authorities that the next snapshot names."""
        if material:
            self.plane.give(codec.encode(material))

    def mark(self, *marks: contract.Mark) -> None:
        """Tells the plane what was observed about endpoints."""
        self.plane.mark(codec.encode(marks))

    def address(self, listener: str = "web", bind: int = 0) -> str:
        """Where the listener accepts: `ip:port` or `unix:/path`, by the position of its bind."""
        bound = [bound.address for bound in self.receipt.binds if bound.listener == listener]
        address = bound[bind]
        assert address is not None
        return address

    def connect(self, listener: str = "web", *, receive_buffer: int | None = None) -> RawClient:
        """A client connection to the first bind of the listener."""
        return RawClient(self.address(listener), receive_buffer=receive_buffer)

    def connect_http2(self, listener: str = "web", **options: Any) -> Http2Client:
        """A client connection that speaks HTTP/2. Options are those of `Http2Client`."""
        return Http2Client(self.address(listener), **options)

    def ask(self, content: bytes, *, to: str = "GET") -> Response:
        """Sends one request on a connection of its own and reads the response."""
        with self.connect() as client:
            return client.ask(content, to=to)

    def stats(self) -> contract.Stats:
        """All counters, now."""
        return codec.decode(contract.Stats, self.plane.stats())

    def wait_stats(
        self, holds: Callable[[contract.Stats], bool], patience: float = PATIENCE
    ) -> contract.Stats:
        """The counters, once `holds` says that they are as they should be."""
        eventually(lambda: holds(self.stats()), lambda: f"the counters to change: {self.stats()}", patience)
        return self.stats()

    def endpoint(self, endpoint: ScriptedEndpoint | str) -> contract.EndpointStats:
        """The counters of one endpoint, now."""
        name = endpoint if isinstance(endpoint, str) else endpoint.name
        return next(one for one in self.stats().endpoints if one.endpoint == name)

    def pool(self, name: str = "site") -> contract.PoolStats:
        """The counters of one pool, now."""
        return next(one for one in self.stats().pools if one.pool == name)

    def endings(self, total: int) -> dict[str, int]:
        """How the exchanges ended, once `total` of them have: each worded ending, and how often."""
        counted = Counter[str]()
        for series in self._settled(total).series:
            counted.update({one.ending: one.count for one in series.endings})
        return dict(counted)

    def codes(self, total: int) -> dict[int, int]:
        """The statuses that clients got (0: none at all), once `total` exchanges have ended."""
        counted = Counter[int]()
        for series in self._settled(total).series:
            counted.update({one.code: one.count for one in series.codes})
        return dict(counted)

    def _settled(self, total: int) -> contract.Stats:
        # A client has its answer a moment before the exchange is counted.
        return self.wait_stats(
            lambda stats: sum(one.count for series in stats.series for one in series.endings) >= total
        )

    def wait_event(self, kind: str, patience: float = PATIENCE) -> contract.Event:
        """The first event of this kind that was not returned before, once there is one."""
        give_up = time.monotonic() + patience
        while True:
            for event in self.events[self._returned :]:
                self._returned += 1
                if event.what.kind == kind:
                    return event
            left = give_up - time.monotonic()
            assert left > 0, f"waited {patience} s in vain for {kind}: {self.events}"
            if select.select([self.plane.wake_fd()], [], [], left)[0]:
                os.read(self.plane.wake_fd(), 8)
                self.events += codec.decode(tuple[contract.Event, ...], self.plane.events(1_000))

    def wait_refused_header(self) -> contract.ProxyHeaderRefused:
        """The first PROXY header that was refused, and not returned before."""
        refused = self.wait_event("proxy_header_refused").what
        assert isinstance(refused, contract.ProxyHeaderRefused)
        return refused

    def stop(self, grace_ms: int | None = 0) -> None:
        """Begins to stop; the event `stopped` says when it has."""
        self.plane.stop(grace_ms)


@contextmanager
def serving(
    script: Script | None = None, only: contract.Listener | None = None, **pool_options: Any
) -> Iterator[tuple[ScriptedEndpoint, RunningPlane]]:
    """One scripted endpoint and a plane in front of it, with one listener. Options are those of `pool`."""
    with ScriptedEndpoint(script) as endpoint:
        listeners = None if only is None else [only]
        with RunningPlane([pool(endpoint, **pool_options)], listeners) as plane:
            yield endpoint, plane
