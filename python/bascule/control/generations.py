"""Which snapshot is live, what it came from, and how the last attempt to change it went."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from bascule import contract
from bascule.plan.found import Found
from bascule.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class Live:
    """The generation that traffic gets."""

    plan: Plan
    found: Found
    snapshot: contract.Snapshot
    receipt: contract.Receipt
    since: float
    """Seconds since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How the last offer of a configuration ended."""

    ok: bool
    at: float
    """Seconds since the Unix epoch."""
    why: str | None = None
    """All that was wrong, when it was refused."""


class Generations:
    """Numbers snapshots and remembers the live one. `wall` tells seconds since the Unix epoch."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._offered = 0
        self.live: Live | None = None
        self.last_attempt: Attempt | None = None
        self.adopted_at: float | None = None
        """When a configuration last became live, by `wall`."""

    @property
    def next(self) -> int:
        """The number for the snapshot that is offered next."""
        return self._offered + 1

    def offered(self, snapshot: contract.Snapshot) -> None:
        """Its number is taken, also when it is refused."""
        self._offered = snapshot.generation

    def is_live(self, snapshot: contract.Snapshot) -> bool:
        """Whether all but the number is live already."""
        live = self.live
        return live is not None and replace(snapshot, generation=live.snapshot.generation) == live.snapshot

    def became_live(
        self, plan: Plan, found: Found, snapshot: contract.Snapshot, receipt: contract.Receipt
    ) -> None:
        self.live = Live(plan, found, snapshot, receipt, self._wall())

    def stayed_live(self, plan: Plan, found: Found) -> None:
        """A plan that asks for the live snapshot took the place of the one before: checks may differ."""
        if self.live is not None:
            self.live = replace(self.live, plan=plan, found=found)

    def adopted(self) -> None:
        """A configuration was accepted."""
        self.adopted_at = self._wall()
        self.last_attempt = Attempt(ok=True, at=self.adopted_at)

    def refused(self, why: str) -> None:
        """A configuration was refused; the live one goes on."""
        self.last_attempt = Attempt(ok=False, at=self._wall(), why=why)
