"""`${VAR}` and `${VAR:-default}` in a line of a configuration, filled in from the environment.

`$${` stands for `${` itself. Comments are left alone. A value becomes part of the text as it is, so
quotes belong around a variable whose value may hold `: ` or `#`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bascule.config.concealed import concealed

_VARIABLE = re.compile(r"\$\$\{|\$\{([^{}]*)(\}?)")
_NAMED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(:-(.*))?", re.ASCII)
_QUOTED_OR_COMMENT = re.compile(
    r"""(?:(?<=^)|(?<=[\s,\[{:-]))(?:"(?:\\.|[^"\\])*"|'(?:''|[^'])*')|(?:(?<=^)|(?<=\s))\#.*$"""
)


@dataclass(frozen=True, slots=True)
class Filled:
    """A variable in a line: where its value is now, and where it was written."""

    start: int
    end: int
    written_start: int
    written_end: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line, as it was written and as it is read."""

    written: str
    read: str
    filled: tuple[Filled, ...] = ()

    @property
    def shown(self) -> str:
        """As it was written, without what looks like a secret: what messages show."""
        return concealed(self.written)

    def written_columns(self, start: int, end: int) -> tuple[int, int]:
        """Where columns of the line as it is read were written; a variable counts as a whole."""
        return self._written(start, of_end=False), self._written(end, of_end=True)

    def _written(self, column: int, of_end: bool) -> int:
        shift = 0
        for part in self.filled:
            if column < part.start or (of_end and column == part.start):
                break
            if column < part.end or (of_end and column == part.end):
                return part.written_end if of_end else part.written_start
            shift = part.written_end - part.end
        return column + shift


@dataclass(frozen=True, slots=True)
class Unfilled:
    """A variable that cannot be filled in, and where on its line it is written."""

    start: int
    end: int
    what: str
    hint: str


def fill(written: str, environment: Mapping[str, str]) -> tuple[Line, tuple[Unfilled, ...]]:
    """The line with its variables filled in, and those that could not be."""
    if "${" not in written:
        return Line(written, written), ()
    comment = _comment_start(written)
    read, filled, unfilled, last = "", [], [], 0
    for found in _VARIABLE.finditer(written, 0, comment):
        value = "${" if found[0] == "$${" else _value(found, environment)
        if isinstance(value, Unfilled):
            unfilled.append(value)
            value = ""
        read += written[last : found.start()]
        filled.append(Filled(len(read), len(read) + len(value), found.start(), found.end()))
        read += value
        last = found.end()
    return Line(written, read + written[last:], tuple(filled)), tuple(unfilled)


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str | Unfilled:
    def refused(what: str, hint: str) -> Unfilled:
        return Unfilled(found.start(), found.end(), what, hint)

    named = _NAMED.fullmatch(found[1])
    if not found[2]:
        return refused("${ is not closed", "close it with }, or write $${ for the text itself")
    if named is None:
        return refused(
            f"{found[0]} is not a variable", "write ${NAME} or ${NAME:-default}, or $${ for the text itself"
        )
    name, default = named[1], named[3] if named[2] else None
    value = environment.get(name)
    if default is not None and not value:
        return default
    if value is None:
        return refused(
            f"the environment variable {name} is not set",
            f"set it, or give a default: ${{{name}:-…}}; $${{{name}}} is the text itself",
        )
    if any(ord(char) < 32 or 127 <= ord(char) < 160 for char in value):
        return refused(
            f"the environment variable {name} holds a line break or control character",
            "set it to one line of text",
        )
    return value


def _comment_start(line: str) -> int:
    """Where a comment begins; a `#` in quotes begins none."""
    for found in _QUOTED_OR_COMMENT.finditer(line):
        if found[0].startswith("#"):
            return found.start()
    return len(line)
