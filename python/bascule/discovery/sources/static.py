"""Endpoints written in the configuration itself; names among them are resolved, by their TTL."""

import asyncio
import math
from collections.abc import Mapping
from typing import ClassVar, Self

from bascule.clock import Clock
from bascule.discovery.directory import Directory, names_in
from bascule.discovery.resolver import Resolver
from bascule.discovery.source import Report
from bascule.discovery.written import Written, read_endpoint
from bascule.errors import BasculeError

PARTIAL_AFTER_S = 1.0
"""When names are this slow, the endpoints that are known without them are reported first."""


class StaticSource:
    """Option: `endpoints`, a list of `{address, weight, id}`. A name stands for each of its addresses."""

    kind: ClassVar[str] = "static"

    def __init__(self, written: tuple[Written, ...], resolver: Resolver | None = None) -> None:
        self._written = written
        self._resolver = resolver or Resolver()
        self._directory: Directory | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        entries = options.get("endpoints")
        if not isinstance(entries, list | tuple):
            raise BasculeError(f"a static source needs a list of endpoints, not {entries!r}")
        return cls(tuple(read_endpoint(entry) for entry in entries))

    async def run(self, report: Report, clock: Clock) -> None:
        # Kept over runs: it holds the last good addresses.
        directory = self._directory = self._directory or Directory(clock, self._resolver)
        directory.follow(names_in(self._written))
        await self._first(directory, report, clock)
        while (wait := directory.wait_s) != math.inf:
            await clock.sleep(wait)
            await directory.refresh()
            self._tell(directory, report)

    async def _first(self, directory: Directory, report: Report, clock: Clock) -> None:
        async def tell_what_is_known() -> None:
            await clock.sleep(PARTIAL_AFTER_S)
            if known := directory.listing(self._written).endpoints:
                report.found(known, more_soon=True)

        async with asyncio.TaskGroup() as group:
            partial = group.create_task(tell_what_is_known())
            await directory.refresh()
            partial.cancel()
        self._tell(directory, report)

    def _tell(self, directory: Directory, report: Report) -> None:
        listing = directory.listing(self._written)
        if listing.problems and not listing.endpoints:
            report.failed("; ".join(listing.problems))
        else:
            report.found(listing.endpoints, listing.problems)
