"""A configuration file → what the data plane would be sent, with the endpoints that are found now."""

from pathlib import Path

from bascule import contract
from bascule.certificates.store import Certificates
from bascule.clock import SystemClock
from bascule.control.origin import FileOrigin
from bascule.control.reconcile import SETTLE_S
from bascule.control.reload import Prepared, prepare
from bascule.discovery.watch import Watch
from bascule.plan.compose import compose
from bascule.plan.plan import Plan
from bascule.plane import embedded
from bascule.tasks import Tasks


def prepared(path: Path) -> Prepared:
    """Steps 1 to 3 of a configuration's life. Raises `ConfigRefused`."""
    return prepare(FileOrigin(path), embedded.catalog())


async def composed(plan: Plan) -> contract.Snapshot:
    """The snapshot, secrets and all; endpoints that take longer than a moment to find are not in it."""
    tasks = Tasks()
    watch = Watch(SystemClock(), tasks, lambda: None)
    certificates = Certificates(SystemClock(), lambda: None)
    try:
        await certificates.adopt(plan)
        watch.update(plan)
        await watch.settle(SETTLE_S)
        return compose(plan, watch.found(), 1, certificates.held)
    finally:
        await watch.stop()
        await tasks.stop()
