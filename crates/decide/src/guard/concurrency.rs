//! How many requests an endpoint may have at a time, learned, and whether that is enforced now.
//!
//! What an endpoint does at most, times what one exchange takes while nothing queues, is how many it can work at
//! (Little's law). Its limit is somewhat more. Limits are enforced only while the pool is overloaded, and what is taken
//! for overload is put to the test first: a fleet whose every answer takes longer, because something behind it does, is
//! not overloaded. See decision 16.
//!
//! | step | in |
//! |---|---|
//! | what each endpoint does and takes | [`windows`] |
//! | how long do the answers of the pool take? does it look like overload? | [`level`] |
//! | begin a trial; act on its verdict | [`course`] |
//! | do requests queue at the endpoints? | [`trial`] |

mod course;
mod level;
mod trial;
mod windows;

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use bascule_contract::protection::Limit;

use crate::guard::Try;
use crate::guard::concurrency::course::Course;
use crate::guard::concurrency::trial::{Part, Side};
use crate::guard::concurrency::windows::{Known, Report, Windows};
use crate::guard::pace::Ended;
use crate::shared::Shared;
use crate::table::Pool;
use crate::time::Tick;

/// Limits are this many times what an endpoint can work at: a little more than it needs never runs dry.
const MARGIN: f64 = 1.5;
/// How many times what is usual in its pool an endpoint may take without queueing.
const SLOWEST: f64 = 2.0;
/// No limit is below.
const LEAST: u32 = 2;

/// Whether a pool is overloaded.
#[derive(Debug, Default)]
pub struct Gate {
    /// A [`Stage`] in the low two bits, and the number of the trial above.
    stage: AtomicU32,
    /// For endpoints of which nothing is known, while limits are enforced; 0 when no other is known either.
    typical: AtomicU32,
    usual_us: AtomicU64,
    told: AtomicBool,
    course: Shared<Course>,
}

/// What is enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing.
    #[default]
    Closed,
    /// The limits of a trial, where it has set some.
    Suspected,
    /// Learned limits, and those of a trial where it has set others.
    Open,
}

/// What is known about how much one endpoint does.
#[derive(Debug, Default)]
pub struct Flow {
    /// 0 while nothing is known.
    limit: AtomicU32,
    /// The limit of a trial, below the number of that trial.
    on_trial: AtomicU64,
    seen: Shared<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    windows: Windows,
    /// Its place in the latest trial that it took part in.
    place: Option<Place>,
}

/// An endpoint's place in a trial.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Of the trial.
    number: u32,
    side: Side,
    /// Requests that it had when the trial began.
    before: f64,
    /// In which units its requests and times are counted.
    units: (f64, f64),
}

impl Gate {
    /// Whether the pool is overloaded: learned limits are enforced.
    pub fn is_open(&self) -> bool {
        self.stage().0 == Stage::Open
    }

    /// Whether it has opened or closed since this was asked last. Each change is told once, to one of the threads.
    pub fn take_change(&self) -> Option<bool> {
        let open = self.is_open();
        (self.told.load(Relaxed) != open && self.told.swap(open, AcqRel) != open).then_some(open)
    }

    /// What an answer of the pool takes to its head while nothing queues; `None` while that is not known.
    pub fn usual_us(&self) -> Option<u64> {
        Some(self.usual_us.load(Relaxed)).filter(|us| *us > 0)
    }

    /// Time passes: an overload, or a suspicion, may be over although nothing was answered. To be called now and then.
    pub fn look_again(&self, pool: &Pool, now: Tick) {
        if self.stage().0 != Stage::Closed
            && let Some(true) = self.course.attempt(|course| course.expire(pool, now))
        {
            pool.state.waiting.may_have_room(now);
        }
    }

    /// The limit of an endpoint that does `rate` answers per microsecond at most.
    fn limit_for(&self, known: Known, rate: f64) -> u32 {
        let queued_us = self.queued_us(known);
        ((MARGIN * rate * (known.hold_us - queued_us)).ceil() as u32).max(LEAST)
    }

    fn queued_us(&self, known: Known) -> f64 {
        // One that is much slower than its pool is taken to queue, rather than to be at work for so long.
        let usual_us = self.usual_us.load(Relaxed) as f64;
        if usual_us > 0.0 { (known.head_us - SLOWEST * usual_us).max(0.0) } else { 0.0 }
    }

    fn stage(&self) -> (Stage, u32) {
        let stored = self.stage.load(Acquire);
        let stage = match stored & 3 {
            0 => Stage::Closed,
            1 => Stage::Suspected,
            _ => Stage::Open,
        };
        (stage, stored >> 2)
    }

    fn enter(&self, stage: Stage, trial: u32) {
        let stage = match stage {
            Stage::Closed => 0,
            Stage::Suspected => 1,
            Stage::Open => 2,
        };
        self.stage.store(trial << 2 | stage, Release);
    }

    fn review(&self, pool: &Pool, report: &Report, part: Option<&Part>, now: Tick) {
        // What another thread weighs just now, it weighs without this: a sample less.
        let more_room = self.course.attempt(|course| course.follow(pool, report, part, now));
        if more_room == Some(true) {
            pool.state.waiting.may_have_room(now);
        }
    }
}

impl Flow {
    /// What the endpoint can have at a time, as learned so far.
    pub fn learned_limit(&self) -> Option<u32> {
        Some(self.limit.load(Relaxed)).filter(|limit| *limit > 0)
    }

    /// A try has ended.
    pub fn end(&self, pool: &Pool, attempt: &Try, now: Tick, ended: Ended) {
        let (stage, trial) = pool.state.gate.stage();
        if !matches!(pool.protection.limit, Limit::Learned {}) {
            if stage != Stage::Closed {
                pool.state.gate.course.attempt(|course| course.stop(pool));
            }
            return;
        }
        let depth = pool.endpoints[attempt.slot.index()].state.in_flight();
        let told = self.seen.attempt(|seen| {
            match ended {
                Ended::Answered { after_us, failed: false } => {
                    let frozen = stage != Stage::Closed;
                    if seen.windows.add((after_us, now.since(attempt.began)), depth, now, frozen) {
                        self.publish(pool, &seen.windows);
                    }
                }
                Ended::Answered { .. } => return None,
                Ended::Lost | Ended::Nothing => seen.windows.add_lost(now.since(attempt.began)),
            }
            let report = seen.windows.report(now, stage != Stage::Closed)?;
            let place = seen.place.filter(|place| place.number == trial);
            Some((report, place))
        });
        if let Some((report, place)) = told.flatten() {
            let part = place.map(|place| Part {
                side: place.side,
                began: attempt.began,
                depth: f64::from(attempt.before + 1) / place.units.0,
                took: report.hold_us / place.units.1,
            });
            pool.state.gate.review(pool, &report, part.as_ref(), now);
        }
    }

    /// The limit that is enforced now, if there is one.
    pub(crate) fn enforced_limit(&self, gate: &Gate) -> Option<u32> {
        let (stage, trial) = gate.stage();
        if stage == Stage::Closed {
            return None;
        }
        let on_trial = self.on_trial.load(Relaxed);
        if on_trial >> 32 == u64::from(trial) && on_trial as u32 > 0 {
            return Some(on_trial as u32);
        }
        if stage == Stage::Suspected {
            return None;
        }
        self.learned_limit().or_else(|| Some(gate.typical.load(Relaxed)).filter(|limit| *limit > 0))
    }

    /// The limit that is valid during the trial of this number; 0 for none.
    fn set_trial(&self, number: u32, limit: u32) {
        self.on_trial.store(u64::from(number) << 32 | u64::from(limit), Relaxed);
    }

    fn publish(&self, pool: &Pool, windows: &Windows) {
        let known = windows.known();
        self.limit.store(pool.state.gate.limit_for(known, known.rate), Relaxed);
    }
}

#[cfg(test)]
mod tests;
