"""Measurements as Markdown tables: medians, best rounds, and how each compares."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.measure import QUIET_PERCENT
from bench.results import Measurement

PEERS = ("nginx", "nginx-128k", "haproxy", "haproxy-splice")
"""Those whose better one a figure is held to."""


@dataclass(frozen=True, slots=True)
class Column:
    """A figure in a table."""

    title: str
    figure: str
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a figure is held to."""

    figure: str
    held_to: Literal["best peer", "first case"]
    more_is_better: bool = False

    @property
    def title(self) -> str:
        return f"{'first' if self.held_to == 'first case' else 'best peer'}: by median (by best round)"

    def best(self, values: Sequence[float]) -> float:
        return max(values) if self.more_is_better else min(values)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure, divided by what it is held to."""

    by_median: float
    by_best: float


Key = tuple[str, str]
"""Target and case."""


def median(measurements: Sequence[Measurement], figure: str) -> float | None:
    """The median over the rounds, or nothing where the figure was not measured."""
    values = _values(measurements, figure)
    return statistics.median(values) if values else None


def grouped(measurements: Sequence[Measurement]) -> Mapping[Key, Sequence[Measurement]]:
    """The rounds of each target and case, in the order of their first ones."""
    found: dict[Key, list[Measurement]] = {}
    for one in measurements:
        found.setdefault((one.target, one.case), []).append(one)
    return found


def is_disturbed(measurement: Measurement) -> bool:
    """Whether others took so much of a core that the figures may not be compared."""
    return measurement.figures.get("foreign_percent", 0.0) >= QUIET_PERCENT


def undisturbed(measurements: Sequence[Measurement]) -> Sequence[Measurement]:
    """The quiet rounds of each target and case; all of them where there was no quiet one.

    A disturbed round is not only noisier: in `close` it looks cheaper, for more is done per wake-up.
    """
    groups = grouped(measurements).values()
    quiet = [[it for it in rounds if not is_disturbed(it)] or rounds for rounds in groups]
    return [it for rounds in quiet for it in rounds]


def ratio(
    groups: Mapping[Key, Sequence[Measurement]], key: Key, comparison: Comparison, to: Sequence[str] = PEERS
) -> Ratio | None:
    """How a target's figure compares; nothing where one of the two was not measured.

    The best peer by median and the one by best round may be different ones: each is the harder to beat.
    """
    target, case = key
    if comparison.held_to == "first case":
        others = [next(it for it in groups if it[0] == target)]
    else:
        others = [(peer, case) for peer in to if (peer, case) in groups]
    mine = _values(groups[key], comparison.figure)
    theirs = [values for it in others if (values := _values(groups[it], comparison.figure))]
    if not mine or not theirs:
        return None
    median_to_beat = comparison.best([statistics.median(values) for values in theirs])
    best_to_beat = comparison.best([comparison.best(values) for values in theirs])
    if not median_to_beat or not best_to_beat:
        return None
    return Ratio(statistics.median(mine) / median_to_beat, comparison.best(mine) / best_to_beat)


def table(
    measurements: Sequence[Measurement], columns: Sequence[Column], comparison: Comparison | None
) -> str:
    """One row for each target and case, of its quiet rounds."""
    made, groups = grouped(measurements), grouped(undisturbed(measurements))
    has_cases = any(case for _, case in groups)
    titles = ["target", *(["case"] if has_cases else []), *(it.title for it in columns)]
    titles += [*([comparison.title] if comparison else []), "foreign %", "errors", "rounds"]
    rows = [
        [*_row(groups, key, columns, comparison), f"{len(groups[key])} of {len(made[key])}"] for key in groups
    ]
    rows = rows if has_cases else [[target, *others] for target, _, *others in rows]
    rule = ["---"] * (1 + has_cases) + ["--:"] * (len(titles) - 1 - has_cases)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [titles, rule, *rows])


def _row(
    groups: Mapping[Key, Sequence[Measurement]],
    key: Key,
    columns: Sequence[Column],
    comparison: Comparison | None,
) -> list[str]:
    rounds = groups[key]
    cells = [*key]
    cells += [shown(median(rounds, column.figure), column.digits) for column in columns]
    if comparison:
        found = ratio(groups, key, comparison)
        cells.append(f"{found.by_median:.2f} ({found.by_best:.2f})" if found else "-")
    errors = sum(_values(rounds, "errors"))
    return [*cells, shown(median(rounds, "foreign_percent"), 0), shown(errors, 0)]


def breakdown(measurements: Sequence[Measurement], prefix: str, least: float = 0.01) -> str:
    """One row for each target and case: figures whose names begin with `prefix`, the largest first."""
    lines = ["| target | case | by name |", "|---|---|---|"]
    for (target, case), rounds in grouped(measurements).items():
        names = {name for it in rounds for name in it.figures if name.startswith(prefix)}
        found = {name.removeprefix(prefix): median(rounds, name) or 0.0 for name in names}
        listed = sorted(found.items(), key=lambda it: (-it[1], it[0]))
        lines.append(
            f"| {target} | {case} | {', '.join(f'{name} {n:.2f}' for name, n in listed if n >= least)} |"
        )
    return "\n".join(lines)


def shown(value: float | None, digits: int) -> str:
    """A number with its thousands apart; a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def _values(measurements: Sequence[Measurement], figure: str) -> list[float]:
    return [it.figures[figure] for it in measurements if figure in it.figures]
