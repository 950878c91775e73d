//! Traffic shows that an endpoint fails: it is ejected, proves itself, and is restored.
//!
//! A check that passes changes nothing here: what answers `/healthz` and fails everything else stays out.

use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};

use bascule_contract::protection::Ejection;

use crate::guard::Try;
use crate::shared::Shared;
use crate::table::{Endpoint, Pool};
use crate::time::Tick;

/// How long an endpoint that may prove itself waits for a request that may be sent twice. Calls of gRPC never may.
const PICKY_US: u64 = 2_000_000;
/// Successes in a row that restore an endpoint that was ejected.
const PROOFS: u32 = 3;
/// What silence weighs: it costs its requests far more than a failure does.
const SILENCE: u32 = 2;
/// The recent past, for shares.
const WINDOW_US: u64 = 10_000_000;
/// Fewer requests in the recent past have no share.
const ENOUGH: u32 = 20;

/// What one endpoint's traffic has shown.
#[derive(Debug, Default)]
pub struct Record {
    /// A [`Standing`] in one byte.
    standing: AtomicU8,
    /// While ejected: until when, as a [`Tick`].
    until: AtomicU64,
    /// Failures in a row, each by its weight. Zero most of the time, and then it costs a load.
    streak: std::sync::atomic::AtomicU32,
    /// When it came back, or into the pool: its share grows from here.
    since: AtomicU64,
    /// When it last began an answer.
    answered: AtomicU64,
    /// Times that it was ejected.
    pub ejections: AtomicU64,
    /// Everything that counted as a failure.
    pub failures: AtomicU64,
    /// A try is under way that is to prove that it works again.
    is_at_proof: AtomicBool,
    history: Shared<History>,
}

#[derive(Debug, Default)]
struct History {
    /// Ejections in a row: each takes twice as long.
    row: u32,
    /// Successes since it was let through again.
    proofs: u32,
    /// Successes and failures in this half of the window and the one before.
    halves: [(u32, u32); 2],
    half_began: Tick,
}

/// How an endpoint stands with its traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing speaks against it.
    Good,
    /// It gets nothing.
    Ejected,
    /// It gets one request at a time, to prove that it works again.
    Proving,
}

/// What one try shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A good answer.
    Worked,
    /// A bad answer, or none.
    Failed,
    /// No answer in time.
    Silent,
}

impl Evidence {
    /// Of an answer.
    pub(super) fn of(failed: bool) -> Self {
        if failed { Self::Failed } else { Self::Worked }
    }
}

/// What followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The endpoint gets nothing for a while.
    Ejected {
        /// For how long.
        for_ms: u64,
        /// Why.
        why: Why,
    },
    /// It has proved itself.
    Restored,
}

/// Why an endpoint was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// So many failures in a row.
    Row(u32),
    /// This share of its recent requests failed, in percent.
    Share(u32),
    /// It answers this many times slower than the median of the pool, in percent.
    Slow(u64),
    /// It failed again when it was to prove itself.
    Again,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Row(count) => write!(f, "{count} failures in a row"),
            Self::Share(percent) => write!(f, "{percent} % of its recent requests failed"),
            Self::Slow(percent) => {
                write!(f, "it takes {}.{} times as long as the others", percent / 100, percent / 10 % 10)
            }
            Self::Again => write!(f, "it failed again when it was tried"),
        }
    }
}

impl Record {
    /// How the endpoint stands now. An ejection that is over means that it has to prove itself.
    pub fn standing(&self, now: Tick) -> Standing {
        match self.standing.load(Relaxed) {
            0 => Standing::Good,
            1 if now.0 < self.until.load(Relaxed) => Standing::Ejected,
            _ => Standing::Proving,
        }
    }

    /// When the standing will change by itself.
    pub fn changes_at(&self, now: Tick) -> Option<Tick> {
        (self.standing(now) == Standing::Ejected).then(|| Tick(self.until.load(Relaxed)))
    }

    /// Whether the endpoint, which is to prove itself, has waited long enough for a request that may be sent twice.
    pub fn takes_any_proof(&self, now: Tick) -> bool {
        now.since(Tick(self.until.load(Relaxed))) >= PICKY_US
    }

    /// Since when it serves: its share grows from here while a slow start is on.
    pub fn since(&self) -> Tick {
        Tick(self.since.load(Relaxed))
    }

    /// Whether it has begun no answer at all after `since`: what waits there since then waits for a reason that others
    /// do not share.
    pub fn is_quiet_since(&self, since: Tick) -> bool {
        self.answered.load(Relaxed) <= since.0
    }

    /// It began an answer.
    pub(super) fn has_answered(&self, now: Tick) {
        self.answered.store(now.0, Relaxed);
    }

    /// A try is to prove that it works again. False: another one is at that.
    pub(crate) fn begins_proof(&self) -> bool {
        !self.is_at_proof.swap(true, Relaxed)
    }

    /// That try has proved something, or is over.
    pub(crate) fn ends_proof(&self) {
        self.is_at_proof.store(false, Relaxed);
    }

    /// It serves from now on: it came into the pool, or a check found it up again.
    pub fn begins(&self, now: Tick) {
        self.since.store(now.0, Relaxed);
    }

    fn note(&self, evidence: Evidence, now: Tick) {
        let noted = |history: &mut History| history.note(evidence == Evidence::Worked, now);
        if evidence == Evidence::Worked {
            self.history.attempt(noted);
        } else {
            self.history.wait(noted);
        }
    }
}

impl History {
    fn note(&mut self, worked: bool, now: Tick) {
        self.turn(now);
        let (good, bad) = &mut self.halves[0];
        if worked { *good += 1 } else { *bad += 1 }
    }

    fn turn(&mut self, now: Tick) {
        let age = now.since(self.half_began);
        if age >= WINDOW_US / 2 {
            self.halves = if age >= WINDOW_US { [(0, 0); 2] } else { [(0, 0), self.halves[0]] };
            self.half_began = now;
            if self.row > 0 && self.halves[1].1 == 0 && self.halves[1].0 > 0 {
                // It has worked for a while: what it did before weighs less.
                self.row -= 1;
            }
        }
    }

    fn sums(&self) -> (u32, u32) {
        let [(a, b), (c, d)] = self.halves;
        (a + c, b + d)
    }
}

impl Pool {
    /// Weighs what a try has shown about its endpoint.
    pub(super) fn judge(&self, attempt: &Try, evidence: Evidence, now: Tick) -> Option<Change> {
        let record = &self.endpoints[attempt.slot.index()].state.record;
        if evidence != Evidence::Worked {
            record.failures.fetch_add(1, Relaxed);
        }
        let settings = self.protection.ejection.as_ref()?;
        if record.standing(now) == Standing::Proving {
            return self.weigh_proof(attempt, evidence, now, settings);
        }
        record.note(evidence, now);
        if evidence == Evidence::Worked {
            if record.streak.load(Relaxed) != 0 {
                record.streak.store(0, Relaxed);
            }
            let why = self.slowness_of(attempt, now, settings)?;
            return self.eject(attempt, why, now, settings);
        }
        if record.standing.load(Relaxed) != 0 {
            return None;
        }
        let weight = if evidence == Evidence::Silent { SILENCE } else { 1 };
        let streak = record.streak.fetch_add(weight, Relaxed) + weight;
        let why =
            if streak >= settings.failures { Why::Row(streak) } else { self.share_of(attempt, settings)? };
        self.eject(attempt, why, now, settings)
    }

    fn share_of(&self, attempt: &Try, settings: &Ejection) -> Option<Why> {
        let limit = settings.failure_percent?;
        let record = &self.endpoints[attempt.slot.index()].state.record;
        let (good, bad) = record.history.wait(|history| history.sums());
        let percent = bad * 100 / (good + bad).max(1);
        (good + bad >= ENOUGH && percent >= limit).then_some(Why::Share(percent))
    }

    /// Whether the endpoint answers so much slower than the median of its pool that it is better left out.
    fn slowness_of(&self, attempt: &Try, now: Tick, settings: &Ejection) -> Option<Why> {
        let limit = u64::from(settings.slowness_percent?);
        let state = &self.endpoints[attempt.slot.index()].state;
        let percent = state.pace.usual_us()?.saturating_mul(100) / self.state.delays.usual_us()?.max(1);
        let settled = now.since(state.record.since()) >= WINDOW_US
            && state.record.history.attempt(|history| history.sums().0 >= ENOUGH) == Some(true);
        (percent >= limit && settled).then_some(Why::Slow(percent))
    }

    /// Ejects, if the pool can do without and the others do better.
    fn eject(&self, attempt: &Try, why: Why, now: Tick, settings: &Ejection) -> Option<Change> {
        let chosen = &self.endpoints[attempt.slot.index()].state;
        let changed = self.state.ejecting.wait(|()| {
            if chosen.record.standing.load(Relaxed) == 1 && now.0 < chosen.record.until.load(Relaxed) {
                return None;
            }
            let proving = chosen.record.standing.load(Relaxed) == 1;
            let is_slow = matches!(why, Why::Slow(_));
            if !proving
                && !(self.can_spare(attempt, now, settings) && (is_slow || self.others_do_better(attempt)))
            {
                return None;
            }
            let row = chosen.record.history.wait(|history| {
                history.row = (history.row + 1).min(20);
                history.proofs = 0;
                history.halves = [(0, 0); 2];
                history.row
            });
            let for_ms = settings
                .time_ms
                .saturating_mul(1 << (row - 1))
                .min(settings.longest_ms.max(settings.time_ms));
            chosen.record.until.store(now.after_ms(for_ms).0, Relaxed);
            chosen.record.standing.store(1, Relaxed);
            chosen.record.streak.store(0, Relaxed);
            chosen.record.ejections.fetch_add(1, Relaxed);
            Some(Change::Ejected { for_ms, why })
        });
        if changed.is_some() {
            self.state.version.fetch_add(1, Release);
        }
        changed
    }

    /// Whether one more endpoint may go, and another one that serves is left.
    fn can_spare(&self, attempt: &Try, now: Tick, settings: &Ejection) -> bool {
        let serving =
            |endpoint: &Endpoint| endpoint.is_up() && !endpoint.is_draining() && endpoint.weight_now() > 0;
        let (mut out, mut left) = (0, 0);
        for (position, endpoint) in self.endpoints.iter().enumerate() {
            if endpoint.state.record.standing(now) != Standing::Good {
                out += 1;
            } else if position != attempt.slot.index() && serving(endpoint) {
                left += 1;
            }
        }
        let most = (self.endpoints.len() * settings.most_percent as usize / 100).max(1);
        left > 0 && out < most
    }

    /// Where everybody fails as much, the fault is not the endpoint's: ejecting it would only load the others.
    fn others_do_better(&self, attempt: &Try) -> bool {
        let share = |good: u32, bad: u32| u64::from(bad) * 1000 / u64::from(good + bad).max(1);
        let (mut good, mut bad, mut own) = (0, 0, 0);
        for (position, endpoint) in self.endpoints.iter().enumerate() {
            let (g, b) = endpoint.state.record.history.wait(|history| history.sums());
            if position == attempt.slot.index() {
                own = share(g, b);
            } else {
                good += g;
                bad += b;
            }
        }
        good + bad == 0 || share(good, bad) * 4 <= own.max(1) * 3
    }

    fn weigh_proof(
        &self,
        attempt: &Try,
        evidence: Evidence,
        now: Tick,
        settings: &Ejection,
    ) -> Option<Change> {
        let record = &self.endpoints[attempt.slot.index()].state.record;
        if !attempt.proves {
            // Begun before the ejection: it proves nothing about now.
            return None;
        }
        if evidence != Evidence::Worked {
            return self.eject(attempt, Why::Again, now, settings);
        }
        let proved = record.history.wait(|history| {
            history.proofs += 1;
            history.proofs >= PROOFS
        });
        if !proved {
            return None;
        }
        record.standing.store(0, Relaxed);
        record.streak.store(0, Relaxed);
        record.begins(now);
        self.state.version.fetch_add(1, Release);
        self.state.waiting.may_have_room(now);
        Some(Change::Restored)
    }
}

#[cfg(test)]
mod tests;
