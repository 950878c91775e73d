"""What the program does about a signal, from before its first configuration is live to its end."""

import signal
from collections.abc import Callable
from contextlib import suppress

import structlog

from bascule.control.balancer import Balancer
from bascule.control.triggers import Trigger
from bascule.errors import BasculeError
from bascule.tasks import Tasks

log = structlog.get_logger("bascule.control")


class Reactions:
    """Acts on triggers. Before `begin` there is nothing to drain: a stop calls `leave`, a reload waits."""

    def __init__(self, tasks: Tasks, leave: Callable[[], None]) -> None:
        self._tasks = tasks
        self._leave = leave
        self._balancer: Balancer | None = None
        self._reload_wanted = False

    def begin(self, balancer: Balancer) -> None:
        """A configuration is live: from now on triggers are about `balancer`."""
        self._balancer = balancer
        if self._reload_wanted:
            self._act(balancer, Trigger.RELOAD)

    def to_signal(self, number: signal.Signals, trigger: Trigger) -> None:
        log.info("signal", name=number.name, asks_to=trigger.value)
        if self._balancer is not None:
            self._act(self._balancer, trigger)
        elif trigger in (Trigger.STOP, Trigger.DRAIN):
            self._leave()
        elif trigger is Trigger.RELOAD:
            self._reload_wanted = True

    def _act(self, balancer: Balancer, trigger: Trigger) -> None:
        match trigger:
            case Trigger.STOP:
                balancer.stop()
            case Trigger.DRAIN:
                balancer.drain()
            case Trigger.RELOAD:
                self._tasks.start("reload by signal", reload(balancer))
            case Trigger.REOPEN_LOGS:
                balancer.reopen_logs()
            case Trigger.UPGRADE:
                self._tasks.start("upgrade by signal", upgrade(balancer))


async def reload(balancer: Balancer) -> None:
    """Reloads when that makes sense; why it was refused has been logged where it was."""
    if not balancer.is_ready():
        log.warning("not reloaded: the balancer is stopping")
        return
    with suppress(BasculeError):
        await balancer.reload()


async def upgrade(balancer: Balancer) -> None:
    """Lets a successor take over; why it did not has been logged."""
    try:
        await balancer.upgrade()
    except BasculeError as error:
        log.error("not upgraded", why=str(error))
