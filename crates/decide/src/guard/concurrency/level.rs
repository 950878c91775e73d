//! How long the answers of a pool take and how many there are, averaged over all of its endpoints.

use super::windows::Report;
use crate::time::Tick;

/// Answers over which the pool's level is averaged, and time after which older ones count less in any case.
const AVERAGED: f64 = 64.0;
const AVERAGED_US: f64 = 500_000.0;
/// It looks like overload when answers take so many times what is usual, and what comes now will take so many times, …
const HIGHER: f64 = 1.3;
const HIGH: f64 = 1.8;
/// … and so much more …
const HIGH_US: f64 = 10_000.0;
/// … for so long.
const PERSISTS_US: u64 = 30_000;
/// The rate is averaged over so long and so many answers, and compared with the average over …
const RECENT_US: f64 = 50_000.0;
const RECENT: f64 = 32.0;
/// … so long.
const BEFORE_US: f64 = 2_000_000.0;
/// Fewer answers than this part of what there were before mean that something takes longer.
const FEWER: f64 = 0.8;

/// How long answers take, over the whole pool.
#[derive(Debug, Default)]
pub(super) struct Level {
    /// In what is usual.
    elevation: f64,
    /// The same for what comes now.
    ahead: f64,
    /// To the head of an answer.
    pub(super) now_us: f64,
    /// To the end of the exchange.
    pub(super) hold_us: f64,
    /// To the head, while nothing queues.
    pub(super) usual_us: f64,
    at: Tick,
    high_since: Option<Tick>,
    /// Answers since `rates_at`.
    pending: f64,
    rates_at: Tick,
    /// Answers per microsecond, now and before.
    rate: f64,
    rate_before: f64,
}

impl Level {
    pub(super) fn add(&mut self, report: &Report, now: Tick) {
        let answers = f64::from(report.answers);
        let age = now.since(self.at) as f64;
        let weight =
            if self.at == Tick(0) { 1.0 } else { 1.0 - (-answers / AVERAGED - age / AVERAGED_US).exp() };
        self.at = now;
        let follow = |value: &mut f64, sum: f64| *value += weight * (sum / answers - *value);
        follow(&mut self.elevation, report.elevation);
        follow(&mut self.ahead, report.ahead);
        follow(&mut self.now_us, report.head_us);
        follow(&mut self.hold_us, report.hold_us);
        follow(&mut self.usual_us, report.usual_us);
        self.count(answers, now);
        let ahead_us = self.usual_us * (self.ahead - 1.0);
        let is_high = self.elevation >= HIGHER && self.ahead >= HIGH && ahead_us >= HIGH_US;
        self.high_since = if is_high { self.high_since.or(Some(now)) } else { None };
    }

    /// Whether it looks like overload.
    pub(super) fn is_high(&self, now: Tick) -> bool {
        self.high_since.is_some_and(|since| now.since(since) >= PERSISTS_US)
    }

    /// Whether fewer answers come than before. More traffic does not do that; something that takes longer does, until as
    /// much more is under way.
    pub(super) fn is_slower(&self) -> bool {
        self.rate < FEWER * self.rate_before
    }

    /// What exchanges take that are under way, when there are `all` of them.
    ///
    /// Those that have ended were begun when there may have been fewer. By Little's law, so many take so long at this rate.
    pub(super) fn lasting_us(&self, all: f64) -> f64 {
        if self.rate > 0.0 { self.hold_us.max(all / self.rate) } else { self.hold_us }
    }

    /// What it takes now is usual.
    pub(super) fn begin_anew(&mut self) {
        (self.elevation, self.ahead) = (1.0, 1.0);
        self.usual_us = self.now_us;
        self.high_since = None;
    }

    /// It has to look like overload again.
    pub(super) fn calm_down(&mut self) {
        self.high_since = None;
    }

    fn count(&mut self, answers: f64, now: Tick) {
        self.pending += answers;
        let age = now.since(self.rates_at) as f64;
        if age <= 0.0 {
            return;
        }
        let latest = std::mem::take(&mut self.pending) / age;
        if self.rates_at == Tick(0) {
            self.rates_at = now;
            return;
        }
        self.rates_at = now;
        if self.rate_before == 0.0 {
            (self.rate, self.rate_before) = (latest, latest);
        }
        let recent_us = RECENT_US.max(RECENT / self.rate_before.max(1e-9));
        self.rate += (1.0 - (-age / recent_us).exp()) * (latest - self.rate);
        self.rate_before += (1.0 - (-age / BEFORE_US).exp()) * (latest - self.rate_before);
    }
}
