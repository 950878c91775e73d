"""One trial: one balancer, asked for one thing, under one load, for some seconds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.peers import Target
from bench.wanted import Load, Wanted

Figures = Mapping[str, float]
"""What a trial found, by name. The unit is in the name.

`errors` is always there, and so is `foreign_percent` wherever others could change what was found.
"""


@dataclass(frozen=True, slots=True)
class Lab:
    """What all trials of a run share."""

    origin: int
    """Its process id."""
    patience: float
    """Seconds to wait for a quiet moment before each trial."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is to be measured."""

    target: Target
    wanted: Wanted
    load: Load
    seconds: float
    blocked: bool = False
    """Whether Python stands still meanwhile."""


Measure = Callable[[Lab, Trial], Figures]
"""Carries out a trial. Raises `bench.load.Failed` when there is nothing to report."""
