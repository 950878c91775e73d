"""The answer to a snapshot."""

from dataclasses import dataclass

from bascule.contract.integers import U64


@dataclass(frozen=True, slots=True)
class Bound:
    """What one bind of a listener became."""

    listener: str
    """The listener's id."""
    asked: str
    """As it was asked for: `127.0.0.1:0` or `unix:/path`."""
    address: str | None = None
    """The address that is accepted on, when it is: `127.0.0.1:43671`."""
    refused: str | None = None
    """Why not, when it is not."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a snapshot. When `problems` is not empty nothing has changed."""

    generation: U64
    """The generation that was offered."""
    live: U64
    """The generation that is live now."""
    digest: str
    """Identity of the snapshot: `codec.digest` of its canonical bytes."""
    binds: tuple[Bound, ...]
    """What each bind became."""
    problems: tuple[str, ...]
    """Why the snapshot was refused."""
