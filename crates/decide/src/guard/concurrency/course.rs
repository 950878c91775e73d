//! The course of an overload: suspected, put to the test, limited, tested again, over.

use std::sync::atomic::Ordering::Relaxed;

use super::level::Level;
use super::trial::{Before, FAIRLY_SURE, Part, Question, SURE, Side, Trial, Verdict};
use super::windows::Report;
use super::{Flow, LEAST, MARGIN, Place, SLOWEST, Seen, Stage};
use crate::table::{Endpoint, Pool};
use crate::time::Tick;

/// It is overload only when more requests queue at the endpoints than chance brings together now and then, …
const MANY: f64 = 40.0;
/// … or when they queue longer than they might in the pool's line; this long where there is none.
const PATIENCE_US: f64 = 100_000.0;
/// Not more often than this is it seen whether a trial would show anything.
const PAUSE_US: u64 = 10_000;
/// An endpoint takes part in a trial when it has so many times what it would be limited to.
const BINDING: f64 = 1.25;
/// Those who would take part must have this share of the pool's requests.
const CONCERNED: f64 = 0.3;
/// Those who are not limited take over a little of what the others do not get; the rest waits until the trial is over.
const OTHERS: f64 = 1.2;
/// In a trial that takes so many times the longest wait, the others get so many times what they had.
const SPARES: f64 = 2.0;
const SPARED: f64 = 2.0;
/// No trial cuts down to less than this part.
const DEEPEST: f64 = 1.0 / 3.0;
/// Overload is over when, averaged over so long, requests wait for less than this share of the time.
const OVER_US: f64 = 200_000.0;
const OVER: f64 = 0.1;
/// Limits are cut on trial when requests have waited for so long without a break, and raised sooner.
const STEADY_US: u64 = 1_000_000;
/// When the first test comes after the gate has opened, and how long it is between two.
const FIRST_US: u64 = 300_000;
const BETWEEN_US: u64 = 2_000_000;
/// How long it is to the next one when nothing came of a suspicion.
const AGAIN_US: u64 = 100_000;
/// By how much limits are raised on trial, by how much when the last raise was right, and cut.
const RAISE: f64 = 1.5;
const RAISE_AGAIN: f64 = 2.0;
const CUT: f64 = 0.4;
/// What they become when the cut changes nothing.
const LOWER: f64 = MARGIN * CUT;

/// What a pool's overload has come to.
#[derive(Debug, Default)]
pub(super) struct Course {
    level: Level,
    /// Of the latest trial.
    number: u32,
    trial: Option<(Kind, Trial)>,
    /// When there may be the next one.
    next: Tick,
    /// What is taken for usual may be too much.
    doubtful: bool,
    /// Suspicions in a row of which nothing came.
    in_vain: u32,
    /// Limits that are higher have been shown to change nothing.
    is_enough: bool,
    /// The last raise was right.
    raised: bool,
    /// Share of the time in which requests wait, since when without a break, and when that was seen.
    waiting: f64,
    waiting_since: Option<Tick>,
    seen_at: Tick,
    /// When a trial takes long.
    spares_at: Tick,
}

/// What a trial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Whether there is overload at all: half of the endpoints get their limits.
    Opening,
    /// Whether limits are too low.
    Raise,
    /// Whether they are too high.
    Cut,
}

impl Course {
    /// Takes over what was told. True when there may be more room now.
    pub(super) fn follow(&mut self, pool: &Pool, report: &Report, part: Option<&Part>, now: Tick) -> bool {
        self.level.add(report, now);
        pool.state.gate.usual_us.store(self.level.usual_us as u64, Relaxed);
        let waits = self.watch(pool, now);
        if let Some((kind, trial)) = &mut self.trial {
            let verdict = match part {
                // Where nobody waits, it is not the limits that say how much endpoints get.
                Some(part) if waits || *kind == Kind::Opening => trial.count(part, now),
                _ => trial.in_the_end(now),
            };
            let kind = *kind;
            if let Some(verdict) = verdict {
                return self.conclude(pool, kind, verdict, now);
            }
            return waits && self.spare(pool, kind, now);
        }
        let (stage, _) = pool.state.gate.stage();
        if stage == Stage::Open {
            return self.tend(pool, now);
        }
        if self.level.is_high(now) && now >= self.next {
            self.next = Tick(now.0 + PAUSE_US);
            self.suspect(pool, now);
        }
        false
    }

    /// Ends what takes too long, even when nothing is answered. True when there may be more room now.
    pub(super) fn expire(&mut self, pool: &Pool, now: Tick) -> bool {
        self.watch(pool, now);
        match self.trial {
            Some((kind, trial)) if trial.is_over(now) => self.conclude(pool, kind, Verdict::Unclear, now),
            None if pool.state.gate.is_open() => self.tend(pool, now),
            _ => false,
        }
    }

    /// Nothing is learned any more: nothing is enforced.
    pub(super) fn stop(&mut self, pool: &Pool) {
        self.trial = None;
        self.count_on();
        pool.state.gate.enter(Stage::Closed, self.number);
    }

    /// Whether requests wait now.
    fn watch(&mut self, pool: &Pool, now: Tick) -> bool {
        let waits = pool.state.waiting.count() > 0;
        let weight = 1.0 - (-(now.since(self.seen_at) as f64) / OVER_US).exp();
        self.waiting += weight * (f64::from(u8::from(waits)) - self.waiting);
        self.seen_at = now;
        self.waiting_since = if waits { self.waiting_since.or(Some(now)) } else { None };
        waits
    }

    /// While limits are enforced: whether they still have to be, and whether they are right.
    fn tend(&mut self, pool: &Pool, now: Tick) -> bool {
        if self.waiting < OVER {
            pool.state.gate.enter(Stage::Closed, self.number);
            self.level.calm_down();
            self.next = now;
            return true;
        }
        let kind = if self.doubtful && self.is_enough { Kind::Cut } else { Kind::Raise };
        let steady = self.waiting_since.is_some_and(|since| now.since(since) >= kind.steady_us());
        if now < self.next || !steady {
            return false;
        }
        self.begin(pool, kind, now)
    }

    /// Begins the trial that shows whether there is overload, if enough endpoints have more than they would be limited to.
    fn suspect(&mut self, pool: &Pool, now: Tick) {
        let (mut all, mut binding, mut queued) = (0.0, 0.0, 0.0);
        for endpoint in learners(pool) {
            let depth = f64::from(endpoint.state.in_flight());
            all += depth;
            let limit = endpoint.state.flow.seen.wait(|seen| target(pool, seen, 0.0, now));
            let Some(limit) = limit.map(f64::from) else { continue };
            queued += (depth - limit / MARGIN).max(0.0);
            if depth >= BINDING * limit {
                binding += depth;
            }
        }
        let patience_us = pool.terms().map_or(PATIENCE_US, |terms| terms.longest_us as f64);
        if self.level.is_streaming(all) {
            return;
        }
        let too_long = self.level.now_us - self.level.usual_us >= patience_us;
        if binding > 0.0 && binding >= CONCERNED * all && (queued >= MANY || too_long) {
            if self.level.is_flooded(all, now) {
                self.count_on();
                self.open(pool, now);
            } else if pool.endpoints.len() > 1 || !self.level.is_sudden(now) {
                self.begin(pool, Kind::Opening, now);
            }
        }
    }

    /// Divides the endpoints, sets their limits, and makes these valid.
    fn begin(&mut self, pool: &Pool, kind: Kind, now: Tick) -> bool {
        self.count_on();
        // When it is not the traffic that has grown, nothing is to be lost by not being limited, but perhaps much by being so.
        let spares = kind == Kind::Opening && self.level.is_slower(now);
        let mut before = [Before::default(); 2];
        let alone = pool.endpoints.len() == 1;
        let mut all = 0.0;
        for endpoint in learners(pool) {
            let flow = &endpoint.state.flow;
            let depth = f64::from(endpoint.state.in_flight());
            all += depth;
            let side = if before[0].rate <= before[1].rate { Side::Treated } else { Side::Control };
            let limit = flow.seen.wait(|seen| {
                let (mut limits, takes_part) = kind.limits(pool, (seen, flow), depth, self.raise(), now)?;
                if spares {
                    limits[Side::Control as usize] = u32::MAX;
                }
                if takes_part {
                    let usual_us = seen.windows.known().hold_us;
                    // One whose requests were more than its limit when that was set gets fewer by itself.
                    let unit = if kind == Kind::Opening { depth } else { f64::from(limits[1]) };
                    let units = if alone { (1.0, 1.0) } else { (unit.max(1.0), usual_us) };
                    seen.place = Some(Place { number: self.number, side, before: depth, units });
                    before[side as usize].add(&seen.windows.recent(now));
                }
                Some(limits[side as usize])
            });
            flow.set_trial(self.number, limit.unwrap_or(0));
        }
        if before[0].rate == 0.0 {
            // There is nothing to try. Limits that are as low as they may be are not too high.
            return kind != Kind::Opening && self.conclude(pool, kind, Verdict::Unclear, now);
        }
        if spares && before[1].rate == 0.0 {
            // There is nobody who could take over what the only one does not get.
            return self.conclude(pool, kind, Verdict::Working, now);
        }
        let lasting_us = self.level.lasting_us(all);
        if alone {
            // What has been answered lately may have come before there were so many.
            before[0].took_us = before[0].took_us.max(all / before[0].rate);
        }
        let patience_us = pool.terms().map_or(PATIENCE_US, |terms| terms.longest_us as f64);
        self.spares_at = Tick(now.0 + (SPARES * patience_us) as u64);
        self.trial = Some((kind, Trial::begin(now, lasting_us, kind.question(spares), before)));
        let stage = if kind == Kind::Opening { Stage::Suspected } else { Stage::Open };
        pool.state.gate.enter(stage, self.number);
        kind == Kind::Raise
    }

    /// True when there may be more room now.
    fn conclude(&mut self, pool: &Pool, kind: Kind, verdict: Verdict, now: Tick) -> bool {
        self.trial = None;
        self.next = Tick(now.0 + BETWEEN_US);
        self.count_on();
        let gate = &pool.state.gate;
        match (kind, verdict) {
            (Kind::Opening, Verdict::Queueing) => {
                self.open(pool, now);
                return true;
            }
            (Kind::Opening, _) => {
                self.acquit(pool, verdict, now);
                return true;
            }
            (Kind::Raise, Verdict::Working) => {
                scale(pool, self.raise());
                (self.doubtful, self.is_enough, self.raised) = (true, false, true);
                self.next = now;
            }
            (Kind::Cut, Verdict::Queueing) => {
                scale(pool, LOWER);
                self.next = now;
            }
            (Kind::Cut, _) => self.doubtful = false,
            (Kind::Raise, _) => {
                (self.is_enough, self.raised) = (true, false);
                if self.doubtful {
                    self.next = now;
                }
            }
        }
        gate.enter(Stage::Open, self.number);
        true
    }

    /// It is no overload, or cannot be shown to be.
    fn acquit(&mut self, pool: &Pool, verdict: Verdict, now: Tick) {
        if verdict == Verdict::Working {
            self.in_vain = 0;
            // Alone, it has been the one that was limited: what it has answered since says too little.
            let all = pool.endpoints.iter().map(|it| f64::from(it.state.in_flight())).sum();
            let now_us =
                if pool.endpoints.len() == 1 { self.level.lasting_us(all) } else { self.level.now_us };
            scale(pool, (now_us / self.level.usual_us.max(1.0)).max(1.0));
            self.level.begin_anew(now);
        } else {
            self.in_vain = (self.in_vain + 1).min(6);
        }
        self.next = Tick(now.0 + (AGAIN_US << self.in_vain));
        pool.state.gate.enter(Stage::Closed, self.number);
    }

    /// A suspicion that takes long to settle, and does not look justified, is not to cost much: all but the treated get
    /// what comes.
    fn spare(&mut self, pool: &Pool, kind: Kind, now: Tick) -> bool {
        if kind != Kind::Opening || now < self.spares_at || self.level.is_new(now) {
            return false;
        }
        if self.trial.is_some_and(|(_, trial)| trial.leans_to_queueing(now)) {
            return false;
        }
        self.spares_at = Tick(u64::MAX);
        for endpoint in learners(pool) {
            let flow = &endpoint.state.flow;
            let place = flow.seen.wait(|seen| seen.place.filter(|place| place.number == self.number));
            match place {
                Some(Place { side: Side::Treated, .. }) => {}
                // If they queue after all, it is not to be at a few of them that take over everything.
                Some(place) => flow.set_trial(self.number, (SPARED * place.before) as u32 + 2),
                None => flow.set_trial(self.number, u32::MAX),
            }
        }
        true
    }

    /// What was said for the latest trial is no longer valid.
    fn count_on(&mut self) {
        self.number = (self.number + 1) & (u32::MAX >> 2);
    }

    fn raise(&self) -> f64 {
        if self.raised { RAISE_AGAIN } else { RAISE }
    }

    /// Limits are enforced from now on.
    pub(super) fn open(&mut self, pool: &Pool, now: Tick) {
        // In a trial, those that are not limited have got more than they had when it began.
        let depth = |seen: &Seen, endpoint: &Endpoint| {
            let tried = seen.place.filter(|place| place.number + 1 == self.number);
            tried.map_or(f64::from(endpoint.state.in_flight()), |place| place.before)
        };
        let (mut depths, mut rates) = (0.0, 0.0);
        for endpoint in learners(pool) {
            endpoint.state.flow.seen.wait(|seen| {
                let rate = seen.windows.most(now);
                if rate > 0.0 {
                    (depths, rates) = (depths + depth(seen, endpoint), rates + rate);
                }
            });
        }
        // What is deep because it is slower than the others is not to stay so.
        let slowest_us = SLOWEST * depths / rates;
        let mut limits = (0, 0);
        for endpoint in learners(pool) {
            let flow = &endpoint.state.flow;
            flow.seen.wait(|seen| {
                let rate = seen.windows.most(now);
                if rate > 0.0 {
                    let takes_us = (depth(seen, endpoint) / rate).min(slowest_us);
                    seen.windows.raise_hold(takes_us * DEEPEST / MARGIN);
                }
                flow.publish(pool, &seen.windows);
            });
            if let Some(limit) = flow.learned_limit() {
                limits = (limits.0 + limit, limits.1 + 1);
            }
        }
        let gate = &pool.state.gate;
        let typical = limits.0.checked_div(limits.1).unwrap_or(0);
        gate.typical.store(typical, Relaxed);
        self.next = Tick(now.0 + FIRST_US);
        (self.doubtful, self.is_enough) = (true, false);
        (self.in_vain, self.raised) = (0, false);
        (self.waiting, self.seen_at) = (1.0, now);
        gate.enter(Stage::Open, self.number);
    }
}

/// The endpoints whose limits are learned.
fn learners(pool: &Pool) -> impl Iterator<Item = &Endpoint> {
    pool.endpoints.iter().filter(|endpoint| endpoint.limit.is_none())
}

/// What an endpoint would be limited to that has `before` requests.
fn target(pool: &Pool, seen: &Seen, before: f64, now: Tick) -> Option<u32> {
    let known = seen.windows.known();
    if known.hold_us == 0.0 {
        return None;
    }
    let limit = pool.state.gate.limit_for(known, seen.windows.most(now));
    Some(limit.max((before * DEEPEST).ceil() as u32))
}

fn scale(pool: &Pool, factor: f64) {
    for endpoint in learners(pool) {
        let flow = &endpoint.state.flow;
        flow.seen.wait(|seen| {
            seen.windows.scale(factor);
            if flow.learned_limit().is_some() {
                flow.publish(pool, &seen.windows);
            }
        });
    }
}

impl Kind {
    /// What is asked; `doubted` where something else speaks against overload.
    fn question(self, doubted: bool) -> Question {
        let (middle, patience_us, sure) = match self {
            Self::Opening if doubted => (0.4, 400_000, [SURE, FAIRLY_SURE]),
            // Limits that are not needed are found out by the next trial; overload that is overlooked grows until then.
            Self::Opening => (0.4, 400_000, [FAIRLY_SURE, SURE]),
            Self::Raise => (0.15, 1_000_000, [FAIRLY_SURE, SURE]),
            Self::Cut => (0.2, 400_000, [SURE, FAIRLY_SURE]),
        };
        Question { middle, patience_us, sure }
    }

    /// Limits are tested when requests have waited for so long without a break.
    fn steady_us(self) -> u64 {
        if self == Self::Cut { STEADY_US } else { STEADY_US / 4 }
    }

    /// The limit of an endpoint when it is treated and when not, and whether the difference says anything.
    fn limits(
        self,
        pool: &Pool,
        (seen, flow): (&Seen, &Flow),
        before: f64,
        raise: f64,
        now: Tick,
    ) -> Option<([u32; 2], bool)> {
        if self == Self::Opening {
            let others = (OTHERS * before) as u32 + 2;
            let Some(limit) = target(pool, seen, before, now) else { return Some(([others; 2], false)) };
            let others = others.max(limit);
            let binds = before >= BINDING * f64::from(limit);
            return Some((if binds { [limit, others] } else { [others; 2] }, binds));
        }
        let limit = flow.learned_limit()?;
        let treated = if self == Self::Raise { raise } else { CUT } * f64::from(limit);
        let treated = (treated as u32).max(LEAST);
        Some(([treated, limit], treated != limit && before * 2.0 >= f64::from(limit)))
    }
}
