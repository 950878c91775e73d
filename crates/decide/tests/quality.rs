//! What the algorithms are worth, by simulation with the real decisions: claims with a margin, on seeds of their own.
//!
//! `cargo run --release -p bascule-decide --example simulate` prints all figures.

use simulation::figures::Figures;
use simulation::scenarios::{antagonist, demanding, equal, one_turns, scale_out, unequal};
use simulation::toy::Mood;
use simulation::trace::Demand;
use simulation::{Balancing, Scenario, play};

mod samples;
mod simulation;

/// Not those that any constant was chosen with.
const SEEDS: std::ops::Range<u64> = 101..104;

/// The run of median 99th percentile.
fn median(scenario: &Scenario, algorithm: &'static str) -> Figures {
    let mut played: Vec<_> = SEEDS.map(|seed| play(scenario, &Balancing::by(algorithm), seed)).collect();
    played.sort_unstable_by(|one, other| one.p99_ms.total_cmp(&other.p99_ms));
    played.swap_remove(1)
}

fn within(percent: f64, one: f64, other: f64) -> bool {
    one <= other * (1.0 + percent / 100.0)
}

#[test]
fn among_equal_endpoints_fastest_is_least_busy() {
    for scenario in [equal(0.8), equal(0.95), demanding("bimodal", Demand::Bimodal, 0.8)] {
        let (fastest, least_busy) = (median(&scenario, "fastest"), median(&scenario, "least_busy"));
        assert!(within(3.0, fastest.mean_excess_ms, least_busy.mean_excess_ms), "{fastest} {least_busy}");
        assert!(within(3.0, fastest.p99_ms, least_busy.p99_ms), "{fastest} {least_busy}");
    }
}

#[test]
fn unequal_endpoints_get_what_they_can_do() {
    let fastest = median(&unequal(10, 0.8), "fastest");
    assert!(fastest.p99_ms <= 133.0 && fastest.missed <= 0.002, "{fastest}");
}

#[test]
fn endpoints_that_slow_down_in_the_middle_are_noticed() {
    let fastest = median(&antagonist(), "fastest");
    assert!(fastest.p99_ms <= 110.0 && fastest.missed <= 0.0025, "{fastest}");
}

#[test]
fn cold_endpoints_that_join_do_not_show() {
    let fastest = median(&scale_out(), "fastest");
    assert!(fastest.p99_ms <= 102.0, "{fastest}");
}

#[test]
fn a_silent_endpoint_gets_five_requests_at_most_in_its_first_second() {
    let fastest = median(&one_turns("silent", Mood::Silent), "fastest");
    assert!(fastest.tries[3] <= 5, "{:?}", fastest.tries);
}

#[test]
fn equal_endpoints_get_equal_shares() {
    for load in [0.3, 0.8] {
        let fastest = median(&equal(load), "fastest");
        let mean = fastest.tries.iter().sum::<usize>() as f64 / 10.0;
        assert!(
            fastest.tries.iter().all(|it| (*it as f64 - mean).abs() <= mean / 10.0),
            "{:?}",
            fastest.tries
        );
    }
}
