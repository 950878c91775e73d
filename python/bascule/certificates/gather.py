"""A plan and what its files hold → what the data plane needs to speak TLS. Blocks on files."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bascule import contract
from bascule.acme.layout import of_other_authorities
from bascule.certificates import read, self_signed
from bascule.certificates.certificate import KINDS, Certificate
from bascule.certificates.expiry import Served
from bascule.certificates.fault import CertificateRefused, Fault
from bascule.certificates.files import entries
from bascule.control.origin import Print, fingerprint
from bascule.plan.credentials import Held
from bascule.plan.plan import (
    Plan,
    PlannedAuthorities,
    PlannedCertificate,
    PlannedListenerTls,
    PlannedPoolTls,
)


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that was read for one plan, by where it was read."""

    held: Held = field(default_factory=Held)
    served: tuple[Served, ...] = ()
    """Every certificate in use, and where."""
    faults: tuple[Fault, ...] = ()
    """What could not be read; where something was read before, that is kept."""
    certificates: Mapping[PlannedCertificate, tuple[Certificate, ...]] = field(default_factory=dict)
    made: Mapping[tuple[str, ...], Certificate] = field(default_factory=dict)
    """Made on the spot, by their names."""
    authorities: Mapping[PlannedAuthorities, contract.AuthoritiesMaterial] = field(default_factory=dict)
    secrets: Mapping[str, contract.Secret] = field(default_factory=dict)


NOTHING = Gathered()
REMAKE_S = 30 * 86_400
"""What is made on the spot is made anew this long before it ends."""


class Gathering:
    """Reads everything that a plan names. What cannot be read is kept from `before`, or refused."""

    def __init__(self, before: Gathered, now: float | None = None) -> None:
        self._before = before
        self._now = time.time() if now is None else now
        self._faults: list[Fault] = []
        self._certificates: dict[PlannedCertificate, tuple[Certificate, ...]] = {}
        self._made: dict[tuple[str, ...], Certificate] = {}
        self._authorities: dict[PlannedAuthorities, contract.AuthoritiesMaterial] = {}
        self._secrets: dict[str, contract.Secret] = {}

    def gather(self, plan: Plan) -> Gathered:
        """Raises `CertificateRefused` for what cannot be read and was never read before."""
        listeners = {name: self._listener(tls) for name, tls in plan.tls.items()}
        pools = {pool.id: self._pool(pool.tls) for pool in plan.pools if pool.tls is not None}
        read.SHARED.forget_unused()
        used = [it for all_of in (*self._certificates.values(), (*self._made.values(),)) for it in all_of]
        material: dict[str, contract.Material] = {it.id: it.material for it in used}
        material |= {it.id: it for it in self._authorities.values()}
        return Gathered(
            Held(listeners, pools, material),
            tuple(self._served(plan)),
            tuple(dict.fromkeys(self._faults)),
            self._certificates,
            self._made,
            self._authorities,
            self._secrets,
        )

    def _listener(self, tls: PlannedListenerTls) -> contract.ListenerTls:
        found = [(planned, self._read(planned)) for planned in tls.certificates]
        if tls.self_signed:
            found = [(PlannedCertificate("", default=True), (self._issued(tls.self_signed),))]
        unique = {it.id: it for _, some in found for it in some}
        # The first that a client can verify is used: the cheapest for both sides.
        served = sorted(unique.values(), key=lambda it: KINDS.index(it.kind))
        return contract.ListenerTls(
            certificates=tuple(contract.ServedCertificate(it.id, it.names) for it in served),
            defaults=() if tls.refuse_unknown else _defaults(found),
            oldest=tls.oldest,
            alpn=tls.alpn,
            tickets=None if tls.tickets is None else self._tickets(tls),
            clients=None
            if tls.clients is None
            else contract.ClientCertificates(tls.clients_required, self._trusted(tls.clients).id),
        )

    def _pool(self, tls: PlannedPoolTls) -> contract.PoolTls:
        shown = None if tls.certificate is None else self._read(tls.certificate)
        return contract.PoolTls(
            authorities=None if tls.authorities is None else self._trusted(tls.authorities).id,
            server_name=tls.server_name,
            certificate=shown[0].id if shown else None,
            alpn=tls.alpn,
        )

    def _read(self, planned: PlannedCertificate) -> tuple[Certificate, ...]:
        if planned not in self._certificates:
            before = self._before.certificates.get(planned, ())
            try:
                found = read.SHARED.read(planned, self._now)
            except CertificateRefused as refused:
                if not before and not planned.ordered:
                    raise
                # What was ordered and is not there yet is no fault.
                if before or Path(planned.certificate).exists():
                    self._faults.append(refused.fault)
                self._certificates[planned] = before or self._of_others(planned)
            else:
                # Of a directory, the rest is taken as it is now.
                broken = {fault.file for fault in found.faults}
                kept = tuple(it for it in before if broken & {it.file, it.key_file})
                self._faults += found.faults
                self._certificates[planned] = tuple(
                    {it.id: it for it in (*found.certificates, *kept)}.values()
                )
                if not self._certificates[planned] and not planned.uploaded:
                    raise CertificateRefused(found.faults[0].file, found.faults[0].what, found.faults[0].hint)
        return self._certificates[planned]

    def _of_others(self, planned: PlannedCertificate) -> tuple[Certificate, ...]:
        """What another authority has issued: who goes to another one shows the old certificate meanwhile."""
        for file in of_other_authorities(Path(planned.certificate)):
            try:
                return read.SHARED.read(PlannedCertificate(str(file)), self._now).certificates
            except CertificateRefused:
                continue
        return ()

    def _issued(self, names: tuple[str, ...]) -> Certificate:
        known = self._made.get(names) or self._before.made.get(names)
        if known is None or known.not_after - self._now < REMAKE_S:
            known = self_signed.issue(names, self_signed.state_directory(), self._now)
        self._made[names] = known
        return known

    def _trusted(self, planned: PlannedAuthorities) -> contract.AuthoritiesMaterial:
        if planned not in self._authorities:
            try:
                files = planned.files or (read.system_authorities(),)
                self._authorities[planned] = read.read_authorities(files, planned.revoked, self._now)
            except CertificateRefused as refused:
                if (before := self._before.authorities.get(planned)) is None:
                    raise
                self._faults.append(refused.fault)
                self._authorities[planned] = before
        return self._authorities[planned]

    def _tickets(self, tls: PlannedListenerTls) -> contract.Tickets:
        keys = [key.secret if key.file is None else self._secret(key.file) for key in tls.tickets or ()]
        return contract.Tickets(tuple(key for key in keys if key is not None))

    def _secret(self, file: str) -> contract.Secret:
        try:
            self._secrets[file] = read.read_secret(file)
        except CertificateRefused as refused:
            if (before := self._before.secrets.get(file)) is None:
                raise
            self._faults.append(refused.fault)
            self._secrets[file] = before
        return self._secrets[file]

    def _served(self, plan: Plan) -> Iterator[Served]:
        for name, tls in plan.tls.items():
            for planned in tls.certificates:
                yield from (Served(f"listener {name}", it) for it in self._certificates[planned])
            if tls.self_signed:
                yield Served(f"listener {name}", self._made[tls.self_signed])
        for pool in plan.pools:
            if pool.tls is not None and pool.tls.certificate is not None:
                yield from (Served(f"pool {pool.id}", it) for it in self._certificates[pool.tls.certificate])


def print_of(plan: Plan) -> Print:
    """The state of everything that a plan has read; of directories, that of what is read in them."""
    pools = [pool.tls for pool in plan.pools if pool.tls is not None]
    trusted = [tls.authorities for tls in pools] + [tls.clients for tls in plan.tls.values()]
    planned = [it for tls in plan.tls.values() for it in tls.certificates]
    planned += [tls.certificate for tls in pools if tls.certificate is not None]
    alone: set[str] = set()
    prints: set[tuple[str, int, int, int]] = set()
    for each in planned:
        if Path(each.certificate).is_dir():
            prints.update(_prints_in(each.certificate))
        else:
            alone.add(each.certificate)
        if each.key is not None:
            alone.add(each.key)
    for authorities in trusted:
        if authorities is not None:
            alone.update((*authorities.files, *authorities.revoked))
    for tls in plan.tls.values():
        alone.update(key.file for key in tls.tickets or () if key.file is not None)
    return tuple(sorted({*prints, *fingerprint(map(Path, alone))}))


def _prints_in(directory: str) -> Iterator[tuple[str, int, int, int]]:
    try:
        for path, status in entries(directory):
            yield path, status.st_ino, status.st_size, status.st_mtime_ns
    except OSError:
        yield directory, 0, 0, 0


def _defaults(found: list[tuple[PlannedCertificate, tuple[Certificate, ...]]]) -> tuple[str, ...]:
    """Ids of what is shown where nothing fits: what is marked so, else the first and its kin."""
    marked = [it for planned, some in found if planned.default for it in some]
    # What was ordered may not be there yet.
    first = next((it for _, some in found for it in some), None)
    if not marked and first is not None:
        # An RSA and an ECDSA certificate for the same names are one choice.
        marked = [it for _, some in found for it in some if it.names == first.names]
    return tuple(it.id for it in sorted(marked, key=lambda it: KINDS.index(it.kind)))
