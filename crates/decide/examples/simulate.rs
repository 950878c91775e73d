//! What each algorithm is worth in each situation, by simulation with the real decisions.
//!
//! `cargo run --release -p bascule-decide --example simulate -- [first seed] [seeds] [algorithm …]`

#![allow(clippy::print_stdout, reason = "a measurement prints its result")]

use simulation::figures::Figures;
use simulation::scenarios::{antagonist, bursts, demanding, equal, one_turns, scale_out, sharing, unequal};
use simulation::toy::Mood;
use simulation::trace::Demand;
use simulation::{Balancing, Scenario, play};

#[path = "../tests/samples/mod.rs"]
mod samples;
#[path = "../tests/simulation/mod.rs"]
mod simulation;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| arguments.next().and_then(|it| it.parse().ok()).unwrap_or(default);
    let (first, seeds) = (number(1), number(3));
    let mut algorithms: Vec<&'static str> = arguments.map(|it| &*it.leak()).collect();
    if algorithms.is_empty() {
        algorithms = vec!["least_busy", "fastest"];
    }
    for scenario in scenarios() {
        println!("{}", scenario.name);
        for algorithm in &algorithms {
            let balancing = Balancing::by(algorithm);
            let played: Vec<_> =
                (first..first + seeds).map(|seed| play(&scenario, &balancing, seed)).collect();
            println!("  {algorithm:<12} {}", Figures::medians(&played));
        }
    }
}

fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario { name: "equal, 80 %", ..equal(0.8) },
        Scenario { name: "equal, 95 %", ..equal(0.95) },
        Scenario { name: "unequal, 80 %", ..unequal(10, 0.8) },
        antagonist(),
        scale_out(),
        demanding("bimodal, 80 %", Demand::Bimodal, 0.8),
        demanding("Pareto, 80 %", Demand::Pareto, 0.8),
        bursts(0.75),
        Scenario { name: "sharing, unequal, 80 %", ..sharing(unequal(10, 0.8)) },
        one_turns("silent", Mood::Silent),
        one_turns("fails at once", Mood::Fails),
    ]
}
