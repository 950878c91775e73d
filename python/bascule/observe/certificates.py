"""Certificates for `status` and metrics: which are in use, where, and until when. Never anything of a key."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bascule.certificates.certificate import Certificate
    from bascule.certificates.expiry import Served


def describe(served: "Iterable[Served]", now: float) -> list[dict[str, Any]]:
    """In the order of the configuration."""
    return [{"used_by": each.owner, **one(each.certificate, now)} for each in served]


def one(certificate: "Certificate", now: float) -> dict[str, Any]:
    """By itself."""
    return {
        "names": list(certificate.names),
        "file": certificate.file,
        "kind": certificate.kind,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "expires_at": certificate.not_after,
        "days_left": int((certificate.not_after - now) // 86_400),
    }


def expiries(served: "Iterable[Served]") -> list[tuple[tuple[tuple[str, str], ...], int]]:
    """One sample for each certificate: when it ends."""
    samples: dict[tuple[tuple[str, str], ...], int] = {}
    for each in served:
        certificate = each.certificate
        name = certificate.names[0] if certificate.names else ""
        labels = (
            ("used_by", each.owner),
            ("name", name),
            ("kind", certificate.kind),
            ("file", certificate.file),
            ("serial", certificate.serial),
        )
        samples[labels] = certificate.not_after
    return list(samples.items())
