//! How evenly the tables of `hash` spread keys, what moves when endpoints come and go, and what bounded load holds.
//!
//! `cargo run --release -p bascule-decide --example hash_figures`

#![allow(clippy::disallowed_types, reason = "a measurement reads the clock")]
#![allow(clippy::print_stdout, reason = "a measurement prints its result")]

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bascule_decide::balance::{Key, Slot};
use bascule_decide::endpoint::States;
use bascule_decide::pick::Picker;
use bascule_decide::random::Random;
use bascule_decide::table::Table;
use serde_json::{Value, json};

#[path = "../tests/samples/mod.rs"]
mod samples;

const KEYS: u64 = 1_000_000;

fn main() {
    println!(
        "{:<12} {:>9} {:>9} {:>10} {:>12} {:>12} {:>10}",
        "table", "endpoints", "build ms", "peak/mean", "one gone %", "one new %", "one down %"
    );
    for table in ["rendezvous", "maglev", "ring"] {
        for endpoints in [10, 100, 500, 1_000] {
            print_moves(table, endpoints);
        }
    }
    println!(
        "\n{:<12} {:>9} {:>7} {:>22} {:>12}",
        "table", "endpoints", "bound", "most above its share", "moved keys %"
    );
    for table in ["rendezvous", "maglev", "ring"] {
        for bound in [Value::Null, json!(125), json!(150)] {
            print_bound(table, 100, bound);
        }
    }
}

/// One pool, and where it puts keys.
struct Map {
    table: Table,
    picker: Picker,
    random: Random,
}

impl Map {
    fn new(ids: impl Iterator<Item = usize>, options: &Value) -> Self {
        let ids: Vec<usize> = ids.collect();
        let mut pool = samples::pool("p", "hash", &vec![1; ids.len()]);
        pool.algorithm.options = options.as_object().expect("an object").clone();
        for (endpoint, id) in pool.endpoints.iter_mut().zip(ids) {
            endpoint.id = format!("10.0.{}.{}:8000", id / 250, id % 250);
        }
        let table =
            Table::compile(&samples::snapshot(vec![], vec![pool]), &mut States::new()).expect("sound");
        let mut random = Random::seeded(1);
        let picker = Picker::new(&table.pools[0], &mut random);
        Self { table, picker, random }
    }

    fn pick(&mut self, key: u64) -> Slot {
        let key = Key(Random::seeded(key).next());
        self.picker.pick(&self.table.pools[0], key, &[], &mut self.random).expect("an endpoint")
    }

    fn ids(&mut self) -> Vec<Slot> {
        (0..KEYS).map(|key| self.pick(key)).collect()
    }
}

fn print_moves(table: &str, endpoints: usize) {
    let options = json!({"table": table});
    let begin = Instant::now();
    let mut all = Map::new(0..endpoints, &options);
    let build = begin.elapsed().as_secs_f64() * 1e3;
    let before = all.ids();
    let mut counts = vec![0_u64; endpoints];
    before.iter().for_each(|slot| counts[slot.index()] += 1);
    let peak = *counts.iter().max().expect("one") as f64 * endpoints as f64 / KEYS as f64;
    let gone = endpoints / 2;
    // Slots after the one that is gone are one less.
    let same = |slot: Slot| if slot.index() >= gone { Slot(slot.0 + 1) } else { slot };
    let left: Vec<Slot> =
        Map::new((0..endpoints).filter(|id| *id != gone), &options).ids().into_iter().map(same).collect();
    let needless = |moved: u64| moved as f64 * 100.0 / KEYS as f64;
    let gone_moves =
        before.iter().zip(&left).filter(|(was, is)| was.index() != gone && was != is).count() as u64;
    let more = Map::new(0..=endpoints, &options).ids();
    let new_moves =
        before.iter().zip(&more).filter(|(was, is)| is.index() != endpoints && was != is).count() as u64;
    all.table.pools[0].endpoints[gone].state.up.store(false, Relaxed);
    all.table.pools[0].state.version.fetch_add(1, Relaxed);
    let down = all.ids();
    let down_moves =
        before.iter().zip(&down).filter(|(was, is)| was.index() != gone && was != is).count() as u64;
    println!(
        "{table:<12} {endpoints:>9} {build:>9.1} {peak:>10.3} {:>12.3} {:>12.3} {:>10.3}",
        needless(gone_moves),
        needless(new_moves),
        needless(down_moves)
    );
}

/// Popular keys: the nth is asked for 1/n as often as the first; 5,000 requests are in flight.
fn print_bound(table: &str, endpoints: usize, bound: Value) {
    let percent = bound.as_u64().map_or("none".into(), |bound| format!("{bound} %"));
    let mut map = Map::new(0..endpoints, &json!({"table": table, "bound_percent": bound}));
    let mut free = Map::new(0..endpoints, &json!({"table": table}));
    let mut random = Random::seeded(9);
    let popularity: Vec<f64> = (1..=100_000)
        .scan(0.0, |sum, n| {
            *sum += 1.0 / f64::from(n);
            Some(*sum)
        })
        .collect();
    let total = popularity[popularity.len() - 1];
    let (mut in_flight, mut most, mut moved) = (VecDeque::new(), 0.0_f64, 0);
    let rounds = 200_000;
    for _ in 0..rounds {
        let point = random.next() as f64 / u64::MAX as f64 * total;
        let key = popularity.partition_point(|end| *end < point) as u64;
        let slot = map.pick(key);
        moved += u32::from(slot != free.pick(key));
        let state = &map.table.pools[0].endpoints[slot.index()].state;
        let count = state.in_flight.fetch_add(1, Relaxed) + 1;
        in_flight.push_back(slot);
        if in_flight.len() > 5_000 {
            most = most.max(f64::from(count) * endpoints as f64 / in_flight.len() as f64);
            let at = random.below(in_flight.len());
            let done = in_flight.swap_remove_back(at).expect("one");
            map.table.pools[0].endpoints[done.index()].state.in_flight.fetch_sub(1, Relaxed);
        }
    }
    println!(
        "{table:<12} {endpoints:>9} {percent:>7} {:>21.2}x {:>12.1}",
        most,
        f64::from(moved) * 100.0 / f64::from(rounds)
    );
}
