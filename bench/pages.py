"""A run as a piece of Markdown, and its place in bench/README.md."""

from collections.abc import Sequence
from pathlib import Path

from bench import goals, report, results
from bench.results import Measurement, Run
from bench.scenarios import SCENARIOS
from bench.syscalls import PREFIX

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- results -->", "<!-- /results -->"


def page(run: Run, measurements: Sequence[Measurement]) -> str:
    """What was measured, where and when; the goals; then a table for each scenario."""
    versions = ", ".join(f"{name} {number}" for name, number in run.versions.items())
    parts = [f"Measured {run.date} by `{run.command}` on {run.machine}. {versions}."]
    if any(goal.find(results.of(measurements, goal.scenario)) is not None for goal in goals.GOALS):
        parts += ["### Targets, met and missed", goals.table(measurements)]
    for scenario in SCENARIOS:
        found = results.of(measurements, scenario.name)
        if not found:
            continue
        parts.append(f"### {scenario.title} (`{scenario.name}`)")
        parts.append(report.table(found, scenario.columns, scenario.comparison))
        if scenario.name == "syscalls":
            parts.append(report.breakdown(found, PREFIX))
    return "\n\n".join(parts)


def write_into_readme(text: str, readme: Path = README) -> None:
    """Replaces what is between the marks. Raises `ValueError` where they are not."""
    readme.write_text(replaced(readme.read_text(), text))


def replaced(document: str, text: str) -> str:
    """The document with `text` between its marks."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no place for results: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
