//! What one endpoint's tries show about it.

use super::DEEPEST;
use super::fleet::{Fleet, Sample};
use crate::time::Tick;

/// The first answers of an endpoint count this much more than later ones do.
const FIRST: f32 = 32.0;
/// Later ones count this little.
const SLOWLY: f32 = 1.0 / 96.0;
/// Half the width of the dead band, in doublings: within it nobody is slower than anybody.
const STEP: f32 = 0.7;
const WORST_TIER: f32 = 17.0;
/// Answers that are handed to the fleet together.
const BATCH: usize = 8;

/// What one endpoint's tries have shown. Times are in microseconds, slowness in doublings.
#[derive(Debug)]
pub(super) struct Own {
    /// How much slower it is than the fleet at equal depth.
    slowness: f32,
    answers: f32,
    tier: f32,
    /// Answers that were to be expected since the last one came.
    work: f32,
    worked_until: Tick,
    /// The fast detector: how far the recent ones are above what the slowness says.
    surprise: f32,
    workers: i32,
    is_confirmed: bool,
    /// The widest overtaking in this round, and answers in it.
    widest: i32,
    round: u32,
    deep: u32,
    samples: [Sample; BATCH],
    filled: usize,
}

impl Default for Own {
    fn default() -> Self {
        Self {
            slowness: 0.0,
            answers: 0.0,
            tier: 0.0,
            work: 0.0,
            worked_until: Tick(0),
            surprise: 0.0,
            workers: 1,
            is_confirmed: false,
            widest: 0,
            round: 0,
            deep: 0,
            samples: [Sample::default(); BATCH],
            filled: 0,
        }
    }
}

impl Own {
    /// Time has passed with `depth` requests there.
    pub(super) fn work_until(&mut self, now: Tick, depth: u32, fleet: &Fleet, workers: f32) {
        let passed = now.since(self.worked_until) as f32;
        self.worked_until = now;
        if depth > 0 {
            // Little's law: so many requests, each taking so long, are so many answers a microsecond.
            self.work += passed * depth as f32 / fleet.expected_us(depth as f32 - 1.0, workers).max(1.0);
        }
    }

    /// An answer came before those of `rank - 1` tries that had begun before it: so many were worked on at once.
    pub(super) fn overtakes(&mut self, rank: i32, depth: u32) {
        if rank > self.workers {
            self.workers = rank.min(4096);
            (self.is_confirmed, self.round, self.deep, self.widest) = (false, 0, 0, 0);
            return;
        }
        let depth = depth as i32;
        if depth < self.workers {
            return;
        }
        self.widest = self.widest.max(rank);
        self.round += 1;
        if self.round >= 128 {
            let least = self.workers - (self.workers / 8).max(1);
            self.workers = self.workers.min(self.widest.max(least)).max(1);
            (self.round, self.widest) = (0, 0);
        }
        if depth > 2 * self.workers {
            self.deep += 1;
            self.is_confirmed |= self.deep >= 64;
        }
    }

    /// A good answer took this long.
    pub(super) fn answered(&mut self, took_us: u64, depth: u32, fleet: &Fleet) {
        let took = (took_us.max(1)) as f32;
        let depth = (depth as usize).min(DEEPEST);
        if self.answers == 0.0 {
            self.slowness = fleet.usual_slowness();
        }
        let residue = took.log2() - fleet.usual_log(depth).unwrap_or_else(|| took.log2());
        let sample = Sample {
            depth: depth as u8,
            residue: took.log2() - self.slowness,
            took: took * (fleet.usual_slowness() - self.slowness).exp2(),
            surprise: 0.0,
            deviation: 0.0,
        };
        self.answers += 1.0;
        self.slowness += SLOWLY.max(1.0 / (self.answers + FIRST)) * (residue - self.slowness);
        self.surprised(sample, fleet);
    }

    /// Notices within a few answers that all of them take longer than they used to.
    fn surprised(&mut self, mut sample: Sample, fleet: &Fleet) {
        let relative = self.slowness - fleet.usual_slowness();
        let surprise = (self.work.max(0.001).log2() - relative).clamp(-4.0, 5.0);
        self.work = 0.0;
        self.surprise += (surprise - fleet.usual_surprise() - self.surprise) / 16.0;
        if self.surprise > (6.0 * fleet.deviation()).max(1.2) {
            self.slowness += 0.75 * self.surprise;
            self.surprise = 0.0;
        }
        (sample.surprise, sample.deviation) = (surprise, self.surprise.abs());
        self.samples[self.filled] = sample;
        self.filled += 1;
        if self.filled == BATCH && fleet.take(&self.samples) {
            self.filled = 0;
        } else {
            self.filled = self.filled.min(BATCH - 1);
        }
    }

    /// A failure counts as an answer that took very long: what fails fast must not look fast.
    pub(super) fn failed(&mut self, took_us: u64, depth: u32, fleet: &Fleet) {
        let usual = fleet.usual_slowness();
        self.slowness = (self.slowness.max(usual) + 0.5).min(usual + 10.0);
        let depth = (depth as usize).min(DEEPEST);
        let took = (took_us.max(1) as f32).log2();
        let residue = took - fleet.usual_log(depth).unwrap_or(took) - self.slowness;
        if residue > 0.0 {
            self.slowness += residue / 8.0;
        }
    }

    /// Changes the tier when the slowness has left the dead band around it.
    pub(super) fn retier(&mut self, fleet: &Fleet) {
        let steps = (self.slowness - fleet.usual_slowness()) / STEP;
        if (steps - self.tier).abs() > 1.0 {
            self.tier = steps.round().clamp(-WORST_TIER, WORST_TIER);
        }
    }

    pub(super) fn tier(&self) -> i32 {
        self.tier as i32
    }

    pub(super) fn workers(&self) -> u32 {
        self.workers.max(1) as u32
    }

    pub(super) fn is_confirmed(&self) -> bool {
        self.is_confirmed
    }

    pub(super) fn slowness(&self) -> f32 {
        self.slowness
    }
}
