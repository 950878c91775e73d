"""Unsigned integers of a known width, as the Rust half declares them."""

from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Marks an `int` that must fit into so many bits; the codec checks it in both directions."""

    bits: int

    @property
    def largest(self) -> int:
        return (1 << self.bits) - 1


U16 = Annotated[int, Unsigned(16)]
U32 = Annotated[int, Unsigned(32)]
U64 = Annotated[int, Unsigned(64)]
