"""A configuration file → what the data plane would be sent, with the endpoints that are found now."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bascule import contract
    from bascule.control.reload import Prepared
    from bascule.plan.plan import Plan


def prepared(path: Path) -> "Prepared":
    """Steps 1 to 3 of a configuration's life. Raises `ConfigRefused`."""
    from bascule.control.origin import FileOrigin  # noqa: PLC0415 (keeps `--help` fast)
    from bascule.control.reload import prepare  # noqa: PLC0415
    from bascule.plane import embedded  # noqa: PLC0415

    return prepare(FileOrigin(path), embedded.catalog())


async def composed(plan: "Plan") -> "contract.Snapshot":
    """The snapshot, secrets and all; endpoints that take longer than a moment to find are not in it."""
    from bascule.certificates.store import Certificates  # noqa: PLC0415 (keeps `--help` fast)
    from bascule.clock import SystemClock  # noqa: PLC0415
    from bascule.control.reconcile import SETTLE_S  # noqa: PLC0415
    from bascule.discovery.watch import Watch  # noqa: PLC0415
    from bascule.plan.compose import compose  # noqa: PLC0415
    from bascule.tasks import Tasks  # noqa: PLC0415

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
