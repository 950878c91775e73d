//! What a pick and a route cost, by how many endpoints and routes there are.
//!
//! `cargo run --release -p bascule-decide --example pick_cost`

#![allow(clippy::disallowed_types, reason = "a measurement reads the clock")]
#![allow(clippy::print_stdout, reason = "a measurement prints its result")]

use std::hint::black_box;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bascule_contract::snapshot::{Matcher, Pool, Route};
use bascule_decide::balance::registry::ALGORITHMS;
use bascule_decide::balance::{Key, Slot};
use bascule_decide::endpoint::States;
use bascule_decide::load_report::Report;
use bascule_decide::path::normalize;
use bascule_decide::pick::Picker;
use bascule_decide::random::Random;
use bascule_decide::request::Request;
use bascule_decide::route::Routes;
use bascule_decide::table::Table;
use bascule_decide::time::Tick;
use serde_json::{Map, Value, json};

#[path = "../tests/samples/mod.rs"]
mod samples;

fn main() {
    print_picks("ns per pick", &[]);
    print_picks("ns with a retry", &[Slot(0)]);
    println!("\n{:<20} {:>8} {:>8} {:>8}   routes", "ns per find", 10, 1_000, 10_000);
    print_finds("exact hosts", host, "");
    print_finds("wildcard hosts", wildcard, "a.");
    print_finds("path prefixes", prefix, "");
    println!("\nns per path");
    for path in ["/api/v1/users/42", "/a//b/../c%20d"] {
        println!("{path:<20} {:>8.1}", time_normalize(path.as_bytes()));
    }
    println!(
        "{:<20} {:>8.0}   to find its route among 1,000 prefixes and a pattern",
        "64 KiB of segments",
        time_long_path()
    );
}

fn print_picks(what: &str, tried: &[Slot]) {
    println!("\n{what:<32} {:>8} {:>8} {:>8} {:>8}   endpoints", 2, 10, 64, 1_000);
    for algorithm in ALGORITHMS {
        for way in samples::ways(algorithm.name) {
            let time = |endpoints| time_pick(algorithm.name, &way, endpoints, tried);
            let [a, b, c, d] = [2, 10, 64, 1_000].map(time);
            let options: Vec<_> = way.values().map(|value| value.to_string().replace('"', "")).collect();
            let label = format!("{} {}", algorithm.name, options.join(" "));
            println!("{label:<32} {a:>8.1} {b:>8.1} {c:>8.1} {d:>8.1}");
        }
    }
    let full = |endpoints| {
        let pool = samples::pool("p", "first", &weights(endpoints));
        time_pick_at(pool, |number| if number + 1 < endpoints { 4 } else { 0 }, tried)
    };
    let [a, b, c, d] = [2, 10, 64, 1_000].map(full);
    println!("{:<32} {a:>8.1} {b:>8.1} {c:>8.1} {d:>8.1}", "first 4, all but the last full");
}

fn print_finds(what: &str, matcher: fn(usize) -> Matcher, below: &str) {
    let [a, b, c] = [10, 1_000, 10_000].map(|routes| time_find(matcher, routes, below));
    println!("{what:<20} {a:>8.1} {b:>8.1} {c:>8.1}");
}

fn per_round(rounds: usize, mut work: impl FnMut(usize)) -> f64 {
    (0..rounds / 10).for_each(&mut work);
    let begin = Instant::now();
    (0..rounds).for_each(&mut work);
    begin.elapsed().as_nanos() as f64 / rounds as f64
}

/// Picks with about one exchange in flight for every second endpoint, as on a quiet day; each of another key.
fn time_pick(algorithm: &str, way: &Map<String, Value>, endpoints: usize, tried: &[Slot]) -> f64 {
    let mut random = Random::seeded(1);
    time_pick_at(samples::pool_with(algorithm, way, &weights(endpoints)), |_| random.below(2) as u32, tried)
}

fn weights(endpoints: usize) -> Vec<u32> {
    (0..endpoints).map(|number| 1 + number as u32 % 3).collect()
}

fn time_pick_at(pool: Pool, mut load: impl FnMut(usize) -> u32, tried: &[Slot]) -> f64 {
    let table =
        Table::compile(&samples::snapshot(vec![], vec![pool]), &mut States::new()).expect("a sound snapshot");
    let pool = &table.pools[0];
    for (number, endpoint) in pool.endpoints.iter().enumerate() {
        endpoint.state.in_flight.store(load(number), Relaxed);
    }
    let mut random = Random::seeded(1);
    let mut picker = Picker::new(pool, &mut random);
    let mut wanted = Vec::new();
    per_round(200_000, |round| {
        // What is asked is answered at once: hearing is part of the cost.
        picker.wants_probes(pool, &mut random, &mut wanted);
        for slot in wanted.drain(..) {
            let in_flight = Some(pool.endpoints[slot.index()].state.in_flight.load(Relaxed));
            let report = Report { in_flight, latency_us: Some(20_000), ..Report::default() };
            picker.hear(pool, slot, &report, Tick(round as u64), &mut random);
        }
        let key = Key(Random::seeded(round as u64).next());
        // Each try is followed by a first one, as it is for real; the pair is what is timed.
        black_box(picker.pick(pool, key, &[], &mut random));
        if !tried.is_empty() {
            black_box(picker.pick(pool, key, tried, &mut random));
        }
    })
}

fn host(number: usize) -> Matcher {
    samples::matcher("host", json!({"hosts": [format!("h{number}.example.com")]}))
}

fn wildcard(number: usize) -> Matcher {
    samples::matcher("host", json!({"hosts": [format!("*.h{number}.example.com")]}))
}

fn prefix(number: usize) -> Matcher {
    samples::matcher("path", json!({"paths": [{"kind": "prefix", "value": format!("/api/v{number}")}]}))
}

fn routes(matcher: fn(usize) -> Matcher, count: usize) -> Vec<Route> {
    (0..count).map(|number| samples::route(&format!("r{number}"), vec![matcher(number)], "p")).collect()
}

/// Looks for 64 different routes in turn; `below` goes before their hosts.
fn time_find(matcher: fn(usize) -> Matcher, count: usize, below: &str) -> f64 {
    let index = Routes::compile(&routes(matcher, count), 1).expect("sound routes");
    let wanted = (0..64).map(|number| number * 157 % count);
    let host = |number| format!("{below}h{number}.example.com");
    let path = |number| format!("/api/v{number}/users/42").into_bytes();
    let names: Vec<(String, Vec<u8>)> = wanted.map(|number| (host(number), path(number))).collect();
    per_round(200_000, |round| {
        let (host, path) = &names[round % names.len()];
        let found = index.find(&Request {
            method: "GET",
            host,
            path,
            query: None,
            fields: &[],
            client: None,
            identity: None,
        });
        assert!(black_box(found).is_some());
    })
}

fn time_normalize(path: &[u8]) -> f64 {
    per_round(200_000, |_| drop(black_box(normalize(black_box(path)))))
}

fn time_long_path() -> f64 {
    let mut all = routes(prefix, 1_000);
    let pattern = json!({"paths": [{"kind": "regex", "value": "^/(a/)*(.*/)*x$"}]});
    all.push(samples::route("pattern", vec![samples::matcher("path", pattern)], "p"));
    let index = Routes::compile(&all, 1).expect("sound routes");
    let path = b"/a".repeat(32_768);
    per_round(50, |_| {
        let request = Request {
            method: "GET",
            host: "",
            path: &path,
            query: None,
            fields: &[],
            client: None,
            identity: None,
        };
        black_box(index.find(&request));
    })
}
