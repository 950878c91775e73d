//! Which endpoint gets this try: the available ones of a pool, then its algorithm.

use std::sync::atomic::Ordering::Relaxed;

use crate::balance::{Algorithm, Candidates, Key, Slot};
use crate::endpoint::seen;
use crate::guard::Try;
use crate::guard::delays::Samples;
use crate::guard::ejection::Standing;
use crate::random::Random;
use crate::table::Pool;
use crate::time::Tick;

/// What a request asks of a pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// What must stay together; [`Key::NONE`] when nothing must.
    pub key: Key,
    /// Where it has been already.
    pub tried: &'a [Slot],
    /// Where its session is.
    pub stay: Option<Slot>,
    /// Wait for that endpoint rather than move while it is full.
    pub strict: bool,
    /// It may be sent twice: fit to see whether an endpoint that was ejected works again.
    pub repeatable: bool,
}

/// What a request gets.
#[derive(Clone, Copy, Debug)]
pub enum Taken {
    /// A try has begun there: it must be ended by [`Pool::end`].
    Endpoint(Try),
    /// Every endpoint that it could go to has as many requests as it may have.
    Full,
    /// There is no endpoint for it.
    Nothing,
}

/// Weights in force are in hundredths, so that an endpoint of weight 1 can begin with a tenth of it.
const WHOLE: u32 = 100;
/// What a slow start begins with.
const LEAST: u32 = 10;
/// Parts of a slow start after which weights are worked out anew.
const STEPS: u64 = 20;

/// Picks endpoints of one pool of one table, for one thread.
///
/// Which endpoints are available is worked out when a mark, an ejection or a slow start has changed
/// something, not per pick: a pick among a thousand endpoints costs little more than one among ten.
/// Only a pick that leaves out what was tried or is full, and the one after it, look at all of them.
/// Nothing is allocated by a pick.
pub struct Picker {
    algorithm: Box<dyn Algorithm>,
    /// The pool's version when `available` was worked out.
    version: u64,
    /// When it has to be worked out again whatever the version.
    until: Tick,
    /// The latest time that this picker was told.
    now: Tick,
    /// Ascending.
    available: Vec<Slot>,
    /// Those that were ejected and have to prove themselves.
    proving: Vec<Slot>,
    /// The available ones that have not been tried or are not full; used where that matters only.
    some: Vec<Slot>,
    /// In force, by slot, in hundredths.
    weights: Vec<u32>,
    edition: u64,
    /// `some` was offered last: the algorithm must be told when the whole set is back.
    was_partial: bool,
    samples: Samples,
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
            until: Tick(0),
            now: Tick(0),
            available: Vec::with_capacity(endpoints),
            proving: Vec::with_capacity(endpoints),
            some: Vec::with_capacity(endpoints),
            weights: vec![0; endpoints],
            // Editions of two pickers never matter to each other; a random start would hide it if they did.
            edition: random.next() >> 1,
            was_partial: false,
            samples: Samples::default(),
        };
        picker.refresh(pool, seen(&pool.state.version));
        picker
    }

    /// Begins a try at an endpoint of `pool` that suits the request and has room.
    ///
    /// `pool` must be the one this picker was made for.
    pub fn take(&mut self, pool: &Pool, ask: &Ask<'_>, now: Tick, random: &mut Random) -> Taken {
        self.now = now;
        self.follow(pool);
        if let Some(slot) =
            ask.stay.filter(|slot| pool.keeps_sessions(*slot, self.now) && !ask.tried.contains(slot))
        {
            match self.enter(pool, slot, pool.limit(slot)) {
                Some(begun) => return Taken::Endpoint(begun),
                None if ask.strict => return self.full(pool),
                None => {}
            }
        }
        if ask.repeatable
            && ask.tried.is_empty()
            && let Some(begun) = self.prove(pool)
        {
            return Taken::Endpoint(begun);
        }
        let Some(slot) = self.pick(pool, ask.key, ask.tried, random) else { return Taken::Nothing };
        if let Some(begun) = self.enter(pool, slot, pool.limit(slot)) {
            return Taken::Endpoint(begun);
        }
        self.take_with_room(pool, ask, random)
    }

    /// An endpoint of `pool` that is not in `tried`; `None` when there is no other that may be used. Takes nothing.
    pub fn pick(&mut self, pool: &Pool, key: Key, tried: &[Slot], random: &mut Random) -> Option<Slot> {
        self.follow(pool);
        let partial = !tried.is_empty();
        if partial {
            self.some.clear();
            self.some.extend(self.available.iter().filter(|slot| !tried.contains(slot)));
        }
        self.offer(pool, key, partial, random)
    }

    /// An answer came after this long: for what is usual and what is unusually long in this pool.
    pub fn learn(&mut self, pool: &Pool, took_us: u64, now: Tick) {
        self.samples.add(&pool.state.delays, took_us, now);
    }

    /// Whether there is another endpoint for a request that is at `here` and has been at `tried`.
    pub fn has_other(&mut self, pool: &Pool, tried: &[Slot], here: Slot) -> bool {
        self.follow(pool);
        self.available.iter().any(|slot| *slot != here && !tried.contains(slot))
    }

    fn take_with_room(&mut self, pool: &Pool, ask: &Ask<'_>, random: &mut Random) -> Taken {
        // Twice, because another thread may take the room that was seen.
        for _ in 0..2 {
            self.some.clear();
            self.some.extend(self.available.iter().filter(|slot| {
                pool.endpoints[slot.index()].state.in_flight() < pool.limit(**slot)
                    && !ask.tried.contains(slot)
            }));
            let Some(slot) = self.offer(pool, ask.key, true, random) else { break };
            if let Some(begun) = self.enter(pool, slot, pool.limit(slot)) {
                return Taken::Endpoint(begun);
            }
        }
        self.full(pool)
    }

    fn full(&self, pool: &Pool) -> Taken {
        pool.state.gate.note_full(pool, self.now);
        Taken::Full
    }

    fn offer(&mut self, pool: &Pool, key: Key, partial: bool, random: &mut Random) -> Option<Slot> {
        if partial || self.was_partial {
            self.edition += 1;
        }
        self.was_partial = partial;
        let slots = if partial { &self.some } else { &self.available };
        let among = Candidates::new(pool, slots, &self.weights, self.edition).at(self.now);
        self.algorithm.pick(&among, key, random)
    }

    fn enter(&self, pool: &Pool, slot: Slot, limit: u32) -> Option<Try> {
        let state = &pool.endpoints[slot.index()].state;
        let before = state.enter(limit)?;
        let order = state.picked.fetch_add(1, Relaxed) as u32;
        let begun = Try::begin(slot, self.now, before, order);
        state.pace.begin(&pool.state.fleet, &begun, self.now);
        Some(begun)
    }

    /// One request at a time goes to an endpoint that was ejected, to see whether it works again.
    fn prove(&self, pool: &Pool) -> Option<Try> {
        self.proving.iter().find_map(|slot| {
            let mut begun = self.enter(pool, *slot, 1)?;
            begun.proves = true;
            Some(begun)
        })
    }

    fn follow(&mut self, pool: &Pool) {
        let version = seen(&pool.state.version);
        if version != self.version || self.now >= self.until {
            self.refresh(pool, version);
        }
    }

    /// The endpoints worth trying: those that are up, unless too few are left.
    ///
    /// Below the panic threshold the checks are likelier to be wrong than the endpoints, and sending
    /// everything to the survivors would take them down too. Draining endpoints and those of weight 0
    /// stay out even then: that was somebody's decision, not an observation.
    fn refresh(&mut self, pool: &Pool, version: u64) {
        self.version = version;
        self.edition += 1;
        self.until = Tick(u64::MAX);
        self.available.clear();
        self.proving.clear();
        let mut wanted = 0_u64;
        for (slot, endpoint) in (0..).map(Slot).zip(&pool.endpoints) {
            let weight = endpoint.weight_now();
            self.weights[slot.index()] = self.weight_in_force(pool, slot);
            if weight == 0 || endpoint.is_draining() {
                continue;
            }
            wanted += 1;
            if !endpoint.is_up() {
                continue;
            }
            match endpoint.state.record.standing(self.now) {
                Standing::Good => self.available.push(slot),
                Standing::Proving => self.proving.push(slot),
                Standing::Ejected => {}
            }
            if let Some(at) = endpoint.state.record.changes_at(self.now) {
                self.until = self.until.min(at);
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

    /// The weight that was set, less while the endpoint starts slowly.
    fn weight_in_force(&mut self, pool: &Pool, slot: Slot) -> u32 {
        let endpoint = &pool.endpoints[slot.index()];
        let weight = endpoint.weight_now();
        let since = endpoint.state.record.since();
        let Some(window_us) = pool.protection.slow_start_ms.map(|ms| ms.saturating_mul(1000)) else {
            return weight * WHOLE;
        };
        let age = self.now.since(since);
        if since == Tick(0) || age >= window_us {
            return weight * WHOLE;
        }
        let next = self.now.0 + (window_us / STEPS).max(1_000);
        self.until = self.until.min(Tick(next));
        let percent = (age * u64::from(WHOLE) / window_us.max(1)) as u32;
        weight * percent.clamp(LEAST, WHOLE)
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
