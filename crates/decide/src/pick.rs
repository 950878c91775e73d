//! Which endpoint gets this try: the available ones of a pool, then its algorithm.

use crate::balance::{Algorithm, Candidates, Key, Slot};
use crate::endpoint::seen;
use crate::random::Random;
use crate::table::Pool;

/// Picks endpoints of one pool of one table, for one thread.
///
/// Which endpoints are available is worked out when a mark has changed something, not per pick: a
/// pick among a thousand endpoints costs little more than one among ten. Only a pick that leaves out
/// what was tried, and the one after it, look at all of them. Nothing is allocated by a pick.
pub struct Picker {
    algorithm: Box<dyn Algorithm>,
    /// The pool's version when `available` was worked out.
    version: u64,
    /// Ascending.
    available: Vec<Slot>,
    /// The available ones that have not been tried; used for retries only.
    untried: Vec<Slot>,
    /// In force, by slot.
    weights: Vec<u32>,
    edition: u64,
    /// `untried` was offered last: the algorithm must be told when the whole set is back.
    was_partial: bool,
}

impl Picker {
    /// A picker for `pool`. The algorithm's state begins anew; the random numbers may decide where.
    ///
    /// # Panics
    /// When the pool's algorithm cannot be built. [`crate::table::Table::compile`] has proved that it can.
    pub fn new(pool: &Pool, random: &mut Random) -> Self {
        let endpoints = pool.endpoints.len();
        let mut picker = Self {
            algorithm: pool.algorithm.build(pool).expect("the table was compiled with this algorithm"),
            version: 0,
            available: Vec::with_capacity(endpoints),
            untried: Vec::with_capacity(endpoints),
            weights: vec![0; endpoints],
            // Editions of two pickers never matter to each other; a random start would hide it if they did.
            edition: random.next() >> 1,
            was_partial: false,
        };
        picker.refresh(pool, seen(&pool.version));
        picker
    }

    /// An endpoint of `pool` that is not in `tried`; `None` when there is no other that may be used.
    ///
    /// `pool` must be the one this picker was made for. Whoever uses the endpoint counts it in its
    /// `in_flight` and `picked`.
    pub fn pick(&mut self, pool: &Pool, key: Key, tried: &[Slot], random: &mut Random) -> Option<Slot> {
        let version = seen(&pool.version);
        if version != self.version {
            self.refresh(pool, version);
        }
        let partial = !tried.is_empty();
        if partial {
            self.untried.clear();
            self.untried.extend(self.available.iter().filter(|slot| !tried.contains(slot)));
        }
        if partial || self.was_partial {
            self.edition += 1;
        }
        self.was_partial = partial;
        let slots = if partial { &self.untried } else { &self.available };
        let among = Candidates::new(&pool.endpoints, slots, &self.weights, self.edition);
        self.algorithm.pick(&among, key, random)
    }

    /// The endpoints worth trying: those that are up, unless too few are left.
    ///
    /// Below the panic threshold the checks are likelier to be wrong than the endpoints, and sending
    /// everything to the survivors would take them down too. Draining endpoints and those of weight 0
    /// stay out even then: that was somebody's decision, not an observation.
    fn refresh(&mut self, pool: &Pool, version: u64) {
        self.version = version;
        self.edition += 1;
        self.available.clear();
        let mut wanted = 0_u64;
        for (slot, endpoint) in (0..).map(Slot).zip(&pool.endpoints) {
            let weight = endpoint.weight_now();
            self.weights[slot.index()] = weight;
            if weight > 0 && !endpoint.is_draining() {
                wanted += 1;
                if endpoint.is_up() {
                    self.available.push(slot);
                }
            }
        }
        if (self.available.len() as u64) * 100 < u64::from(pool.panic_percent) * wanted {
            self.available.clear();
            let all = (0..).map(Slot).zip(&pool.endpoints);
            let wanted =
                all.filter(|(slot, endpoint)| self.weights[slot.index()] > 0 && !endpoint.is_draining());
            self.available.extend(wanted.map(|(slot, _)| slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bascule_contract::mark::Mark;

    use super::Picker;
    use crate::balance::{Key, Slot};
    use crate::endpoint::States;
    use crate::random::Random;
    use crate::samples::{mark, pool, snapshot};
    use crate::table::Table;

    struct Picks {
        states: States,
        table: Table,
        picker: Picker,
        random: Random,
    }

    impl Picks {
        fn new(endpoints: usize, panic_percent: u32) -> Self {
            let mut states = States::new();
            let mut pool = pool("p", "random", &vec![1; endpoints]);
            pool.panic_percent = panic_percent;
            let table = Table::compile(&snapshot(vec![], vec![pool]), &mut states).unwrap();
            let mut random = Random::seeded(1);
            let picker = Picker::new(&table.pools[0], &mut random);
            Self { states, table, picker, random }
        }

        fn down(&mut self, endpoints: std::ops::Range<usize>) {
            endpoints.for_each(|it| self.states.mark(&[Mark { up: Some(false), ..mark("p", it) }]));
        }

        fn draining(&mut self, endpoint: usize) {
            self.states.mark(&[Mark { draining: Some(true), ..mark("p", endpoint) }]);
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
}
