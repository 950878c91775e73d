"""Runs a balancer in this process until it is stopped, and says what it listens on."""

import asyncio
import os
import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from bascule import contract
from bascule.admin import address as admin_address
from bascule.clock import SystemClock
from bascule.control.balancer import Balancer
from bascule.control.early import EarlySignals
from bascule.control.generations import Live
from bascule.control.inheritance import Inheritance
from bascule.control.open_files import raise_limit
from bascule.control.origin import Origin
from bascule.control.reload import prepare
from bascule.control.supervisor import Supervisor, Surroundings
from bascule.observe import logs
from bascule.plane import embedded

MOST_NAMED = 8
"""Of pools and of endpoints; an operator with hundreds of them looks at `bascule status`."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a command wants its balancer to run."""

    admin: str | None = None
    watch_files: bool = False
    quiet: bool = False


def serve(origin: Origin, manner: Manner, early: EarlySignals) -> None:
    """Runs until a signal or `bascule stop`. Raises `BasculeError` when it cannot start."""
    catalog = embedded.catalog()
    prepared = prepare(origin, catalog)
    logs.configure(prepared.plan.log_level)
    raise_limit()
    around = surroundings(manner)
    supervisor = Supervisor(origin, prepared, around)

    def on_ready(supervisor: Supervisor, balancer: Balancer) -> None:
        if not manner.quiet:
            print("\n".join(what_listens(balancer.live, supervisor)), file=sys.stderr, flush=True)
        if around.inheritance is not None:
            around.inheritance.tell_ready()
        early.repeat()

    asyncio.run(supervisor.run(on_ready))


def surroundings(manner: Manner, *, signals: bool = True) -> Surroundings:
    """The system's clock, the real data plane, one thread for each core that this process may use."""
    # Commands that ask heed the variable too: who has set it means one balancer.
    named = manner.admin or os.environ.get("BASCULE_ADMIN")
    return Surroundings(
        start_plane=embedded.start,
        catalog=embedded.catalog(),
        clock=SystemClock(),
        threads=len(os.sched_getaffinity(0)),
        admin=admin_address.parse(named) if named else admin_address.default(os.environ, os.geteuid()),
        seed=random.SystemRandom().getrandbits(32),
        admin_named=bool(named),
        watch_files=manner.watch_files,
        signals=signals,
        inheritance=Inheritance.ours(),
    )


def what_listens(live: Live, supervisor: Supervisor) -> list[str]:
    """The first thing an operator wants to see: one line for each address and each pool."""
    lines = []
    for bound in live.receipt.binds:
        pools = _some(dict.fromkeys(_pools_of(bound.listener, live)))
        shown = _shown(bound.address or bound.asked, _scheme(bound.listener, live))
        lines.append(f"  listening  {shown}  →  {pools or _without_pool(bound.listener, live)}")
    lines += _authority(live)
    for pool in live.plan.pools[:MOST_NAMED]:
        endpoints = _some(one.id for one in live.found.get(pool.id, ())) or "none found yet"
        check = f", {pool.check.kind} check" if pool.check is not None else ""
        lines.append(f"  pool       {pool.id} ({pool.template.algorithm.name}{check}): {endpoints}")
    if (more := len(live.plan.pools) - MOST_NAMED) > 0:
        lines.append(f"  pool       … and {more} more")
    lines.append(f"  admin      {supervisor.admin}")
    if supervisor.metrics is not None:
        lines.append(f"  metrics    http://{supervisor.metrics}/metrics")
    return lines


def _some(names: Iterable[str]) -> str:
    """The first few of them, and how many more there are."""
    known = list(names)
    more = [f"and {len(known) - MOST_NAMED} more"] if len(known) > MOST_NAMED else []
    return ", ".join(known[:MOST_NAMED] + more)


def _pools_of(listener: str, live: Live) -> list[str]:
    known = [it for it in live.plan.listeners if it.id == listener]
    passed_on = [route.pool for it in known for route in (*it.flows.passthrough, *it.flows.routes)]
    answered = [pool for it in known for route in it.routes for pool in _forwards_to(route.action)]
    return [f"pool {pool}" for pool in passed_on + answered]


def _forwards_to(action: contract.Action) -> tuple[str, ...]:
    match action:
        case contract.PoolAction(pool):
            return (pool,)
        case contract.SplitAction(shares):
            return tuple(share.pool for share in shares)
        case _:
            return ()


def _without_pool(listener: str, live: Live) -> str:
    actions = [route.action for it in live.plan.listeners if it.id == listener for route in it.routes]
    redirects = any(it.kind == "redirect" and it.location.startswith("https://") for it in actions)
    return "https" if redirects else "no pool"


def _scheme(listener: str, live: Live) -> str:
    carries = next((it.carries for it in live.plan.listeners if it.id == listener), "http")
    if listener not in live.plan.tls:
        return carries
    return "https" if carries == "http" else "tls"


def _authority(live: Live) -> list[str]:
    """Where clients find whom to trust, if we are our own authority."""
    if not any(tls.self_signed for tls in live.plan.tls.values()):
        return []
    from bascule.certificates.self_signed import authority_file  # noqa: PLC0415 (for development only)

    return [f"  authority  {authority_file()}  (curl --cacert …; for development only)"]


def _shown(address: str, scheme: str) -> str:
    if address.startswith("unix:"):
        return address
    address = address.removeprefix("udp:")
    for everything in ("[::]:", "0.0.0.0:"):
        if address.startswith(everything):
            return f"{scheme}://127.0.0.1:{address.removeprefix(everything)} (all addresses)"
    return f"{scheme}://{address}"
