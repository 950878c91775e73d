"""What was observed about an endpoint, or decided about it by an operator."""

from dataclasses import dataclass

from bascule.contract.integers import U32


@dataclass(frozen=True, slots=True)
class Mark:
    """One observation. Fields that are `None` stay as they were. Marks survive snapshots."""

    pool: str
    """The pool's id."""
    endpoint: str
    """The endpoint's id within it."""
    up: bool | None = None
    """The verdict of its checks. Endpoints without a mark are up."""
    draining: bool | None = None
    """Give it no new work, let the old finish."""
    weight: U32 | None = None
    """Overrides the snapshot's weight."""
    maintenance: bool | None = None
    """Give it nothing at all, not even its sessions."""
    load_permille: U32 | None = None
    """How loaded it says it is, in thousandths of what it can do; changes its weight while `load_reports`
    is on."""
    forget: bool = False
    """Before all of that: whatever was marked about it counts no more."""


Marks = tuple[Mark, ...]
"""A batch of marks, in the order in which they were made."""
