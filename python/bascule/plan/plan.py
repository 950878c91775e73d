"""A configuration whose names are resolved and whose defaults are filled: nothing is left to look up."""

from collections.abc import Mapping
from dataclasses import dataclass

from bascule import contract


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """Where endpoints of a pool are discovered."""

    kind: str
    """`static`, `file`, `dns`, `dns_srv`, or a third party's."""
    options: Mapping[str, object]
    """As that source reads them; see the table in `bascule.plan.build`."""


@dataclass(frozen=True, slots=True)
class PlannedCheck:
    """How the endpoints of a pool are probed."""

    kind: str
    """`http`, `tcp`, `python`, or a third party's."""
    options: Mapping[str, object]
    """As that check reads them; see the table in `bascule.plan.build`."""
    every_ms: int
    """Between the starts of two checks of one endpoint; at least 1."""
    timeout_ms: int
    """A check that takes longer has failed; at least 1."""
    rise: int
    """Passes in a row that make an endpoint up again; at least 1."""
    fall: int
    """Failures in a row that make it down; at least 1."""
    initially_up: bool
    """What is believed before the first outcome, which decides alone."""


@dataclass(frozen=True, slots=True)
class PlannedAgent:
    """How the agents of a pool's endpoints are asked (HAProxy's agent-check protocol)."""

    port: int
    """Where each agent listens."""
    host: str | None
    """Where all of them listen; `None`: each at the address of its endpoint."""
    every_ms: int
    """Between the starts of two questions to one agent; at least 1."""
    timeout_ms: int
    """An agent that takes longer has said nothing; at least 1."""
    send: str | None
    """What it is sent first; `None`: nothing."""


@dataclass(frozen=True, slots=True)
class PlannedLoad:
    """How the endpoints of a pool are asked how busy they are."""

    path: str
    """Of the load URL, on each endpoint."""
    every_ms: int
    """Between the starts of two questions to one endpoint; at least 1."""
    timeout_ms: int
    """An endpoint that takes longer has said nothing; at least 1."""


@dataclass(frozen=True, slots=True)
class PlannedPool:
    """A pool without its endpoints, which come from the sources."""

    id: str
    """The same as `template.id`."""
    template: contract.Pool
    """Complete, but for `endpoints`, which is empty."""
    sources: tuple[PlannedSource, ...]
    """At least one; the pool's endpoints are what all of them report."""
    check: PlannedCheck | None
    """`None`: endpoints are always up."""
    agent: PlannedAgent | None = None
    """`None`: there are none."""
    load: PlannedLoad | None = None
    """`None`: endpoints are not asked."""


@dataclass(frozen=True, slots=True)
class PlannedAdmin:
    """Where operators and their programs ask."""

    bind: str | None
    """`unix:/path` or `127.0.0.1:9000`; `None`: the default socket of the user who runs it."""
    metrics: str | None
    """`127.0.0.1:9100`: an address that serves nothing but metrics and health; `None`: none."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a configuration asks for. Two equal plans ask for the same."""

    listeners: tuple[contract.Listener, ...]
    """Complete, routes included."""
    pools: tuple[PlannedPool, ...]
    """In the order of the configuration; every pool a route names is here."""
    access_log: contract.AccessLog | None
    """`None`: no access log."""
    admin: PlannedAdmin
    """Where operators ask."""
    threads: int | None
    """Data-plane threads; `None`: one per core."""
    stop_grace_ms: int
    """How long exchanges in flight may go on after a stop."""
    log_level: str
    """`debug`, `info`, `warning` or `error`."""
    stores: tuple[contract.Store, ...] = ()
    """What several balancers remember together."""
