"""Which configuration file a command means, when none is named."""

from pathlib import Path

from bascule.cli.exits import UsageWrong

DEFAULT_NAMES = ("bascule.yaml", "bascule.yml", "bascule.py")
"""Looked for in the current directory, in this order."""


def found(named: Path | None) -> Path:
    """The file that was named, or the default one. Raises `UsageWrong` when there is neither."""
    path = named if named is not None else default()
    if path is None:
        raise UsageWrong(
            f"no configuration file: there is no {', '.join(DEFAULT_NAMES[:-1])} or {DEFAULT_NAMES[-1]} here",
            "name one, or start without a file: bascule proxy :8080 --to :9001 --to :9002",
        )
    return path


def default() -> Path | None:
    """The default file of the current directory, if it has one."""
    return next((path for path in map(Path, DEFAULT_NAMES) if path.is_file()), None)
