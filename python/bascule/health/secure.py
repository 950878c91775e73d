"""TLS to endpoints as checks speak it: whom they trust and what they show is what the data plane does."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from bascule.certificates.fault import CertificateRefused
from bascule.control.origin import Print, fingerprint
from bascule.plan.plan import PlannedPoolTls


@dataclass(frozen=True, slots=True)
class TargetTls:
    """How a target is spoken to over TLS."""

    context: ssl.SSLContext
    server_name: str | None
    """`None`: the address of the target."""


class _Context(ssl.SSLContext):
    """Asks for the planned name, also through client libraries that know of none but the address."""

    server_name: str | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, self.server_name or server_hostname, session)


_made: dict[tuple[PlannedPoolTls, str], tuple[Print, TargetTls]] = {}


def secure(planned: PlannedPoolTls, alpn: str = "http/1.1") -> TargetTls:
    """How a check that speaks `alpn` does it, whatever the traffic speaks.

    Made once, and anew when a file has changed. Raises `CertificateRefused` or `OSError`.
    """
    prints = fingerprint(_files(planned))
    known = _made.get((planned, alpn))
    if known is None or known[0] != prints:
        known = _made[planned, alpn] = (prints, TargetTls(_context(planned, alpn), planned.server_name))
    return known[1]


def _context(planned: PlannedPoolTls, alpn: str) -> ssl.SSLContext:
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = planned.server_name
    if planned.authorities is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif planned.authorities.files:
        for file in planned.authorities.files:
            context.load_verify_locations(file)
    else:
        context.load_default_certs()
    if planned.authorities is not None and planned.authorities.revoked:
        for file in planned.authorities.revoked:
            context.load_verify_locations(file)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if planned.certificate is not None:
        if Path(planned.certificate.certificate).is_dir():
            raise CertificateRefused(planned.certificate.certificate, "is a directory", "name one file")
        context.load_cert_chain(planned.certificate.certificate, planned.certificate.key)
    if planned.alpn:
        # What is no HTTP at all has no word for itself.
        context.set_alpn_protocols([alpn])
    return context


def _files(planned: PlannedPoolTls) -> list[Path]:
    authorities, shown = planned.authorities, planned.certificate
    named = [*(authorities.files if authorities else ()), *(authorities.revoked if authorities else ())]
    named += [it for it in ((shown.certificate, shown.key) if shown else ()) if it is not None]
    return [Path(it) for it in named]
