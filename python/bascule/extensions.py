"""What packages add to the built-in lists, found by entry point and imported only when it is named."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TypeVar, cast

from bascule.errors import BasculeError

T = TypeVar("T")


def names(group: str, ours: Mapping[str, object]) -> tuple[str, ...]:
    """Everything that a configuration may name, sorted; nothing is imported to find out."""
    return tuple(sorted({entry.name for entry in entry_points(group=group)} | set(ours)))


def find(what: str, name: str, group: str, ours: Mapping[str, T]) -> T:
    """The one of that name; one of ours cannot be replaced by a package's.

    `what` is the word for it in errors. Raises `BasculeError` when there is none, or when the package that
    brings it cannot be imported.
    """
    if name in ours:
        return ours[name]
    for entry in entry_points(group=group, name=name):
        try:
            return cast("T", entry.load())
        except Exception as error:
            raise BasculeError(
                f"{what} {name!r} ({entry.value}) cannot be imported: {error}",
                "repair or uninstall the package that brings it",
            ) from error
    raise BasculeError(f"there is no {what} {name!r}", f"there are: {', '.join(names(group, ours))}")
