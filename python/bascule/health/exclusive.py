"""Checks that only one endpoint of a pool may pass, such as being the primary: with two claimants none is up.

Pure. The outcomes of different endpoints were seen at different times, so that after a change of roles the
old one may still look as if it passed: until it was asked again, nobody is up. Two are never up.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bascule.health.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Seat:
    """What is made of one endpoint among all of its pool."""

    up: bool
    reason: str | None = None
    """Why it is down although its own verdict is that it is up."""


def claims(verdict: Verdict) -> bool:
    """Whether it passed when it was last asked."""
    return not verdict.is_guess and verdict.up == (verdict.streak == 0)


def seat(verdicts: Mapping[str, Verdict], sitting: str | None) -> Mapping[str, Seat]:
    """Which of these endpoints is up, one at most. `sitting` is the one that was so far.

    Each verdict is that of its endpoint's own check. A single claimant is up when everybody has been asked.
    One that is up stays so while nobody else claims, also while failures of its own are forgiven.
    """
    claimants = sorted(name for name, verdict in verdicts.items() if claims(verdict))
    believed = sorted(name for name, verdict in verdicts.items() if verdict.up and not verdict.is_guess)
    unasked = sorted(name for name, verdict in verdicts.items() if verdict.is_guess)

    def of(name: str) -> Seat:
        others = [it for it in claimants if it != name]
        if name not in believed:
            return Seat(False)
        if others and name not in claimants:
            return Seat(False, f"{others[0]} passes now, and only one may pass")
        if others:
            both = " and ".join(sorted([name, *others]))
            return Seat(False, f"{both} pass a check that only one may pass: none of them is used")
        if name not in claimants and believed != [name]:
            return Seat(False, "no longer passes, and others did")
        if unasked and name != sitting:
            return Seat(False, f"passes, but {unasked[0]} has not been asked yet, and only one may pass")
        return Seat(True)

    return {name: of(name) for name in verdicts}
