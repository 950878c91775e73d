//! A controlled trial: half of the endpoints get another limit, and the rates of both halves tell what that changes.
//!
//! When requests queue at the endpoints, an endpoint that has fewer of them answers as many as before. When they do not,
//! it answers fewer, in proportion. Both halves see the same traffic at the same time, so that nothing that changes
//! with time is taken for an effect of the limit.

use crate::time::Tick;

/// How many standard deviations the rates must be away from the middle between the two explanations: where a mistake
/// is found out by the next trial, and where it costs more.
pub(super) const FAIRLY_SURE: f64 = 2.0;
pub(super) const SURE: f64 = 3.0;
/// When there is no more time, this part of that has to do.
const IN_THE_END: f64 = 3.0;
/// Fewer answers decide nothing.
const ENOUGH: f64 = 24.0;
/// Depths that differ less, as a logarithm, decide nothing.
const DIFFERENT: f64 = 0.1;

/// One trial.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    /// Answers before this were under way before it.
    counts_from: Tick,
    until: Tick,
    question: Question,
    arms: [Arm; 2],
}

/// What has to be told apart, and how well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// How much the rate has to change to count as changed, as a logarithm; half of the change in depth when that is less.
    pub(super) middle: f64,
    /// Microseconds to take at least, when nothing is certain sooner.
    pub(super) patience_us: u64,
    /// Standard deviations for [`Verdict::Queueing`] and [`Verdict::Working`].
    pub(super) sure: [f64; 2],
}

/// Half of the endpoints.
#[derive(Clone, Copy, Debug, Default)]
struct Arm {
    before: Before,
    answers: f64,
    /// Sum over the answers: requests at their endpoint, in those before the trial.
    depths: f64,
}

/// What endpoints did before a trial.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub(super) answers: f64,
    /// Answers per microsecond.
    pub(super) rate: f64,
}

/// Which half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The limit is another one here.
    Treated,
    /// Nothing changes here.
    Control,
}

/// What a trial shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The rate does not follow the number of requests: they queue.
    Queueing,
    /// The rate follows the number of requests: they do not queue.
    Working,
    /// It took too long to tell.
    Unclear,
}

impl Trial {
    /// Begins now, where answers take `latency_us`. `before`: of the treated, of the others.
    pub(super) fn begin(now: Tick, latency_us: f64, question: Question, before: [Before; 2]) -> Self {
        let settles_us = latency_us.clamp(5_000.0, 1_000_000.0) as u64;
        let counts_from = Tick(now.0 + settles_us);
        let until = Tick(counts_from.0 + (6 * settles_us).max(question.patience_us));
        let arms = before.map(|before| Arm { before, ..Arm::default() });
        Self { counts_from, until, question, arms }
    }

    /// An answer came from an endpoint that has `depth` times the requests that it had before.
    pub(super) fn count(&mut self, side: Side, depth: f64, now: Tick) -> Option<Verdict> {
        if now < self.counts_from {
            return None;
        }
        let arm = &mut self.arms[side as usize];
        arm.answers += 1.0;
        arm.depths += depth;
        self.verdict(now)
    }

    /// Whether it has taken too long.
    pub(super) fn is_over(&self, now: Tick) -> bool {
        now >= self.until
    }

    fn verdict(&self, now: Tick) -> Option<Verdict> {
        let over = self.is_over(now);
        let [queueing, working] = self.question.sure.map(|sure| if over { sure / IN_THE_END } else { sure });
        match self.certainty(now) {
            Some(certainty) if certainty > queueing => Some(Verdict::Queueing),
            Some(certainty) if certainty < -working => Some(Verdict::Working),
            _ => over.then_some(Verdict::Unclear),
        }
    }

    /// Standard deviations by which the rates say that requests queue; negative ones say that they do not.
    ///
    /// The logarithm of a count varies by one over the count. What was counted before the trial is not certain either.
    fn certainty(&self, now: Tick) -> Option<f64> {
        let [treated, control] = &self.arms;
        if treated.answers + control.answers < ENOUGH {
            return None;
        }
        let mut deeper = treated.depth().ln();
        let (mut faster, mut variance) = if control.before.answers > 0.0 {
            deeper -= control.depth().ln();
            let (treated, control) = (treated.change(), control.change());
            (treated.0 - control.0, treated.1 + control.1)
        } else {
            let elapsed = (now.since(self.counts_from) as f64).max(1.0);
            let (change, variance) = treated.change();
            (change - elapsed.ln(), variance)
        };
        if deeper.abs() < DIFFERENT {
            return None;
        }
        if deeper > 0.0 {
            faster = -faster;
        }
        variance = variance.sqrt();
        Some((faster + self.question.middle.min(deeper.abs() / 2.0)) / variance)
    }
}

impl Arm {
    /// How many times more requests there are at its endpoints than before.
    fn depth(&self) -> f64 {
        // Where nothing comes back at all, none is seen; the limit says that there are fewer.
        if self.answers > 0.0 { self.depths / self.answers } else { 0.5 }
    }

    /// The logarithm of its answers for its rate before, and how that varies.
    fn change(&self) -> (f64, f64) {
        let (answers, before) = (self.answers + 0.5, self.before.answers + 0.5);
        ((answers / self.before.rate).ln(), 1.0 / answers + 1.0 / before)
    }
}
