//! Toy endpoints and traffic in virtual time, balanced by the real decisions: what a method is worth, from a seed.
//!
//! ```text
//! trace     when requests come, and how much each demands          the same for every balancer
//! balancer  the real Picker::take, Pool::answered and Pool::end    one or several, with one or several threads
//! toy       endpoints: workers, a queue, moods                     zombie work stays after the balancer gave up
//! probes    what endpoints say when they are asked               only where the algorithm asks
//! world     the events, in order of time
//! waiting   who waits while every endpoint is full                 a test may bring its own
//! figures   what came of it
//! ```

#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

pub mod balancer;
pub mod elastic;
pub mod figures;
pub mod line;
pub mod probes;
pub mod scenarios;
pub mod toy;
pub mod trace;
pub mod waiting;
pub mod world;

use std::ops::Range;

use bascule_contract::protection::Protection;
use bascule_decide::time::Tick;
use serde_json::{Map, Value};

use figures::Figures;
use toy::Toy;
use trace::Traffic;
use waiting::ShedsAtOnce;
use world::World;

/// Endpoints and what comes to them.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub endpoints: Vec<Toy>,
    pub traffic: Traffic,
    /// Requests that come in this time count. Before it, the balancer learns.
    pub window: Range<Tick>,
}

/// How the traffic is balanced.
#[derive(Clone, Debug)]
pub struct Balancing {
    pub algorithm: &'static str,
    pub options: Map<String, Value>,
    pub protection: Protection,
    /// Balancers that know nothing of each other.
    pub balancers: usize,
    /// Threads of each; they share what they learn.
    pub threads: usize,
    /// Longest time of one try, in microseconds.
    pub try_limit_us: u64,
    /// Tries after the first, each elsewhere, also after a 500.
    pub retries: usize,
}

impl Balancing {
    /// One balancer of one thread without protection: a second per try and one retry, as peers are set.
    pub fn by(algorithm: &'static str) -> Self {
        Self {
            algorithm,
            options: Map::default(),
            protection: Protection::default(),
            balancers: 1,
            threads: 1,
            try_limit_us: 1_000_000,
            retries: 1,
        }
    }
}

/// A point in virtual time.
pub fn at_seconds(seconds: f64) -> Tick {
    Tick((seconds * 1e6) as u64)
}

/// What comes of `scenario`. The same seed gives the same traffic, whatever balances it.
pub fn play(scenario: &Scenario, balancing: &Balancing, seed: u64) -> Figures {
    let mut world = World::new(scenario, balancing, ShedsAtOnce, seed);
    world.run();
    Figures::of(&world.requests, scenario.window.clone(), scenario.endpoints.len())
}
