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


What = AcceptPaused | AcceptResumed | GenerationDrained | TaskPanicked | LogFailed | Stopped | EventsLost


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened on the data plane."""

    at_ms: U64
    """Milliseconds since the Unix epoch."""
    what: What
    """What it was."""
