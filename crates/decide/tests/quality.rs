//! What `fastest` is worth beside `least_busy`, by simulation with the real decisions: claims with a margin.
//!
//! `cargo run --release -p bascule-decide --example simulate` prints all figures.

use simulation::figures::Figures;
use simulation::scenarios::{antagonist, bursts, demanding, equal, one_turns, scale_out, steady, unequal};
use simulation::toy::{Mood, Toy};
use simulation::trace::Demand;
use simulation::{Balancing, Scenario, at_seconds, play};

mod samples;
mod simulation;

/// Not those that any constant was chosen with.
const SEEDS: std::ops::Range<u64> = 201..206;

/// The median of each figure.
fn medians(scenario: &Scenario, balancing: &Balancing) -> Figures {
    Figures::medians(&SEEDS.map(|seed| play(scenario, balancing, seed)).collect::<Vec<_>>())
}

fn fastest(scenario: &Scenario) -> Figures {
    medians(scenario, &Balancing::by("fastest"))
}

fn least_busy(scenario: &Scenario) -> Figures {
    medians(scenario, &Balancing::by("least_busy"))
}

/// Whether `one` is at most so many percent above `other`.
fn within(percent: f64, one: f64, other: f64) -> bool {
    one <= other * (1.0 + percent / 100.0)
}

/// Whether every endpoint got its equal share of the tries, within a tenth.
fn are_equal(figures: &Figures) -> bool {
    let (most, least) = figures.extremes();
    most <= 1.1 && least >= 0.9
}

#[test]
fn among_equal_endpoints_fastest_is_least_busy() {
    for scenario in [equal(0.8), equal(0.95), bursts(0.75), demanding("bimodal", Demand::Bimodal, 0.8)] {
        let (fastest, least_busy) = (fastest(&scenario), least_busy(&scenario));
        assert!(within(3.0, fastest.mean_excess_ms, least_busy.mean_excess_ms), "{fastest} {least_busy}");
        assert!(within(3.0, fastest.p99_ms, least_busy.p99_ms), "{fastest} {least_busy}");
    }
}

#[test]
fn where_few_requests_are_most_of_the_work_fastest_costs_a_sixth_of_the_mean_wait_at_most_and_no_tail() {
    let scenario = demanding("Pareto", Demand::Pareto, 0.8);
    let (fastest, least_busy) = (fastest(&scenario), least_busy(&scenario));
    assert!(within(3.0, fastest.p99_ms, least_busy.p99_ms), "{fastest} {least_busy}");
    // Its detector takes the rare enormous request for an endpoint that has become slow.
    assert!(within(17.0, fastest.mean_excess_ms, least_busy.mean_excess_ms), "{fastest} {least_busy}");
}

#[test]
fn unequal_endpoints_get_what_they_can_do() {
    let ten = fastest(&unequal(10, 0.8));
    assert!(ten.p99_ms <= 132.0 && ten.missed <= 0.002, "{ten}");
    let hundred = medians(&unequal(100, 0.8), &Balancing { threads: 4, ..Balancing::by("fastest") });
    assert!(hundred.p99_ms <= 130.0, "{hundred}");
}

#[test]
fn endpoints_of_one_four_and_sixteen_workers_get_what_they_can_do() {
    let toy = |number: usize| Toy { workers: [1, 4, 16][number % 3], ..Toy::usual() };
    let scenario = steady("", (0..9).map(toy).collect(), 0.8);
    let fastest = fastest(&scenario);
    assert!(fastest.p99_ms * 2.0 <= least_busy(&scenario).p99_ms, "{fastest}");
}

#[test]
fn endpoints_that_slow_down_in_the_middle_are_noticed() {
    let fastest = fastest(&antagonist());
    assert!(fastest.p99_ms <= 110.0 && fastest.missed <= 0.002, "{fastest}");
}

#[test]
fn cold_endpoints_that_join_do_not_show() {
    let fastest = fastest(&scale_out());
    assert!(fastest.p99_ms <= 101.0, "{fastest}");
}

#[test]
fn an_endpoint_that_turns_silent_or_fails_gets_five_requests_at_most_in_a_second() {
    let silent = fastest(&one_turns("silent", Mood::Silent));
    assert!(silent.tries[3] <= 5, "{:?}", silent.tries);
    // Three, and then four a second to see whether it works again.
    let failing = fastest(&one_turns("fails at once", Mood::Fails));
    assert!(failing.tries[3] <= 8, "{:?}", failing.tries);
}

#[test]
fn equal_endpoints_get_equal_shares_also_where_every_one_of_them_fails_at_some_requests() {
    for (load, one_in) in [(0.3, None), (0.8, None), (0.3, Some(10)), (0.8, Some(3))] {
        let mood = one_in.map_or(Mood::Works(1.0), Mood::FailsOneIn);
        let scenario = steady("", vec![Toy::usual().then(at_seconds(0.1), mood); 10], load);
        let figures = fastest(&scenario);
        assert!(are_equal(&figures), "{load} {one_in:?} {:?}", figures.tries);
    }
}

#[test]
fn whoever_failed_gets_an_equal_share_again_within_fifteen_seconds() {
    let (begins, ends) = (at_seconds(5.0), at_seconds(20.0));
    for failed in [1, 6] {
        let toy = |number| match number < failed {
            true => Toy::usual().then(begins, Mood::Fails).then(ends, Mood::Works(1.0)),
            false => Toy::usual(),
        };
        let scenario = steady("", (0..10).map(toy).collect(), 0.25);
        let back = Scenario { window: at_seconds(35.0)..at_seconds(50.0), ..scenario };
        let figures = fastest(&back);
        assert!(are_equal(&figures), "{failed}: {:?}", figures.tries);
    }
}
