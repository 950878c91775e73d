"""An omniscient balancer: it knows all demands, queues and faults, and takes the earliest completion."""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from bench.quality.timeline import Timeline
from bench.quality.trace import Arrival

COLD_SECONDS = 2.0
COLD_EXTRA = 2.0
"""A cold endpoint takes three times as long for its first request, and from then on less every moment."""


class Queue:
    """One endpoint: first come, first served, by a few workers."""

    def __init__(self, workers: int, cold: bool) -> None:
        self._free_at = [0.0] * workers
        heapify(self._free_at)
        self._cold = cold
        self._first_at: float | None = None

    def begins(self, at: float) -> float:
        """When a request that comes at that moment gets a worker."""
        return max(at, self._free_at[0])

    def coldness(self, at: float) -> float:
        """By how much it is slower because it has not been running for long."""
        if not self._cold:
            return 1.0
        age = 0.0 if self._first_at is None else at - self._first_at
        return 1 + COLD_EXTRA * max(0.0, 1 - age / COLD_SECONDS)

    def take(self, begins: float, ends: float) -> None:
        """Gives the request to the worker that is free first."""
        if self._first_at is None:
            self._first_at = begins
        heappop(self._free_at)
        heappush(self._free_at, ends)


def dispatch(
    arrivals: Sequence[Arrival], timeline: Timeline, queues: Sequence[Queue], within: float | None = None
) -> Sequence[float | None]:
    """The seconds that each request takes; nothing for one that is turned away.

    Turned away are those that could not be done `within` so many seconds, if that is given, and those that
    come while no endpoint is of use. Earliest completion has the best tail, though not always the best mean.
    """
    taken: list[float | None] = []
    for arrival in arrivals:
        at = arrival.at_us / 1e6
        best: tuple[float, float, int] | None = None
        for number, queue in enumerate(queues):
            begins = queue.begins(at)
            slowness = timeline.slowness(number, begins)
            if slowness is None or timeline.slowness(number, at) is None:
                continue
            ends = begins + arrival.demand_us / 1e6 * slowness * queue.coldness(begins)
            if ends < timeline.gone_from(number, at) and (best is None or ends < best[0]):
                best = ends, begins, number
        if best is None or (within is not None and best[0] - at > within):
            taken.append(None)
            continue
        ends, begins, number = best
        queues[number].take(begins, ends)
        taken.append(ends - at)
    return taken
