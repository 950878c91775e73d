"""Where one endpoint stands: what operators, its check, its agent and its load say of it, put together. Pure.

Three axes that do not overwrite each other, as in HAProxy: an operator's command, the verdict of the check,
and the word of the agent. An endpoint is given only what all of them let through.
"""

from dataclasses import dataclass
from fractions import Fraction

from bascule import contract
from bascule.health.agent import AgentWord
from bascule.health.duty import Duty

HEAVIEST = 65_535
"""The largest weight of a mark."""

_SILENT = AgentWord()


@dataclass(frozen=True, slots=True)
class Command:
    """What an operator wants of an endpoint."""

    duty: Duty = Duty.READY
    """What it may be given."""
    weight: int | None = None
    """From 0, which is no new work; `None`: what is configured, and what its agent makes of it."""


_NO_COMMAND = Command()


@dataclass(frozen=True, slots=True)
class Standing:
    """All that is said of one endpoint."""

    configured: int
    """Its weight in the configuration."""
    scale: int = 1
    """Marked weights are so many times those of the configuration: the same in the whole pool."""
    up_by_check: bool = True
    """The verdict of its check; true without one."""
    command: Command = _NO_COMMAND
    """What an operator wants."""
    agent: AgentWord = _SILENT
    """What its agent has said."""
    load_permille: int | None = None
    """How loaded it says it is."""
    load_is_silent: bool = False
    """It does not say so any more: what was marked of its load is taken back."""

    @property
    def up(self) -> bool:
        """Whether its check and its agent say that it works."""
        return self.up_by_check and self.agent.up

    @property
    def duty(self) -> Duty:
        """What it may be given: what the operator and the agent both let through."""
        return Duty.least(self.command.duty, self.agent.duty)

    @property
    def weight(self) -> Fraction:
        """Its weight in the units of the configuration. An operator's counts for more than the agent's."""
        if self.command.weight is not None:
            return Fraction(self.command.weight)
        return Fraction(self.configured * self.agent.percent, 100)

    def mark(self, pool: str, endpoint: str, *, with_weight: bool) -> contract.Mark:
        """What the data plane is told of it. `with_weight`: also when the weight is the configured one."""
        return contract.Mark(
            pool,
            endpoint,
            up=self.up,
            draining=self.duty is Duty.DRAIN,
            weight=self._marked_weight() if with_weight else None,
            maintenance=self.duty is Duty.MAINTENANCE,
            load_permille=None if self.load_is_silent else self.load_permille,
            # The only way to take back one axis; the others are said here anew.
            forget=self.load_is_silent,
        )

    def _marked_weight(self) -> int:
        exact = self.weight * self.scale
        # One percent of a weight of one is little work, but not none.
        return min(HEAVIEST, max(1, round(exact))) if exact > 0 else 0


def scale_of(weights: list[int], *, has_agents: bool) -> int:
    """By how much the marked weights of a pool are larger than those configured.

    Shares of weights need room: 75 % of a weight of 1 is no whole number. Weights are relative, so all of a
    pool are made a hundred times larger, or as much as the largest of them allows.
    """
    return max(1, min(100, HEAVIEST // max(weights, default=1))) if has_agents else 1
