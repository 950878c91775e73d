"""What the data plane can do, described by itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One algorithm or matcher."""

    name: str
    """As it is written in configurations."""
    summary: str
    """One sentence."""
    advice: str
    """When to use it and when not, in a few sentences."""
    options: object
    """JSON Schema of its options object, as decoded JSON."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """Algorithms and matchers with their options."""

    algorithms: tuple[Entry, ...]
    """In the order of their registry."""
    matchers: tuple[Entry, ...]
    """In the order of their registry."""
