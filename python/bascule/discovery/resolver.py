"""Asks for the addresses and services behind a name: the hosts file first, then DNS."""

import asyncio
import ipaddress
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver

from bascule.errors import BasculeError
from bascule.tasks import heed_cancellation

PATIENCE_S = 5.0
"""For one question, all name servers and tries together."""

LARGEST_HOSTS_FILE = 1 << 20
HOSTS_TTL_S = 10.0
"""The hosts file has no TTL of its own; people who edit it expect to see it work."""

Family = Literal["A", "AAAA"]


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of one family, in numerical order; empty when the name has none."""

    found: tuple[str, ...]
    ttl_s: float
    """How long the answer holds, the shortest of its chain of aliases."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A question that got no usable answer: a time-out, a refusal, nonsense. Says nothing about the name."""

    reason: str


@dataclass(frozen=True, slots=True)
class Service:
    """One SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str
    """A name, without the final dot."""


@dataclass(frozen=True, slots=True)
class Services:
    """All SRV records of a name, in a fixed order; empty when there are none or it says "not here"."""

    found: tuple[Service, ...]
    ttl_s: float


class Resolver:
    """Asks, and remembers nothing: the time for which an answer holds is the caller's to keep.

    With `nameservers` only those are asked (`10.0.0.53`, `10.0.0.53:5353`, `[::1]:53`); without, what
    the machine does: its hosts file wins, then the servers and search list of `/etc/resolv.conf`. Both files
    are read for every question, since networks come and go.

    Other sources of the name service switch are not asked: `getaddrinfo` tells no TTL and blocks a thread
    that cannot be cancelled, which would hold up stopping for as long as a dead name server does.
    """

    def __init__(
        self,
        nameservers: Sequence[str] | None = None,
        *,
        hosts: Path = Path("/etc/hosts"),
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._nameservers = None if nameservers is None else tuple(_nameserver(it) for it in nameservers)
        self._hosts = hosts
        self._patience_s = patience_s

    async def addresses(self, name: str) -> dict[Family, Addresses | Unanswered]:
        """Both families, asked for at the same time. Never raises: one may be there without the other."""
        known = self._without_asking(name)
        if known is not None:
            return {
                "A": Addresses(tuple(it for it in known if ":" not in it), HOSTS_TTL_S),
                "AAAA": Addresses(tuple(it for it in known if ":" in it), HOSTS_TTL_S),
            }
        async with asyncio.TaskGroup() as group:
            questions: dict[Family, asyncio.Task[Addresses | Unanswered]] = {
                "A": group.create_task(self._family(name, "A")),
                "AAAA": group.create_task(self._family(name, "AAAA")),
            }
        return {family: question.result() for family, question in questions.items()}

    async def services(self, name: str) -> Services | Unanswered:
        """The SRV records of `name`, for example `_http._tcp.app.internal`. Never raises."""
        answer = await self._ask(name, "SRV")
        if answer is None or isinstance(answer, Unanswered):
            return answer or Services((), 0)
        records = (
            Service(it.priority, it.weight, it.port, it.target.to_text(omit_final_dot=True).lower())
            for it in answer.rrset or ()
        )
        # RFC 2782: the root as target says that the service is decidedly not available here.
        there = (it for it in records if it.target not in (".", "@", ""))
        found = sorted(there, key=lambda it: (it.priority, it.target, it.port, it.weight))
        return Services(tuple(found), answer.chaining_result.minimum_ttl)

    async def _family(self, name: str, family: Family) -> Addresses | Unanswered:
        answer = await self._ask(name, family)
        if answer is None or isinstance(answer, Unanswered):
            return answer or Addresses((), 0)
        return Addresses(
            _in_order(it.address for it in answer.rrset or ()), answer.chaining_result.minimum_ttl
        )

    async def _ask(self, name: str, record: str) -> dns.resolver.Answer | Unanswered | None:
        """`None`: the name does not exist."""
        began = time.monotonic()
        try:
            # The machine's own servers go with its search list; others are asked for the whole name.
            answer = await self._dns().resolve(
                name, record, raise_on_no_answer=False, search=self._nameservers is None
            )
        except dns.resolver.NXDOMAIN:
            return None
        except dns.resolver.LifetimeTimeout:
            return Unanswered(f"no answer to {record} within {time.monotonic() - began:.1f}s")
        except (dns.exception.DNSException, OSError, ValueError) as error:
            return Unanswered(str(error) or type(error).__name__)
        finally:
            heed_cancellation()
        return answer

    def _dns(self) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=self._nameservers is None)
        if self._nameservers is not None:
            resolver.nameservers = list(self._nameservers)
        resolver.lifetime = self._patience_s
        # Time for a second try within one's patience: the first datagram may have been lost.
        resolver.timeout = self._patience_s / 2.5
        return resolver

    def _without_asking(self, name: str) -> tuple[str, ...] | None:
        try:
            return (str(ipaddress.ip_address(name)),)
        except ValueError:
            pass
        if self._nameservers is not None:
            return None
        plain = name.rstrip(".").lower()
        written = _in_order(_read_hosts(self._hosts).get(plain, ()))
        if not written and (plain == "localhost" or plain.endswith(".localhost")):
            # RFC 6761, 6.3: never asked for in DNS.
            return ("127.0.0.1", "::1")
        return written or None


def _read_hosts(path: Path) -> dict[str, list[str]]:
    """Names → addresses of a hosts(5) file; one that cannot be read has none."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_HOSTS_FILE).decode("utf-8", "replace")
    except OSError:
        return {}
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            canonical = str(ipaddress.ip_address(address))
        except ValueError:
            continue
        # An address of one link only ("fe80::1%eth0") does not make an endpoint.
        for name in names if "%" not in canonical else ():
            found.setdefault(name.lower(), []).append(canonical)
    return found


def _in_order(addresses: Iterable[str]) -> tuple[str, ...]:
    """Without doubles and sorted: name servers rotate their answers, which is no change."""
    unique = {ipaddress.ip_address(it) for it in addresses}
    return tuple(str(it) for it in sorted(unique, key=lambda it: (it.version, int(it))))


def _nameserver(written: str) -> dns.nameserver.Nameserver:
    host, port = written, "53"
    if written.startswith("[") or written.count(":") == 1:
        host, _, port = written.rpartition(":") if not written.endswith("]") else (written, "", port)
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        return dns.nameserver.Do53Nameserver(str(address), int(port))
    except ValueError as error:
        raise BasculeError(
            f"name server {written!r} is not an address", "write 10.0.0.53, 10.0.0.53:5353 or [::1]:53"
        ) from error
