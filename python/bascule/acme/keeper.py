"""Keeps one certificate: orders it, and again in time, for as long as the configuration names it."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random

import structlog

from bascule.acme.failure import OrderFailed
from bascule.acme.layout import stem
from bascule.acme.order import Surroundings, order
from bascule.acme.renewal import (
    ASK_EVERY_S,
    HOUR,
    NOTHING_YET,
    Advice,
    Record,
    asks_again_at,
    due_at,
    pause_s,
    renew_at,
)
from bascule.acme.storage import Busy, Storage
from bascule.certificates.certificate import Certificate, on_day
from bascule.errors import BasculeError
from bascule.plan.plan import PlannedAcme

log = structlog.get_logger("bascule.acme")

LOOK_EVERY_S = HOUR
"""The directory is looked at so often at least: another balancer may have renewed, and clocks are set."""
BUSY_S = 15.0
"""Until the next look while another balancer orders the same certificate."""


@dataclass(frozen=True, slots=True)
class State:
    """How it stands with one certificate."""

    names: tuple[str, ...]
    authority: str
    certificate: Certificate | None = None
    """The one in the storage directory."""
    record: Record = NOTHING_YET
    is_ordering: bool = False
    due_at: float = 0.0
    """When it is ordered next; Unix time."""
    got: int = 0
    """Orders that succeeded, in this process."""
    failed: int = 0
    """Orders that failed, in this process."""


class Keeper:
    """Of one certificate. `on_got` is awaited after each new one."""

    def __init__(
        self,
        planned: PlannedAcme,
        names: tuple[str, ...],
        around: Surroundings,
        random: Random,
        on_got: Callable[[], Awaitable[None]],
    ) -> None:
        self._planned = planned
        self._names = names
        self._around = around
        self._random = random
        self._on_got = on_got
        self._storage = Storage(planned.storage, planned.directory)
        self._settings = settings_of(planned)
        self.state = State(names, planned.directory)

    async def keep(self, in_turn: asyncio.Semaphore) -> None:
        """Keeps it, ordering only `in_turn`. Ends by being cancelled."""
        while True:
            try:
                wait = await self._look()
                if wait <= 0:
                    async with in_turn:
                        wait = await self._order_if_due()
            except BasculeError as failed:
                # The directory itself: there is nowhere to remember it.
                wait = self._has_failed(failed)
            await self._around.clock.sleep(min(max(wait, 1.0), LOOK_EVERY_S))

    async def _look(self) -> float:
        """Reads what is there, and returns how many seconds are left until it is due."""
        now = self._around.wall()
        await self._around.apart(self._storage.prepare)
        certificate = await self._around.apart(self._storage.certificate, self._names, now)
        record = await self._around.apart(self._storage.record, self._names)
        if certificate is not None and asks_again_at(certificate, record) <= now < certificate.not_after:
            record = await self._asked(certificate, record)
        due = due_at(certificate, record, self._settings)
        if self.state.certificate != certificate or self.state.record != record:
            self._say(certificate, record, due)
        self.state = replace(self.state, certificate=certificate, record=record, due_at=due)
        if certificate is None or certificate.not_after <= now:
            return due - now
        return min(due, max(asks_again_at(certificate, record), now + 60)) - now if due > now else due - now

    async def _order_if_due(self) -> float:
        try:
            with self._storage.lock(f"certificates/{stem(self._names)}"):
                # Another balancer may have been faster.
                if (wait := await self._look()) > 0:
                    return wait
                self.state = replace(self.state, is_ordering=True)
                try:
                    await self._order()
                except BasculeError as failed:
                    return self._has_failed(failed)
                except Exception as odd:
                    # Renewal must not end because a library has met something that it did not expect.
                    log.exception("an order failed for a reason of our own; please report this")
                    return self._has_failed(OrderFailed(f"{type(odd).__name__}: {odd}"))
                finally:
                    self.state = replace(self.state, is_ordering=False)
        except Busy:
            return BUSY_S
        await self._on_got()
        return await self._look()

    async def _order(self) -> None:
        around, began = self._around, self._around.wall()
        renewed = self.state.certificate is not None
        log.info("certificate is ordered", names=self._named(), authority=self._planned.directory)
        content = await order(self._planned, self._names, around)
        await around.apart(self._storage.keep_certificate, self._names, content)
        record = self.state.record.after_success(around.wall())
        await around.apart(self._storage.keep_record, self._names, record)
        self.state = replace(self.state, got=self.state.got + 1)
        what = "certificate renewed" if renewed else "certificate got"
        log.info(what, names=self._named(), seconds=round(around.wall() - began, 1))

    def _has_failed(self, failed: BasculeError) -> float:
        """Says and remembers it. Returns how long to wait."""
        now, before = self._around.wall(), self.state.record
        asked = failed.retry_after_s if isinstance(failed, OrderFailed) else None
        failures = before.failures_with(self._settings) + 1
        wait = pause_s(failures, self._random.random(), asked)
        record = before.after_failure(now, str(failed), self._settings, wait)
        self.state = replace(
            self.state, record=record, due_at=now + wait, failed=self.state.failed + 1, is_ordering=False
        )
        log.error(
            "certificate was not issued",
            names=self._named(),
            reason=failed.message,
            failures=failures,
            next_try=on_day(now + wait),
            shown=self._shown(now),
            **({"hint": failed.hint} if failed.hint else {}),
        )
        try:
            self._storage.keep_record(self._names, record)
        except BasculeError as unwritten:
            log.error("the failure could not be written down", reason=str(unwritten))
        return wait

    async def _asked(self, certificate: Certificate, record: Record) -> Record:
        """The record with the authority's advice; no advice is no failure."""
        now = self._around.wall()
        try:
            authority = await self._around.apart(self._around.connect, self._planned, self._storage)
            chain = certificate.material.chain.encode()
            advice = await self._around.apart(authority.advice, chain, now)
        except BasculeError as failed:
            log.info("the authority gives no advice on renewal", names=self._named(), reason=failed.message)
            advice = Advice(record.advice.renew_at if record.advice else None, now + ASK_EVERY_S)
        advised = record.after_advice(certificate, advice)
        await self._around.apart(self._storage.keep_record, self._names, advised)
        return advised

    def _say(self, certificate: Certificate | None, record: Record, due: float) -> None:
        if certificate is not None and (
            self.state.certificate is None or certificate.id != self.state.certificate.id
        ):
            log.info(
                "certificate is kept",
                names=self._named(),
                expires=on_day(certificate.not_after),
                renewed=on_day(max(due, renew_at(certificate, record))),
            )

    def _shown(self, now: float) -> str:
        certificate = self.state.certificate
        if certificate is None:
            return "none: clients that ask for these names are refused"
        ended = certificate.not_after <= now
        return f"the old one, which {'ended' if ended else 'is valid until'} {on_day(certificate.not_after)}"

    def _named(self) -> str:
        return ", ".join(self._names)


def settings_of(planned: PlannedAcme) -> str:
    """What tells settings that have failed from others."""
    return hashlib.sha256(repr(replace(planned, orders=())).encode()).hexdigest()[:16]
