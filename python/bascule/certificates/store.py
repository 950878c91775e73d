"""The certificates, keys and authorities of the live plan, read again when their files change."""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from bascule.clock import Clock
from bascule.control.origin import Print
from bascule.plan.credentials import NOTHING_HELD, Held
from bascule.plan.plan import Plan

if TYPE_CHECKING:
    from bascule.certificates.expiry import Served, Warnings
    from bascule.certificates.gather import Gathered

log = structlog.get_logger("bascule.certificates")

LOOK_EVERY_S = 2.0
"""Between two looks at the files. A look costs a system call for each."""
LOOK_SHARE = 100
"""The pause is at least so many times what the look before took: that is a hundredth of a core at most."""
WARN_EVERY_S = 600.0
"""Between two looks at the calendar."""


class Certificates:
    """What plans need to speak TLS. `on_change` is called on the event loop when that is something else.

    Loads nothing heavy while no plan speaks TLS.
    """

    def __init__(
        self, clock: Clock, on_change: Callable[[], None], wall: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._on_change = on_change
        self._wall = wall
        self._plan: Plan | None = None
        self._gathered: Gathered | None = None
        self._read: Print = ()
        self._warnings: Warnings | None = None
        self._looked_at: float | None = None
        # What was read first must not take the place of what was read after it.
        self._turn = asyncio.Lock()

    @property
    def held(self) -> Held:
        """Of the plan that was adopted last."""
        return NOTHING_HELD if self._gathered is None else self._gathered.held

    @property
    def served(self) -> "tuple[Served, ...]":
        """Every certificate in use, and where."""
        return () if self._gathered is None else self._gathered.served

    def problems(self) -> list[str]:
        """What cannot be read just now, and what ends soon, one line each."""
        if self._gathered is None:
            return []
        from bascule.certificates.expiry import in_words, stage  # noqa: PLC0415 (only where TLS is spoken)

        now = self._wall()
        faults = [f"{fault}; the old one is still shown" for fault in self._gathered.faults]
        ending = [it for it in self._gathered.served if stage(it.certificate, now) is not None]
        return [*faults, *(in_words(it, now) for it in ending)]

    def in_files(self, said: str) -> str:
        """What the data plane says of a certificate, with the name of its file in the place of its id."""
        for it in self.served:
            said = said.replace(it.certificate.id, it.certificate.file)
        return said

    async def adopt(self, plan: Plan) -> None:
        """Reads what `plan` names, from now on. Raises `CertificateRefused`, and changes nothing."""
        async with self._turn:
            self._gathered, self._read = await asyncio.to_thread(self._gather, plan)
            self._plan = plan
        self._say_faults(())
        self._warn()

    async def go_back(self, plan: Plan) -> None:
        """The last plan was refused elsewhere: this one stays."""
        if self._plan is not plan:
            await self.adopt(plan)

    async def follow(self) -> None:
        """Reads files again that have changed. Ends by being cancelled."""
        before: Print | None = None
        took = 0.0
        while True:
            await self._clock.sleep(max(LOOK_EVERY_S, LOOK_SHARE * took))
            if (plan := self._plan) is None or not _speaks_tls(plan):
                continue
            now, took = await asyncio.to_thread(_look, plan)
            # Files are written in steps, and keys apart from their certificates: a state counts when it is
            # found twice.
            if now != self._read and now == before:
                await self._read_again(plan)
            before = now
            self._warn()

    async def look_now(self) -> None:
        """Reads files again, without waiting for the next look."""
        if self._plan is not None and _speaks_tls(self._plan):
            await self._read_again(self._plan)

    async def _read_again(self, plan: Plan) -> None:
        async with self._turn:
            if self._plan is plan:
                await self._replace(plan)

    async def _replace(self, plan: Plan) -> None:
        from bascule.certificates.fault import CertificateRefused  # noqa: PLC0415 (only where TLS is spoken)
        from bascule.certificates.gather import NOTHING  # noqa: PLC0415

        old = self._gathered or NOTHING
        try:
            gathered, prints = await asyncio.to_thread(self._gather, plan)
        except CertificateRefused as refused:
            log.error("certificates cannot be read; the old ones are still shown", reason=str(refused))
            return
        if gathered is None:
            return
        self._gathered, self._read = gathered, prints
        self._say_faults(old.faults)
        if gathered.held != old.held:
            known = {it.certificate.id for it in old.served}
            for it in gathered.served:
                if it.certificate.id not in known:
                    names = ", ".join(it.certificate.names[:3])
                    log.info("certificate replaced", owner=it.owner, file=it.certificate.file, names=names)
            self._on_change()

    def _gather(self, plan: Plan) -> "tuple[Gathered | None, Print]":
        """Files are looked at first: what is written meanwhile is a change."""
        if not _speaks_tls(plan):
            return None, ()
        from bascule.certificates.gather import NOTHING, Gathering  # noqa: PLC0415 (only where TLS is spoken)

        prints = _print_of(plan)
        return Gathering(self._gathered or NOTHING, self._wall()).gather(plan), prints

    def _say_faults(self, told: tuple[object, ...]) -> None:
        for fault in self._gathered.faults if self._gathered is not None else ():
            if fault not in told:
                hint = {"hint": fault.hint} if fault.hint else {}
                log.error(
                    "a new file cannot be used; the old certificate is still shown",
                    file=fault.file,
                    reason=fault.what,
                    **hint,
                )

    def _warn(self) -> None:
        now = self._clock.now()
        if self._gathered is None or (self._looked_at is not None and now - self._looked_at < WARN_EVERY_S):
            return
        from bascule.certificates.expiry import Warnings, in_words  # noqa: PLC0415 (only where TLS is spoken)

        self._warnings = self._warnings or Warnings()
        self._looked_at = now
        wall = self._wall()
        for served, days in self._warnings.due(self._gathered.served, wall):
            say = log.error if days <= 1 else log.warning
            say(in_words(served, wall))


def _speaks_tls(plan: Plan) -> bool:
    return bool(plan.tls) or any(pool.tls is not None for pool in plan.pools)


def _look(plan: Plan) -> tuple[Print, float]:
    """With the processor time that it took, in seconds."""
    began = time.thread_time()
    return _print_of(plan), time.thread_time() - began


def _print_of(plan: Plan) -> Print:
    from bascule.certificates.gather import print_of  # noqa: PLC0415 (only where TLS is spoken)

    return print_of(plan)
