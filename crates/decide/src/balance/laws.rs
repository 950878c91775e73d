//! What every algorithm must obey, in each of its ways. A new one is tested here as soon as it is in the registry.

mod affinity;
mod protection;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use bascule_contract::mark::Mark;
use bascule_contract::snapshot;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::registry::{self, ALGORITHMS};
use super::{Key, Slot};
use crate::cases;
use crate::endpoint::States;
use crate::pick::{Ask, Picker, Taken};
use crate::random::Random;
use crate::samples;
use crate::table::{Pool, Table};
use crate::time::Tick;

/// An algorithm in one of its ways.
#[derive(Clone, Debug)]
struct Way {
    name: &'static str,
    options: Map<String, Value>,
}

fn ways() -> Vec<Way> {
    let of = |name| samples::ways(name).into_iter().map(move |options| Way { name, options });
    ALGORITHMS.iter().flat_map(|it| of(it.name)).collect()
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, Value::from(self.options.clone()))
    }
}

impl Way {
    fn pool(&self, weights: &[u32]) -> snapshot::Pool {
        samples::pool_with(self.name, &self.options, weights)
    }

    /// Whether it uses as few endpoints as it can: shares are then what is left over.
    fn packs(&self) -> bool {
        self.name == "first"
    }

    fn follows_weights(&self) -> bool {
        registry::find(self.name).unwrap().follows_weights
    }
}

/// One pool, one thread: the smallest world in which an algorithm can be watched.
struct World {
    states: States,
    table: Table,
    picker: Picker,
    random: Random,
    /// The key of the next pick: every request has another one.
    key: u64,
}

impl World {
    fn new(way: &Way, weights: &[u32], seed: u64) -> Self {
        Self::of(way.pool(weights), seed)
    }

    fn of(pool: snapshot::Pool, seed: u64) -> Self {
        let mut states = States::new();
        let table = Table::compile(&samples::snapshot(vec![], vec![pool]), &mut states).unwrap();
        let mut random = Random::seeded(seed);
        let picker = Picker::new(&table.pools[0], &mut random);
        Self { states, table, picker, random, key: seed }
    }

    fn pool(&self) -> &Pool {
        &self.table.pools[0]
    }

    fn pick(&mut self, tried: &[Slot]) -> Option<Slot> {
        self.key = self.key.wrapping_add(1);
        self.pick_for(Key(Random::seeded(self.key).next()), tried)
    }

    fn pick_for(&mut self, key: Key, tried: &[Slot]) -> Option<Slot> {
        self.picker.pick(&self.table.pools[0], key, tried, &mut self.random)
    }

    fn take(&mut self, now: Tick) -> Taken {
        self.key = self.key.wrapping_add(1);
        let ask = Ask { key: Key(Random::seeded(self.key).next()), ..Ask::default() };
        self.picker.take(&self.table.pools[0], &ask, now, &mut self.random)
    }

    fn mark(&mut self, change: &Change) {
        let mark = samples::mark("p", change.endpoint % self.pool().endpoints.len());
        let change = change.what;
        self.states.mark(&[match change {
            What::Up(up) => Mark { up: Some(up), ..mark },
            What::Draining(draining) => Mark { draining: Some(draining), ..mark },
            What::Weight(weight) => Mark { weight: Some(weight), ..mark },
        }]);
    }

    fn set_in_flight(&self, slot: Slot, count: u32) {
        self.pool().endpoints[slot.index()].state.in_flight.store(count, Relaxed);
    }

    /// Those that may be picked, worked out without any of the code under test.
    fn available(&self, tried: &[Slot]) -> BTreeSet<Slot> {
        let all = (0..).map(Slot).zip(&self.pool().endpoints);
        let fit = all.filter(|(_, it)| it.is_up() && !it.is_draining() && it.weight_now() > 0);
        fit.map(|(slot, _)| slot).filter(|slot| !tried.contains(slot)).collect()
    }

    fn count(&mut self, picks: usize) -> BTreeMap<Slot, f64> {
        let mut counts = BTreeMap::new();
        for _ in 0..picks {
            *counts.entry(self.pick(&[]).unwrap()).or_default() += 1.0;
        }
        counts
    }
}

/// Something that happens to one endpoint between two picks.
#[derive(Clone, Debug)]
struct Change {
    endpoint: usize,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Up(bool),
    Draining(bool),
    Weight(u32),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let what = prop_oneof![
        any::<bool>().prop_map(What::Up),
        any::<bool>().prop_map(What::Draining),
        prop_oneof![Just(0), 1_u32..10, Just(65_535)].prop_map(What::Weight),
    ];
    let change = (any::<usize>(), what).prop_map(|(endpoint, what)| Change { endpoint, what });
    prop::collection::vec(change, 0..40)
}

/// Mostly a few endpoints, sometimes more than are looked at in one go.
fn weights() -> impl Strategy<Value = Vec<u32>> {
    let weight = || prop_oneof![4 => 1_u32..6, 1 => Just(65_535)];
    prop_oneof![
        3 => prop::collection::vec(weight(), 0..8),
        1 => prop::collection::vec(weight(), 60..150),
    ]
}

proptest! {
    #![proptest_config(cases::fixed(150))]

    #[test]
    fn picks_come_from_the_candidates_and_are_none_exactly_without_any(
        weights in weights(),
        changes in changes(),
        loads in prop::collection::vec(prop_oneof![4 => 0_u32..9, 1 => any::<u32>()], 150),
        tried in prop::collection::vec(0_u32..8, 0..8),
        seed in any::<u64>(),
    ) {
        let tried: Vec<Slot> = tried.into_iter().map(Slot).collect();
        for way in ways() {
            let mut world = World::new(&way, &weights, seed);
            for (number, load) in (0..weights.len() as u32).zip(&loads) {
                world.set_in_flight(Slot(number), *load);
            }
            for round in 0..=changes.len() {
                for tried in [&[][..], &tried] {
                    let available = world.available(tried);
                    for picked in [world.pick(tried), world.pick_for(Key::NONE, tried)] {
                        match picked {
                            Some(slot) => prop_assert!(available.contains(&slot), "{way}: {slot:?}"),
                            None => prop_assert!(available.is_empty(), "{way}: none of {available:?}"),
                        }
                    }
                }
                if let (Some(change), false) = (changes.get(round), weights.is_empty()) {
                    world.mark(change);
                }
            }
        }
    }

    #[test]
    fn equal_seeds_and_histories_give_equal_picks(weights in weights(), changes in changes(), seed in any::<u64>()) {
        prop_assume!(!weights.is_empty());
        for way in ways() {
            let mut worlds = [World::new(&way, &weights, seed), World::new(&way, &weights, seed)];
            for change in &changes {
                let picks = worlds.each_mut().map(|world| {
                    world.mark(change);
                    [world.pick(&[]), world.pick(&[Slot(0)]), world.pick(&[])]
                });
                prop_assert_eq!(picks[0], picks[1], "{}", way);
            }
        }
    }
}

/// How far a count may be from its expectation: five standard deviations of a random draw, and 2 %
/// for what an earlier history still owes.
fn allowed(expected: f64) -> f64 {
    5.0 * expected.sqrt() + 0.02 * expected
}

proptest! {
    #![proptest_config(cases::fixed(12))]

    #[test]
    fn shares_follow_weights_after_any_history(
        initial in prop_oneof![2 => prop::collection::vec(1_u32..9, 1..12), 1 => prop::collection::vec(1_u32..9, 65..140)],
        changes in changes(),
        seed in any::<u64>(),
    ) {
        for way in ways().into_iter().filter(|way| !way.packs()) {
            let mut world = World::new(&way, &initial, seed);
            for change in &changes {
                world.mark(change);
                world.pick(&[]);
                world.pick(&[Slot(0)]);
            }
            for (endpoint, weight) in initial.iter().enumerate() {
                let whats = [What::Up(true), What::Draining(false), What::Weight(*weight)];
                whats.into_iter().for_each(|what| world.mark(&Change { endpoint, what }));
            }
            let share = |weight: u32| if way.follows_weights() { f64::from(weight) } else { 1.0 };
            let total: f64 = initial.iter().map(|weight| share(*weight)).sum();
            let picks = 300 * initial.len();
            let counts = world.count(picks);
            for (slot, weight) in (0..).map(Slot).zip(&initial) {
                let expected = picks as f64 * share(*weight) / total;
                let count = counts.get(&slot).copied().unwrap_or_default();
                prop_assert!(
                    (count - expected).abs() <= allowed(expected),
                    "{way}: {slot:?} of weight {weight} got {count}, not {expected}",
                );
            }
        }
    }
}

#[test]
fn identical_endpoints_get_equal_shares_idle_and_busy() {
    for way in ways().into_iter().filter(|way| !way.packs()) {
        for (endpoints, busy) in [(1, 0), (2, 0), (10, 0), (10, 25), (64, 0), (100, 0), (100, 300)] {
            let mut world = World::new(&way, &vec![1; endpoints], 11);
            let mut in_flight = VecDeque::new();
            let mut counts = vec![0_usize; endpoints];
            let mut loads = vec![0_u32; endpoints];
            for _ in 0..endpoints * 2_500 {
                let slot = world.pick(&[]).unwrap();
                counts[slot.index()] += 1;
                in_flight.push_back(slot);
                loads[slot.index()] += 1;
                world.set_in_flight(slot, loads[slot.index()]);
                if in_flight.len() > busy {
                    let done = in_flight.pop_front().unwrap();
                    loads[done.index()] -= 1;
                    world.set_in_flight(done, loads[done.index()]);
                }
            }
            let within = |count: &usize| (2_250..=2_750).contains(count);
            assert!(counts.iter().all(within), "{way} with {busy} of {endpoints} busy: {counts:?}");
        }
    }
}
