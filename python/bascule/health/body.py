"""Searches the body of an answer for a pattern, and gives up before that costs anybody else their time."""

import asyncio
from typing import Self

import regex

from bascule.errors import BasculeError

PATIENCE_S = 0.1
"""For one search. A good pattern takes a thousandth of it for 64 KiB."""


class TooSlow(Exception):  # noqa: N818 (an outcome)
    """The search was given up."""


class BodyPattern:
    """A regular expression with everything that Python's own know.

    The endpoint chooses the body, and with most patterns there is a body that takes for ever: `(a+)+b` and
    a row of `a`. Python's `re` would stop the whole control plane meanwhile; `regex` lets go of the
    interpreter and heeds a time limit.
    """

    def __init__(self, pattern: str, compiled: "regex.Pattern[str]") -> None:
        self.pattern = pattern
        self._compiled = compiled

    @classmethod
    def read(cls, pattern: str) -> Self:
        """Raises `BasculeError` when it is no regular expression."""
        try:
            return cls(pattern, regex.compile(pattern))
        except (regex.error, OverflowError, RecursionError) as error:
            reason = str(error).partition(" at position ")[0]
            raise BasculeError(f"not a regular expression: {reason}") from error

    async def is_in(self, body: str) -> bool:
        """Whether it matches anywhere. Raises `TooSlow` after `PATIENCE_S`."""
        return await asyncio.to_thread(self._search, body)

    def _search(self, body: str) -> bool:
        try:
            return self._compiled.search(body, timeout=PATIENCE_S, concurrent=True) is not None
        except TimeoutError as error:
            raise TooSlow from error
