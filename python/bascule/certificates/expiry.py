"""When certificates end, and how early that is said. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from bascule.certificates.certificate import Certificate, on_day

DAY_S = 86_400
WARN_DAYS = (30, 7, 1)
"""Days before the end at which the log says so. Renewals by ACME happen before the first."""


@dataclass(frozen=True, slots=True)
class Served:
    """A certificate where it is used."""

    owner: str
    """`listener web` or `pool api`."""
    certificate: Certificate


def stage(certificate: Certificate, now: float) -> int | None:
    """How many of the warnings are due: `None` for none, else days of the last one; 0 once it has ended."""
    left = certificate.not_after - now
    if left <= 0:
        return 0
    due = [days for days in WARN_DAYS if left <= days * DAY_S]
    return min(due, default=None)


def in_words(served: Served, now: float) -> str:
    """What an operator reads."""
    certificate = served.certificate
    named = ", ".join(certificate.names[:3]) or certificate.serial
    ended = certificate.not_after <= now
    what = f"has expired on {on_day(certificate.not_after)}" if ended else _expires(certificate, now)
    return f"{served.owner}: the certificate for {named} ({certificate.file}) {what}"


def _expires(certificate: Certificate, now: float) -> str:
    days = int((certificate.not_after - now) // DAY_S)
    when = "within a day" if days < 1 else f"in {days} day{'s' if days > 1 else ''}"
    return f"expires {when}, on {on_day(certificate.not_after)}"


class Warnings:
    """Says each warning once: when it becomes due, and when a certificate begins with one that is due."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], int] = {}

    def due(self, served: Iterable[Served], now: float) -> list[tuple[Served, int]]:
        """Those that were not told yet, with their days."""
        told, due = {}, []
        for each in served:
            key = (each.owner, each.certificate.id)
            if (days := stage(each.certificate, now)) is not None:
                told[key] = days
                if self._told.get(key) != days:
                    due.append((each, days))
        self._told = told
        return due
