"""One order, top to bottom: begin, show the proofs, have the authority look, check what it gives."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bascule import contract
from bascule.acme.answers import LASTS_S, Answer, Answers, are_shown, file_of, written
from bascule.acme.apart import Apart
from bascule.acme.authority import Authority, Proof
from bascule.acme.failure import OrderFailed
from bascule.acme.hook import Hook
from bascule.acme.proof import dns_record, new_key, request
from bascule.acme.storage import Storage, write
from bascule.certificates import pem
from bascule.certificates.certificate import Certificate, assemble
from bascule.certificates.fault import CertificateRefused
from bascule.clock import Clock
from bascule.plan.plan import PlannedAcme

log = structlog.get_logger("bascule.acme")

SHARED_S = 3.0
"""What is put into the storage is shown by every balancer within this time."""
MOST_LOOKS = 20
"""Times that we wait so long until we show it ourselves."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an order is given from outside."""

    clock: Clock
    wall: Callable[[], float]
    apart: Apart
    answers: Answers
    snapshot: Callable[[], contract.Snapshot | None]
    """The live one."""
    connect: Callable[[PlannedAcme, Storage], Authority]


async def order(planned: PlannedAcme, names: tuple[str, ...], around: Surroundings) -> bytes:
    """A new certificate for these names with its chain and key (PEM). Raises a `BasculeError`."""
    storage = Storage(planned.storage, planned.directory)
    # RSA takes its time.
    key, key_pem = await around.apart(new_key, planned.key)
    authority = await around.apart(around.connect, planned, storage)
    begun = await around.apart(authority.begin, request(names, key))
    async with _proven(planned, storage, begun.proofs, around):
        chain = await around.apart(begun.finish)
    _checked(chain, key_pem, names, around.wall())
    return chain.strip().encode() + b"\n" + key_pem


@asynccontextmanager
async def _proven(
    planned: PlannedAcme, storage: Storage, proofs: tuple[Proof, ...], around: Surroundings
) -> AsyncIterator[None]:
    """While it lasts, the authority finds what it looks for."""
    if planned.dns_hook is not None:
        async with _in_the_dns(planned, planned.dns_hook, proofs, around):
            yield
        return
    assert planned.challenge != "dns-01", "which has a hook"
    until = around.wall() + LASTS_S
    answers = [Answer(planned.challenge, it.name, it.token, it.authorization, until) for it in proofs]
    try:
        for each in answers:
            await around.apart(write, file_of(storage.challenges, each), written(each))
        await _until_shown(answers, around)
        yield
    finally:
        for each in answers:
            file_of(storage.challenges, each).unlink(missing_ok=True)
        await around.answers.look()


async def _until_shown(answers: list[Answer], around: Surroundings) -> None:
    if not answers:
        return
    for _ in range(MOST_LOOKS):
        await around.answers.look()
        await around.clock.sleep(SHARED_S)
        if are_shown(answers, around.snapshot()):
            return
    what = f"the answers for {', '.join(it.name for it in answers)} could not be put in place"
    raise OrderFailed(what, "the log says why the data plane refuses them")


@asynccontextmanager
async def _in_the_dns(
    planned: PlannedAcme, file: str, proofs: tuple[Proof, ...], around: Surroundings
) -> AsyncIterator[None]:
    hook = Hook(file, around.clock, around.apart)
    records = [dns_record(it.name, it.authorization) for it in proofs]
    tried = []
    try:
        for record in records:
            tried.append(record)
            await hook.present(*record)
        if records:
            await around.clock.sleep(planned.dns_wait_ms / 1000)
        yield
    finally:
        for record in tried:
            try:
                await hook.remove(*record)
            except OrderFailed as failed:
                # The order does not depend on it; the zone should not fill up unnoticed.
                log.warning("a TXT record was not removed", name=record[0], reason=str(failed))


def _checked(chain: str, key_pem: bytes, names: tuple[str, ...], now: float) -> Certificate:
    """Nothing that cannot be shown takes the place of a certificate that can."""
    where = "the certificate from the authority"
    try:
        given = assemble(
            pem.certificates_in(chain.encode(), where), load_pem_private_key(key_pem, None), where, where, now
        )
    except (CertificateRefused, IndexError) as odd:
        raise OrderFailed(f"what the authority gave cannot be used: {odd}") from odd
    if missing := sorted(set(names) - set(given.names)):
        raise OrderFailed(f"{where} is not for {', '.join(missing)}")
    if given.not_after <= now:
        raise OrderFailed(f"{where} has expired already", "is the clock of this machine right?")
    return given
