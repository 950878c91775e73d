"""A configuration that is asked where requests would go, by the decisions of production."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bascule import contract
from bascule.contract import codec
from bascule.control.composing import composed, prepared
from bascule.errors import BasculeError
from bascule.observe.explained import in_lines
from bascule.plan.asked import Asked, question
from bascule.plane import embedded

Headers = Mapping[str, str] | Iterable[str]
"""`{"Cookie": "a=b"}`, or lines as curl takes them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What would become of a request."""

    listener: str
    """Which listener got it."""
    route: str | None
    """Which route took it; `None`: none, and the answer is 404, or it was refused before."""
    pool: str | None
    """Where it would go; of a split the pool with the greatest share. `None`: nowhere."""
    pools: tuple[str, ...]
    """All pools that it may go to."""
    endpoint: str | None
    """Where in `pool` it would go. Where several are as good as each other it may be any of them."""
    endpoints: tuple[str, ...]
    """The candidates of `pool`, in the order of the configuration."""
    status: int | None
    """Of an answer that the balancer gives itself; `None`: an endpoint answers."""
    location: str | None
    """Of a redirect."""
    why: str
    """Everything that was decided, in lines for people."""

    def __str__(self) -> str:
        return self.why


class Rehearsal:
    """A configuration that serves nobody. Everything is up unless it was told otherwise."""

    def __init__(self, snapshot: contract.Snapshot) -> None:
        self._snapshot = snapshot
        self._encoded = codec.encode(snapshot)
        self._marks: dict[tuple[str, str], contract.Mark] = {}

    @classmethod
    def of_file(cls, path: Path | str) -> Self:
        """That of a configuration file. Endpoints are found as they would be at a start.

        Raises `ConfigRefused` when it is refused. Not to be called where an event loop runs.
        """
        return cls(asyncio.run(composed(prepared(Path(path)).plan)))

    def route(
        self,
        request: str,
        headers: Headers = (),
        *,
        client: str | None = "127.0.0.1",
        listener: str | None = None,
    ) -> Outcome:
        """What would become of a request: `GET https://shop.example/cart`, or a URL alone.

        Raises `BasculeError` when that is no request, or leads to no listener or to several.
        """
        method, _, url = request.strip().rpartition(" ")
        lines = (
            tuple(f"{name}: {value}" for name, value in headers.items())
            if isinstance(headers, Mapping)
            else tuple(headers)
        )
        asked = Asked(method.strip() or "GET", url, lines, client, listener)
        secure = {it.id for it in self._snapshot.listeners if it.tls is not None}
        asking = question(asked, self._snapshot.listeners, secure, int(time.time()))
        told = embedded.explain(self._encoded, asking, tuple(self._marks.values()))
        return _outcome(asking, told)

    def down(self, *endpoints: str) -> None:
        """These endpoints (`POOL/ID`) fail their checks from now on."""
        self._mark(endpoints, up=False)

    def up(self, *endpoints: str) -> None:
        """These endpoints pass their checks again."""
        self._mark(endpoints, up=True)

    def drain(self, *endpoints: str) -> None:
        """These endpoints get no new work from now on."""
        self._mark(endpoints, draining=True)

    def reset(self) -> None:
        """Everything is up again, and nothing drains."""
        self._marks.clear()

    def _mark(
        self, endpoints: Iterable[str], *, up: bool | None = None, draining: bool | None = None
    ) -> None:
        known = {(pool.id, it.id) for pool in self._snapshot.pools for it in pool.endpoints}
        for named in endpoints:
            pool, _, endpoint = named.partition("/")
            if (pool, endpoint) not in known:
                of_pool = sorted(it for name, it in known if name == pool)
                hint = f"pool {pool} has {', '.join(of_pool)}" if of_pool else "write POOL/ENDPOINT"
                raise BasculeError(f"there is no endpoint {named}", hint)
            before = self._marks.get((pool, endpoint), contract.Mark(pool, endpoint))
            self._marks[pool, endpoint] = contract.Mark(
                pool,
                endpoint,
                up=before.up if up is None else up,
                draining=before.draining if draining is None else draining,
            )


def _outcome(asking: contract.Question, told: contract.Explanation) -> Outcome:
    main = max(told.pools, key=lambda pool: pool.permille, default=None)
    return Outcome(
        listener=asking.listener,
        route=told.routes[-1].route if told.deed is not None else None,
        pool=None if main is None else main.pool,
        pools=tuple(pool.pool for pool in told.pools),
        endpoint=main.order[0] if main is not None and main.order else None,
        endpoints=() if main is None else tuple(it.endpoint for it in main.endpoints if it.excluded is None),
        status=_status(told, main),
        location=told.deed.location if isinstance(told.deed, contract.RedirectDeed) else None,
        why="\n".join(in_lines(asking, told)),
    )


def _status(told: contract.Explanation, main: contract.PoolSeen | None) -> int | None:
    if told.refused is not None:
        return told.refused.status
    if isinstance(told.deed, contract.RedirectDeed | contract.RespondDeed):
        return told.deed.status
    if told.deed is None:
        return 404
    return 503 if main is None or not main.order else None
