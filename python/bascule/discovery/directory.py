"""The names that a list of written endpoints contains, each followed by its own TTL."""

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bascule.clock import Clock
from bascule.discovery.names import Name, Ttl
from bascule.discovery.resolver import Resolver
from bascule.discovery.written import Place, Written
from bascule.plan.found import FoundEndpoint

AT_ONCE = 16
"""Names that are asked for at the same time."""

WRITTEN_TTL = Ttl(minimum_s=5, maximum_s=300)
"""For names that are written where an address could be: there is no place for options there."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What is known of all of a list's endpoints now."""

    endpoints: tuple[FoundEndpoint, ...]
    """In the order in which they are written."""
    problems: tuple[str, ...]
    """Names that could not be resolved just now; their last good addresses are among `endpoints`."""


class Directory:
    """Names and their last good addresses. A name that is no longer asked for is forgotten."""

    def __init__(self, clock: Clock, resolver: Resolver, ttl: Ttl = WRITTEN_TTL) -> None:
        self._clock = clock
        self._resolver = resolver
        self._ttl = ttl
        self._names: dict[str, Name] = {}
        self._due: dict[str, float] = {}

    def follow(self, names: Iterable[str]) -> None:
        """Knows these names from now on, and no others; new ones are due at once."""
        wanted = dict.fromkeys(names)
        for gone in self._names.keys() - wanted.keys():
            del self._names[gone], self._due[gone]
        for name in wanted:
            if name not in self._names:
                self._names[name] = Name(name, self._resolver, self._ttl)
                self._due[name] = -math.inf

    @property
    def wait_s(self) -> float:
        """Until the next name is due; infinite when there is none."""
        return max(0.0, min(self._due.values(), default=math.inf) - self._clock.now())

    async def refresh(self) -> None:
        """Asks for those that are due, some at a time."""
        now = self._clock.now()
        places = asyncio.Semaphore(AT_ONCE)

        async def ask(name: Name) -> None:
            async with places:
                await name.refresh()
                self._due[name.name] = self._clock.now() + name.wait_s

        async with asyncio.TaskGroup() as group:
            for name in self._names.values():
                if self._due[name.name] <= now:
                    group.create_task(ask(name), name=f"resolve {name.name}")

    def name(self, name: str) -> Name:
        """One that is followed."""
        return self._names[name]

    def problems(self) -> tuple[str, ...]:
        """Of all names, in their order."""
        return tuple(it.problem for it in self._names.values() if it.problem is not None)

    def listing(self, written: Sequence[Written]) -> Listing:
        """The endpoints of `written` as far as they are known; its names must be followed."""
        endpoints: list[FoundEndpoint] = []
        for it in written:
            addresses = self._names[it.where.name].one_family if isinstance(it.where, Place) else ()
            endpoints.extend(it.found_at(addresses))
        return Listing(tuple(endpoints), self.problems())


def names_in(written: Sequence[Written]) -> tuple[str, ...]:
    """The names that have to be followed to find all of `written`."""
    return tuple(it.where.name for it in written if isinstance(it.where, Place))
