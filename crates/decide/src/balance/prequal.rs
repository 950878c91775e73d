//! Prequal: probes say how busy and how fast a few endpoints are, and the best of those gets the request.
//!
//! Wydrowski et al., NSDI 2024 (arXiv 2312.10172), with the constants published there. Beyond the paper: an endpoint has
//! one reply in the pool, the latest; latencies of nearly the same length count as equal, so that noise starves nobody;
//! and where endpoints are not probed, what this balancer sees of them itself stands for replies.

mod faults;
mod options;
mod replies;
mod seen;
#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering::Relaxed;

use self::faults::Faults;
use self::options::Options;
use self::replies::{Replies, Reply};
use self::seen::Seen;
use super::{Algorithm, Candidates, Key, Random, Registration, Said, Slot, is_less_busy};
use crate::guard::pace::{Fleet, Pace};
use crate::time::Tick;

pub(super) const REGISTRATION: Registration = Registration {
    name: "prequal",
    summary: "Ask a few endpoints how busy they are, and use the fastest one that is not too busy.",
    advice: "For many balancers before the same endpoints: with a hundred of them its waits are 4 to 6 times shorter than those \
             of least_busy where endpoints are unequal or disturbed, because each balancer alone sees too little. Set probe to a \
             path at which endpoints say how busy they are, as a load report with rif and latency_ms; reports in ordinary \
             responses are used as well. Without either it goes by what this balancer sees itself. Prefer least_busy or fastest \
             where there is one balancer: it sees everything, and compares all endpoints rather than some. It ignores weights, \
             but a slow start counts.",
    follows_weights: false,
    options: options::schema,
    build: |pool, options| {
        let options = Options::read(options)?;
        pool.state.fleet.ask();
        let endpoints = pool.endpoints.len();
        Ok(Box::new(Prequal {
            seen: Seen::new(options.hot_percent),
            options,
            replies: Replies::default(),
            known: vec![Known::default(); endpoints],
            probes_owed: 0,
            removals_owed: 0,
            removes_oldest: false,
        }))
    },
};

/// Replies are this old at most.
const OLDEST_US: u64 = 1_000_000;
/// Each pick removes this many replies when three probes go with it, and in proportion.
const REMOVALS_PER_PROBES: (u64, u64) = (1, 3);
/// How much more replies come than go (the paper's δ).
const SURPLUS: f64 = 1.0;
/// However few endpoints there are, a reply is used no more often.
const MOST_USES: f64 = 8.0;
/// An endpoint that was slow and has had nothing for this long may be better now: it is not judged by what was.
const PROBATION_US: u64 = 250_000;
/// Doublings of what an endpoint takes per tier of slowness, as `fastest` has it.
const PER_TIER: f32 = 0.4375;
/// Latencies up to this many times the lowest count as equal.
const EQUAL: (u64, u64) = (5, 4);

struct Prequal {
    options: Options,
    replies: Replies,
    /// In-flight counts of the latest replies: whoever is above most of them is hot.
    seen: Seen,
    /// By slot.
    known: Vec<Known>,
    /// In hundredths.
    probes_owed: u64,
    removals_owed: u64,
    removes_oldest: bool,
}

/// What is known of an endpoint beside its reply.
#[derive(Clone, Copy, Default)]
struct Known {
    faults: Faults,
    /// What it has said last, and when.
    said: (Tick, Said),
}

/// What a request would take that finds so many others there, as far as this balancer has learned.
///
/// Prequal wants latencies at the present load: a mean over all loads would send everything to the endpoint that was
/// least busy a while ago. In simulation that made waits ten times longer than at random.
fn learned_us(pace: &Pace, in_flight: u32, fleet: &Fleet, now: Tick) -> Option<u64> {
    let is_avoided = pace.tier() > 0;
    if is_avoided && in_flight == 0 && now.since(pace.begun()) > PROBATION_US {
        return None;
    }
    let slowness = (PER_TIER * pace.tier() as f32).exp2();
    Some((pace.expected_us(in_flight as f32, fleet) * slowness) as u64)
}

impl Algorithm for Prequal {
    fn pick(&mut self, among: &Candidates<'_>, _key: Key, random: &mut Random) -> Option<Slot> {
        if among.is_empty() {
            return None;
        }
        among.pool().state.fleet.refresh(among.pool(), among.now());
        self.replies.expire(among.now(), OLDEST_US);
        self.probes_owed += self.options.probes_percent;
        if self.options.probe.is_none() {
            for _ in 0..self.whole_probes() {
                let slot = among.slot(random.below(among.len()));
                self.note(slot, None, among, random);
            }
        }
        let Some(best) = self.find_best(among, random) else { return Self::pick_blindly(among, random) };
        let slot = self.replies.use_one(best, self.uses(among, random));
        self.remove(among);
        Some(slot)
    }

    fn probe_path(&self) -> Option<&str> {
        self.options.probe.as_deref()
    }

    fn reads_reports(&self) -> bool {
        true
    }

    fn wants_probes(&mut self, among: &Candidates<'_>, random: &mut Random, wanted: &mut Vec<Slot>) {
        if self.options.probe.is_none() || among.is_empty() {
            return;
        }
        for _ in 0..self.whole_probes() {
            let slot = among.slot(random.below(among.len()));
            if !wanted.contains(&slot) {
                wanted.push(slot);
            }
        }
    }

    fn hear(&mut self, among: &Candidates<'_>, slot: Slot, said: &Said, random: &mut Random) {
        self.known[slot.index()].said = (among.now(), *said);
        if self.options.probe.is_some() {
            self.note(slot, Some(*said), among, random);
        }
    }
}

impl Prequal {
    fn whole_probes(&mut self) -> u64 {
        let whole = self.probes_owed / 100;
        self.probes_owed %= 100;
        whole
    }

    /// Puts a reply into the pool: what the endpoint says, said a moment ago, or what this balancer sees of it.
    fn note(&mut self, slot: Slot, said: Option<Said>, among: &Candidates<'_>, random: &mut Random) {
        let state = among.state(slot);
        let known = &mut self.known[slot.index()];
        known.faults.look(state.record.failures.load(Relaxed), state.picked.load(Relaxed));
        // An endpoint that starts slowly is found less often.
        let full = among.full_weight(slot);
        if among.weight(slot) < full && random.below(full as usize) as u32 >= among.weight(slot) {
            return;
        }
        let (at, earlier) = known.said;
        let is_recent = at > Tick(0) && among.now().since(at) <= OLDEST_US;
        let said = said.or(is_recent.then_some(earlier)).unwrap_or_default();
        let in_flight = said.in_flight.unwrap_or_else(|| among.in_flight(slot));
        let learned = || learned_us(&state.pace, in_flight, &among.pool().state.fleet, among.now());
        let latency_us = said.latency_us.or_else(learned);
        self.seen.add(in_flight);
        let reply = Reply { slot, in_flight, latency_us, at: among.now(), uses: 0 };
        self.replies.put(reply, among.len());
    }

    /// The position of the best reply: of the cold ones the fastest, or the least busy when all are hot.
    fn find_best(&self, among: &Candidates<'_>, random: &mut Random) -> Option<usize> {
        let hot_above = self.seen.threshold();
        let usable = || self.replies.all().filter(|(_, reply)| among.contains(reply.slot));
        if usable().count() < 2.min(among.len()) {
            return None;
        }
        let is_cold = |reply: &Reply| !self.is_hot(reply, hot_above);
        let cold = || usable().filter(|(_, reply)| is_cold(reply));
        let fastest = cold().filter_map(|(_, reply)| self.latency(reply)).min();
        let within = |reply: &Reply| match (self.latency(reply), fastest) {
            (Some(latency), Some(fastest)) => latency * EQUAL.1 <= fastest * EQUAL.0,
            _ => true,
        };
        self.least_busy(cold().filter(|(_, reply)| within(reply)), random)
            .or_else(|| self.least_busy(usable(), random))
    }

    fn is_hot(&self, reply: &Reply, above: u32) -> bool {
        reply.in_flight > above || self.known[reply.slot.index()].faults.is_bad()
    }

    /// What a request takes there, as far as known, and more where requests fail.
    fn latency(&self, reply: &Reply) -> Option<u64> {
        reply.latency_us.map(|us| self.known[reply.slot.index()].faults.raise(us))
    }

    /// Of equally busy ones any.
    fn least_busy<'a>(
        &self,
        replies: impl Iterator<Item = (usize, &'a Reply)>,
        random: &mut Random,
    ) -> Option<usize> {
        let mut best: Option<(u64, usize)> = None;
        let mut equal = 1;
        for (at, reply) in replies {
            let busy = self.known[reply.slot.index()].faults.raise(u64::from(reply.in_flight) + 1);
            match best {
                Some((least, _)) if busy > least => continue,
                Some((least, _)) if busy == least => {
                    equal += 1;
                    if random.below(equal) > 0 {
                        continue;
                    }
                }
                _ => equal = 1,
            }
            best = Some((busy, at));
        }
        best.map(|(_, at)| at)
    }

    /// Nothing is known. The paper takes one at random; of two, the one that has less to do here costs no more.
    fn pick_blindly(among: &Candidates<'_>, random: &mut Random) -> Option<Slot> {
        let (one, other) = random.pair(among.len())?;
        let (one, other) = (among.slot(one), among.slot(other));
        let load = |slot| (among.in_flight(slot), among.weight(slot));
        Some(if is_less_busy(load(other), load(one)) { other } else { one })
    }

    /// How often a reply may be used: as often as it takes for replies to last until new ones come.
    fn uses(&self, among: &Candidates<'_>, random: &mut Random) -> u32 {
        let probes = self.options.probes_percent as f64 / 100.0;
        let removals = probes * REMOVALS_PER_PROBES.0 as f64 / REMOVALS_PER_PROBES.1 as f64;
        let fresh = (1.0 - replies::MOST as f64 / among.len() as f64).max(0.0) * probes;
        let left = fresh - removals;
        let uses = if left > 0.0 { ((1.0 + SURPLUS) / left).clamp(1.0, MOST_USES) } else { MOST_USES };
        let (whole, part) = (uses.floor(), uses.fract());
        whole as u32 + u32::from((random.below(1_000) as f64) < part * 1_000.0)
    }

    /// Old replies and bad ones leave in turns: the old say little, and the bad would be all that is left.
    fn remove(&mut self, among: &Candidates<'_>) {
        self.removals_owed += self.options.probes_percent * REMOVALS_PER_PROBES.0 / REMOVALS_PER_PROBES.1;
        while self.removals_owed >= 100 {
            self.removals_owed -= 100;
            // Of few endpoints all may be known at a time, and of none less is known than of the others.
            if among.len() <= replies::MOST || self.replies.len() <= 2 {
                continue;
            }
            self.removes_oldest = !self.removes_oldest;
            let hot_above = self.seen.threshold();
            let hot = |reply: &Reply| self.is_hot(reply, hot_above).then_some(reply.in_flight);
            let gone = if self.removes_oldest {
                self.replies.all().min_by_key(|(_, reply)| reply.at)
            } else {
                // Any hot one is worse than any cold one.
                self.replies.all().max_by_key(|(_, reply)| (hot(reply), self.latency(reply)))
            };
            if let Some((at, _)) = gone {
                self.replies.remove(at);
            }
        }
    }
}
