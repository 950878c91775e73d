//! Where keys go and stay, and how evenly they spread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bascule_contract::mark::Mark;
use bascule_contract::sessions::KeyBy;
use bascule_contract::snapshot;
use serde_json::{Value, json};

use crate::balance::{Key, Slot};
use crate::endpoint::States;
use crate::pick::{Ask, Picker, Taken};
use crate::random::Random;
use crate::request::Request;
use crate::samples;
use crate::table::Table;
use crate::time::Tick;

const TABLES: [&str; 3] = ["rendezvous", "maglev", "ring"];

struct World {
    states: States,
    table: Table,
    picker: Picker,
    random: Random,
}

fn pool(weights: &[u32], options: &Value) -> snapshot::Pool {
    let mut pool = samples::pool("p", "hash", weights);
    pool.algorithm.options = options.as_object().unwrap().clone();
    pool
}

fn key(number: u64) -> Key {
    Key(Random::seeded(number).next())
}

impl World {
    fn new(weights: &[u32], options: &Value) -> Self {
        Self::of(pool(weights, options))
    }

    fn of(pool: snapshot::Pool) -> Self {
        let mut states = States::new();
        let table = Table::compile(&samples::snapshot(vec![], vec![pool]), &mut states).unwrap();
        let mut random = Random::seeded(1);
        let picker = Picker::new(&table.pools[0], &mut random);
        Self { states, table, picker, random }
    }

    fn pick(&mut self, key: Key) -> Slot {
        self.picker.pick(&self.table.pools[0], key, &[], &mut self.random).unwrap()
    }

    /// The ids that the first keys go to.
    fn ids(&mut self, keys: u64) -> Vec<Arc<str>> {
        let pick = |number| self.pick(key(number));
        let picked: Vec<Slot> = (0..keys).map(pick).collect();
        picked.iter().map(|slot| Arc::clone(&self.table.pools[0].endpoints[slot.index()].id)).collect()
    }

    fn mark(&mut self, mark: Mark) {
        self.states.mark(&[mark]);
    }
}

#[test]
fn a_key_is_where_it_was_in_earlier_versions() {
    for (table, expected) in [
        ("rendezvous", ["e1", "e1", "e3", "e0", "e2", "e3", "e3", "e3"]),
        ("maglev", ["e3", "e3", "e3", "e3", "e0", "e3", "e2", "e3"]),
        ("ring", ["e3", "e1", "e3", "e2", "e3", "e1", "e3", "e3"]),
    ] {
        let ids = World::new(&[1, 2, 1, 3], &json!({"table": table})).ids(8);
        assert_eq!(ids.iter().map(|id| &**id).collect::<Vec<_>>(), expected, "{table}");
    }
}

#[test]
fn balancers_agree_in_whatever_order_they_know_the_endpoints() {
    for table in TABLES {
        let mut one = pool(&[1; 30], &json!({"table": table}));
        let ids = World::of(one.clone()).ids(500);
        one.endpoints.reverse();
        assert_eq!(World::of(one).ids(500), ids, "{table}");
    }
}

#[test]
fn only_the_keys_of_an_endpoint_that_fails_move_and_they_return() {
    for table in TABLES {
        let mut world = World::new(&[1; 20], &json!({"table": table}));
        let before = world.ids(4_000);
        world.mark(Mark { up: Some(false), ..samples::mark("p", 7) });
        let during = world.ids(4_000);
        assert!(before.iter().zip(&during).all(|(was, is)| was == is || **was == *"e7"), "{table}");
        let mut refuge = BTreeMap::new();
        before.iter().zip(&during).filter(|(was, _)| ***was == *"e7").for_each(|(_, is)| {
            *refuge.entry(Arc::clone(is)).or_insert(0) += 1;
        });
        assert!(refuge.len() > 10, "{table}: its keys are spread over the others, not {refuge:?}");
        world.mark(Mark { up: Some(true), ..samples::mark("p", 7) });
        assert_eq!(world.ids(4_000), before, "{table}");
    }
}

#[test]
fn a_key_finds_the_last_endpoint_that_is_left_of_many() {
    for table in TABLES {
        let mut world = World::new(&[1; 500], &json!({"table": table}));
        (0..500)
            .filter(|it| *it != 321)
            .for_each(|it| world.mark(Mark { up: Some(false), ..samples::mark("p", it) }));
        assert!(world.ids(50).iter().all(|id| **id == *"e321"), "{table}");
    }
}

#[test]
fn shares_are_even_and_follow_weights() {
    let keys = 250_000;
    for (table, most) in [("rendezvous", 1.06), ("maglev", 1.06), ("ring", 1.30)] {
        let mut world = World::new(&[1; 100], &json!({"table": table}));
        let peak = |sample: u64| {
            let mut counts = [0.0; 100];
            (0..keys).for_each(|number| {
                counts[world.pick(key(sample * keys + number)).index()] += 100.0 / keys as f64;
            });
            counts.into_iter().fold(0.0, f64::max)
        };
        let peak = (0..4).map(peak).sum::<f64>() / 4.0;
        assert!(peak <= most, "{table}: the busiest of 100 has {peak} times its share");

        let weights = [1, 2, 4, 8];
        let mut counts = [0.0; 4];
        let fine =
            if table == "ring" { json!({"table": table, "points": 1_000}) } else { json!({"table": table}) };
        let mut world = World::new(&weights, &fine);
        for number in 0..60_000 {
            counts[world.pick(key(number)).index()] += 15.0 / 60_000.0;
        }
        for (count, weight) in counts.iter().zip(weights) {
            let share = count / f64::from(weight);
            assert!((0.9..1.1).contains(&share), "{table}: weight {weight} has {share} of its share");
        }
    }
}

#[test]
fn a_weight_that_grows_only_draws_keys_in() {
    for table in TABLES {
        let mut world = World::new(&[4; 10], &json!({"table": table}));
        let mut before = Vec::new();
        for weight in 0..=4 {
            world.mark(Mark { weight: Some(weight), ..samples::mark("p", 3) });
            let now = world.ids(8_000);
            let own = now.iter().filter(|id| ***id == *"e3").count();
            let wanted = 8_000 * weight as usize / (36 + weight as usize);
            assert!(
                own.abs_diff(wanted) <= 40 + wanted / 4,
                "{table}: {own} keys at weight {weight}, not {wanted}"
            );
            let others_kept = before.iter().zip(&now).all(|(was, is)| was == is || **is == *"e3");
            assert!(others_kept, "{table}");
            before = now;
        }
    }
}

#[test]
fn a_weight_above_the_tables_counts_as_well() {
    for table in TABLES {
        let mut world = World::new(&[1; 4], &json!({"table": table}));
        world.mark(Mark { weight: Some(3), ..samples::mark("p", 2) });
        let own = world.ids(12_000).iter().filter(|id| ***id == *"e2").count();
        assert!(own.abs_diff(6_000) <= 700, "{table}: {own} of 12,000 keys at half of the weight");
    }
}

#[test]
fn no_endpoint_exceeds_its_bound_however_popular_one_key_is() {
    for (table, weights) in TABLES.into_iter().flat_map(|table| [(table, [1; 20]), (table, [3; 20])]) {
        let mut weights = weights;
        weights[0] = 5;
        let total: u32 = weights.iter().sum();
        let mut world = World::new(&weights, &json!({"table": table, "bound_percent": 125}));
        for number in 0..400_u32 {
            let key = key(u64::from(number % 3));
            let ask = Ask { key, ..Ask::default() };
            let Taken::Endpoint(attempt) =
                world.picker.take(&world.table.pools[0], &ask, Tick(1), &mut world.random)
            else {
                panic!("nothing limits them");
            };
            let cap = (1.25 * f64::from(number + 1) * f64::from(weights[attempt.slot.index()])
                / f64::from(total))
            .ceil();
            let count = world.table.pools[0].endpoints[attempt.slot.index()].state.in_flight.load(Relaxed);
            assert!(
                f64::from(count) <= cap,
                "{table}: {count} of {} at an endpoint that may have {cap}",
                number + 1
            );
        }
    }
}

#[test]
fn with_room_everywhere_a_bound_moves_no_key() {
    for table in TABLES {
        let free = World::new(&[1; 10], &json!({"table": table})).ids(500);
        assert_eq!(World::new(&[1; 10], &json!({"table": table, "bound_percent": 150})).ids(500), free);
    }
}

#[test]
fn what_has_no_key_goes_to_the_least_busy() {
    let mut world = World::new(&[1; 5], &json!({"table": "maglev"}));
    let loads = [3, 2, 0, 4, 3];
    for (endpoint, load) in world.table.pools[0].endpoints.iter().zip(loads) {
        endpoint.state.in_flight.store(load, Relaxed);
    }
    assert_eq!(world.pick(Key::NONE), Slot(2));
}

#[test]
fn threads_and_later_tables_share_what_was_built() {
    let mut states = States::new();
    let mut compile =
        |pool: snapshot::Pool| Table::compile(&samples::snapshot(vec![], vec![pool]), &mut states).unwrap();
    let first = compile(pool(&[1; 5], &json!({"table": "maglev"})));
    let kept = |table: &Table| table.pools[0].state.places.address();
    let before = kept(&first);
    drop(compile(pool(&[1; 5], &json!({"table": "maglev", "by": "uri"}))));
    Picker::new(&first.pools[0], &mut Random::seeded(1));
    assert_eq!(kept(&first), before);
    drop(compile(pool(&[1; 6], &json!({"table": "maglev"}))));
    assert_ne!(kept(&first), before);
}

#[test]
fn a_pool_knows_the_key_of_a_request() {
    let request = Request {
        method: "GET",
        host: "a",
        path: b"/",
        query: Some(b"user=7"),
        fields: &[],
        client: Some([192, 0, 2, 1].into()),
        identity: None,
    };
    let key_of = |options: Value| World::new(&[1], &options).table.pools[0].key(&request);
    let by_user = key_of(json!({"by": {"query": "user"}}));
    assert_eq!(by_user, crate::sessions::key::hash(b"7"));
    assert_eq!(key_of(json!({})), crate::sessions::key::hash(&[192, 0, 2, 1]));
    assert_eq!(key_of(json!({"by": {"header": "absent"}})), Key::NONE);
    let other = samples::pool("p", "random", &[1]);
    assert_eq!(World::of(other).table.pools[0].key_by, None);
    let by = World::new(&[1], &json!({"by": "uri"})).table.pools[0].key_by.clone();
    assert_eq!(by, Some(crate::sessions::key::KeySource::compile(&KeyBy::Uri {}).unwrap()));
}

#[test]
fn a_key_that_no_request_can_have_is_refused() {
    let pool = pool(&[1], &json!({"by": {"header": "a b"}}));
    let problems = Table::compile(&samples::snapshot(vec![], vec![pool]), &mut States::new()).err().unwrap();
    assert_eq!(problems, ["pool \"p\": algorithm \"hash\": \"a b\" is not a field name (RFC 9110, 5.1)"]);
}
