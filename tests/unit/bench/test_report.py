"""The arithmetic of the benchmark's tables, and what is said where there is no figure."""

from dataclasses import replace

import pytest
from bench import goals, report
from bench.report import Column, Comparison
from bench.results import Measurement

CPU = Comparison("cpu_us", "best peer")


def measured(target: str, *values: float, case: str = "", figure: str = "cpu_us") -> list[Measurement]:
    """A round for each value, all of them clean."""
    clean = {"foreign_percent": 1.0, "errors": 0.0}
    return [Measurement("keepalive", case, target, it, {figure: n, **clean}) for it, n in enumerate(values)]


def test_the_median_is_of_the_rounds_that_measured_the_figure() -> None:
    rounds = [*measured("bascule", 9, 1, 5), *measured("bascule", 100, figure="other")]
    assert report.median(rounds, "cpu_us") == 5
    assert report.median(rounds, "unknown") is None


def test_a_ratio_is_to_the_better_peer_and_never_to_another_target() -> None:
    every = [
        *measured("nginx", 20, 30, 40),
        *measured("haproxy", 22, 25, 50),
        *measured("envoy", 1),
        *measured("floor", 1),
        *measured("bascule", 20, 16, 24),
    ]
    found = report.ratio(report.grouped(every), ("bascule", ""), CPU)
    # By median haproxy is the one to beat (25), by its best round nginx (20).
    assert found == report.Ratio(by_median=20 / 25, by_best=16 / 20)


def test_where_more_is_better_the_better_peer_has_more() -> None:
    comparison = Comparison("gb", "best peer", more_is_better=True)
    every = [
        *measured("nginx", 2.0, figure="gb"),
        *measured("haproxy", 1.0, figure="gb"),
        *measured("bascule", 3.0, 4.0, figure="gb"),
    ]
    found = report.ratio(report.grouped(every), ("bascule", ""), comparison)
    assert found == report.Ratio(by_median=3.5 / 2.0, by_best=4.0 / 2.0)


def test_a_curve_is_held_to_its_own_first_case() -> None:
    every = [*measured("nginx", 1, case="1"), *measured("bascule", 10, case="1")]
    every += measured("bascule", 12, case="1,000")
    found = report.ratio(report.grouped(every), ("bascule", "1,000"), Comparison("cpu_us", "first case"))
    assert found == report.Ratio(1.2, 1.2)


def test_without_a_peer_there_is_no_ratio() -> None:
    groups = report.grouped(measured("bascule", 10))
    assert report.ratio(groups, ("bascule", ""), CPU) is None


def test_a_table_has_a_row_for_each_target_with_foreign_time_and_errors() -> None:
    every = [*measured("nginx", 2000), *measured("bascule", 1500)]
    assert report.table(every, [Column("CPU µs", "cpu_us", 1), Column("p99", "p99_us")], CPU) == "\n".join(
        [
            "| target | CPU µs | p99 | best peer: by median (by best round) | foreign % | errors | rounds |",
            "| --- | --: | --: | --: | --: | --: | --: |",
            "| nginx | 2,000.0 | - | 1.00 (1.00) | 1 | 0 | 1 of 1 |",
            "| bascule | 1,500.0 | - | 0.75 (0.75) | 1 | 0 | 1 of 1 |",
        ]
    )


def disturbed(one: Measurement) -> Measurement:
    """The same round, while others took half a core."""
    return replace(one, figures={**one.figures, "foreign_percent": 50.0})


def test_disturbed_rounds_do_not_count_where_there_is_a_quiet_one() -> None:
    quiet, *others = measured("bascule", 20, 1, 2)
    assert report.undisturbed([quiet, *map(disturbed, others)]) == [quiet]


def test_disturbed_rounds_count_where_there_is_no_other() -> None:
    every = [disturbed(it) for it in measured("bascule", 20, 1, 2)]
    assert report.undisturbed(every) == every


def test_a_disturbed_peer_leaves_a_goal_undecided() -> None:
    every = [*map(disturbed, measured("nginx", 10)), *measured("bascule", 5)]
    assert goals.table(every).endswith("| disturbed: measure again |")


@pytest.mark.parametrize(("cost", "verdict"), [(8.5, "met"), (8.6, "**missed**")])
def test_a_goal_is_met_up_to_its_limit(cost: float, verdict: str) -> None:
    every = [*measured("nginx", 10), *measured("bascule", cost)]
    assert goals.table(every).endswith(f"| {cost / 10:.3f} | at most 0.850 | {verdict} |")


def test_a_goal_that_was_not_measured_is_not_listed() -> None:
    assert len(goals.table(measured("bascule", 10)).splitlines()) == 2
