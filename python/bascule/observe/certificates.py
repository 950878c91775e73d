"""Certificates for `status` and metrics: which are in use, where, and until when. Never anything of a key."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bascule.certificates.expiry import Served


def describe(served: "Iterable[Served]", now: float) -> list[dict[str, Any]]:
    """In the order of the configuration."""
    return [
        {
            "used_by": each.owner,
            "names": list(each.certificate.names),
            "file": each.certificate.file,
            "kind": each.certificate.kind,
            "issuer": each.certificate.issuer,
            "serial": each.certificate.serial,
            "expires_at": each.certificate.not_after,
            "days_left": int((each.certificate.not_after - now) // 86_400),
        }
        for each in served
    ]


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
