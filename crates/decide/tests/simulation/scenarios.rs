//! The situations in which methods are compared.

use bascule_decide::time::Tick;

use super::toy::{Mood, Toy, Turns};
use super::trace::{Demand, MEAN_US, Traffic};
use super::{Scenario, at_seconds};

/// How long it takes until a balancer has got to know its endpoints.
const WARM_UP: f64 = 10.0;
const SECONDS: f64 = 50.0;

/// Requests per second that use this share of the endpoints' capacity, as they are in the beginning.
pub fn rate(endpoints: &[Toy], load: f64) -> f64 {
    let capacity = |toy: &Toy| match toy.moods[0].1 {
        Mood::Works(slowness) if toy.joins == Tick(0) => f64::from(toy.workers) / (MEAN_US * slowness) * 1e6,
        _ => 0.0,
    };
    load * endpoints.iter().map(capacity).sum::<f64>()
}

/// One load from beginning to end.
pub fn steady(name: &'static str, endpoints: Vec<Toy>, load: f64) -> Scenario {
    let ends = at_seconds(SECONDS);
    let traffic = Traffic::steady(rate(&endpoints, load), ends);
    Scenario { name, endpoints, traffic, window: at_seconds(WARM_UP)..ends }
}

/// Ten endpoints that are all the same.
pub fn equal(load: f64) -> Scenario {
    steady("equal", vec![Toy::usual(); 10], load)
}

/// The same with another distribution of demands.
pub fn demanding(name: &'static str, demand: Demand, load: f64) -> Scenario {
    let scenario = equal(load);
    Scenario { name, traffic: Traffic { demand, ..scenario.traffic }, ..scenario }
}

/// The load goes up and down.
pub fn bursts(load: f64) -> Scenario {
    let scenario = equal(load);
    Scenario { name: "bursts", traffic: Traffic { bursts: true, ..scenario.traffic }, ..scenario }
}

/// Every second endpoint takes twice as long.
pub fn unequal(endpoints: usize, load: f64) -> Scenario {
    let toy = |number| Toy::usual().slower(if number % 2 == 0 { 1.0 } else { 2.0 });
    steady("unequal", (0..endpoints).map(toy).collect(), load)
}

/// Two of ten take four times as long for ten seconds; these are what counts.
pub fn antagonist() -> Scenario {
    let (begins, ends) = (at_seconds(20.0), at_seconds(30.0));
    let disturbed = Toy::usual().then(begins, Mood::Works(4.0)).then(ends, Mood::Works(1.0));
    let endpoints = (0..10).map(|number| if number < 2 { disturbed.clone() } else { Toy::usual() }).collect();
    Scenario { name: "antagonist", window: begins..ends, ..steady("", endpoints, 0.65) }
}

/// Two endpoints that are cold come to ten which have 80 % to do.
pub fn scale_out() -> Scenario {
    let joins = at_seconds(20.0);
    let mut endpoints = vec![Toy::usual(); 10];
    endpoints.extend(vec![Toy { joins, cold: 3.0, ..Toy::usual() }; 2]);
    Scenario { name: "scale-out", window: joins..at_seconds(23.0), ..steady("", endpoints, 0.8) }
}

/// One of ten gets into another mood; its first second counts.
pub fn one_turns(name: &'static str, mood: Mood) -> Scenario {
    let begins = at_seconds(20.0);
    let mut endpoints = vec![Toy::usual(); 10];
    endpoints[3] = Toy::usual().then(begins, mood);
    Scenario { name, window: begins..at_seconds(21.0), ..steady("", endpoints, 0.7) }
}

/// The same endpoints, but each divides itself among all that it has.
pub fn sharing(scenario: Scenario) -> Scenario {
    let share = |toy: Toy| Toy { turns: Turns::Sharing, ..toy };
    Scenario { endpoints: scenario.endpoints.into_iter().map(share).collect(), ..scenario }
}
