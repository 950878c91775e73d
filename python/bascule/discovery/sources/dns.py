"""Every address of a name, asked for again when the answer's time is over."""

from collections.abc import Mapping
from typing import ClassVar, Self

from bascule.clock import Clock
from bascule.discovery.names import Name
from bascule.discovery.options import read_name, read_resolver, read_ttl, read_whole
from bascule.discovery.source import Report
from bascule.discovery.written import HEAVIEST, address_id, tcp_address
from bascule.plan.found import FoundEndpoint


class DnsSource:
    """A and AAAA records of a name, all at one port.

    Options: `name`, `port`, `weight` of each, `minimum_ttl_ms` and `maximum_ttl_ms` (bounds within which
    answers are believed), `nameservers` (or `None` for the machine's own).
    """

    kind: ClassVar[str] = "dns"

    def __init__(self, name: Name, port: int, weight: int) -> None:
        self._name = name
        self._port = port
        self._weight = weight

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        name = Name(read_name(options), read_resolver(options), read_ttl(options))
        return cls(
            name, read_whole(options, "port", None, 1, 65535), read_whole(options, "weight", 1, 1, HEAVIEST)
        )

    async def run(self, report: Report, clock: Clock) -> None:
        while True:
            await self._name.refresh()
            problem = self._name.problem
            if self._name.addresses:
                report.found(self._endpoints(), () if problem is None else (problem,))
            elif problem is not None:
                report.failed(problem)
            await clock.sleep(self._name.wait_s)

    def _endpoints(self) -> tuple[FoundEndpoint, ...]:
        at = [tcp_address(it, self._port) for it in self._name.addresses]
        return tuple(FoundEndpoint(address_id(it), it, self._weight, self._name.name) for it in at)
