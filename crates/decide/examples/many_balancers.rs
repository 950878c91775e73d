//! What methods are worth where several balancers share endpoints and none sees the work of the others.
//!
//! `cargo run --release -p bascule-decide --example many_balancers -- [seed]`

#![allow(clippy::print_stdout, reason = "a measurement prints its result")]

use serde_json::{Map, json};
use simulation::scenarios::{rate, steady, unequal};
use simulation::toy::Toy;
use simulation::trace::Traffic;
use simulation::{Balancing, Scenario, at_seconds, play};

#[path = "../tests/samples/mod.rs"]
mod samples;
#[path = "../tests/simulation/mod.rs"]
mod simulation;

fn main() {
    let seed = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(1);
    let equal = steady("equal, 85 %", vec![Toy::usual(); 100], 0.85);
    let unequal = Scenario { name: "half at half the speed, 80 %", ..unequal(100, 0.8) };
    for scenario in [equal, unequal] {
        for balancers in [1, 10, 100] {
            println!("{} of 100 endpoints, {balancers} balancers", scenario.name);
            for (algorithm, probe) in [
                ("prequal", true),
                ("prequal", false),
                ("fastest", false),
                ("least_busy", false),
                ("two_choices", false),
            ] {
                let options = if probe { json!({"probe": "/probe"}) } else { json!({}) };
                let options: Map<_, _> = options.as_object().expect("an object").clone();
                let balancing = Balancing { balancers, options, ..Balancing::by(algorithm) };
                let label = format!("{algorithm}{}", if probe { " with probes" } else { "" });
                println!("  {label:<20} {}", play(&short(&scenario), &balancing, seed));
            }
        }
    }
}

/// Ten seconds count, after ten in which balancers learn.
fn short(scenario: &Scenario) -> Scenario {
    let ends = at_seconds(20.0);
    let traffic = Traffic::steady(rate(&scenario.endpoints, 1.0) * load(scenario), ends);
    Scenario { traffic, window: at_seconds(10.0)..ends, ..scenario.clone() }
}

fn load(scenario: &Scenario) -> f64 {
    if scenario.name.starts_with("equal") { 0.85 } else { 0.8 }
}
