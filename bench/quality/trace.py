"""The requests of one run: when each is sent and how long it occupies a worker, drawn from one seed."""

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass

MEAN_DEMAND_S = 0.020
"""Demands are exponential: many short ones, a few long ones."""
PLANNED = struct.Struct("=QII")
"""As c/clients.c reads it: when, how long, whether it is a POST."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Some seconds of arrivals at one rate."""

    seconds: float
    load: float
    """The share of what the fleet can do, 1.0 being all of it."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request."""

    at_us: int
    """After the start of the trace; never less than that of the one before."""
    demand_us: int
    """How long a worker of a healthy endpoint is busy with it."""
    post: bool = False


def draw(phases: Sequence[Phase], capacity: float, seed: int, post: bool = False) -> Sequence[Arrival]:
    """Poisson arrivals with exponential demands. `capacity` is in requests per second.

    The same arguments give the same trace, so that every balancer gets exactly the same work.
    """
    random_numbers = random.Random(seed)
    arrivals: list[Arrival] = []
    began = 0.0
    for phase in phases:
        at = began
        while (at := at + random_numbers.expovariate(phase.load * capacity)) < began + phase.seconds:
            demand_us = round(1e6 * random_numbers.expovariate(1 / MEAN_DEMAND_S))
            arrivals.append(Arrival(round(1e6 * at), demand_us, post))
        began += phase.seconds
    return arrivals


def pack(arrivals: Sequence[Arrival]) -> bytes:
    """The trace as a file that c/clients.c reads."""
    return b"".join(PLANNED.pack(it.at_us, it.demand_us, it.post) for it in arrivals)
