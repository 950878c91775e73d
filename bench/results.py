"""What was measured, as lines of JSON: one for the run, then one for each measurement."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """When, where and with what a run was made."""

    date: str
    """UTC, ISO 8601."""
    command: str
    """Repeats the run."""
    machine: str
    versions: Mapping[str, str]
    """By target."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one trial found."""

    scenario: str
    case: str
    """Which of the scenario's cases; empty where there is one."""
    target: str
    round: int
    figures: Mapping[str, float]


def write(path: Path, record: Run | Measurement) -> None:
    """Adds a line to the file."""
    with path.open("a") as lines:
        lines.write(json.dumps(asdict(record)) + "\n")


def read(path: Path) -> tuple[Run, Sequence[Measurement]]:
    """The run of a file and all its measurements, in the order in which they were made."""
    first, *others = path.read_text().splitlines()
    return Run(**json.loads(first)), [Measurement(**json.loads(line)) for line in others]


def latest(folder: Path) -> Path | None:
    """The file of the last run."""
    # Their names begin with the date, so the last name is the latest file.
    return max(folder.glob("*.jsonl"), default=None)


def of(measurements: Iterable[Measurement], scenario: str) -> Sequence[Measurement]:
    """Those of one scenario."""
    return [it for it in measurements if it.scenario == scenario]
