//! Who gets the request, by what is known of whom.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};

use crate::balance::{Key, Slot};
use crate::endpoint::States;
use crate::load_report::Report;
use crate::pick::{Ask, Picker, Taken};
use crate::random::Random;
use crate::samples;
use crate::table::Table;
use crate::time::Tick;

struct World {
    table: Table,
    picker: Picker,
    random: Random,
    now: Tick,
}

impl World {
    fn new(endpoints: usize, options: &Value) -> Self {
        let mut pool = samples::pool("p", "prequal", &vec![1; endpoints]);
        pool.algorithm.options = options.as_object().unwrap().clone();
        let table = Table::compile(&samples::snapshot(vec![], vec![pool]), &mut States::new()).unwrap();
        let mut random = Random::seeded(1);
        let picker = Picker::new(&table.pools[0], &mut random);
        Self { table, picker, random, now: Tick(1) }
    }

    fn pick(&mut self) -> Slot {
        self.picker.pick(&self.table.pools[0], Key::NONE, &[], &mut self.random).unwrap()
    }

    fn hear(&mut self, slot: u32, in_flight: u32, latency_us: u64) {
        let report = Report { in_flight: Some(in_flight), latency_us: Some(latency_us), ..Report::default() };
        self.picker.hear(&self.table.pools[0], Slot(slot), &report, self.now, &mut self.random);
    }

    /// How often each endpoint is picked when it is heard from all of them before each pick.
    fn shares(&mut self, said: &[(u32, u64)]) -> BTreeMap<u32, u32> {
        let mut counts = BTreeMap::new();
        for _ in 0..1_000 {
            self.now = Tick(self.now.0 + 1_000);
            (0..).zip(said).for_each(|(slot, (in_flight, latency))| self.hear(slot, *in_flight, *latency));
            *counts.entry(self.pick().0).or_default() += 1;
        }
        counts
    }
}

fn probing() -> Value {
    json!({"probe": "/probe"})
}

#[test]
fn of_the_cold_ones_the_fastest_gets_it() {
    let mut world = World::new(8, &probing());
    let mut said = [(2, 20_000); 8];
    (said[1], said[7]) = ((2, 5_000), (9, 1_000));
    let shares = world.shares(&said);
    assert!(shares[&1] > 990, "the fastest of all is hot: {shares:?}");
}

#[test]
fn when_all_are_hot_the_least_busy_gets_it() {
    let mut world = World::new(3, &json!({"probe": "/probe", "hot_percent": 1}));
    let shares = world.shares(&[(8, 1_000), (7, 9_000), (9, 1_000)]);
    assert_eq!(shares.get(&1), Some(&1_000));
}

#[test]
fn latencies_that_are_nearly_equal_leave_the_choice_to_load() {
    let mut world = World::new(3, &probing());
    let shares = world.shares(&[(3, 10_000), (1, 12_000), (1, 11_000)]);
    assert!(!shares.contains_key(&0) && shares[&1] > 400 && shares[&2] > 400, "{shares:?}");
}

#[test]
fn each_use_counts_as_one_more_request_there() {
    let mut world = World::new(2, &probing());
    world.hear(0, 2, 1_000);
    world.hear(1, 4, 1_000);
    let picks: Vec<u32> = (0..4).map(|_| world.pick().0).collect();
    assert_eq!(picks[..2], [0, 0]);
    assert!(picks[2..].contains(&1), "{picks:?}");
}

#[test]
fn old_replies_say_nothing_any_more() {
    let mut world = World::new(2, &probing());
    world.hear(0, 9, 1_000);
    world.hear(1, 0, 1_000);
    world.table.pools[0].endpoints[1].state.in_flight.store(5, Relaxed);
    assert_eq!(world.pick(), Slot(1), "as was said");
    world.picker.take(&world.table.pools[0], &Ask::default(), Tick(2_000_000), &mut world.random);
    let Taken::Endpoint(attempt) =
        world.picker.take(&world.table.pools[0], &Ask::default(), Tick(2_000_001), &mut world.random)
    else {
        panic!("there are two");
    };
    assert_eq!(attempt.slot, Slot(0), "as this balancer sees it");
}

#[test]
fn three_probes_go_with_each_request_to_different_endpoints_now_and_then() {
    let mut world = World::new(50, &probing());
    let mut asked = BTreeMap::<u32, u32>::new();
    let mut wanted = Vec::new();
    for _ in 0..1_000 {
        world.pick();
        wanted.clear();
        world.picker.wants_probes(&world.table.pools[0], &mut world.random, &mut wanted);
        assert!(wanted.len() <= 3);
        wanted.iter().for_each(|slot| *asked.entry(slot.0).or_default() += 1);
    }
    let total: u32 = asked.values().sum();
    assert!((2_800..=3_000).contains(&total), "{total}");
    assert!((0..50).all(|slot| (30..90).contains(&asked[&slot])), "{asked:?}");
    assert_eq!(world.table.pools[0].probe_path.as_deref(), Some("/probe"));
}

#[test]
fn probes_are_as_many_as_was_said_also_below_one() {
    let count = |options: Value| {
        let mut world = World::new(50, &options);
        let mut count = 0;
        for _ in 0..1_000 {
            world.pick();
            let mut wanted = Vec::new();
            world.picker.wants_probes(&world.table.pools[0], &mut world.random, &mut wanted);
            count += wanted.len();
        }
        count
    };
    assert_eq!(count(json!({"probe": "/probe", "probes_percent": 25})), 250);
    assert_eq!(count(json!({})), 0);
}

#[test]
fn without_probes_it_goes_by_what_it_sees_and_by_reports_in_responses() {
    let mut world = World::new(3, &json!({}));
    assert!(world.table.pools[0].reads_reports);
    let endpoints = &world.table.pools[0].endpoints;
    [4, 1, 6].iter().zip(endpoints).for_each(|(count, it)| it.state.in_flight.store(*count, Relaxed));
    let mut counts = [0; 3];
    (0..500).for_each(|_| counts[world.pick().index()] += 1);
    assert!(counts[1] > counts[0] && counts[0] >= counts[2], "{counts:?}");
    world.now = Tick(5_000_000);
    for round in 0..500 {
        world.now = Tick(5_000_000 + round * 1_000);
        world.hear(1, 40, 1_000);
        counts[world.pick().index()] += 1_000;
    }
    assert!(counts[1] < 100_000, "it works at 40 for others: {counts:?}");
}

#[test]
fn what_fails_at_once_is_no_sink() {
    for options in [json!({}), probing()] {
        let mut world = World::new(10, &options);
        let mut to_bad = 0;
        for round in 0..5_000 {
            world.now = Tick(world.now.0 + 1_000);
            let taken =
                world.picker.take(&world.table.pools[0], &Ask::default(), world.now, &mut world.random);
            let Taken::Endpoint(attempt) = taken else { panic!("nothing limits them") };
            let state = &world.table.pools[0].endpoints[attempt.slot.index()].state;
            if attempt.slot == Slot(3) {
                to_bad += 1;
                state.in_flight.fetch_sub(1, Relaxed);
                state.record.failures.fetch_add(1, Relaxed);
            } else if round >= 40 {
                // The good ones have some requests each.
                state.in_flight.fetch_sub(1, Relaxed);
            }
            let mut wanted = Vec::new();
            world.picker.wants_probes(&world.table.pools[0], &mut world.random, &mut wanted);
            for slot in wanted {
                let in_flight = world.table.pools[0].endpoints[slot.index()].state.in_flight.load(Relaxed);
                world.hear(slot.0, in_flight, if slot == Slot(3) { 300 } else { 20_000 });
            }
        }
        assert!(to_bad < 250, "{to_bad} of 5,000 went to it with {options}");
    }
}

#[test]
fn an_endpoint_that_starts_slowly_is_found_less_often() {
    let mut pool = samples::pool("p", "prequal", &[1; 4]);
    pool.protection.slow_start_ms = Some(10_000);
    let mut states = States::new();
    states.at(Tick(1));
    (0..3).for_each(|number| drop(states.endpoint("p", &format!("e{number}"))));
    states.at(Tick(20_000_000));
    let table = Table::compile(&samples::snapshot(vec![], vec![pool]), &mut states).unwrap();
    let mut random = Random::seeded(1);
    let mut picker = Picker::new(&table.pools[0], &mut random);
    let mut counts = [0; 4];
    for _ in 0..4_000 {
        let taken = picker.take(&table.pools[0], &Ask::default(), Tick(20_500_000), &mut random);
        let Taken::Endpoint(attempt) = taken else { panic!("nothing limits them") };
        table.pools[0].endpoints[attempt.slot.index()].state.in_flight.fetch_sub(1, Relaxed);
        counts[attempt.slot.index()] += 1;
    }
    assert!(counts[3] < 700 && counts[..3].iter().all(|count| *count > 900), "{counts:?}");
}
