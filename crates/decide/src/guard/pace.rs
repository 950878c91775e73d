//! How fast an endpoint is and how much it does at once, learned from when tries begin and end.
//!
//! What a balancer sees of an endpoint's speed is mixed with how much it was given to do. Therefore times are compared
//! at equal depth: an endpoint's slowness is how much longer its answers take than those of the fleet that found as many
//! requests before them. It is learned slowly, so that the noise of single requests starves nobody, and a fast detector
//! catches up when an endpoint turns slow in the middle. How many requests an endpoint works on at once shows in who
//! overtakes whom. `docs/decisions/0015-fastest.md` has the figures and what each part is worth.

mod fleet;
mod own;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64};

pub use self::fleet::Fleet;
use self::own::Own;
use crate::guard::Try;
use crate::shared::Shared;
use crate::time::Tick;

/// Depths from here on count as one.
pub(crate) const DEEPEST: usize = 64;
/// Weight of a new answer in the usual time.
const USUAL: u64 = 16;

/// What is known about one endpoint.
#[derive(Debug, Default)]
pub struct Pace {
    /// In microseconds; 0 while nothing is known.
    usual_us: AtomicU64,
    /// How much slower than the fleet, in steps of a dead band: 0 for most.
    tier: AtomicI32,
    /// Requests that it works on at once; 0 while that is not known.
    workers: AtomicU32,
    is_confirmed: AtomicBool,
    /// When a try last began.
    begun: AtomicU64,
    ended: AtomicU32,
    own: Shared<Own>,
}

/// How a try ended, as far as speed is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The head of the response came after this time.
    Answered {
        /// From the begin of the try.
        after_us: u64,
        /// Its status counts as a failure.
        failed: bool,
    },
    /// It failed without an answer.
    Lost,
    /// It was given up for reasons that say nothing about the endpoint.
    Nothing,
}

impl Pace {
    /// A try has begun at this endpoint. Costs a store where no algorithm asks how fast endpoints are.
    pub fn begin(&self, fleet: &Fleet, attempt: &Try, now: Tick) {
        if fleet.is_asked() {
            self.begun.store(now.0, Relaxed);
            self.own.attempt(|own| own.work_until(now, attempt.before, fleet, self.workers(fleet)));
        }
    }

    /// A try has ended; `left` are those that the endpoint still has.
    pub fn end(&self, fleet: &Fleet, attempt: &Try, now: Tick, (ended, left): (Ended, u32)) {
        if let Ended::Answered { after_us, failed: false } = ended {
            let before = self.usual_us.load(Relaxed);
            let after = if before == 0 { after_us } else { before - before / USUAL + after_us / USUAL };
            self.usual_us.store(after.max(1), Relaxed);
        }
        if !fleet.is_asked() {
            return;
        }
        let rank = attempt.order.wrapping_sub(self.ended.fetch_add(1, Relaxed)).wrapping_add(1);
        let workers = self.workers(fleet);
        self.own.attempt(|own| {
            own.work_until(now, left + 1, fleet, workers);
            match ended {
                Ended::Answered { after_us, failed: false } => {
                    own.overtakes(rank as i32, attempt.before);
                    own.answered(after_us, attempt.before, fleet);
                }
                Ended::Answered { after_us, .. } => own.failed(after_us, attempt.before, fleet),
                Ended::Lost => own.failed(now.since(attempt.began), attempt.before, fleet),
                Ended::Nothing => {}
            }
            own.retier(fleet);
            self.tier.store(own.tier(), Relaxed);
            self.workers.store(own.workers(), Relaxed);
            self.is_confirmed.store(own.is_confirmed(), Relaxed);
        });
    }

    /// What an answer of this endpoint takes; `None` while nothing is known.
    pub fn usual_us(&self) -> Option<u64> {
        Some(self.usual_us.load(Relaxed)).filter(|us| *us > 0)
    }

    /// Steps by which it is slower (above 0) or faster than the fleet.
    pub fn tier(&self) -> i32 {
        self.tier.load(Relaxed)
    }

    /// When a try last began there, and so nothing has been learned since.
    pub fn begun(&self) -> Tick {
        Tick(self.begun.load(Relaxed))
    }

    /// What an answer would take that finds so many requests before it, by the fleet's measure and its own width.
    pub fn expected_us(&self, depth: f32, fleet: &Fleet) -> f32 {
        fleet.expected_us(depth, self.workers(fleet))
    }

    /// Requests that it works on at once, as far as is known.
    fn workers(&self, fleet: &Fleet) -> f32 {
        let own = self.workers.load(Relaxed).max(1) as f32;
        if self.is_confirmed.load(Relaxed) { own } else { own.max(fleet.workers()) }
    }

    /// For the medians of the fleet: slowness and workers; `None` while another thread learns.
    fn shown(&self) -> Option<(f32, u32)> {
        self.own.attempt(|own| (own.slowness(), own.workers()))
    }
}
