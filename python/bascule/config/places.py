"""Where each value of a configuration is written, so that every problem can point at it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Literal

from bascule.config.concealed import concealed_value
from bascule.config.problems import Problem
from bascule.config.variables import Line

Path = tuple[str | int, ...]
"""Keys and list positions from the top of a configuration down."""


@dataclass(frozen=True, slots=True)
class Source:
    """The lines of one file, as they were written and as they are read."""

    path: str
    """As the operator named it."""
    lines: tuple[Line, ...]
    """After variables were filled in; each knows what was written."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where something is written: part of one line. Lines and columns count from 0 here."""

    source: Source
    line: int
    start: int
    end: int
    """Not before `start`; what runs over several lines ends with the first."""

    @property
    def place(self) -> str:
        """`shop.yaml:31`, for the words of another problem."""
        return f"{self.source.path}:{self.line + 1}"

    def problem(
        self, what: str, hint: str | None = None, severity: Literal["error", "warning"] = "error"
    ) -> Problem:
        """A problem that points here. What looks like a secret is not shown."""
        return self._problem(what, hint, severity, is_secret=False)

    def secret_problem(self, what: str, hint: str | None = None) -> Problem:
        """A problem that points here without showing what is written here."""
        return self._problem(what, hint, "error", is_secret=True)

    def _problem(
        self, what: str, hint: str | None, severity: Literal["error", "warning"], *, is_secret: bool
    ) -> Problem:
        if self.line >= len(self.source.lines):
            return Problem(self.source.path, None, None, 1, what, hint, None, severity)
        line = self.source.lines[self.line]
        start, end = line.written_columns(self.start, self.end)
        shown = line.shown
        if is_secret:
            shown = shown[:start] + concealed_value(shown[start:end]) + shown[end:]
        return Problem(
            self.source.path,
            self.line + 1,
            start + 1,
            max(1, end - start),
            what,
            hint,
            shown,
            severity,
        )


@dataclass(slots=True)
class Place:
    """Where one key and its value are written, and all below."""

    value: Span
    key: Span | None = None
    children: "dict[str | int, Place]" = field(default_factory=dict)


class Places:
    """Looks up where a part of the configuration is written.

    Two `Places` are always equal: where something is written is no part of what it says.
    """

    def __init__(self, root: Place) -> None:
        self._root = root

    @classmethod
    def nowhere(cls, name: str = "configuration") -> "Places":
        """For a configuration that was made by a program: problems have no line."""
        return cls(Place(Span(Source(name, ()), 0, 0, 0)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places)

    def __hash__(self) -> int:
        return 0

    def value(self, path: Iterable[str | int]) -> Span:
        """The value at `path`, or the nearest thing around it that is written."""
        return self.find(path)[0].value

    def key(self, path: Iterable[str | int]) -> Span:
        """The key of the value at `path`; the value itself where it has none."""
        place, _ = self.find(path)
        return place.key or place.value

    def find(self, path: Iterable[str | int]) -> tuple[Place, bool]:
        """The place at `path`, and whether all of it is written.

        Parts that are not written are passed over: a short form has fewer levels than what it means.
        """
        place, whole = self._root, True
        for part in path:
            below = place.children.get(part)
            whole = whole and below is not None
            place = below or place
        return place, whole

    def source(self, path: Iterable[str | int]) -> str:
        """The file that the value at `path` is written in."""
        return self.value(path).source.path

    def beside(self, path: Iterable[str | int], written: str) -> str:
        """The absolute path that is `written` at `path`; a relative one begins at the file it stands in."""
        folder = FilePath(self.source(path)).absolute().parent
        return str(folder / FilePath(written).expanduser())


def merged(into: Place, other: Mapping[str | int, Place]) -> None:
    """Adds the places of an included file; what is there already stays."""
    for key, place in other.items():
        if (known := into.children.get(key)) is None:
            into.children[key] = place
        else:
            merged(known, place.children)
