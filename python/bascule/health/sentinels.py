"""Whom the sentinels of a Redis take for its primary."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, cast

from bascule.contract import Secret
from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target
from bascule.health.databases import Login
from bascule.health.redis_words import ask


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Asks all of them at the same time; most of those that answer decide."""

    addresses: tuple[tuple[str, int], ...]
    service: str
    login: Login

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        """From `sentinels` (`host:port` each), `service` and `sentinel_password`. Raises `BasculeError`."""
        service, password = options.get("service"), options.get("sentinel_password")
        if not isinstance(service, str) or not service:
            raise BasculeError("sentinels watch over several services; say which with `service`")
        split = [it.rpartition(":") for it in cast("Sequence[str]", options["sentinels"])]
        return cls(
            tuple((host.strip("[]"), int(port)) for host, _, port in split),
            service,
            Login(password=None if password is None else Secret(str(password))),
        )

    async def agree_on(self, target: Target) -> None:
        """Returns when most of the sentinels that answer name `target`; else raises `CheckFailed`."""
        asked = [
            self._ask(Target(target.pool, target.id, host=host, port=port)) for host, port in self.addresses
        ]
        said = await asyncio.gather(*asked)
        named = Counter(it for it in said if not isinstance(it, CheckFailed))
        if not named:
            reasons = [it.reason for it in said if isinstance(it, CheckFailed)]
            raise CheckFailed(f"no sentinel answers: {reasons[0]}")
        ((most, votes),) = named.most_common(1)
        if 2 * votes <= named.total():
            raise CheckFailed(f"the sentinels do not agree who the primary of {self.service} is")
        if most not in {(target.host, target.port), (target.name, target.port)}:
            raise CheckFailed(f"says it is the primary, the sentinels say that {most[0]}:{most[1]} is")

    async def _ask(self, sentinel: Target) -> "tuple[str, int] | CheckFailed":
        try:
            (answer,) = await ask(sentinel, self.login, ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service))
        except CheckFailed as failed:
            return failed
        if answer is None:
            return CheckFailed(f"sentinel {sentinel} does not know {self.service}")
        host, port = answer
        return host.decode(), int(port)
