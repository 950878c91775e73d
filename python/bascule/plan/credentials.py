"""What was read of certificates, keys and authorities: what the data plane is given beside its snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bascule import contract


@dataclass(frozen=True, slots=True)
class Held:
    """What a plan needs to speak TLS."""

    listeners: Mapping[str, contract.ListenerTls] = field(default_factory=dict)
    """By the ids of those that speak TLS."""
    pools: Mapping[str, contract.PoolTls] = field(default_factory=dict)
    """By the ids of those that speak TLS to their endpoints."""
    material: Mapping[str, contract.Material] = field(default_factory=dict, repr=False)
    """Everything that these name, by its id."""
    answers: tuple[contract.Route, ...] = ()
    """What is tried before all routes where clients do not speak TLS: what authorities ask for (ACME)."""


NOTHING_HELD = Held()
"""For plans that speak TLS nowhere."""


def named_by(snapshot: contract.Snapshot | None) -> frozenset[str]:
    """The ids of the material that a snapshot names."""
    if snapshot is None:
        return frozenset()
    listeners = [listener.tls for listener in snapshot.listeners if listener.tls is not None]
    pools = [pool.tls for pool in snapshot.pools if pool.tls is not None]
    return frozenset(
        [
            *(each.id for tls in listeners for each in (*tls.certificates, *tls.challenges)),
            *(tls.clients.authorities for tls in listeners if tls.clients is not None),
            *(it for tls in pools for it in (tls.authorities, tls.certificate) if it is not None),
        ]
    )
