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
/// This part of the answers that there were before would mean that something takes longer …
const FEWER: f64 = 0.6;
/// … when it is so many times likelier, as a logarithm. By chance alone, that happens once in a few hundred thousand.
const MISSING: f64 = 10.0;
/// With so much of that, it is not certain that none is missing.
const SUSPICIOUS: f64 = 0.5;
/// Between these parts, they are as many as before.
const AS_BEFORE: f64 = 0.9;
const ABOUT_AS_BEFORE: f64 = 1.5;
/// What comes on so fast is sudden; what comes slowly, a trial tells better.
const SUDDEN_US: u64 = 500_000;
/// What has been usual for less is not what it is compared with.
const SETTLES_MS: u64 = 5_000;
/// Below this elevation, nothing is unusual.
const CALM: f64 = 1.5;
/// Exchanges that take so many times what it is to the heads of their answers, and so long.
const STREAMING: f64 = 4.0;
const LASTING_US: f64 = 1_000_000.0;
/// Standard deviations.
const CERTAIN: f64 = 3.0;

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
    began: Tick,
    at: Tick,
    /// When what came was last as usual, and answers since then.
    calm_at: Tick,
    /// Until then, what there was before is not usual.
    settles_at: Tick,
    answers: f64,
    high_since: Option<Tick>,
    /// Answers since `rates_at`.
    pending: f64,
    rates_at: Tick,
    /// Answers per microsecond, now and before.
    rate: f64,
    rate_before: f64,
    /// Evidence that they are fewer than before (a cumulative sum of logarithms of likelihoods, as by Page).
    missing: f64,
    /// The most of it since all was usual, as a share of what is certain.
    most_missing: f64,
    /// When they were.
    fewer_at: Tick,
    /// What exchanges took before, to their ends.
    hold_before_us: f64,
}

impl Level {
    pub(super) fn add(&mut self, report: &Report, now: Tick) {
        let answers = f64::from(report.answers);
        let age = now.since(self.at) as f64;
        let weight =
            if self.at == Tick(0) { 1.0 } else { 1.0 - (-answers / AVERAGED - age / AVERAGED_US).exp() };
        if self.at == Tick(0) {
            self.began = now;
        }
        self.at = now;
        let follow = |value: &mut f64, sum: f64| *value += weight * (sum / answers - *value);
        follow(&mut self.elevation, report.elevation);
        follow(&mut self.ahead, report.ahead);
        follow(&mut self.now_us, report.head_us);
        follow(&mut self.hold_us, report.hold_us);
        follow(&mut self.usual_us, report.usual_us);
        self.count(answers, report.hold_us / answers, now);
        let ahead_us = self.usual_us * (self.ahead - 1.0);
        let is_high = self.elevation >= HIGHER && self.ahead >= HIGH && ahead_us >= HIGH_US;
        self.answers += answers;
        if self.ahead < CALM {
            (self.calm_at, self.answers, self.most_missing) = (now, 0.0, 0.0);
        }
        self.high_since = if is_high { self.high_since.or(Some(now)) } else { None };
    }

    /// Whether there was nothing before, to know what is usual from.
    pub(super) fn is_new(&self, now: Tick) -> bool {
        now < self.began.after_ms(SETTLES_MS)
    }

    /// Whether it looks like overload.
    pub(super) fn is_high(&self, now: Tick) -> bool {
        self.high_since.is_some_and(|since| now.since(since) >= PERSISTS_US)
    }

    /// Whether fewer answers came than before, a moment ago or since all was usual. More traffic does not do that;
    /// something that takes longer does, until as much more is under way.
    pub(super) fn is_slower(&self, now: Tick) -> bool {
        let was_slower = self.fewer_at > Tick(0);
        was_slower && (now.since(self.fewer_at) <= SUDDEN_US || self.fewer_at >= self.calm_at)
    }

    /// What exchanges take that are under way, when there are `all` of them.
    ///
    /// Those that have ended were begun when there may have been fewer. By Little's law, so many take so long at this rate.
    pub(super) fn lasting_us(&self, all: f64) -> f64 {
        if self.rate > 0.0 { self.hold_us.max(all / self.rate) } else { self.hold_us }
    }

    /// Whether most of what is under way has long been answered: then nothing about it says how busy the endpoints are.
    pub(super) fn is_streaming(&self, all: f64) -> bool {
        self.hold_us > STREAMING * self.now_us && self.lasting_us(all) > LASTING_US
    }

    /// Whether all was usual a moment ago, and long before.
    pub(super) fn is_sudden(&self, now: Tick) -> bool {
        now.since(self.calm_at) <= SUDDEN_US && now >= self.settles_at
    }

    /// Whether it is certain that more comes than can be done, when there are `all` under way.
    ///
    /// What has been added to them has come on top of what usually comes, because as much is answered as before. Were it
    /// that each takes longer, so many answers would be missing.
    pub(super) fn is_flooded(&self, all: f64, now: Tick) -> bool {
        let ratio = self.rate / self.rate_before;
        let fewer = self.is_slower(now) || self.most_missing > SUSPICIOUS;
        if fewer || !(AS_BEFORE..=ABOUT_AS_BEFORE).contains(&ratio) || !self.is_sudden(now) {
            return false;
        }
        let since_us = now.since(self.calm_at) as f64;
        let usual = self.rate_before * CALM * self.hold_before_us;
        let expected = self.rate_before * since_us;
        let more_than_explained = self.answers - expected + (all - usual) / 2.0;
        more_than_explained > CERTAIN * expected.max(1.0).sqrt()
    }

    /// What it takes now is usual.
    pub(super) fn begin_anew(&mut self, now: Tick) {
        self.settles_at = now.after_ms(SETTLES_MS);
        (self.elevation, self.ahead) = (1.0, 1.0);
        self.usual_us = self.now_us;
        self.high_since = None;
    }

    /// It has to look like overload again.
    pub(super) fn calm_down(&mut self) {
        self.high_since = None;
    }

    fn count(&mut self, answers: f64, took_us: f64, now: Tick) {
        self.pending += answers;
        let age = now.since(self.rates_at) as f64;
        if age <= 0.0 {
            return;
        }
        let answers_now = std::mem::take(&mut self.pending);
        let latest = answers_now / age;
        if self.rates_at == Tick(0) {
            self.rates_at = now;
            return;
        }
        self.rates_at = now;
        if self.rate_before == 0.0 {
            (self.rate, self.rate_before, self.hold_before_us) = (latest, latest, self.hold_us);
        }
        let recent_us = RECENT_US.max(RECENT / self.rate_before.max(1e-9));
        self.rate += (1.0 - (-age / recent_us).exp()) * (latest - self.rate);
        // Beyond the time that exchanges take, there may have been nothing to answer.
        let owed_us = age.min(self.hold_us.max(took_us));
        let missing = (1.0 - FEWER) * self.rate_before * owed_us + FEWER.ln() * answers_now;
        // Where there are very many, a hiccup is certain, but nothing that matters.
        let enough = MISSING.max((1.0 - FEWER) * self.rate_before * HIGH_US);
        self.missing = (self.missing + missing).clamp(0.0, 1.2 * enough);
        self.most_missing = self.most_missing.max(self.missing / enough);
        if self.missing >= enough {
            self.fewer_at = now;
        }
        let slowly = 1.0 - (-age / BEFORE_US).exp();
        self.rate_before += slowly * (latest - self.rate_before);
        self.hold_before_us += slowly * (self.hold_us - self.hold_before_us);
    }
}

#[cfg(test)]
mod tests {
    use super::Level;
    use super::Report;
    use crate::time::Tick;

    const CALM_US: u64 = 10_000_000;

    /// A level that has seen ten calm seconds of one answer per millisecond, 20 ms each.
    fn calm() -> Level {
        let mut level = Level::default();
        (0..10_000).for_each(|ms| tell(&mut level, 20_000.0, Tick(1 + ms * 1_000)));
        level
    }

    fn tell(level: &mut Level, us: f64, now: Tick) {
        let elevation = us / 20_000.0;
        let report =
            Report { answers: 1, elevation, ahead: elevation, head_us: us, hold_us: us, usual_us: 20_000.0 };
        level.add(&report, now);
    }

    #[test]
    fn as_many_answers_as_before_and_ever_more_under_way_is_a_flood() {
        let mut level = calm();
        for ms in 0..200_u32 {
            tell(&mut level, 20_000.0 + f64::from(ms) * 500.0, Tick(CALM_US + u64::from(ms) * 1_000));
        }
        let now = Tick(CALM_US + 200_000);
        assert!(level.is_high(now) && !level.is_slower(now));
        assert!(level.is_flooded(120.0, now));
        assert!(!level.is_flooded(30.0, now), "that many are under way whenever answers take 30 ms");
    }

    #[test]
    fn answers_that_are_missing_for_a_while_speak_of_something_that_takes_longer() {
        let mut level = calm();
        // From now on answers take 80 ms: 60 ms without any, then as many as before.
        for ms in 60..160 {
            tell(&mut level, 80_000.0, Tick(CALM_US + ms * 1_000));
        }
        let now = Tick(CALM_US + 160_000);
        assert!(level.is_high(now) && level.is_slower(now));
        assert!(!level.is_flooded(80.0, now));
    }

    #[test]
    fn a_pause_in_the_traffic_is_not_missing_answers() {
        let mut level = calm();
        let now = Tick(CALM_US + 3_600_000_000);
        tell(&mut level, 20_000.0, now);
        assert!(!level.is_slower(now) && !level.is_high(now));
    }

    #[test]
    fn what_is_streamed_says_nothing_about_how_busy_endpoints_are() {
        let mut level = calm();
        assert!(!level.is_streaming(20.0));
        for ms in 0..1_000 {
            let report = Report { answers: 1, head_us: 20_000.0, hold_us: 5e6, ..Report::default() };
            level.add(&report, Tick(CALM_US + ms * 1_000));
        }
        assert!(level.is_streaming(5_000.0));
    }
}
