"""Is it a Redis or Valkey in the role that is wanted, and how far behind? Logs in and asks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target
from bascule.health.databases import PRIMARY, REPLICA, Login, Wanted, know_options, need_library
from bascule.health.redis_words import ask, fields_of
from bascule.health.sentinels import Sentinels
from bascule.units import format_size

_OPTIONS = {
    *("role", "max_lag_ms", "max_lag_bytes", "user", "password"),
    *("sentinels", "service", "sentinel_password"),
}


@dataclass(frozen=True, slots=True)
class RedisCheck:
    """Passes when a log-in succeeds, the server has the role, and a replica is not too far behind.

    Options: `role`, `user`, `password`; `max_lag_ms`, since a replica last heard of its primary;
    `max_lag_bytes`, of which the primary is asked, too. With `sentinels`, `service` and
    `sentinel_password`, the primary must also be whom the sentinels take for it.
    """

    name: ClassVar[str] = "redis"

    wanted: Wanted
    login: Login
    max_lag_bytes: int | None = None
    sentinels: Sentinels | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        know_options(cls.name, options, _OPTIONS)
        need_library("redis.asyncio", cls.name)
        lag = options.get("max_lag_bytes")
        if lag is not None and (not isinstance(lag, int) or isinstance(lag, bool) or lag < 0):
            raise BasculeError(f"max_lag_bytes must be a number of bytes, not {lag!r}")
        return cls(
            Wanted.from_options(options),
            Login.from_options(options),
            lag,
            Sentinels.from_options(options) if options.get("sentinels") else None,
        )

    async def run(self, target: Target) -> None:
        (info,) = await ask(target, self.login, ("INFO", "replication"))
        fields = fields_of(info)
        role = PRIMARY if fields.get("role") == "master" else REPLICA
        self.wanted.judge(role, _seconds_behind(fields), "has not heard of its primary yet")
        if role == REPLICA and self.max_lag_bytes is not None:
            await self._compare(target, fields, self.max_lag_bytes)
        # Last, so that those that do not claim to be one cost the sentinels nothing.
        if self.sentinels is not None and role == PRIMARY:
            await self.sentinels.agree_on(target)

    async def _compare(self, target: Target, fields: Mapping[str, str], most: int) -> None:
        primary = replace(
            target, name=None, path=None, host=fields["master_host"], port=int(fields["master_port"])
        )
        (info,) = await ask(primary, self.login, ("INFO", "replication"))
        behind = int(fields_of(info)["master_repl_offset"]) - int(fields["slave_repl_offset"])
        if behind > most:
            said = f"is {format_size(behind)} behind {primary}, allowed are {format_size(most)}"
            raise CheckFailed(said)


def _seconds_behind(fields: Mapping[str, str]) -> float | None:
    """Since it last heard of its primary, which says something every ten seconds by default."""
    if fields.get("master_link_status") == "up":
        return float(fields.get("master_last_io_seconds_ago", -1))
    since = float(fields.get("master_link_down_since_seconds", -1))
    return None if since < 0 else since
