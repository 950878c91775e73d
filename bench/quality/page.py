"""A run as a piece of Markdown, and its place in bench/README.md."""

from collections.abc import Sequence
from pathlib import Path

from bench import report, results
from bench.quality import goals
from bench.quality.fleet import Size
from bench.quality.scenarios import scenarios
from bench.results import Measurement, Run

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- quality -->", "<!-- /quality -->"


def page(run: Run, measurements: Sequence[Measurement]) -> str:
    """What was measured, where and when; then for each scenario its figures, and its goals."""
    versions = ", ".join(f"{name} {number}" for name, number in run.versions.items())
    parts = [f"Measured {run.date} by `{run.command}` on {run.machine}. {versions}."]
    for scenario in scenarios(Size()):
        found = results.of(measurements, scenario.name)
        if not found:
            continue
        parts.append(f"### {scenario.title} (`{scenario.name}`)")
        parts.append(report.table(found, scenario.columns, None))
        if held := goals.table(found, scenario.name):
            parts.append(held)
    return "\n\n".join(parts)


def write_into_readme(text: str, readme: Path = README) -> None:
    """Replaces what is between the marks. Raises `ValueError` where they are not."""
    document = readme.read_text()
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{readme.name} has no place for results: {BEGIN} and {END}")
    readme.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
