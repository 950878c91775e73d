//! Which endpoint gets this try: the available ones of a pool, then its algorithm.

mod explain;
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
    /// It may be sent twice: fit at once to see whether an endpoint that was ejected works again.
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
        if ask.tried.is_empty()
            && let Some(begun) = self.prove(pool, ask.repeatable)
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

    /// One request at a time goes to an endpoint that was ejected, to see whether it works again: one that may be sent
    /// twice, if such come.
    fn prove(&self, pool: &Pool, repeatable: bool) -> Option<Try> {
        self.proving.iter().find_map(|slot| {
            let record = &pool.endpoints[slot.index()].state.record;
            if (!repeatable && !record.takes_any_proof(self.now)) || !record.begins_proof() {
                return None;
            }
            let Some(mut begun) = self.enter(pool, *slot, pool.limit(*slot)) else {
                record.ends_proof();
                return None;
            };
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
mod tests;
