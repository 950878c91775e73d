"""The pure parts of the balancing benchmark: traces, timelines, the oracle, figures and goals."""

from dataclasses import replace
from pathlib import Path

import pytest
from bench.quality import goals, page
from bench.quality.balancers import BALANCERS, Balancer, Setting, write_files
from bench.quality.figures import Burst, Hit, Outcome, overall, quantile, recovery, sent_to, under
from bench.quality.fleet import Size
from bench.quality.goals import Goal
from bench.quality.oracle import Queue, dispatch
from bench.quality.scenarios import WARM_SECONDS, scenarios
from bench.quality.timeline import NEVER, Event, Timeline
from bench.quality.trace import PLANNED, Arrival, Phase, draw, pack
from bench.results import Measurement, Run

GOOD = Outcome(at=0.0, demand=0.010, status=200, latency=0.015)


def arrival(at: float, demand: float) -> Arrival:
    return Arrival(round(1e6 * at), round(1e6 * demand))


def every(*seconds: float) -> list[Outcome]:
    return [replace(GOOD, at=it) for it in seconds]


class TestTraces:
    def test_the_same_seed_gives_the_same_trace_and_another_seed_another(self) -> None:
        phases = (Phase(2, 0.8),)
        assert draw(phases, 2000, 1) == draw(phases, 2000, 1)
        assert draw(phases, 2000, 1) != draw(phases, 2000, 2)

    def test_each_phase_has_its_own_rate_and_its_own_time(self) -> None:
        trace = draw((Phase(10, 0.5), Phase(10, 1.5)), 1000, 1)
        early = sum(it.at_us < 10_000_000 for it in trace)
        assert early == pytest.approx(5000, rel=0.05)
        assert len(trace) - early == pytest.approx(15_000, rel=0.05)
        assert [it.at_us for it in trace] == sorted(it.at_us for it in trace)
        assert trace[-1].at_us <= 20_000_000

    def test_demands_are_20_ms_in_the_mean(self) -> None:
        trace = draw((Phase(10, 1.0),), 2000, 1)
        assert sum(it.demand_us for it in trace) / len(trace) == pytest.approx(20_000, rel=0.03)

    def test_the_file_has_an_entry_of_fixed_size_for_each_request(self) -> None:
        assert list(PLANNED.iter_unpack(pack([Arrival(5, 7), Arrival(9, 1, post=True)]))) == [
            (5, 7, 0),
            (9, 1, 1),
        ]


class TestTimelines:
    def test_a_state_lasts_from_its_event_to_the_next(self) -> None:
        timeline = Timeline([Event(4, "slow", 0, 4.0), Event(8, "normal", 0)], [2.0, 1.0])
        assert [timeline.slowness(0, at) for at in (3.9, 4.0, 7.9, 8.0)] == [2.0, 8.0, 8.0, 2.0]
        assert timeline.slowness(1, 5.0) == 1.0

    def test_an_endpoint_is_of_no_use_from_the_fault_until_it_starts_anew(self) -> None:
        timeline = Timeline([Event(4, "kill", 0), Event(5, "start", 0)], [1.0])
        assert [timeline.slowness(0, at) for at in (3.0, 4.5, 5.0)] == [1.0, None, 1.0]
        assert [timeline.gone_from(0, at) for at in (3.0, 5.0)] == [4.0, NEVER]

    def test_a_spare_endpoint_is_not_there_before_the_reload(self) -> None:
        timeline = Timeline([Event(4, "reload", 1)], [1.0, 1.0], spare=1)
        assert [timeline.slowness(1, at) for at in (0.0, 4.0)] == [None, 1.0]


class TestTheOracle:
    def test_it_takes_the_endpoint_that_is_done_first(self) -> None:
        timeline = Timeline([], [1.0, 3.0])
        arrivals = [arrival(0, 0.1), arrival(0, 0.1), arrival(0, 0.1)]
        # Slow and idle beats fast and busy only when it is done earlier: 0.1, 0.2, then 0.3 either way.
        taken = dispatch(arrivals, timeline, [Queue(1, cold=False), Queue(1, cold=False)])
        assert taken == pytest.approx([0.1, 0.2, 0.3])

    def test_it_gives_nothing_to_an_endpoint_that_would_die_over_it(self) -> None:
        timeline = Timeline([Event(1.0, "kill", 0)], [1.0, 5.0])
        queues = [Queue(1, cold=False), Queue(1, cold=False)]
        assert dispatch([arrival(0.95, 0.1)], timeline, queues) == pytest.approx([0.5])

    def test_it_turns_away_what_cannot_be_done_in_time(self) -> None:
        arrivals = [arrival(0, 0.15), arrival(0, 0.15), arrival(0, 0.04)]
        taken = dispatch(arrivals, Timeline([], [1.0]), [Queue(1, cold=False)], within=0.2)
        assert taken == [pytest.approx(0.15), None, pytest.approx(0.19)]

    def test_a_cold_endpoint_is_three_times_slower_first_and_usual_after_two_seconds(self) -> None:
        arrivals = [arrival(1, 0.1), arrival(2, 0.1), arrival(3, 0.1)]
        taken = dispatch(arrivals, Timeline([], [1.0]), [Queue(1, cold=True)])
        assert taken == pytest.approx([0.3, 0.2, 0.1])


class TestFigures:
    def test_a_quantile_is_a_value_that_so_many_do_not_exceed(self) -> None:
        values = [float(it) for it in range(100, 0, -1)]
        assert [quantile(values, share) for share in (0.5, 0.99, 0.999, 1.0)] == [50, 99, 100, 100]
        with pytest.raises(ValueError, match="no values"):
            quantile([], 0.5)

    def test_an_error_counts_as_three_seconds_and_a_missed_service_level(self) -> None:
        refused = replace(GOOD, status=503, latency=0.001)
        figures = overall([GOOD] * 9 + [refused])
        assert figures["errors"] == figures["status_503"] == 1
        assert figures["slo_miss_percent"] == 10
        assert figures["p99_ms"] == 3000
        assert figures["mean_excess_ms"] == pytest.approx((9 * 5 + 2990) / 10)

    def test_tries_beyond_the_first_are_extra_and_none_at_all_is_not(self) -> None:
        outcomes = [replace(GOOD, hits=hits) for hits in (1, 3, 1)] + [replace(GOOD, status=503, hits=0)]
        figures = overall(outcomes)
        assert figures["extra_percent"] == 50
        assert figures["unserved_errors"] == 1

    def test_the_share_sent_to_a_bad_endpoint_counts_only_while_it_is_bad(self) -> None:
        hits = [Hit(at, endpoint, 0) for at, endpoint in ((1, 3), (5, 3), (6, 2), (7, 1), (8, 2), (9, 3))]
        assert sent_to(hits, [3], 4, 9) == {"bad_requests": 1, "bad_share_percent": 25}

    def test_goodput_is_what_was_answered_in_time_as_a_share_of_what_could_be(self) -> None:
        during = [replace(GOOD, at=1.5, latency=seconds) for seconds in (0.1, 0.2, 0.3)]
        outcomes = [*every(0.5, 2.5), *during, replace(GOOD, at=1.5, status=503)]
        figures = under(Burst(1, 2, 4), outcomes)
        assert figures["goodput_share"] == 0.5
        assert figures["p99_admitted_ms"] == pytest.approx(300)
        assert figures["shed_percent"] == 25

    def test_recovery_is_when_half_a_second_without_a_miss_begins(self) -> None:
        late = [replace(GOOD, at=at, latency=1.0) for at in (10.05, 10.35)]
        good = every(*(10.01 + 0.1 * it for it in range(20)))
        assert recovery([*late, *good], 10) == pytest.approx(0.4)
        assert recovery(good, 10) == 0

    def test_recovery_that_never_comes_takes_all_the_time_there_is(self) -> None:
        late = [replace(GOOD, at=10 + 0.1 * it + 0.05, latency=1.0) for it in range(20)]
        assert recovery(late, 10) == pytest.approx(2.0)


class TestGoals:
    GOAL = Goal("hetero80", "p99_ms", "p99 ms", goal=130, moonshot=115)

    @pytest.mark.parametrize(
        ("found", "verdict"), [(115.04, "moonshot"), (130.04, "met"), (130.06, "**missed**")]
    )
    def test_a_goal_is_met_up_to_its_limit_as_printed(self, found: float, verdict: str) -> None:
        assert self.GOAL.verdict(found) == verdict

    def test_where_more_is_better_less_is_missed(self) -> None:
        goal = replace(self.GOAL, goal=0.92, moonshot=0.97, digits=3, at_least=True)
        assert [goal.verdict(it) for it in (0.97, 0.92, 0.919)] == ["moonshot", "met", "**missed**"]

    def test_the_best_peer_is_one_that_is_not_told_the_concurrency(self) -> None:
        found = {
            "nginx": 145.0,
            "haproxy": 150.0,
            "haproxy-maxconn": 120.0,
            "oracle": 107.0,
            "bascule": 128.0,
        }
        rounds = [Measurement("hetero80", "", name, 0, {"p99_ms": it}) for name, it in found.items()]
        line = goals.table(rounds, "hetero80").splitlines()[2]
        assert line == "| p99 ms | 128.0 | 145.0 | 107.0 | ≤ 130.0 | ≤ 115.0 | met |"

    def test_every_goal_is_about_a_scenario_that_exists(self) -> None:
        assert {it.scenario for it in goals.GOALS} <= {it.name for it in scenarios(Size())}


class TestScenarios:
    @pytest.mark.parametrize("size", [Size(3, 2), Size(10, 4), Size(30, 8)], ids=str)
    def test_everything_happens_after_the_warm_up_and_before_the_end(self, size: Size) -> None:
        for scenario in scenarios(size):
            seconds = sum(it.seconds for it in scenario.phases)
            assert all(WARM_SECONDS <= it.at < seconds for it in scenario.events), scenario.name
            assert all(it.endpoint < scenario.size.endpoints for it in scenario.events), scenario.name

    def test_unequal_endpoints_can_do_three_quarters_of_what_equal_ones_can(self) -> None:
        capacity = {it.name: it.capacity for it in scenarios(Size())}
        assert capacity["homog80"] == pytest.approx(2000)
        assert capacity["hetero80"] == pytest.approx(1500)

    def test_spare_endpoints_are_not_counted_before_they_are_there(self) -> None:
        capacity = {it.name: it.capacity for it in scenarios(Size())}
        assert capacity["scaleout"] == pytest.approx(2000)


@pytest.mark.parametrize("balancer", BALANCERS, ids=lambda it: it.name)
def test_a_configuration_names_every_endpoint_and_keeps_no_mark(balancer: Balancer, tmp_path: Path) -> None:
    write_files(balancer, Setting(threads=2, workers=4), tmp_path, [0, 11])
    text = "".join((tmp_path / it).read_text() for it in balancer.files)
    assert "22001" in text
    assert "22012" in text
    assert not [line for line in text.splitlines() if line.count("@") >= 2]


def test_a_page_has_the_figures_and_the_goals_of_what_was_measured() -> None:
    run = Run("today", "bench/quality/run.py", "a machine", {"bascule": "1.0"})
    text = page.page(run, [Measurement("hetero80", "", "bascule", 0, {"p99_ms": 128.0, "errors": 0.0})])
    assert "(`hetero80`)" in text
    assert "(`homog80`)" not in text
    assert "| ≤ 130.0 | ≤ 115.0 | met |" in text
