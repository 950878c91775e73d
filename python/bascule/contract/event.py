"""Things that happened, one small record each."""

from dataclasses import dataclass
from typing import Literal

from bascule.contract.integers import U32, U64


@dataclass(frozen=True, slots=True)
class AcceptPaused:
    """Accepting stopped for a while (no file descriptors, or the connection limit)."""

    listener: str
    """The listener's id."""
    reason: str
    """In words."""
    kind: Literal["accept_paused"] = "accept_paused"


@dataclass(frozen=True, slots=True)
class AcceptResumed:
    """Accepting went on."""

    listener: str
    """The listener's id."""
    kind: Literal["accept_resumed"] = "accept_resumed"


@dataclass(frozen=True, slots=True)
class GenerationDrained:
    """The last exchange of an old generation has ended."""

    generation: U64
    """Which."""
    kind: Literal["generation_drained"] = "generation_drained"


@dataclass(frozen=True, slots=True)
class TaskPanicked:
    """A task of a data-plane thread failed; its connection was closed, all others go on."""

    thread: U32
    """Index of the thread."""
    message: str
    """The panic's message."""
    kind: Literal["task_panicked"] = "task_panicked"


@dataclass(frozen=True, slots=True)
class LogFailed:
    """The access log could not be written."""

    reason: str
    """In words."""
    kind: Literal["log_failed"] = "log_failed"


@dataclass(frozen=True, slots=True)
class Ejected:
    """Traffic showed that an endpoint fails: it gets none for a while."""

    pool: str
    """The pool's id."""
    endpoint: str
    """The endpoint's id within it."""
    reason: str
    """In words."""
    for_ms: U64
    """For how long."""
    kind: Literal["ejected"] = "ejected"


@dataclass(frozen=True, slots=True)
class Restored:
    """An endpoint that was ejected has proved itself."""

    pool: str
    """The pool's id."""
    endpoint: str
    """The endpoint's id within it."""
    kind: Literal["restored"] = "restored"


@dataclass(frozen=True, slots=True)
class OverloadBegan:
    """A pool is offered more than its endpoints can do: limits are enforced, requests wait or are shed."""

    pool: str
    """The pool's id."""
    kind: Literal["overload_began"] = "overload_began"


@dataclass(frozen=True, slots=True)
class OverloadEnded:
    """The pool keeps up again."""

    pool: str
    """The pool's id."""
    kind: Literal["overload_ended"] = "overload_ended"


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """A shared store does not answer; requests go on without it."""

    store: str
    """The store's id."""
    reason: str
    """In words."""
    kind: Literal["store_failed"] = "store_failed"


@dataclass(frozen=True, slots=True)
class StoreRecovered:
    """A shared store answers again."""

    store: str
    """The store's id."""
    kind: Literal["store_recovered"] = "store_recovered"


@dataclass(frozen=True, slots=True)
class HandshakeFailed:
    """A TLS handshake with a client failed. A few of many are told; all are counted."""

    listener: str
    """The listener's id."""
    client: str
    """Its address; empty for Unix sockets."""
    reason: str
    """In words."""
    kind: Literal["handshake_failed"] = "handshake_failed"


@dataclass(frozen=True, slots=True)
class ProxyHeaderRefused:
    """A connection that has to begin with a PROXY header was closed: it did not. A few of many are told; all
    are counted."""

    listener: str
    """The listener's id."""
    client: str
    """The address of who passes it on; empty for Unix sockets."""
    reason: str
    """In words."""
    kind: Literal["proxy_header_refused"] = "proxy_header_refused"


@dataclass(frozen=True, slots=True)
class EndpointTlsFailed:
    """A TLS handshake with an endpoint failed. A few of many are told."""

    pool: str
    """The pool's id."""
    endpoint: str
    """The endpoint's id within it."""
    reason: str
    """In words."""
    kind: Literal["endpoint_tls_failed"] = "endpoint_tls_failed"


@dataclass(frozen=True, slots=True)
class Stopped:
    """All work has ended after `stop`."""

    cut: U64
    """Exchanges and tunnels that were cut because the grace time ended."""
    kind: Literal["stopped"] = "stopped"


@dataclass(frozen=True, slots=True)
class EventsLost:
    """The ring was full; this many events before this one were lost."""

    count: U64
    """How many."""
    kind: Literal["events_lost"] = "events_lost"


What = (
    AcceptPaused
    | AcceptResumed
    | GenerationDrained
    | TaskPanicked
    | LogFailed
    | Ejected
    | Restored
    | OverloadBegan
    | OverloadEnded
    | StoreFailed
    | StoreRecovered
    | HandshakeFailed
    | ProxyHeaderRefused
    | EndpointTlsFailed
    | Stopped
    | EventsLost
)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened on the data plane."""

    at_ms: U64
    """Milliseconds since the Unix epoch."""
    what: What
    """What it was."""
