//! What one endpoint does: rates and times in windows of its recent past.

use super::trial::Before;
use crate::time::Tick;

/// A window is over after this long and this many answers …
const WINDOW_US: u64 = 200_000;
const ENOUGH: u32 = 16;
/// So many are recent …
const RECENT: usize = 4;
/// … and so many are kept: about ten seconds of steady traffic.
const KEPT: usize = 48;
/// What one answer counts at most, in usual times: a single slow one must not look like many.
const MOST: f64 = 6.0;
/// So few requests queue nowhere.
const SHALLOW: u32 = 2;
/// What is told to the pool is told after this long, or this many answers.
const REPORT_US: u64 = 4_000;
const REPORT: u32 = 32;

/// The recent past of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Windows {
    began: Tick,
    count: u32,
    head_us: f64,
    hold_us: f64,
    /// Answers, duration, and the sum of what the exchanges took, of the latest ones.
    recent: [(u32, u64, f64); RECENT],
    rates: Ring,
    heads: Ring,
    holds: Ring,
    known: Known,
    report: Report,
    reported: Tick,
}

/// What follows from the windows. All 0 while there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// The most that it did, in answers per microsecond.
    pub(super) rate: f64,
    /// What it takes to the head of an answer while nothing queues.
    pub(super) head_us: f64,
    /// What it takes to the end of an exchange while nothing queues.
    pub(super) hold_us: f64,
}

/// What answers of one endpoint say about its pool.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Report {
    pub(super) answers: u32,
    /// Sum over the answers: how many times their usual time they took, each capped.
    pub(super) elevation: f64,
    /// The same for what comes now, as far as the requests at the endpoint tell.
    pub(super) ahead: f64,
    /// Sum of what they took to their heads.
    pub(super) head_us: f64,
    /// Sum of what they took to the ends of their exchanges.
    pub(super) hold_us: f64,
    /// Sum of what that usually is.
    pub(super) usual_us: f64,
}

impl Windows {
    pub(super) fn known(&self) -> Known {
        self.known
    }

    /// The last second or so.
    pub(super) fn recent(&self, now: Tick) -> Before {
        let begun = (self.count, now.since(self.began), self.hold_us);
        let all = self.recent.iter().chain([&begun]);
        let sum = all.fold((0, 0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1, sum.2 + it.2));
        let answers = f64::from(sum.0);
        Before { answers, rate: answers / sum.1.max(1) as f64, took_us: sum.2 / answers.max(1.0) }
    }

    /// The most that it did, the window that has begun included, in answers per microsecond.
    pub(super) fn most(&self, now: Tick) -> f64 {
        let age = now.since(self.began);
        let begun = if age >= WINDOW_US / 2 { f64::from(self.count) / age as f64 } else { 0.0 };
        begun.max(self.known.rate)
    }

    /// A good answer came after `head_us`, and the exchange ended after `hold_us`.
    ///
    /// `depth` are still there. `frozen`: what it takes now says nothing about what it takes while nothing queues.
    pub(super) fn add(
        &mut self,
        (head_us, hold_us): (u64, u64),
        depth: u32,
        now: Tick,
        frozen: bool,
    ) -> bool {
        if self.count == 0 && self.rates.is_empty() && self.began == Tick(0) {
            self.began = now;
        }
        self.count += 1;
        self.head_us += head_us as f64;
        self.hold_us += hold_us as f64;
        let most = self.most(now);
        let ahead_us = if depth > SHALLOW && most > 0.0 { f64::from(depth) / most } else { 0.0 };
        self.elevate((head_us as f64, hold_us as f64), ahead_us);
        let age = now.since(self.began);
        // The very first one is short, because until then nothing at all is known.
        let over = self.count >= ENOUGH && (age >= WINDOW_US || self.rates.is_empty());
        if over {
            self.turn(age, now, frozen);
        }
        over
    }

    /// No answer came within this time, which is known to be long.
    pub(super) fn add_lost(&mut self, after_us: u64) {
        if self.known.head_us > 0.0 && after_us as f64 > 2.0 * self.known.head_us {
            self.elevate((after_us as f64, after_us as f64), 0.0);
        }
    }

    /// What the pool is to be told, if it is time for that.
    pub(super) fn report(&mut self, now: Tick, at_once: bool) -> Option<Report> {
        let due = at_once || self.report.answers >= REPORT || now.since(self.reported) >= REPORT_US;
        if !due || self.report.answers == 0 {
            return None;
        }
        self.reported = now;
        Some(std::mem::take(&mut self.report))
    }

    /// What it takes while nothing queues is so many times what was thought.
    pub(super) fn scale(&mut self, factor: f64) {
        self.heads.scale(factor);
        self.holds.scale(factor);
        self.conclude();
    }

    /// It takes at least this much to the end of an exchange.
    pub(super) fn raise_hold(&mut self, hold_us: f64) {
        if self.known.hold_us > 0.0 && self.known.hold_us < hold_us {
            self.holds.scale(hold_us / self.known.hold_us);
            self.conclude();
        }
    }

    fn elevate(&mut self, (took_us, hold_us): (f64, f64), ahead_us: f64) {
        let usual = self.known.head_us;
        if usual > 0.0 {
            self.report.answers += 1;
            self.report.elevation += (took_us / usual).min(MOST);
            self.report.ahead += (took_us.max(ahead_us) / usual).min(MOST);
            self.report.head_us += took_us;
            self.report.hold_us += hold_us;
            self.report.usual_us += usual;
        }
    }

    fn turn(&mut self, age: u64, now: Tick, frozen: bool) {
        let count = f64::from(self.count);
        self.rates.push(count / age.max(1) as f64);
        self.recent.rotate_right(1);
        self.recent[0] = (self.count, age, self.hold_us);
        if !frozen || self.heads.is_empty() {
            self.heads.push(self.head_us / count);
            self.holds.push(self.hold_us / count);
        }
        (self.began, self.count, self.head_us, self.hold_us) = (now, 0, 0.0, 0.0);
        self.conclude();
    }

    fn conclude(&mut self) {
        // The least of many windows is far below what is usual, by chance alone; a quarter is not.
        self.known = Known {
            rate: self.rates.most(),
            head_us: self.heads.lower_quarter(),
            hold_us: self.holds.lower_quarter(),
        };
    }
}

/// The latest values.
#[derive(Debug)]
struct Ring {
    values: [f32; KEPT],
    count: usize,
    next: usize,
}

impl Default for Ring {
    fn default() -> Self {
        Self { values: [0.0; KEPT], count: 0, next: 0 }
    }
}

impl Ring {
    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn push(&mut self, value: f64) {
        self.values[self.next] = value as f32;
        self.next = (self.next + 1) % KEPT;
        self.count = (self.count + 1).min(KEPT);
    }

    fn scale(&mut self, factor: f64) {
        self.values[..self.count].iter_mut().for_each(|value| *value *= factor as f32);
    }

    fn most(&self) -> f64 {
        self.values[..self.count].iter().copied().fold(0.0, f32::max).into()
    }

    fn lower_quarter(&self) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        let mut sorted = self.values;
        let (_, value, _) = sorted[..self.count].select_nth_unstable_by(self.count / 4, f32::total_cmp);
        f64::from(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::{ENOUGH, MOST, Windows};
    use crate::time::Tick;

    /// `count` answers that take `us` each, one per `every_us`; where that ends.
    fn answer(windows: &mut Windows, from: Tick, count: u32, (us, every_us): (u64, u64)) -> Tick {
        let at = |number: u32| Tick(from.0 + u64::from(number) * every_us);
        (0..count).for_each(|number| {
            windows.add((us, us), 0, at(number), false);
        });
        at(count)
    }

    #[test]
    fn what_one_takes_is_known_after_the_first_sixteen_and_how_many_it_does_from_the_busiest_window() {
        let mut windows = Windows::default();
        let now = answer(&mut windows, Tick(1), ENOUGH - 1, (2_000, 1_000));
        assert_eq!(windows.known().hold_us, 0.0);
        let now = answer(&mut windows, now, 400, (2_000, 1_000));
        answer(&mut windows, now, 400, (2_000, 4_000));
        let known = windows.known();
        assert!((0.9..1.2).contains(&(known.rate * 1_000.0)), "{known:?}");
        assert!((1_999.0..2_001.0).contains(&known.head_us), "{known:?}");
    }

    #[test]
    fn a_quarter_of_slow_windows_changes_nothing() {
        let mut windows = Windows::default();
        let now = answer(&mut windows, Tick(1), 6_000, (2_000, 1_000));
        answer(&mut windows, now, 2_000, (50_000, 1_000));
        assert!(windows.known().head_us < 2_100.0);
    }

    #[test]
    fn one_slow_answer_counts_as_six_at_most() {
        let mut windows = Windows::default();
        let now = answer(&mut windows, Tick(1), 400, (1_000, 1_000));
        windows.report(now, true);
        windows.add((10_000_000, 10_000_000), 0, now, false);
        assert_eq!(windows.report(now, true).map(|report| report.elevation), Some(MOST));
    }

    #[test]
    fn while_frozen_only_the_rate_is_learned() {
        let mut windows = Windows::default();
        let now = answer(&mut windows, Tick(1), 1_000, (1_000, 1_000));
        for number in 0..4_000 {
            windows.add((30_000, 30_000), 30, Tick(now.0 + number * 250), true);
        }
        let known = windows.known();
        assert!(known.head_us < 1_100.0 && known.rate > 0.0035, "{known:?}");
    }
}
