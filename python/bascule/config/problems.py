"""What is wrong with a configuration: where, what, and what to do; and how that prints."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from bascule.errors import BasculeError

if TYPE_CHECKING:
    from bascule.config.model import Config

WIDEST_LINE = 120
"""Columns of an offending line that are shown; of a longer one, what is around the mistake."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration.

    `line` and `column` count from 1; both are `None` when the mistake has no place in a file.
    """

    path: str
    """The file, as the operator named it."""
    line: int | None
    column: int | None
    width: int
    """Columns to underline, at least 1."""
    what: str
    """What is wrong, in words and without the place."""
    hint: str | None = None
    """What to do about it."""
    source: str | None = None
    """The offending line."""
    severity: Literal["error", "warning"] = "error"
    """An error refuses the configuration; a warning is only said."""

    @property
    def place(self) -> str:
        """`shop.yaml:14:11`, as far as it is known."""
        return ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)

    def __str__(self) -> str:
        return "\n".join([self._headline(), *self._excerpt()])

    def _headline(self) -> str:
        label = "warning: " if self.severity == "warning" else ""
        return f"{self.place}: {label}{_printable(self.what)}"

    def _excerpt(self) -> list[str]:
        hint = _printable(self.hint) if self.hint else ""
        if self.source is None or self.line is None or self.column is None:
            return [f"  {hint}"] if hint else []
        shown, at = _window(self.source, self.column - 1)
        carets = "^" * max(1, min(self.width, len(shown) - at))
        gutter = " " * len(str(self.line))
        return [f"  {self.line} | {shown}".rstrip(), f"  {gutter} | {' ' * at}{carets} {hint}".rstrip()]


class Mistake(BasculeError, ValueError):  # noqa: N818 (an operator's, not ours)
    """A value is not what its place asks for. The reader of that place gives it a location."""


class ConfigRefused(BasculeError):  # noqa: N818 (the agreed name; it is an answer, not an accident)
    """A configuration is refused; `problems` holds every mistake, in the order of the file."""

    def __init__(self, problems: Iterable[Problem], rest: "Config | None" = None) -> None:
        self.problems = tuple(in_order(problems))
        self.rest = rest
        """What is left without the mistakes, to be checked but never to run."""
        super().__init__(render(self.problems))


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Without doubles, by place, errors before warnings where both are at one place."""
    unique = list(dict.fromkeys(problems))
    files = list(dict.fromkeys(problem.path for problem in unique))
    return sorted(unique, key=lambda it: (files.index(it.path), it.line or 0, it.column or 0, it.severity))


def render(problems: Iterable[Problem]) -> str:
    """All of them as text, one below the other."""
    return "\n".join(str(problem) for problem in problems)


def as_json(problems: Sequence[Problem]) -> str:
    """All of them as a JSON array, one object each, for editors and scripts."""
    return json.dumps([asdict(problem) for problem in problems], indent=2, ensure_ascii=False)


def _window(source: str, at: int) -> tuple[str, int]:
    """The part of a line that is shown, and where in it column `at` is."""
    line = _printable(source.rstrip("\r\n"))
    if len(line) <= WIDEST_LINE:
        return line, at
    start = max(0, min(at - WIDEST_LINE // 2, len(line) - WIDEST_LINE))
    end = start + WIDEST_LINE
    left, right = ("…" if start else ""), ("…" if end < len(line) else "")
    return f"{left}{line[start:end]}{right}", at - start + len(left)


def _printable(text: str) -> str:
    """One column for each character, and nothing that a terminal would obey."""
    return "".join(char if char.isprintable() else " " if char == "\t" else "�" for char in text)
