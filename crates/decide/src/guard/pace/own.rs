//! What one endpoint's tries show about it.

use super::DEEPEST;
use super::fleet::{Fleet, Sample};
use crate::time::Tick;

/// The first answers of an endpoint count this much more than later ones do.
const FIRST: f32 = 32.0;
/// Later ones count this little.
const SLOWLY: f32 = 1.0 / 96.0;
/// An endpoint that fails this much more often than the pool does is failing; more rarely than so, none is.
const WORSE: f32 = 4.0;
const SELDOM: f32 = 0.1;
/// Bits of evidence: so many may be chance, more than so many are not kept, and each good answer takes a share.
const CHANCE: f32 = 8.0;
const MOST_DOUBT: f32 = 20.0;
const FORGIVEN: f32 = 1.0 / 32.0;
/// Doublings of slowness for a bit of evidence beyond chance.
const PER_BIT: f32 = 0.83;
/// Failures that are handed to the fleet with one batch of answers, at most.
const MOST_FAILURES: f32 = 8.0;
/// Half the width of the dead band, in doublings: within it nobody is slower than anybody.
const STEP: f32 = 0.7;
/// Closer to the median than this share of a step, an endpoint is not slower than anybody any more.
const HOME: f32 = 0.5;
const WORST_TIER: f32 = 17.0;
/// Endpoints that differ by more doublings than this are not comparable: the fleet's means leave the rest out.
const WIDEST: f32 = 12.0;
/// The fast detector is quiet for so many answers: before it has seen what is usual, its alarms are false, and an
/// endpoint that is avoided for one has few answers to clear itself with.
const ACQUAINTED: f32 = 64.0;
/// Doublings below which it is quiet, too: work of heavy tails surprises by less now and then.
const LEAST_ALARM: f32 = 1.6;
/// Answers that are handed to the fleet together.
const BATCH: usize = 8;

/// What one endpoint's tries have shown. Times are in microseconds, slowness in doublings.
#[derive(Debug)]
pub(super) struct Own {
    /// How much slower it is than the fleet at equal depth.
    slowness: f32,
    /// What speaks for that it fails more often than the pool, in bits. Apart from the slowness, because a pool in
    /// which most endpoints fail must not take failing for usual.
    doubt: f32,
    /// Failures that the fleet has not been told of.
    failures: f32,
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
            doubt: 0.0,
            failures: 0.0,
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

    /// A good answer came.
    pub(super) fn worked(&mut self, fleet: &Fleet) {
        if self.doubt > 0.0 {
            let (usual, worse) = failing(fleet);
            let against = ((1.0 - usual) / (1.0 - worse)).log2();
            self.doubt = (self.doubt * (1.0 - FORGIVEN) - against).max(0.0);
        }
    }

    /// An answer took this long.
    pub(super) fn took(&mut self, took_us: u64, depth: u32, fleet: &Fleet) {
        let took = (took_us.max(1)) as f32;
        let depth = (depth as usize).min(DEEPEST);
        if !self.is_known() {
            self.slowness = fleet.usual_slowness();
        }
        let log = took.log2();
        let residue = fleet.usual_log(depth).map_or(self.slowness, |usual| log - usual);
        // Against the median, not as such: otherwise the fleet's means and everybody's slowness could drift apart
        // for ever without any difference between endpoints.
        let relative = (self.slowness - fleet.usual_slowness()).clamp(-WIDEST, WIDEST);
        let sample = Sample {
            depth: depth as u8,
            residue: log - relative,
            took: took * (-relative).exp2(),
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
        if self.answers >= ACQUAINTED && self.surprise > (6.0 * fleet.deviation()).max(LEAST_ALARM) {
            // Half of it, and from there it is got to know anew: an alarm says that something has changed, not to what.
            self.slowness += 0.5 * self.surprise;
            (self.surprise, self.answers) = (0.0, 1.0);
        }
        (sample.surprise, sample.deviation) = (surprise, self.surprise.abs());
        self.samples[self.filled] = sample;
        self.filled += 1;
        if self.filled == BATCH && fleet.take(&self.samples, self.failures.min(MOST_FAILURES)) {
            (self.filled, self.failures) = (0, 0.0);
        } else {
            self.filled = self.filled.min(BATCH - 1);
        }
    }

    /// It failed. What fails fast must not look fast, and what every endpoint fails at is not its fault.
    pub(super) fn failed(&mut self, fleet: &Fleet) {
        let (usual, worse) = failing(fleet);
        self.doubt = (self.doubt + (worse / usual).log2()).min(MOST_DOUBT);
        self.failures += 1.0;
        if !self.is_known() {
            self.slowness = fleet.usual_slowness();
        }
    }

    /// Changes the tier when the slowness has left the dead band around it.
    pub(super) fn retier(&mut self, fleet: &Fleet) {
        let usual = fleet.usual_slowness();
        let penalty = (self.doubt - CHANCE).max(0.0) * PER_BIT;
        // One that is faster than the others loses that first.
        let slowness = if penalty > 0.0 { self.slowness.max(usual) + penalty } else { self.slowness };
        let steps = (slowness - usual) / STEP;
        if (steps - self.tier).abs() > 1.0 || steps.abs() < HOME {
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

    /// Whether anything but failures has come of it.
    pub(super) fn is_known(&self) -> bool {
        self.answers > 0.0
    }

    pub(super) fn slowness(&self) -> f32 {
        self.slowness
    }
}

/// The share of requests that fail in the pool, and the one from which on an endpoint is failing.
fn failing(fleet: &Fleet) -> (f32, f32) {
    let usual = fleet.failing().clamp(SELDOM / 10.0, 0.9);
    (usual, (usual * WORSE).clamp(SELDOM, 0.95))
}
