//! What keeps to a key must obey: a key stays while its endpoint stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{Change, Way, What, World, ways};
use crate::balance::Key;
use crate::cases;
use crate::random::Random;

const KEYS: u64 = 1_000;

fn affine() -> impl Iterator<Item = Way> {
    ways().into_iter().filter(|way| World::new(way, &[1], 1).pool().key_by.is_some())
}

/// Share of the keys that may move without need when endpoints come or go for good, in percent: what a Maglev table of
/// few endpoints takes. The other tables move none.
fn slack_percent(way: &Way) -> u64 {
    if way.options.get("table").is_some_and(|table| table == "maglev") { 2 } else { 0 }
}

/// Where each key is, by the endpoints' ids.
fn places(world: &mut World) -> BTreeMap<u64, Arc<str>> {
    let mut place = |number| {
        let slot = world.pick_for(Key(Random::seeded(number).next()), &[]).unwrap();
        Arc::clone(&world.pool().endpoints[slot.index()].id)
    };
    (0..KEYS).map(|number| (number, place(number))).collect()
}

fn moved(before: &BTreeMap<u64, Arc<str>>, after: &BTreeMap<u64, Arc<str>>, changed: &str) -> u64 {
    let others = before.iter().filter(|(key, was)| {
        let is = &after[key];
        *was != is && ***was != *changed && **is != *changed
    });
    others.count() as u64
}

proptest! {
    #![proptest_config(cases::fixed(12))]

    #[test]
    fn whatever_happens_to_others_a_key_stays_and_returns(
        weights in prop::collection::vec(1_u32..5, 2..30),
        changes in super::changes(),
        seed in any::<u64>(),
    ) {
        for way in affine() {
            let mut world = World::new(&way, &weights, seed);
            let first = places(&mut world);
            for change in &changes {
                // Weights that change draw keys in, which is another law.
                if matches!(change.what, What::Weight(_)) {
                    continue;
                }
                world.mark(change);
                if world.available(&[]).is_empty() {
                    continue;
                }
                let available = world.available(&[]);
                let now = places(&mut world);
                let is_there = |id: &Arc<str>| available.iter().any(|slot| world.pool().endpoints[slot.index()].id == *id);
                for (key, was) in &first {
                    prop_assert!(!is_there(was) || now[key] == *was, "{way}: a key of {was} is at {}", now[key]);
                }
            }
            for endpoint in 0..weights.len() {
                [What::Up(true), What::Draining(false)].into_iter().for_each(|what| world.mark(&Change { endpoint, what }));
            }
            prop_assert_eq!(&places(&mut world), &first, "{}", way);
        }
    }

    #[test]
    fn removing_or_adding_one_moves_its_own_share_and_no_more_than_a_stated_slack(
        weights in prop::collection::vec(1_u32..5, 2..30),
        which in any::<prop::sample::Index>(),
        seed in any::<u64>(),
    ) {
        for way in affine() {
            let all = way.pool(&weights);
            let mut fewer = all.clone();
            let gone = fewer.endpoints.remove(which.index(weights.len())).id;
            let (with, without) = (places(&mut World::of(all, seed)), places(&mut World::of(fewer, seed)));
            let needless = moved(&with, &without, &gone);
            let most = KEYS * slack_percent(&way) / 100;
            prop_assert!(needless <= most, "{way}: {needless} of {KEYS} keys moved that have nothing to do with {gone}");
        }
    }
}

#[test]
fn another_seed_and_another_history_change_no_place() {
    for way in affine() {
        let weights = [1, 2, 3, 1, 1, 1, 4];
        let first = places(&mut World::new(&way, &weights, 1));
        let mut other = World::new(&way, &weights, 99);
        (0..500).for_each(|_| assert!(other.pick(&[]).is_some()));
        assert_eq!(places(&mut other), first, "{way}");
    }
}
