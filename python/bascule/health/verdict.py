"""Outcomes of checks add up to a verdict: up or down."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Verdict:
    """What we believe about an endpoint, and how close we are to changing our mind.

    Pure: outcomes go in, a new verdict comes out. Scheduling is the prober's job.
    """

    up: bool
    streak: int = 0
    """Outcomes in a row that disagree with `up`."""
    is_guess: bool = False
    """Nothing is known yet: the first outcome decides, whatever `rise` and `fall` are."""

    def after(self, passed: bool, *, rise: int, fall: int) -> "Verdict":
        """What to believe once one more check has `passed` or not; `rise` and `fall` are at least 1."""
        if self.is_guess:
            # As HAProxy and Envoy have it: a check that has been made knows more than one that has not, and
            # an endpoint that waits for `rise` passes after each restart is missed for nothing.
            return Verdict(up=passed)
        if passed == self.up:
            return replace(self, streak=0)
        if self.streak + 1 < (fall if self.up else rise):
            return replace(self, streak=self.streak + 1)
        return Verdict(up=passed)
