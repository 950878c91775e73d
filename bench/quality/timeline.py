"""What happens to which endpoint when, as the fleet carries it out and as the oracle knows it beforehand."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Order = Literal["normal", "slow", "silent", "hole", "fail", "drain", "leave", "kill", "start", "reload"]
"""`silent` and `hole` take requests and answer nothing; the check of the latter passes all the same.

`leave` ends a process when it has finished its work, `kill` at once, and `start` starts one anew.
`reload` belongs to the balancer: the endpoint becomes part of its configuration.
"""
GONE: frozenset[Order] = frozenset({"silent", "hole", "fail", "drain", "leave", "kill"})
"""After these no answer can be had, or none should be asked for."""
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Event:
    """One order, at one moment."""

    at: float
    """Seconds after the start of the trace."""
    order: Order
    endpoint: int
    """From 0."""
    slowness: float = 1.0
    """For `slow`: by how much."""


class Timeline:
    """The state of every endpoint at any moment. Pure: the whole of it is known from the start."""

    def __init__(self, events: Iterable[Event], slowness: Sequence[float], spare: int = 0) -> None:
        """`slowness` is that of each endpoint at the start; the last `spare` of them are not there yet."""
        self._changes: list[list[tuple[float, float | None]]] = [[(0.0, it)] for it in slowness]
        for changes in self._changes[len(slowness) - spare :]:
            changes[0] = (0.0, None)
        for event in sorted(events, key=lambda it: it.at):
            usual = slowness[event.endpoint]
            now = None if event.order in GONE else event.slowness * usual
            self._changes[event.endpoint].append((event.at, now))

    def slowness(self, endpoint: int, at: float) -> float | None:
        """How much slower than a usual one it works at that moment; nothing while it is of no use."""
        changes = self._changes[endpoint]
        return changes[bisect_right(changes, at, key=lambda it: it[0]) - 1][1]

    def gone_from(self, endpoint: int, at: float) -> float:
        """The next moment from `at` on at which it ceases to be of use."""
        return next((when for when, state in self._changes[endpoint] if when > at and state is None), NEVER)
