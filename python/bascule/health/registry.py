"""Every check there is, by name."""

from importlib.metadata import entry_points
from typing import cast

from bascule.errors import BasculeError
from bascule.health.check import Check
from bascule.health.checks.http import HttpCheck
from bascule.health.checks.python import PythonCheck
from bascule.health.checks.tcp import TcpCheck
from bascule.plan.plan import PlannedCheck

CHECKS: tuple[type[Check], ...] = (HttpCheck, PythonCheck, TcpCheck)
"""Every check that ships. Packages add their own through the `bascule.checks` entry point."""


def names() -> tuple[str, ...]:
    """Every check that a configuration may name, sorted; nothing is imported to find out."""
    theirs = {entry.name for entry in entry_points(group="bascule.checks")}
    return tuple(sorted(theirs | {check.name for check in CHECKS}))


def find(name: str) -> type[Check]:
    """The check of that name; one of ours cannot be replaced by a package's.

    Raises `BasculeError` when there is none, or when the package that brings it cannot be imported.
    """
    for check in CHECKS:
        if check.name == name:
            return check
    for entry in entry_points(group="bascule.checks", name=name):
        try:
            return cast("type[Check]", entry.load())
        except Exception as error:
            raise BasculeError(
                f"check {name!r} ({entry.value}) cannot be imported: {error}",
                "repair or uninstall the package that brings it",
            ) from error
    raise BasculeError(f"there is no check {name!r}", f"there are: {', '.join(names())}")


def build(planned: PlannedCheck) -> Check:
    """The check that `planned` asks for. Raises `BasculeError` also when it refuses its options."""
    return find(planned.kind).from_options(planned.options)
