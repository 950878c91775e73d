//! What all endpoints of a pool have in common: what answers take by how many requests were before them.

use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use super::DEEPEST;
use crate::shared::Shared;
use crate::table::Pool;
use crate::time::Tick;

/// Medians and the table of expected times are worked out anew after this long.
const REFRESH_US: u64 = 50_000;

/// What all endpoints of a pool have in common. Written rarely: answers are handed in in batches.
#[derive(Debug)]
pub struct Fleet {
    is_asked: AtomicBool,
    sums: Shared<Sums>,
    refreshed: AtomicU64,
    /// Numbers that threads read all the time, as the bits of `f32`.
    slowness: AtomicU32,
    workers: AtomicU32,
    surprise: AtomicU32,
    deviation: AtomicU32,
    failing: AtomicU32,
    logs: [AtomicU32; DEEPEST + 1],
    expected: [AtomicU32; DEEPEST + 1],
}

/// One answer, as an endpoint tells it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    pub(super) depth: u8,
    /// Its time, in doublings, less the endpoint's own slowness.
    pub(super) residue: f32,
    /// Its time, as if the endpoint were a usual one.
    pub(super) took: f32,
    pub(super) surprise: f32,
    pub(super) deviation: f32,
}

#[derive(Debug)]
struct Sums {
    /// Mean time in doublings, mean time, and how many, by depth.
    by_depth: [(f32, f32, f32); DEEPEST + 1],
    surprise: f32,
    deviation: f32,
    failing: f32,
}

impl Default for Fleet {
    fn default() -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU32::new(0));
        Self {
            is_asked: AtomicBool::new(false),
            sums: Shared::new(Sums {
                by_depth: [(0.0, 0.0, 0.0); DEEPEST + 1],
                surprise: 0.0,
                deviation: 0.5,
                failing: 0.0,
            }),
            refreshed: AtomicU64::new(0),
            slowness: AtomicU32::new(0),
            workers: AtomicU32::new(1_f32.to_bits()),
            surprise: AtomicU32::new(0),
            deviation: AtomicU32::new(0.5_f32.to_bits()),
            failing: AtomicU32::new(0),
            logs: zeros(),
            expected: zeros(),
        }
    }
}

impl Fleet {
    /// An algorithm asks how fast endpoints are: from now on that is learned.
    pub(crate) fn ask(&self) {
        self.is_asked.store(true, Relaxed);
    }

    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.load(Relaxed)
    }

    /// What an answer of a usual endpoint with so many workers takes that finds `depth` requests before it; 1 while
    /// nothing is known, so that only the depth counts.
    pub(super) fn expected_us(&self, depth: f32, workers: f32) -> f32 {
        let depth = depth.max(0.0);
        let whole = (depth as usize).min(DEEPEST);
        let (low, high) = (self.expected(whole), self.expected((whole + 1).min(DEEPEST)));
        let learned = low + (high - low) * (depth - whole as f32).min(1.0);
        let alone = self.expected(0);
        if alone == 0.0 { 1.0 + depth } else { learned.max(alone * (depth + 1.0) / workers.max(1.0)) }
    }

    fn expected(&self, depth: usize) -> f32 {
        f32::from_bits(self.expected[depth].load(Relaxed))
    }

    /// The mean time at a depth, in doublings.
    pub(super) fn usual_log(&self, depth: usize) -> Option<f32> {
        let log = f32::from_bits(self.logs[depth].load(Relaxed));
        (log != 0.0).then_some(log)
    }

    /// The median of the endpoints' slowness.
    pub(super) fn usual_slowness(&self) -> f32 {
        f32::from_bits(self.slowness.load(Relaxed))
    }

    /// The median of the endpoints' workers.
    pub(super) fn workers(&self) -> f32 {
        f32::from_bits(self.workers.load(Relaxed))
    }

    pub(super) fn usual_surprise(&self) -> f32 {
        f32::from_bits(self.surprise.load(Relaxed))
    }

    pub(super) fn deviation(&self) -> f32 {
        f32::from_bits(self.deviation.load(Relaxed))
    }

    /// The share of its requests that fail.
    pub(super) fn failing(&self) -> f32 {
        f32::from_bits(self.failing.load(Relaxed))
    }

    /// Good answers, and failures between them. False when another thread is at it: try again with the next one.
    pub(super) fn take(&self, samples: &[Sample], failures: f32) -> bool {
        let taken = self.sums.attempt(|sums| {
            for sample in samples {
                let depth = usize::from(sample.depth);
                let (log, mean, count) = &mut sums.by_depth[depth];
                *count += 1.0;
                *log += (1.0 / 256_f32).max(1.0 / *count) * (sample.residue - *log);
                *mean += (1.0 / 256_f32).max(1.0 / *count) * (sample.took - *mean);
                self.logs[depth].store(log.to_bits(), Relaxed);
                sums.surprise += (sample.surprise - sums.surprise) / 512.0;
                sums.deviation += (sample.deviation - sums.deviation) / 1024.0;
            }
            let count = samples.len() as f32 + failures;
            sums.failing += (count / 512.0).min(1.0) * (failures / count - sums.failing);
            self.failing.store(sums.failing.to_bits(), Relaxed);
            self.surprise.store(sums.surprise.to_bits(), Relaxed);
            self.deviation.store(sums.deviation.to_bits(), Relaxed);
        });
        taken.is_some()
    }

    /// Works out medians and expected times, when that is due and nobody else does it just now. Allocates nothing.
    pub(crate) fn refresh(&self, pool: &Pool, now: Tick) {
        let before = self.refreshed.load(Relaxed);
        if now.since(Tick(before)) < REFRESH_US
            || self.refreshed.compare_exchange(before, now.0, AcqRel, Relaxed).is_err()
        {
            return;
        }
        self.sums.attempt(|sums| {
            let mut running = 0_f32;
            for (published, (_, mean, count)) in self.expected.iter().zip(&sums.by_depth) {
                if *count > 0.0 {
                    running = running.max(*mean);
                }
                published.store(running.to_bits(), Relaxed);
            }
        });
        let shown = || pool.endpoints.iter().filter_map(|endpoint| endpoint.state.pace.shown());
        if let Some(slowness) = median(|| shown().map(|(slowness, _)| slowness)) {
            self.slowness.store(slowness.to_bits(), Relaxed);
        }
        if let Some(workers) = median(|| shown().map(|(_, workers)| workers as f32)) {
            self.workers.store(workers.to_bits(), Relaxed);
        }
    }
}

/// The middle one of some numbers, within a thousandth of their range: found by halving, without a copy.
fn median<I: Iterator<Item = f32>>(numbers: impl Fn() -> I) -> Option<f32> {
    let count = numbers().count();
    let (mut low, mut high) =
        numbers().fold((f32::MAX, f32::MIN), |(low, high), it| (low.min(it), high.max(it)));
    if count == 0 {
        return None;
    }
    for _ in 0..10 {
        let middle = low.midpoint(high);
        if numbers().filter(|it| *it <= middle).count() * 2 >= count {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}
