//! More comes than the endpoints can do, or only seems to: what is answered in time, what is shed, how soon it is over.

use std::ops::Range;

use bascule_contract::protection::{Limit, Protection, Queue};
use bascule_decide::time::Tick;

use bascule_decide::random::Random;
use simulation::elastic::{self, Takes};
use simulation::line::InLine;
use simulation::scenarios::rate;
use simulation::toy::{Mood, Toy};
use simulation::trace::Traffic;
use simulation::world::{Outcome, Request, World};
use simulation::{Balancing, Scenario, at_seconds};

mod samples;
mod simulation;

const SEEDS: Range<u64> = 201..204;

/// Of what came in the time that counts.
#[derive(Debug)]
struct Seen {
    /// Answered within 200 ms, as a share of what the endpoints can do.
    goodput: f64,
    /// Of those that were let through.
    p99_ms: f64,
    shed: f64,
    recovery_s: f64,
}

/// `loads`: from which second on which share of the capacity comes; the last one says when it ends.
struct Case {
    endpoints: Vec<Toy>,
    loads: Vec<(f64, f64)>,
    counted: Range<f64>,
}

impl Case {
    fn new(endpoints: Vec<Toy>, loads: &[(f64, f64)], counted: Range<f64>) -> Self {
        Self { endpoints, loads: loads.to_vec(), counted }
    }

    /// From 80 % to `load` for some seconds, and back.
    fn burst(endpoints: Vec<Toy>, load: f64, seconds: f64) -> Self {
        let over = 10.0 + seconds;
        Self::new(endpoints, &[(0.0, 0.8), (10.0, load), (over, 0.8), (over + 5.0, 0.0)], 10.0..over)
    }

    fn play(&self, seed: u64) -> Seen {
        let balancing = learned();
        let capacity = rate(&self.endpoints, 1.0);
        let (ends, loads) = self.loads.split_last().expect("a case ends");
        let rates = loads.iter().map(|(since, load)| (at_seconds(*since), load * capacity)).collect();
        let traffic = Traffic { rates, ..Traffic::steady(0.0, at_seconds(ends.0)) };
        let window = at_seconds(self.counted.start)..at_seconds(self.counted.end);
        let scenario =
            Scenario { name: "", endpoints: self.endpoints.clone(), traffic, window: window.clone() };
        let mut world = World::new(&scenario, &balancing, InLine::default(), seed);
        while world.step() {}
        let inside: Vec<&Request> = world.requests.iter().filter(|it| window.contains(&it.arrived)).collect();
        let answered = inside.iter().filter(|it| it.outcome == Outcome::Answered);
        let mut took: Vec<f64> = answered.map(|it| it.latency_us() / 1e3).collect();
        took.sort_unstable_by(f64::total_cmp);
        let good = took.iter().filter(|ms| **ms <= 200.0).count() as f64;
        let shed = inside.iter().filter(|it| it.outcome == Outcome::Shed).count();
        Seen {
            goodput: good / (capacity * (self.counted.end - self.counted.start)),
            p99_ms: took.get(took.len() * 99 / 100).copied().unwrap_or(0.0),
            shed: shed as f64 / inside.len().max(1) as f64,
            recovery_s: recovery(&world.requests, window.end),
        }
    }

    /// Holds on every seed.
    fn claim(&self, holds: impl Fn(&Seen) -> bool) {
        for seed in SEEDS {
            let seen = self.play(seed);
            assert!(holds(&seen), "seed {seed}: {seen:?}");
        }
    }
}

/// Seconds from `since` until no tenth of a second has more than 5 % that miss the service level.
fn recovery(requests: &[Request], since: Tick) -> f64 {
    let mut tenths: Vec<(f64, f64)> = Vec::new();
    for request in requests.iter().filter(|it| it.arrived >= since) {
        let tenth = (request.arrived.since(since) / 100_000) as usize;
        tenths.resize(tenths.len().max(tenth + 1), (0.0, 0.0));
        tenths[tenth].0 += 1.0;
        tenths[tenth].1 += f64::from(request.latency_us() > 200_000.0);
    }
    tenths.iter().rposition(|(all, missed)| *missed > 0.05 * all).map_or(0.0, |at| (at + 1) as f64 / 10.0)
}

fn learned() -> Balancing {
    let queue = Queue { length: 1_000, wait_ms: 5_000, service_level_ms: Some(200) };
    let protection = Protection { limit: Limit::Learned {}, queue: Some(queue), ..Protection::default() };
    Balancing { protection, ..Balancing::by("fastest") }
}

fn usual(count: usize) -> Vec<Toy> {
    vec![Toy::usual(); count]
}

/// Every endpoint is so many times slower for ten seconds: something that they all need is.
fn dependency(slowness: f64) -> Vec<Toy> {
    let slow = Toy::usual().then(at_seconds(10.0), Mood::Works(slowness));
    vec![slow.then(at_seconds(20.0), Mood::Works(1.0)); 10]
}

fn is_good(seen: &Seen) -> bool {
    seen.goodput >= 0.92 && seen.p99_ms <= 200.0 && seen.recovery_s <= 0.5
}

#[test]
fn half_as_much_again_is_answered_as_far_as_the_endpoints_can() {
    Case::burst(usual(10), 1.5, 5.0).claim(is_good);
}

#[test]
fn three_times_too_much_is_no_worse() {
    Case::burst(usual(10), 3.0, 5.0).claim(is_good);
}

#[test]
fn a_little_too_much_is_noticed_too() {
    Case::burst(usual(10), 1.1, 5.0).claim(is_good);
}

#[test]
fn overload_from_the_first_request_on_is_noticed() {
    let case = Case::new(usual(10), &[(0.0, 1.5), (5.0, 0.8), (10.0, 0.0)], 0.0..5.0);
    case.claim(is_good);
}

#[test]
fn overload_that_lasts_does_not_wear_the_limits_down() {
    Case::burst(usual(10), 1.5, 25.0).claim(is_good);
}

#[test]
fn endpoints_of_different_width_are_filled_each_as_far_as_it_goes() {
    let mixed = (0..9).map(|it| Toy { workers: [1, 4, 16][it % 3], ..Toy::usual() }).collect();
    Case::burst(mixed, 1.5, 5.0).claim(|seen| seen.goodput >= 0.9 && seen.p99_ms <= 250.0);
    Case::burst(vec![Toy { workers: 64, ..Toy::usual() }; 3], 1.5, 5.0).claim(|seen| seen.goodput >= 0.92);
    Case::burst(vec![Toy { workers: 1, ..Toy::usual() }; 10], 1.5, 5.0).claim(|seen| seen.goodput >= 0.85);
}

#[test]
fn one_endpoint_is_protected_as_well() {
    // One endpoint shows less than ten do, and there is nothing to compare it with: untold peers keep a tenth.
    Case::burst(usual(1), 1.5, 5.0).claim(|seen| seen.goodput >= 0.45 && seen.recovery_s <= 2.0);
}

#[test]
fn what_the_endpoints_can_do_is_not_shed() {
    for (load, most) in [(0.5, 0.0), (0.8, 0.0), (0.95, 0.0015)] {
        let case = Case::new(usual(10), &[(0.0, load), (60.0, 0.0)], 10.0..60.0);
        case.claim(|seen| seen.shed <= most);
    }
}

#[test]
fn a_slow_dependency_is_not_taken_for_queueing() {
    let case = Case::new(dependency(4.0), &[(0.0, 0.2), (30.0, 0.0)], 10.0..20.0);
    case.claim(|seen| seen.shed <= 0.01);
    let after = Case::new(dependency(4.0), &[(0.0, 0.2), (30.0, 0.0)], 20.0..30.0);
    after.claim(|seen| seen.shed <= 0.001);
}

#[test]
fn a_slow_dependency_that_makes_real_overload_is_met_and_forgotten() {
    // Four times slower at 60 % is two and a half times what the endpoints can do then.
    let case = Case::new(dependency(4.0), &[(0.0, 0.6), (30.0, 0.0)], 10.0..20.0);
    case.claim(|seen| seen.shed >= 0.3 && seen.recovery_s <= 1.0);
}

fn exp(random: &mut Random, mean_us: f64) -> u64 {
    let uniform = ((random.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    (-uniform.ln() * mean_us) as u64 + 1
}

/// Whether this is one of every second ten seconds.
fn is_odd(now: Tick) -> bool {
    now.0 / 10_000_000 % 2 == 1
}

#[test]
fn what_only_takes_longer_is_not_shed() {
    let cases: [(&str, f64, Takes); 7] = [
        ("a dependency that slows down four times", 800.0, |now, random| {
            let us = exp(random, if is_odd(now) { 80_000.0 } else { 20_000.0 });
            (us, us)
        }),
        ("one that slows down twenty times", 800.0, |now, _| {
            let us = if is_odd(now) { 400_000 } else { 20_000 };
            (us, us)
        }),
        ("one that slows down little by little", 800.0, |now, random| {
            let us = exp(random, 20_000.0 + (now.0 % 10_000_000) as f64 * 0.038);
            (us, us)
        }),
        ("fast and slow routes in one pool", 1_000.0, |_, random| {
            let us = if random.below(100) == 0 { 2_000_000 } else { 1_000 };
            (us, us)
        }),
        ("fast and slow routes whose shares change", 400.0, |now, random| {
            let us = if random.below(100) < if is_odd(now) { 50 } else { 1 } { 2_000_000 } else { 1_000 };
            (us, us)
        }),
        ("a request a second", 1.0, |_, random| {
            let us = if random.below(10) == 0 { 1_000_000 } else { 10_000 };
            (us, us)
        }),
        ("streams", 100.0, |now, random| {
            let us = exp(random, if is_odd(now) { 40_000.0 } else { 5_000.0 });
            (us, us + exp(random, 20_000_000.0))
        }),
    ];
    for (name, rate, takes) in cases {
        for endpoints in [3, 10] {
            for seed in SEEDS {
                let traffic = Traffic::steady(rate, at_seconds(60.0));
                let all = at_seconds(0.0)..at_seconds(60.0);
                let outcomes = elastic::play(endpoints, &learned(), (&traffic, takes), all, seed);
                let shed = outcomes.shed as f64 / outcomes.requests.max(1) as f64;
                assert!(shed <= 0.01, "{name}, {endpoints} endpoints, seed {seed}: {outcomes:?}");
            }
        }
    }
}
