"""When a certificate is ordered: at two thirds of its life, and ever later again after failures. Pure.

Times are seconds since the Unix epoch.
"""

import hashlib
from dataclasses import dataclass, replace

from bascule.certificates.certificate import Certificate

HOUR = 3600.0
DAY = 24 * HOUR

EARLIER = 1 / 30
"""Of its life: each certificate is renewed up to this much before two thirds, so that those which were
ordered together are not renewed together."""
FIRST_PAUSE_S = 300.0
"""After the first failure. Let's Encrypt allows five failed validations an hour: this makes four."""
LONGEST_PAUSE_S = DAY
LONGEST_WISH_S = 8 * DAY
"""Longest that an authority may ask us to stay away; limits of Let's Encrypt end after a week."""
ASK_EVERY_S = 6 * HOUR
"""Between two questions to the authority when it would like to renew, unless it says when (RFC 9773, 4.3)."""


@dataclass(frozen=True, slots=True)
class Advice:
    """When the authority would like a certificate to be renewed (ARI, RFC 9773)."""

    renew_at: float | None
    """`None`: it has no opinion."""
    ask_again_at: float


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of an order, also by the next run of the program."""

    got_at: float | None = None
    failures: int = 0
    """In a row."""
    failed_at: float | None = None
    retry_at: float = 0.0
    """Not before, after a failure."""
    why: str | None = None
    """Of the last failure."""
    tried_with: str = ""
    """The settings that failed: with others it is tried at once."""
    advice: Advice | None = None
    advice_for: str = ""
    """Id of the certificate that it is about."""

    def after_failure(self, now: float, why: str, tried_with: str, pause_s: float) -> "Record":
        failures = self.failures + 1 if self.tried_with == tried_with else 1
        return replace(
            self, failures=failures, failed_at=now, retry_at=now + pause_s, why=why, tried_with=tried_with
        )

    def after_success(self, now: float) -> "Record":
        return Record(got_at=now)

    def after_advice(self, certificate: Certificate, advice: Advice) -> "Record":
        return replace(self, advice=advice, advice_for=certificate.id)

    def failures_with(self, settings: str) -> int:
        """Failures in a row that say something about these settings."""
        return self.failures if self.tried_with == settings else 0


NOTHING_YET = Record()
"""Before the first order."""


def renew_at(certificate: Certificate, record: Record) -> float:
    """At two thirds of its life, or a little before; earlier where the authority asks for it, never later."""
    life = certificate.not_after - certificate.not_before
    ours = certificate.not_before + life * 2 / 3 - life * EARLIER * _luck(certificate.id)
    wish = record.advice.renew_at if record.advice is not None else None
    return min(ours, wish) if wish is not None and record.advice_for == certificate.id else ours


def due_at(certificate: Certificate | None, record: Record, settings: str) -> float:
    """When it is to be ordered: 0 is at once."""
    wanted = 0.0
    if certificate is not None:
        # A wrong clock, or an odd wish of the authority, must not make orders follow each other.
        life = certificate.not_after - certificate.not_before
        wanted = max(renew_at(certificate, record), (record.got_at or 0.0) + min(HOUR, life / 3))
    return max(wanted, record.retry_at) if record.failures_with(settings) else wanted


def pause_s(failures: int, luck: float, asked_s: float | None) -> float:
    """How long to wait after so many failures in a row; at least as long as the authority asks for.

    `luck`, from 0 to 1, keeps many names and balancers from coming again together.
    """
    ours = min(FIRST_PAUSE_S * 2.0 ** (min(failures, 32) - 1), LONGEST_PAUSE_S) * (1 - luck / 4)
    return max(ours, min(asked_s or 0.0, LONGEST_WISH_S))


def asks_again_at(certificate: Certificate, record: Record) -> float:
    """When the authority is asked for its advice."""
    if record.advice is not None and record.advice_for == certificate.id:
        return record.advice.ask_again_at
    return certificate.not_before + min(ASK_EVERY_S, (certificate.not_after - certificate.not_before) / 4)


def _luck(identity: str) -> float:
    """The same for all balancers that share a certificate, and after every restart."""
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big") / (1 << 32)
