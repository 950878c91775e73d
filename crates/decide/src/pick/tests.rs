//! Who is picked, and what marks, tiers, limits and the panic threshold make of that.

use std::collections::BTreeSet;

use bascule_contract::mark::Mark;

use super::{Ask, Picker, Taken};
use crate::balance::{Key, Slot};
use crate::endpoint::States;
use crate::random::Random;
use crate::samples::{mark, pool, snapshot};
use crate::table::Table;
use crate::time::Tick;

struct Picks {
    states: States,
    table: Table,
    picker: Picker,
    random: Random,
}

impl Picks {
    fn new(endpoints: usize, panic_percent: u32) -> Self {
        Self::with(endpoints, |pool| pool.panic_percent = panic_percent)
    }

    fn with(endpoints: usize, change: impl FnOnce(&mut bascule_contract::snapshot::Pool)) -> Self {
        let mut states = States::new();
        let mut pool = pool("p", "random", &vec![1; endpoints]);
        change(&mut pool);
        let table = Table::compile(&snapshot(vec![], vec![pool]), &mut states).unwrap();
        let mut random = Random::seeded(1);
        let picker = Picker::new(&table.pools[0], &mut random);
        Self { states, table, picker, random }
    }

    fn down(&mut self, endpoints: std::ops::Range<usize>) {
        endpoints.for_each(|it| {
            self.states.mark(&[Mark { up: Some(false), ..mark("p", it) }]);
        });
    }

    fn draining(&mut self, endpoint: usize) {
        self.states.mark(&[Mark { draining: Some(true), ..mark("p", endpoint) }]);
    }

    fn up(&mut self, endpoints: std::ops::Range<usize>) {
        endpoints.for_each(|it| {
            self.states.mark(&[Mark { up: Some(true), ..mark("p", it) }]);
        });
    }

    /// How many of 1,000 picks go to each of these ranges of endpoints.
    fn shares<const N: usize>(&mut self, ranges: [std::ops::Range<u32>; N]) -> [usize; N] {
        let mut counts = [0; N];
        for _ in 0..1_000 {
            let picked = self.picker.pick(&self.table.pools[0], Key::NONE, &[], &mut self.random).unwrap();
            let range = ranges.iter().position(|range| range.contains(&picked.0)).unwrap();
            counts[range] += 1;
        }
        counts
    }

    fn take(&mut self, tried: &[Slot]) -> Taken {
        let ask = Ask { tried, ..Ask::default() };
        self.picker.take(&self.table.pools[0], &ask, Tick(1), &mut self.random)
    }

    fn takes(&mut self, count: usize) -> Vec<u32> {
        let mut taken = Vec::new();
        for _ in 0..count {
            let Taken::Endpoint(attempt) = self.take(&[]) else { break };
            taken.push(attempt.slot.0);
        }
        taken
    }

    fn seen(&mut self, tried: &[u32]) -> Vec<u32> {
        let tried: Vec<Slot> = tried.iter().copied().map(Slot).collect();
        let mut pick = |_| self.picker.pick(&self.table.pools[0], Key::NONE, &tried, &mut self.random);
        let seen: BTreeSet<u32> = (0..200).filter_map(&mut pick).map(|slot| slot.0).collect();
        seen.into_iter().collect()
    }
}

#[test]
fn a_mark_counts_from_the_next_pick_on() {
    let mut picks = Picks::new(4, 0);
    assert_eq!(picks.seen(&[]), [0, 1, 2, 3]);
    picks.down(0..2);
    assert_eq!(picks.seen(&[]), [2, 3]);
    picks.states.mark(&[Mark { up: Some(true), ..mark("p", 0) }]);
    assert_eq!(picks.seen(&[]), [0, 2, 3]);
}

#[test]
fn what_was_tried_is_left_out_even_when_nothing_else_is_left() {
    let mut picks = Picks::new(3, 50);
    assert_eq!(picks.seen(&[1]), [0, 2]);
    assert!(picks.seen(&[2, 0, 1]).is_empty());
    assert_eq!(picks.seen(&[]), [0, 1, 2]);
}

#[test]
fn below_the_panic_threshold_the_down_ones_are_used_too() {
    let mut picks = Picks::new(4, 50);
    picks.down(0..2);
    assert_eq!(picks.seen(&[]), [2, 3], "exactly half is not below half");
    picks.down(0..3);
    assert_eq!(picks.seen(&[]), [0, 1, 2, 3]);
    picks.down(0..4);
    assert_eq!(picks.seen(&[]), [0, 1, 2, 3]);
}

#[test]
fn panic_counts_and_uses_only_what_may_get_work() {
    let mut picks = Picks::new(4, 50);
    picks.draining(0);
    picks.states.mark(&[Mark { weight: Some(0), ..mark("p", 1) }]);
    picks.down(2..3);
    assert_eq!(picks.seen(&[]), [3], "one of the two that may get work is up");
    picks.down(3..4);
    assert_eq!(picks.seen(&[]), [2, 3]);
}

#[test]
fn without_a_panic_threshold_nothing_that_is_down_is_used() {
    let mut picks = Picks::new(2, 0);
    picks.down(0..2);
    assert!(picks.seen(&[]).is_empty());
    assert!(Picks::new(0, 0).seen(&[]).is_empty());
    assert!(Picks::new(0, 100).seen(&[]).is_empty());
}

#[test]
fn a_pool_whose_endpoints_all_drain_gives_none_even_in_panic() {
    let mut picks = Picks::new(2, 100);
    picks.draining(0);
    picks.draining(1);
    assert!(picks.seen(&[]).is_empty());
}

fn two_tiers(pool: &mut bascule_contract::snapshot::Pool) {
    pool.endpoints[10..].iter_mut().for_each(|endpoint| endpoint.tier = 1);
}

#[test]
fn the_next_tier_gets_what_the_first_can_no_longer_carry() {
    let mut picks = Picks::with(20, two_tiers);
    assert_eq!(picks.shares([0..10, 10..20]), [1_000, 0]);
    picks.down(0..2);
    assert_eq!(picks.shares([0..10, 10..20]), [1_000, 0], "8 of 10 carry it with their spare capacity");
    picks.down(2..5);
    let [first, next] = picks.shares([0..10, 10..20]);
    assert!((650..750).contains(&first), "5 of 10 carry 70 %, not {first} and {next}");
    picks.down(5..10);
    assert_eq!(picks.shares([0..10, 10..20]), [0, 1_000]);
    picks.up(0..10);
    assert_eq!(picks.shares([0..10, 10..20]), [1_000, 0]);
}

#[test]
fn a_key_leaves_its_tier_once_and_returns() {
    let mut picks = Picks::with(20, two_tiers);
    let levels = |picks: &mut Picks| -> Vec<bool> {
        let key = |number: u64| Key(Random::seeded(number).next());
        let pool = &picks.table.pools[0];
        let mut is_first =
            |number| picks.picker.pick(pool, key(number), &[], &mut picks.random).unwrap().0 < 10;
        (0..500).map(&mut is_first).collect()
    };
    picks.down(0..4);
    let before = levels(&mut picks);
    assert_eq!(levels(&mut picks), before);
    picks.down(4..6);
    let after = levels(&mut picks);
    let came_back = before.iter().zip(&after).filter(|(before, after)| !**before && **after).count();
    assert_eq!(came_back, 0, "no key goes the other way");
    picks.up(4..6);
    assert_eq!(levels(&mut picks), before);
}

#[test]
fn tiers_that_carry_it_together_do_not_panic() {
    let mut picks = Picks::with(20, |pool| {
        two_tiers(pool);
        pool.panic_percent = 50;
    });
    picks.down(0..10);
    assert_eq!(picks.shares([0..10, 10..20]), [0, 1_000], "those that are down stay out");
    picks.down(10..18);
    assert_eq!(picks.seen(&[]), (10..20).collect::<Vec<_>>(), "the last level that works panics");
    picks.down(18..20);
    assert_eq!(picks.seen(&[]), (0..10).collect::<Vec<_>>(), "nothing works: the first is as good as any");
}

#[test]
fn what_failed_in_the_first_tier_may_go_to_the_next_but_what_finds_it_full_waits() {
    let mut picks = Picks::with(2, |pool| {
        pool.endpoints[1].tier = 1;
        pool.endpoints[0].limit = Some(2);
    });
    assert_eq!(picks.takes(5), [0, 0]);
    assert!(matches!(picks.take(&[]), Taken::Full));
    assert!(picks.picker.has_other(&picks.table.pools[0], &[], Slot(0)));
    assert!(matches!(picks.take(&[Slot(0)]), Taken::Endpoint(attempt) if attempt.slot == Slot(1)));
}

#[test]
fn the_own_zone_goes_first_until_it_is_full_or_failing() {
    let mut picks = Picks::with(6, |pool| {
        for (number, endpoint) in pool.endpoints.iter_mut().enumerate() {
            endpoint.zone = Some(if number < 2 { "near" } else { "far" }.into());
            endpoint.limit = Some(3);
        }
        pool.spread.zone = Some("near".into());
    });
    assert_eq!(picks.shares([0..2, 2..6]), [1_000, 0]);
    let taken = picks.takes(100);
    assert_eq!(taken.len(), 18, "all of both zones");
    assert!(taken[..6].iter().all(|slot| *slot < 2) && taken[6..].iter().all(|slot| *slot >= 2));
    picks.down(0..1);
    let [near, far] = picks.shares([0..2, 2..6]);
    assert!((650..750).contains(&near), "one of two carries 70 %, not {near} and {far}");
}

#[test]
fn a_part_of_a_pool_is_left_only_when_all_of_it_is_down() {
    let mut picks = Picks::with(40, |pool| {
        pool.spread.subset = Some(bascule_contract::snapshot::Subset { size: 4, balancer: 3 });
        pool.panic_percent = 50;
    });
    let part = picks.seen(&[]);
    assert_eq!(part.len(), 4);
    part[1..].iter().for_each(|slot| picks.down(*slot as usize..*slot as usize + 1));
    assert_eq!(picks.seen(&[]), part, "a panic keeps to the part");
    picks.down(part[0] as usize..part[0] as usize + 1);
    let rest: Vec<u32> = (0..40).filter(|slot| !part.contains(slot)).collect();
    assert_eq!(picks.seen(&[]), rest);
}
