//! A controlled trial: half of the endpoints get another limit, and the rates of both halves tell what that changes.
//!
//! When requests queue at the endpoints, an endpoint that has fewer of them answers as many as before, and sooner. When
//! they do not, it answers fewer, in proportion, and they take as long as before. Both halves see the same traffic at the
//! same time, so that nothing that changes with time is taken for an effect of the limit.

use crate::time::Tick;

/// How many standard deviations the rates must be away from the middle between the two explanations: where a mistake
/// is found out by the next trial, and where it costs more.
pub(super) const FAIRLY_SURE: f64 = 2.0;
pub(super) const SURE: f64 = 3.0;
/// When there is no more time, this part of that has to do.
const IN_THE_END: f64 = 3.0;
/// Fewer answers decide nothing; fewer of one half say nothing about how long they take.
const ENOUGH: f64 = 24.0;
const ENOUGH_OF_HALF: f64 = 8.0;
/// It is looked at the evidence after so many answers.
const LOOKS: u32 = 8;
/// Times vary by so much at least, even where they seem not to.
const LEAST_VARIANCE: f64 = 0.01;
/// Depths that differ less, as a logarithm, decide nothing.
const DIFFERENT: f64 = 0.1;

/// One trial.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    began: Tick,
    /// By now the limits have taken effect.
    counts_from: Tick,
    until: Tick,
    question: Question,
    arms: [Arm; 2],
    looks: u32,
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
    /// Sum over the answers: requests at their endpoint.
    depths: f64,
    /// Sums over the answers: what they took, and its squares.
    took: f64,
    took_squared: f64,
}

/// One answer in a trial.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) side: Side,
    /// When its try was begun.
    pub(super) began: Tick,
    /// Requests at its endpoint when it was begun; where there are several endpoints, in those before the trial.
    pub(super) depth: f64,
    /// Microseconds that it took; where there are several endpoints, in what is usual for it.
    pub(super) took: f64,
}

/// What endpoints did before a trial.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub(super) answers: f64,
    /// Answers per microsecond.
    pub(super) rate: f64,
    /// Microseconds to the end of the exchange.
    pub(super) took_us: f64,
}

impl Before {
    /// Adds what another endpoint did.
    pub(super) fn add(&mut self, other: &Self) {
        let answers = self.answers + other.answers;
        self.took_us = (self.took_us * self.answers + other.took_us * other.answers) / answers.max(1.0);
        self.answers = answers;
        self.rate += other.rate;
    }
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
    /// Begins now, when what is under way takes `lasting_us`. `before`: of the treated, of the others.
    pub(super) fn begin(now: Tick, lasting_us: f64, question: Question, before: [Before; 2]) -> Self {
        let settles_us = lasting_us.clamp(5_000.0, 1_000_000.0) as u64;
        let counts_from = Tick(now.0 + settles_us);
        let until = Tick(counts_from.0 + (6 * settles_us).max(question.patience_us));
        let arms = before.map(|before| Arm { before, ..Arm::default() });
        Self { began: now, counts_from, until, question, arms, looks: 0 }
    }

    /// There was an answer.
    pub(super) fn count(&mut self, part: &Part, now: Tick) -> Option<Verdict> {
        // Those that were begun before came when nothing had changed yet.
        if now < self.counts_from || part.began < self.began {
            return None;
        }
        self.arms[part.side as usize].add(part);
        self.looks += 1;
        // Who looks after every answer sees what is there by chance once.
        if self.looks.is_multiple_of(LOOKS) || self.is_over(now) { self.verdict(now) } else { None }
    }

    /// Whether it has taken too long.
    pub(super) fn is_over(&self, now: Tick) -> bool {
        now >= self.until
    }

    /// What it shows when it has taken too long.
    pub(super) fn in_the_end(&self, now: Tick) -> Option<Verdict> {
        if self.is_over(now) { self.verdict(now) } else { None }
    }

    /// Whether all that is known so far speaks for [`Verdict::Queueing`], however little that is.
    pub(super) fn leans_to_queueing(&self, now: Tick) -> bool {
        self.certainty(now).is_some_and(|(by_rate, by_time)| by_rate > 0.0 && by_time > 0.0)
    }

    fn verdict(&self, now: Tick) -> Option<Verdict> {
        let over = self.is_over(now);
        let [queueing, working] = self.question.sure.map(|sure| if over { sure / IN_THE_END } else { sure });
        let Some((by_rate, by_time)) = self.certainty(now) else { return over.then_some(Verdict::Unclear) };
        // Answers that come in waves say nothing about rates for a while: what they take must agree. For that itself one has
        // to be surer, because what is answered soon is answered before what takes long.
        if (by_rate > queueing && by_time > 0.0) || (by_time > 2.0 * queueing && by_rate > 0.0) {
            return Some(Verdict::Queueing);
        }
        let agrees = over || by_time <= 0.0;
        if (by_rate < -working && agrees) || (by_time < -working && by_rate <= 0.0) {
            return Some(Verdict::Working);
        }
        over.then_some(Verdict::Unclear)
    }

    /// Standard deviations by which rates and times say that requests queue; negative ones say that they do not.
    ///
    /// The logarithm of a count varies by one over the count. What was counted before the trial is not certain either.
    fn certainty(&self, now: Tick) -> Option<(f64, f64)> {
        let [treated, control] = &self.arms;
        if treated.answers + control.answers < ENOUGH {
            return None;
        }
        let (deeper, faster, longer) = if control.before.answers > 0.0 {
            let deeper = (treated.depth() / control.depth()).ln();
            (deeper, treated.rate() - control.rate(), treated.time() - control.time())
        } else {
            // There is nobody to compare with but the endpoint itself, before.
            let before = treated.before;
            let elapsed_us = (now.since(self.counts_from) as f64).max(1.0);
            let deeper = (treated.depth() / (before.rate * before.took_us)).ln();
            (deeper, treated.rate() - Estimate::of(elapsed_us), treated.time() - Estimate::of(before.took_us))
        };
        if deeper.abs() < DIFFERENT {
            return None;
        }
        let sign = -deeper.signum();
        let half = deeper.abs() / 2.0;
        let by_rate = (sign * faster.value + self.question.middle.min(half)) / faster.variance.sqrt();
        let by_time = (-sign * longer.value - half) / longer.variance.sqrt();
        Some((by_rate, by_time))
    }
}

/// A logarithm, and how uncertain it is.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    value: f64,
    variance: f64,
}

impl Estimate {
    /// A number that is certain.
    fn of(number: f64) -> Self {
        Self { value: number.ln(), variance: 0.0 }
    }
}

impl std::ops::Sub for Estimate {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { value: self.value - other.value, variance: self.variance + other.variance }
    }
}

impl Arm {
    fn add(&mut self, part: &Part) {
        self.answers += 1.0;
        self.depths += part.depth;
        self.took += part.took;
        self.took_squared += part.took * part.took;
    }

    /// How many requests there are at its endpoints, on average.
    fn depth(&self) -> f64 {
        // Where nothing comes back at all, none is seen; the limit says that there are fewer.
        if self.answers > 0.0 { self.depths / self.answers } else { 0.5 }
    }

    /// Its answers for its rate before.
    fn rate(&self) -> Estimate {
        let (answers, before) = (self.answers + 0.5, self.before.answers + 0.5);
        Estimate { value: (answers / self.before.rate).ln(), variance: 1.0 / answers + 1.0 / before }
    }

    /// What its answers take.
    fn time(&self) -> Estimate {
        if self.answers < ENOUGH_OF_HALF || self.took <= 0.0 {
            return Estimate { value: 0.0, variance: f64::INFINITY };
        }
        let mean = self.took / self.answers;
        let variance = (self.took_squared / self.answers / (mean * mean) - 1.0).max(LEAST_VARIANCE);
        Estimate { value: mean.ln(), variance: variance / self.answers }
    }
}

#[cfg(test)]
mod tests {
    use super::{Before, FAIRLY_SURE, Part, Question, SURE, Side, Trial, Verdict};
    use crate::random::Random;
    use crate::time::Tick;

    const QUESTION: Question = Question { middle: 0.4, patience_us: 400_000, sure: [FAIRLY_SURE, SURE] };
    const BEGAN: Tick = Tick(10_000_000);
    const LASTING_US: u64 = 60_000;

    /// Two halves that answered a request per millisecond each; the treated one is cut to a third.
    fn trial() -> Trial {
        let before = Before { answers: 800.0, rate: 0.001, took_us: 60_000.0 };
        Trial::begin(BEGAN, LASTING_US as f64, QUESTION, [before; 2])
    }

    /// What comes out when both halves answer at these rates, per millisecond, and this fast.
    fn play(rates: [f64; 2], took: [f64; 2], seed: u64) -> Option<Verdict> {
        let (mut trial, mut random) = (trial(), Random::seeded(seed));
        for us in (LASTING_US..2_000_000).step_by(100) {
            for (side, depth) in [(Side::Treated, 0.33), (Side::Control, 1.2)] {
                if (random.below(10_000) as f64) < rates[side as usize] * 1_000.0 {
                    let part = Part { side, began: BEGAN, depth, took: took[side as usize] };
                    if let Some(verdict) = trial.count(&part, Tick(BEGAN.0 + us)) {
                        return Some(verdict);
                    }
                }
            }
        }
        None
    }

    #[test]
    fn who_answers_as_many_with_fewer_requests_had_them_queue() {
        for seed in 0..50 {
            assert_eq!(play([1.0, 1.0], [1.0, 3.6], seed), Some(Verdict::Queueing), "{seed}");
        }
    }

    #[test]
    fn who_answers_fewer_in_proportion_and_no_sooner_was_at_work_on_all_of_them() {
        for seed in 0..50 {
            assert_eq!(play([0.33, 1.2], [4.0, 4.0], seed), Some(Verdict::Working), "{seed}");
        }
    }

    #[test]
    fn rates_alone_do_not_convict_when_answers_take_as_long_as_before() {
        for seed in 0..50 {
            assert_ne!(play([1.0, 1.0], [4.0, 4.0], seed), Some(Verdict::Queueing), "{seed}");
        }
    }

    #[test]
    fn what_was_begun_before_the_trial_says_nothing() {
        let mut trial = trial();
        let part = Part { side: Side::Control, began: Tick(BEGAN.0 - 1), depth: 1.0, took: 1.0 };
        let verdicts = (0..1_000).map(|at| trial.count(&part, Tick(BEGAN.0 + LASTING_US + at)));
        assert!(verdicts.flatten().next().is_none());
    }

    #[test]
    fn a_trial_ends_although_nothing_is_answered() {
        assert!(!trial().is_over(Tick(BEGAN.0 + LASTING_US + 399_000)));
        assert!(trial().is_over(Tick(BEGAN.0 + LASTING_US + 400_000)));
    }
}
