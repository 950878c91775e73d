//! What prequal is worth where many balancers share endpoints, by simulation: claims with a margin, on seeds of their own.
//!
//! `cargo run --release -p bascule-decide --example many_balancers` prints all figures.

use serde_json::json;
use simulation::figures::Figures;
use simulation::scenarios::{rate, steady, unequal};
use simulation::toy::Toy;
use simulation::trace::Traffic;
use simulation::{Balancing, Scenario, at_seconds, play};

mod samples;
mod simulation;

/// Not the one that the example was watched with.
const SEED: u64 = 201;

/// A hundred endpoints behind so many balancers; five seconds count, after five in which balancers learn.
fn shared(scenario: &Scenario, load: f64, balancers: usize, algorithm: &'static str) -> Figures {
    let ends = at_seconds(10.0);
    let traffic = Traffic::steady(rate(&scenario.endpoints, load), ends);
    let scenario = Scenario { traffic, window: at_seconds(5.0)..ends, ..scenario.clone() };
    let mut balancing = Balancing { balancers, ..Balancing::by(algorithm) };
    if algorithm == "prequal" {
        balancing.options.insert("probe".into(), json!("/probe"));
    }
    play(&scenario, &balancing, SEED)
}

#[test]
fn a_hundred_balancers_before_equal_endpoints_wait_half_as_long_with_probes() {
    let equal = steady("equal", vec![Toy::usual(); 100], 0.85);
    let prequal = shared(&equal, 0.85, 100, "prequal");
    let least_busy = shared(&equal, 0.85, 100, "least_busy");
    assert!(prequal.p99_ms <= 110.0 && prequal.mean_excess_ms <= 10.0, "{prequal}");
    assert!(prequal.mean_excess_ms * 2.0 <= least_busy.mean_excess_ms, "{prequal} {least_busy}");
}

#[test]
fn a_hundred_balancers_do_not_overload_the_slow_half_of_their_endpoints_with_probes() {
    let prequal = shared(&unequal(100, 0.8), 0.8, 100, "prequal");
    let least_busy = shared(&unequal(100, 0.8), 0.8, 100, "least_busy");
    assert!(prequal.p99_ms <= 155.0 && prequal.mean_excess_ms <= 20.0, "{prequal}");
    assert!(prequal.p99_ms * 2.0 <= least_busy.p99_ms, "{prequal} {least_busy}");
}

#[test]
fn ten_balancers_wait_no_longer_than_published_with_probes() {
    let prequal = shared(&unequal(100, 0.8), 0.8, 10, "prequal");
    assert!(prequal.p99_ms <= 144.0 && prequal.mean_excess_ms <= 16.3, "{prequal}");
}
