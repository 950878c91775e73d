//! What must hold with limits, tiers and endpoints that fail, whatever the algorithm.

use std::collections::VecDeque;

use bascule_contract::mark::Mark;
use bascule_contract::protection::Ejection;
use proptest::prelude::*;

use super::{World, ways};
use crate::balance::Slot;
use crate::cases;
use crate::guard::{Lost, Try};
use crate::pick::Taken;
use crate::samples;
use crate::time::Tick;

const MS: u64 = 1_000;

/// As the configuration has it when nothing is said.
fn usual_ejection() -> Ejection {
    Ejection {
        failures: 5,
        failure_percent: Some(50),
        slowness_percent: None,
        time_ms: 10_000,
        longest_ms: 300_000,
        most_percent: 50,
    }
}

proptest! {
    #![proptest_config(cases::fixed(40))]

    #[test]
    fn no_endpoint_gets_more_than_its_limit_and_none_is_refused_while_there_is_room(
        limits in prop::collection::vec(1_u32..6, 1..12),
        ends in prop::collection::vec(any::<prop::sample::Index>(), 80),
        down in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        seed in any::<u64>(),
    ) {
        for way in ways() {
            let mut pool = way.pool(&vec![1; limits.len()]);
            pool.endpoints.iter_mut().zip(&limits).for_each(|(endpoint, limit)| endpoint.limit = Some(*limit));
            let mut world = World::of(pool, seed);
            for index in &down {
                let mark = samples::mark("p", index.index(limits.len()));
                world.states.mark(&[Mark { up: Some(false), ..mark }]);
            }
            let (mut tries, mut counts) = (Vec::<Try>::new(), vec![0; limits.len()]);
            for (step, end) in ends.iter().enumerate() {
                let now = Tick(1 + step as u64 * MS);
                let available = world.available(&[]);
                let has_room = available.iter().any(|slot| counts[slot.index()] < limits[slot.index()]);
                match world.take(now) {
                    Taken::Endpoint(attempt) => {
                        counts[attempt.slot.index()] += 1;
                        prop_assert!(available.contains(&attempt.slot), "{}", way);
                        prop_assert!(counts[attempt.slot.index()] <= limits[attempt.slot.index()], "{}", way);
                        tries.push(attempt);
                    }
                    Taken::Full => prop_assert!(!has_room && !available.is_empty(), "{way}: {counts:?} of {limits:?}"),
                    Taken::Nothing => prop_assert!(available.is_empty(), "{}", way),
                }
                if step % 3 == 2 && !tries.is_empty() {
                    let attempt = tries.swap_remove(end.index(tries.len()));
                    counts[attempt.slot.index()] -= 1;
                    world.pool().end(&attempt, now, Lost::Abandoned);
                }
            }
        }
    }

    #[test]
    fn a_backup_gets_nothing_while_the_first_tier_can_carry_it_all(
        first in 1_usize..8,
        backups in 1_usize..8,
        seed in any::<u64>(),
    ) {
        for way in ways() {
            let mut pool = way.pool(&vec![1; first + backups]);
            pool.endpoints[first..].iter_mut().for_each(|endpoint| endpoint.tier = 1);
            let mut world = World::of(pool, seed);
            for _ in 0..100 {
                prop_assert!(world.pick(&[]).unwrap().index() < first, "{}", way);
            }
            for endpoint in 0..first {
                world.states.mark(&[Mark { up: Some(false), ..samples::mark("p", endpoint) }]);
            }
            for _ in 0..100 {
                prop_assert!(world.pick(&[]).unwrap().index() >= first, "{}", way);
            }
        }
    }
}

/// A thousand requests a second for ten seconds at ten endpoints that take 20 ms; one of them differs.
/// How many went to each.
fn serve(world: &mut World, odd: Slot, odd_ms: u64, odd_fails: bool) -> [u32; 10] {
    let mut counts = [0; 10];
    let mut open = VecDeque::<(Tick, Try)>::new();
    for step in 1..=10_000 {
        let now = Tick(step * MS);
        while let Some(at) = open.iter().position(|(ends, _)| *ends <= now) {
            let (ends, mut attempt) = open.swap_remove_back(at).unwrap();
            let failed = odd_fails && attempt.slot == odd;
            world.pool().answered(&mut attempt, ends, failed);
            world.pool().end(&attempt, ends, Lost::Broken);
        }
        let Taken::Endpoint(attempt) = world.take(now) else { panic!("nothing limits them") };
        counts[attempt.slot.index()] += 1;
        let takes_us = if attempt.slot == odd { odd_ms * MS } else { 20 * MS };
        open.push_back((Tick(now.0 + takes_us.max(300)), attempt));
    }
    counts
}

#[test]
fn an_endpoint_that_fails_at_once_is_no_sink() {
    for way in ways() {
        let mut pool = way.pool(&[1; 10]);
        pool.protection.ejection = Some(usual_ejection());
        for odd in [Slot(0), Slot(7)] {
            let counts = serve(&mut World::of(pool.clone(), 3), odd, 0, true);
            assert!(counts[odd.index()] <= 20, "{way}: {counts:?} when {odd:?} fails");
        }
    }
}

#[test]
fn an_endpoint_that_is_slow_is_starved_by_nobody() {
    for way in ways().into_iter().filter(|way| !way.packs()) {
        let counts = serve(&mut World::new(&way, &[1; 10], 3), Slot(7), 200, false);
        assert!(counts[7] >= 30, "{way}: {counts:?} when one takes ten times as long");
        assert!(counts.iter().all(|count| *count <= 2_000), "{way}: {counts:?}");
    }
}

#[test]
fn endpoints_that_are_alike_share_the_work_while_it_is_done() {
    for way in ways().into_iter().filter(|way| !way.packs()) {
        let counts = serve(&mut World::new(&way, &[1; 10], 3), Slot(7), 20, false);
        assert!(counts.iter().all(|count| (900..=1_100).contains(count)), "{way}: {counts:?}");
    }
}

#[test]
fn what_packs_leaves_the_last_ones_idle() {
    for way in ways().into_iter().filter(super::Way::packs) {
        let counts = serve(&mut World::new(&way, &[1; 10], 3), Slot(7), 20, false);
        assert!(counts[..5].iter().all(|count| *count > 1_500) && counts[7..] == [0; 3], "{way}: {counts:?}");
    }
}
