"""The goals of the project for balancing, and whether a run met them."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench import report
from bench.results import Measurement

UNTOLD = ("nginx", "haproxy", "envoy")
"""The peers that are not told how many requests an endpoint works on at once: the best of them is named."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of a scenario, what it should be, and what we would like it to be."""

    scenario: str
    figure: str
    text: str
    goal: float | None
    """Nothing where there is only an ambition."""
    moonshot: float
    digits: int = 1
    at_least: bool = False

    def met_by(self, value: float, limit: float) -> bool:
        """Whether a value is on the right side of a limit, as it is printed: to so many digits."""
        rounded = round(value, self.digits)
        return rounded >= limit if self.at_least else rounded <= limit

    def verdict(self, value: float) -> str:
        """What to say about Bascule's figure."""
        if self.met_by(value, self.moonshot):
            return "moonshot"
        if self.goal is None:
            return "not the moonshot"
        return "met" if self.met_by(value, self.goal) else "**missed**"


GOALS = (
    Goal("homog80", "mean_excess_ms", "mean excess ms", 0.8, 0.5),
    Goal("homog95", "mean_excess_ms", "mean excess ms", 7.2, 6.3),
    Goal("hetero80", "p99_ms", "p99 ms", 130, 115),
    Goal("hetero80", "slo_miss_percent", "missed SLO %", 0.15, 0.05, 2),
    Goal("antagonist", "window_p99_ms", "p99 ms while slow", 110, 100),
    Goal("antagonist", "window_slo_miss_percent", "missed SLO % while slow", 0.10, 0.03, 2),
    Goal("fastfail", "bad_share_percent", "% sent to it", 0.1, 0.1, 2),
    Goal("fastfail", "bad_requests", "requests sent to it", None, 3, 0),
    Goal("fastfail", "errors", "errors", 0, 0, 0),
    Goal("fastfail", "extra_percent", "extra tries %", 1, 1, 2),
    Goal("grayhole", "p999_ms", "p99.9 ms", 150, 147),
    Goal("grayhole", "bad_requests", "requests sent to it", 5, 3, 0),
    Goal("overload150", "goodput_share", "goodput / capacity", 0.92, 0.97, 3, at_least=True),
    Goal("overload150", "p99_admitted_ms", "p99 of admitted ms", 200, 150),
    Goal("overload150", "recovery_s", "recovery s", 0.5, 0.1),
    *(Goal(it, "errors", "errors", 0, 0, 0) for it in ("kill", "flapping", "rolling", "scaleout")),
    *(
        Goal(it, "unserved_errors", "errors of requests that no endpoint had begun", None, 0, 0)
        for it in ("kill-post", "rolling-post")
    ),
    Goal("scaleout", "window_p99_ms", "p99 ms while cold", 100, 96),
    Goal("scaleout", "window_slo_miss_percent", "missed SLO % while cold", 0.08, 0.03, 2),
)
"""Rows 1 to 8 of the project's table of goals for balancing."""


def table(measurements: Sequence[Measurement], scenario: str) -> str:
    """The goals of a scenario: ours, the best peer's and the oracle's figures, and the verdict."""
    lines = ["| goal | bascule | best peer | oracle | goal | moonshot | |", "|---|--:|--:|--:|--:|--:|---|"]
    rounds = report.undisturbed(measurements)
    for goal in GOALS:
        if goal.scenario != scenario:
            continue
        ours = _median(rounds, "bascule", goal)
        peers = [value for it in UNTOLD if (value := _median(rounds, it, goal)) is not None]
        best = (max if goal.at_least else min)(peers, default=None)
        shown = [report.shown(it, goal.digits) for it in (ours, best, _median(rounds, "oracle", goal))]
        limits = [_limit(goal, it) for it in (goal.goal, goal.moonshot)]
        verdict = "-" if ours is None else goal.verdict(ours)
        if any(report.is_disturbed(it) for it in rounds if it.target == "bascule"):
            verdict = f"{verdict} (disturbed: measure again)"
        lines.append(f"| {goal.text} | {' | '.join([*shown, *limits, verdict])} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _median(rounds: Sequence[Measurement], target: str, goal: Goal) -> float | None:
    return report.median([it for it in rounds if it.target == target], goal.figure)


def _limit(goal: Goal, limit: float | None) -> str:
    return "-" if limit is None else f"{'≥' if goal.at_least else '≤'} {limit:,.{goal.digits}f}"
