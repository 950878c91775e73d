//! How fast an endpoint is and how much it does at once, learned from when tries begin and end.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::guard::Try;
use crate::time::Tick;

/// What all endpoints of a pool have in common.
#[derive(Debug, Default)]
pub struct Fleet {}

/// What is known about one endpoint.
#[derive(Debug, Default)]
pub struct Pace {
    usual_us: AtomicU64,
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
    /// A try has begun at this endpoint.
    pub fn begin(&self, _fleet: &Fleet, _attempt: &Try, _now: Tick) {}

    /// A try has ended.
    pub fn end(&self, _fleet: &Fleet, _attempt: &Try, _now: Tick, ended: Ended) {
        if let Ended::Answered { after_us, failed: false } = ended {
            let before = self.usual_us.load(Relaxed);
            let after = if before == 0 { after_us } else { before - before / 16 + after_us / 16 };
            self.usual_us.store(after.max(1), Relaxed);
        }
    }

    /// What an answer of this endpoint takes; `None` while nothing is known.
    pub fn usual_us(&self) -> Option<u64> {
        Some(self.usual_us.load(Relaxed)).filter(|us| *us > 0)
    }
}
