"""Does TLS work, and for how much longer? Makes one handshake and looks at the certificate."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Self

from bascule.errors import BasculeError
from bascule.health.check import CheckFailed, Target


@dataclass(frozen=True, slots=True)
class TlsCheck:
    """Passes when a handshake succeeds, verified as the target's TLS says, and the certificate lasts.

    Option `min_days`: it must be good for so many days more, at least; also where it is not verified.
    """

    name: ClassVar[str] = "tls"

    min_days: int | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        if unknown := options.keys() - {"min_days"}:
            raise BasculeError(f"a tls check has no option {', '.join(sorted(unknown))}")
        days = options.get("min_days")
        if days is not None and (not isinstance(days, int) or isinstance(days, bool) or days < 0):
            raise BasculeError(f"min_days must be a number of days, not {days!r}")
        return cls(days)

    async def run(self, target: Target) -> None:
        if target.tls is None:
            raise CheckFailed(f"{target} is not spoken to over TLS")
        _, writer = await target.connect()
        try:
            if self.min_days is not None:
                self._judge(writer.get_extra_info("ssl_object"), self.min_days)
        finally:
            writer.transport.abort()

    def _judge(self, tls: ssl.SSLObject, min_days: int) -> None:
        from cryptography import x509  # noqa: PLC0415 (few checks need it)

        # The parsed form is empty where nobody is verified; the bytes are there in any case.
        shown = tls.getpeercert(binary_form=True)
        if shown is None:
            raise CheckFailed("no certificate was shown")
        ends = x509.load_der_x509_certificate(shown).not_valid_after_utc
        left = ends - datetime.now(UTC)
        if left < timedelta(days=min_days):
            when = f"{ends:%Y-%m-%d %H:%M} UTC"
            said = f"expires in {left.days} days, on" if left > timedelta(0) else "expired on"
            raise CheckFailed(f"the certificate {said} {when}, wanted at least {min_days} days")
