"""The services that a name's SRV records list (RFC 2782), of the best priority."""

from collections.abc import Mapping
from typing import ClassVar, Self

from bascule.clock import Clock
from bascule.discovery.directory import Directory
from bascule.discovery.names import Retry, Ttl
from bascule.discovery.options import read_name, read_resolver, read_ttl, read_whole
from bascule.discovery.resolver import Resolver, Service, Unanswered
from bascule.discovery.source import Report
from bascule.discovery.written import HEAVIEST, address_id, tcp_address
from bascule.plan.found import FoundEndpoint


class DnsSrvSource:
    """SRV records of a name: each target's addresses, at the record's port, by the record's weight.

    Only records of the lowest priority number are used; others are for when those are gone from DNS, not for
    when they are down. Options: as of `dns`, but `port`; `weight` multiplies the record's.
    """

    kind: ClassVar[str] = "dns_srv"

    def __init__(self, name: str, resolver: Resolver, ttl: Ttl, weight: int) -> None:
        self._name = name
        self._resolver = resolver
        self._ttl = ttl
        self._weight = weight
        self._services: tuple[Service, ...] = ()
        self._problem: str | None = None
        self._retry = Retry()
        self._targets: Directory | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        weight = read_whole(options, "weight", 1, 1, HEAVIEST)
        return cls(read_name(options), read_resolver(options), read_ttl(options), weight)

    async def run(self, report: Report, clock: Clock) -> None:
        # Kept over runs: it holds the last good addresses.
        targets = self._targets = self._targets or Directory(clock, self._resolver, self._ttl)
        due = clock.now()
        while True:
            if clock.now() >= due:
                due = clock.now() + await self._refresh()
                targets.follow(it.target for it in self._services)
            await targets.refresh()
            self._tell(targets, report)
            await clock.sleep(min(due - clock.now(), targets.wait_s))

    async def _refresh(self) -> float:
        """Asks for the records; seconds until they are to be asked for again."""
        answer = await self._resolver.services(self._name)
        if isinstance(answer, Unanswered):
            self._problem = f"{self._name}: {answer.reason}"
        elif not answer.found:
            self._problem = f"{self._name}: has no SRV records"
        else:
            best = answer.found[0].priority
            self._services = tuple(it for it in answer.found if it.priority == best)
            self._problem = None
            self._retry.reset()
            return self._ttl.clamp(answer.ttl_s)
        return min(self._retry.after_failure(), self._ttl.maximum_s)

    def _tell(self, targets: Directory, report: Report) -> None:
        problems = (*(() if self._problem is None else (self._problem,)), *targets.problems())
        found: dict[str, FoundEndpoint] = {}
        for service in self._services:
            # Weight 0 means "hardly ever" (RFC 2782), which the least weight of an endpoint is.
            weight = min(max(service.weight, 1) * self._weight, HEAVIEST)
            for it in targets.name(service.target).addresses:
                address = tcp_address(it, service.port)
                found.setdefault(
                    address_id(address), FoundEndpoint(address_id(address), address, weight, service.target)
                )
        if found:
            report.found(tuple(found.values()), problems)
        elif problems:
            report.failed("; ".join(problems))
