"""What is fixed for the life of the process."""

from dataclasses import dataclass

from bascule.contract.integers import U32, U64


@dataclass(frozen=True, slots=True)
class Settings:
    """Given once, when the plane starts."""

    threads: U32
    """Data-plane threads, 1 to 1024."""
    seed: U64 | None = None
    """Seed of every random choice; `None` takes one from the system."""
