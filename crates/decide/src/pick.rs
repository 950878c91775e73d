//! Which endpoint gets this try: the available ones of a pool, then its algorithm.

mod level;

use std::sync::atomic::Ordering::Relaxed;

use crate::balance::{Key, Said, Slot};
use crate::endpoint::seen;
use crate::guard::Try;
use crate::guard::delays::Samples;
use crate::load_report::Report;
use crate::pick::level::{Level, View};
use crate::random::Random;
use crate::reach::{self, Health};
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
/// Shares of levels are in thousandths.
const ALL: u32 = 1_000;

/// Picks endpoints of one pool of one table, for one thread.
///
/// Which endpoints are available is worked out when a mark, an ejection or a slow start has changed
/// something, not per pick: a pick among a thousand endpoints costs little more than one among ten.
/// Only a pick that leaves out what was tried or is full, and the one after it, look at all of them.
/// Nothing is allocated by a pick.
pub struct Picker {
    /// By tier and zone; most pools have one.
    levels: Vec<Level>,
    /// The running sums of the levels' shares of the traffic, in thousandths.
    ends: Vec<u32>,
    health: Vec<Health>,
    /// The pool's version when all this was worked out.
    version: u64,
    /// When it has to be worked out again whatever the version.
    until: Tick,
    /// The latest time that this picker was told.
    now: Tick,
    /// Those that were ejected and have to prove themselves.
    proving: Vec<Slot>,
    /// The available ones that have not been tried or are not full; used where that matters only.
    some: Vec<Slot>,
    /// In force, by slot, in hundredths.
    weights: Vec<u32>,
    samples: Samples,
}

impl Picker {
    /// A picker for `pool`. The algorithm's state begins anew; the random numbers may decide where.
    ///
    /// # Panics
    /// When the pool's algorithm cannot be built. [`crate::table::Table::compile`] has proved that it can.
    pub fn new(pool: &Pool, random: &mut Random) -> Self {
        let endpoints = pool.endpoints.len();
        // Editions of two pickers never matter to each other; a random start would hide it if they did.
        let edition = random.next() >> 1;
        let levels: Vec<_> =
            reach::levels(pool).into_iter().map(|level| Level::new(pool, level, edition)).collect();
        let mut picker = Self {
            ends: Vec::with_capacity(levels.len()),
            health: vec![Health::default(); levels.len()],
            levels,
            version: 0,
            until: Tick(0),
            now: Tick(0),
            proving: Vec::with_capacity(endpoints),
            some: Vec::with_capacity(endpoints),
            weights: vec![0; endpoints],
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
        let first = self.first_level(ask.key, random);
        let Some(slot) = self.pick_from(first, pool, ask, random) else { return Taken::Nothing };
        if let Some(begun) = self.enter(pool, slot, pool.limit(slot)) {
            return Taken::Endpoint(begun);
        }
        self.take_with_room(first, pool, ask, random)
    }

    /// An endpoint of `pool` that is not in `tried`; `None` when there is no other that may be used. Takes nothing.
    pub fn pick(&mut self, pool: &Pool, key: Key, tried: &[Slot], random: &mut Random) -> Option<Slot> {
        self.follow(pool);
        let first = self.first_level(key, random);
        self.pick_from(first, pool, &Ask { key, tried, ..Ask::default() }, random)
    }

    /// An answer came after this long: for what is usual and what is unusually long in this pool.
    pub fn learn(&mut self, pool: &Pool, took_us: u64, now: Tick) {
        self.samples.add(&pool.state.delays, took_us, now);
    }

    /// Adds the endpoints that the algorithm wants to hear from to `wanted`: they are to be asked at
    /// [`Pool::probe_path`], and their answers handed to [`Picker::hear`]. To be called after each try was begun.
    pub fn wants_probes(&mut self, pool: &Pool, random: &mut Random, wanted: &mut Vec<Slot>) {
        if pool.probe_path.is_some() {
            let view = View { pool, weights: &self.weights, now: self.now };
            self.levels.iter_mut().for_each(|level| level.wants_probes(view, random, wanted));
        }
    }

    /// An endpoint has said how loaded it is, beside a response or asked.
    pub fn hear(&mut self, pool: &Pool, slot: Slot, report: &Report, now: Tick, random: &mut Random) {
        self.now = now;
        pool.take_report(slot, report, now);
        let said = Said { in_flight: report.in_flight, latency_us: report.latency_us };
        if said != Said::default() {
            let view = View { pool, weights: &self.weights, now };
            self.levels.iter_mut().for_each(|level| level.hear(view, slot, &said, random));
        }
    }

    /// Whether there is another endpoint for a request that is at `here` and has been at `tried`.
    pub fn has_other(&mut self, pool: &Pool, tried: &[Slot], here: Slot) -> bool {
        self.follow(pool);
        let mut available = self.levels.iter().flat_map(|level| &level.available);
        available.any(|slot| *slot != here && !tried.contains(slot))
    }

    /// The level that a request begins with: each as often as its share says, and a key always with the same one
    /// while shares are what they are.
    fn first_level(&self, key: Key, random: &mut Random) -> usize {
        if self.levels.len() == 1 {
            return 0;
        }
        let point = match key {
            Key::NONE => random.below(ALL as usize),
            Key(key) => Random::seeded(key).below(ALL as usize),
        };
        // Nothing is healthy: any level that has candidates in a panic will do, in their order.
        self.ends.iter().position(|end| point < *end as usize).unwrap_or(0)
    }

    /// From the first level, or from another one when it has nothing for this request.
    fn pick_from(&mut self, first: usize, pool: &Pool, ask: &Ask<'_>, random: &mut Random) -> Option<Slot> {
        let others = (0..self.levels.len()).filter(|level| *level != first);
        for level in std::iter::once(first).chain(others) {
            let view = View { pool, weights: &self.weights, now: self.now };
            let level = &mut self.levels[level];
            let picked = if ask.tried.is_empty() {
                level.pick(view, ask.key, random)
            } else {
                self.some.clear();
                self.some.extend(level.available.iter().filter(|slot| !ask.tried.contains(slot)));
                level.pick_of(&self.some, view, ask.key, random)
            };
            if picked.is_some() {
                return picked;
            }
        }
        None
    }

    fn take_with_room(&mut self, first: usize, pool: &Pool, ask: &Ask<'_>, random: &mut Random) -> Taken {
        let others = (0..self.levels.len()).filter(|level| *level != first);
        for at in std::iter::once(first).chain(others) {
            if !self.may_overflow(first, at) {
                continue;
            }
            // Twice, because another thread may take the room that was seen.
            for _ in 0..2 {
                let view = View { pool, weights: &self.weights, now: self.now };
                let level = &mut self.levels[at];
                self.some.clear();
                self.some.extend(level.available.iter().filter(|slot| {
                    pool.endpoints[slot.index()].state.in_flight() < pool.limit(**slot)
                        && !ask.tried.contains(slot)
                }));
                let Some(slot) = level.pick_of(&self.some, view, ask.key, random) else { break };
                if let Some(begun) = self.enter(pool, slot, pool.limit(slot)) {
                    return Taken::Endpoint(begun);
                }
            }
        }
        self.full(pool)
    }

    /// Whether what finds no room in level `from` may go to level `to`: other zones of the tier, and whoever has a
    /// share now. A tier that is full and healthy does not overflow: its requests wait.
    fn may_overflow(&self, from: usize, to: usize) -> bool {
        let begin = to.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.levels[from].tier() == self.levels[to].tier() || self.ends[to] > begin
    }

    fn full(&self, pool: &Pool) -> Taken {
        pool.state.gate.look_again(pool, self.now);
        Taken::Full
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
    /// everything to the survivors would take them down too. Levels that can carry everything between
    /// them do not panic.
    fn refresh(&mut self, pool: &Pool, version: u64) {
        self.version = version;
        self.until = Tick(u64::MAX);
        self.proving.clear();
        if pool.load_reports {
            self.until = pool.weigh_loads(self.now);
        }
        for slot in (0..).map(Slot).take(pool.endpoints.len()) {
            self.weights[slot.index()] = self.weight_in_force(pool, slot);
            if let Some(at) = pool.endpoints[slot.index()].state.record.changes_at(self.now) {
                self.until = self.until.min(at);
            }
        }
        let view = View { pool, weights: &self.weights, now: self.now };
        for (level, health) in self.levels.iter_mut().zip(&mut self.health) {
            *health = level.refresh(view, &mut self.proving);
        }
        let suffices = reach::share_out(&self.health, &mut self.ends);
        let alone = self.levels.len() == 1;
        for level in &mut self.levels {
            if alone || !suffices {
                level.panic_below(pool.panic_percent, pool);
            }
            level.settle(&self.weights);
        }
    }

    /// The weight that was set, less while the endpoint starts slowly, and by the load that it reports.
    fn weight_in_force(&mut self, pool: &Pool, slot: Slot) -> u32 {
        let endpoint = &pool.endpoints[slot.index()];
        let weight = endpoint.weight_now() * self.begun_percent(pool, slot);
        // What goes by a key would move with every report.
        if !pool.load_reports || pool.key_by.is_some() {
            return weight;
        }
        let percent = endpoint.state.load.percent(self.now);
        (u64::from(weight) * u64::from(percent) / u64::from(WHOLE)) as u32
    }

    /// How much of its weight an endpoint has that is new or back, in percent.
    fn begun_percent(&mut self, pool: &Pool, slot: Slot) -> u32 {
        let since = pool.endpoints[slot.index()].state.record.since();
        let Some(window_us) = pool.protection.slow_start_ms.map(|ms| ms.saturating_mul(1000)) else {
            return WHOLE;
        };
        let age = self.now.since(since);
        if since == Tick(0) || age >= window_us {
            return WHOLE;
        }
        let next = self.now.0 + (window_us / STEPS).max(1_000);
        self.until = self.until.min(Tick(next));
        let percent = (age * u64::from(WHOLE) / window_us.max(1)) as u32;
        percent.clamp(LEAST, WHOLE)
    }
}

#[cfg(test)]
mod tests {
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
            endpoints.for_each(|it| self.states.mark(&[Mark { up: Some(false), ..mark("p", it) }]));
        }

        fn draining(&mut self, endpoint: usize) {
            self.states.mark(&[Mark { draining: Some(true), ..mark("p", endpoint) }]);
        }

        fn up(&mut self, endpoints: std::ops::Range<usize>) {
            endpoints.for_each(|it| self.states.mark(&[Mark { up: Some(true), ..mark("p", it) }]));
        }

        /// How many of 1,000 picks go to each of these ranges of endpoints.
        fn shares<const N: usize>(&mut self, ranges: [std::ops::Range<u32>; N]) -> [usize; N] {
            let mut counts = [0; N];
            for _ in 0..1_000 {
                let picked =
                    self.picker.pick(&self.table.pools[0], Key::NONE, &[], &mut self.random).unwrap();
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
        assert_eq!(
            picks.seen(&[]),
            (0..10).collect::<Vec<_>>(),
            "nothing works: the first is as good as any"
        );
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
}
