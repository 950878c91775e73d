//! How loaded endpoints say they are, and what that makes of their weights.
//!
//! Once a second the reports of a pool are compared, and each endpoint's weight is multiplied by how much better or
//! worse than the median it does. Where all say how many requests they serve, the measure is what gRPC and Envoy use:
//! requests per second over utilisation and share of errors (gRFC A58), which is what an endpoint could do per unit of
//! its weight. Otherwise it is one over the utilisation. That depends on the weight in turn: it is therefore approached
//! in steps, and settles where an endpoint of four times the capacity gets twice the requests.

use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use crate::endpoint::NO_MARK;
use crate::load_report::Report;
use crate::table::Pool;
use crate::time::Tick;

/// A report of an endpoint that is older says nothing any more.
const EXPIRY_US: u64 = 180_000_000;
/// Reports of an endpoint that has just begun to report are not used yet: it may be cold.
const BLACKOUT_US: u64 = 10_000_000;
/// Weights change no more often.
const PAUSE_MS: u64 = 1_000;
/// Weights change by factors within these, in percent …
const LEAST: u32 = 10;
const MOST: u32 = 1_000;
const UNCHANGED: u32 = 100;
/// … and not for less than this, in percent: each change makes every thread begin its turns anew.
const DEAD_BAND: u32 = 5;
/// What errors weigh, against utilisation.
const PENALTY: f64 = 1.0;
/// Less is as good as idle.
const LEAST_UTILISATION: f64 = 0.01;
/// An endpoint whose weight changes its utilisation goes this part of the way in one step.
const STEP: f64 = 4.0;

/// What one endpoint has said, and what followed for its weight. Written by every thread.
#[derive(Debug, Default)]
pub struct Load {
    /// Numbers as bits; 0 where nothing was said.
    utilisation: AtomicU64,
    rate: AtomicU64,
    errors: AtomicU64,
    /// When the last report came, and the first since there was none for long; 0 before.
    at: AtomicU64,
    since: AtomicU64,
    /// Marks that were made, and of those how many have been taken for reports.
    marks: AtomicU32,
    marks_seen: AtomicU32,
    /// What counts is a mark: it stays in force until it says something else, or the endpoint itself does.
    is_of_mark: AtomicBool,
    /// The factor of the weight, in percent; 0 stands for 100.
    percent: AtomicU32,
}

/// Compares the reports of one pool.
#[derive(Debug, Default)]
pub(crate) struct Scale {
    next: Tick,
    /// What each endpoint does per unit of weight, where that is known.
    scores: Vec<(usize, f64)>,
    sorted: Vec<f64>,
}

/// What is known of an endpoint's load.
struct Figures {
    utilisation: f64,
    rate: f64,
    errors: f64,
}

impl Load {
    /// The factor of the endpoint's weight now, in percent: 10 to 1000.
    pub(crate) fn percent(&self, now: Tick) -> u32 {
        match self.percent.load(Relaxed) {
            0 => UNCHANGED,
            percent if self.is_fresh(now) => percent,
            _ => UNCHANGED,
        }
    }

    /// A mark has said something else about how loaded it is.
    pub(crate) fn is_marked(&self) {
        self.marks.fetch_add(1, Relaxed);
    }

    fn take(&self, utilisation: f64, rate: f64, errors: f64, now: Tick) {
        self.utilisation.store(utilisation.to_bits(), Relaxed);
        self.rate.store(rate.to_bits(), Relaxed);
        self.errors.store(errors.to_bits(), Relaxed);
        if !self.is_fresh(now) {
            self.since.store(now.0.max(1), Relaxed);
        }
        self.at.store(now.0.max(1), Relaxed);
    }

    /// Takes the last mark for a report, if there was one since; if that was what counted, it still does.
    fn take_mark(&self, mark: &AtomicU32, now: Tick) {
        let marks = self.marks.load(Relaxed);
        if self.marks_seen.swap(marks, Relaxed) == marks && !self.is_of_mark.load(Relaxed) {
            return;
        }
        let permille = mark.load(Relaxed);
        if permille != NO_MARK {
            self.take(f64::from(permille) / 1_000.0, 0.0, 0.0, now);
            self.is_of_mark.store(true, Relaxed);
        }
    }

    fn is_fresh(&self, now: Tick) -> bool {
        let at = self.at.load(Relaxed);
        at > 0 && now.since(Tick(at)) < EXPIRY_US
    }

    fn figures(&self, now: Tick) -> Option<Figures> {
        if !self.is_fresh(now) || now.since(Tick(self.since.load(Relaxed))) < BLACKOUT_US {
            return None;
        }
        let number = |bits: &AtomicU64| f64::from_bits(bits.load(Relaxed));
        Some(Figures {
            utilisation: number(&self.utilisation).max(LEAST_UTILISATION),
            rate: number(&self.rate),
            errors: number(&self.errors),
        })
    }

    /// Moves the factor towards `target`, all the way or a step; whether it has changed.
    fn approach(&self, target: f64, step: f64) -> bool {
        let before = f64::from(match self.percent.load(Relaxed) {
            0 => UNCHANGED,
            percent => percent,
        });
        let target = (target * 100.0).clamp(f64::from(LEAST), f64::from(MOST));
        if (target - before).abs() * 100.0 <= before * f64::from(DEAD_BAND) {
            return false;
        }
        let after = (before + (target - before) / step).round() as u32;
        self.percent.store(after.clamp(LEAST, MOST), Relaxed);
        true
    }
}

impl Pool {
    /// Takes what an endpoint says about its load, while the pool goes by that. It counts within a second.
    pub fn take_report(&self, slot: crate::balance::Slot, report: &Report, now: Tick) {
        if let (true, Some(utilisation)) = (self.load_reports, report.utilisation) {
            let load = &self.endpoints[slot.index()].state.load;
            load.take(utilisation, report.rate.unwrap_or(0.0), report.errors, now);
            load.is_of_mark.store(false, Relaxed);
        }
    }

    /// Works the factors out anew, if that is due; when it is next.
    pub(crate) fn weigh_loads(&self, now: Tick) -> Tick {
        let weighed = self.state.scale.attempt(|scale| {
            if now >= scale.next {
                scale.next = now.after_ms(PAUSE_MS);
                if scale.weigh(self, now) {
                    self.state.version.fetch_add(1, Release);
                }
            }
            scale.next
        });
        weighed.unwrap_or_else(|| now.after_ms(PAUSE_MS))
    }
}

impl Scale {
    /// Whether any factor has changed.
    fn weigh(&mut self, pool: &Pool, now: Tick) -> bool {
        for endpoint in &pool.endpoints {
            endpoint.state.load.take_mark(&endpoint.state.load_mark, now);
        }
        let figures = || {
            pool.endpoints.iter().enumerate().filter_map(|(at, it)| Some((at, it.state.load.figures(now)?)))
        };
        let by_rate = figures().all(|(_, figures)| figures.rate > 0.0);
        self.scores.clear();
        self.scores.extend(figures().map(|(at, Figures { utilisation, rate, errors })| {
            if !by_rate {
                return (at, 1.0 / utilisation);
            }
            let weight = f64::from(pool.endpoints[at].weight_now().max(1));
            (at, rate / (utilisation + errors / rate * PENALTY) / weight)
        }));
        self.sorted.clear();
        self.sorted.extend(self.scores.iter().map(|(_, score)| *score));
        self.sorted.sort_unstable_by(f64::total_cmp);
        let Some(last) = self.sorted.len().checked_sub(1) else { return false };
        let median = (self.sorted[last / 2] + self.sorted[last.div_ceil(2)]) / 2.0;
        let step = if by_rate { 1.0 } else { STEP };
        let mut changed = false;
        for (at, score) in &self.scores {
            changed |= pool.endpoints[*at].state.load.approach(score / median, step);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use bascule_contract::mark::Mark;

    use crate::balance::Slot;
    use crate::endpoint::{States, seen};
    use crate::load_report::Report;
    use crate::samples;
    use crate::table::{Pool, Table};
    use crate::time::Tick;

    struct World {
        states: States,
        table: Table,
        now: Tick,
    }

    impl World {
        fn new(weights: &[u32]) -> Self {
            let mut pool = samples::pool("p", "weighted_round_robin", weights);
            pool.load_reports = true;
            let mut states = States::new();
            let table = Table::compile(&samples::snapshot(vec![], vec![pool]), &mut states).unwrap();
            Self { states, table, now: Tick(1) }
        }

        fn pool(&self) -> &Pool {
            &self.table.pools[0]
        }

        fn report(&self, at: u32, utilisation: f64, rate: Option<f64>, errors: f64) {
            let report = Report { utilisation: Some(utilisation), rate, errors, ..Report::default() };
            self.pool().take_report(Slot(at), &report, self.now);
        }

        /// Some seconds pass, in each of which all of `reports` are made.
        fn pass(&mut self, seconds: u64, reports: &[(f64, Option<f64>)]) {
            for _ in 0..seconds {
                for (at, (utilisation, rate)) in (0..).zip(reports) {
                    self.report(at, *utilisation, *rate, 0.0);
                }
                self.now = self.now.after_ms(1_000);
                self.pool().weigh_loads(self.now);
            }
        }

        fn percents(&self) -> Vec<u32> {
            self.pool().endpoints.iter().map(|endpoint| endpoint.state.load.percent(self.now)).collect()
        }
    }

    #[test]
    fn whoever_does_more_for_its_utilisation_gets_more() {
        let mut world = World::new(&[1, 1, 1]);
        world.pass(12, &[(0.5, Some(100.0)), (0.5, Some(200.0)), (0.5, Some(50.0))]);
        assert_eq!(world.percents(), [100, 200, 50]);
        world.pass(1, &[(0.5, Some(100.0)), (0.4, Some(160.0)), (0.001, Some(900.0))]);
        assert_eq!(world.percents(), [50, 100, 1_000], "at most ten times the median");
    }

    #[test]
    fn errors_count_as_load() {
        let mut world = World::new(&[1, 1, 1]);
        for _ in 0..12 {
            world.report(0, 0.5, Some(100.0), 50.0);
            world.report(1, 0.5, Some(100.0), 0.0);
            world.pass(1, &[]);
            world.report(2, 0.5, Some(100.0), 0.0);
        }
        assert_eq!(world.percents(), [50, 100, 100]);
    }

    #[test]
    fn what_is_reported_is_what_an_endpoint_can_do_whatever_its_weight() {
        let mut world = World::new(&[3, 1]);
        world.pass(12, &[(0.5, Some(300.0)), (0.5, Some(100.0))]);
        assert_eq!(world.percents(), [100, 100], "the weights are right");
        world.pass(1, &[(0.5, Some(200.0)), (0.5, Some(200.0))]);
        let percents = world.percents();
        assert_eq!(percents[0] * 3, percents[1], "both get the same");
    }

    #[test]
    fn utilisation_alone_settles_and_does_not_swing() {
        let mut world = World::new(&[1, 1]);
        let capacity = [1.0, 4.0];
        let mut before = vec![100, 100];
        for second in 0..60 {
            let total: u32 = before.iter().sum();
            let busy = [0, 1].map(|at| f64::from(before[at]) / f64::from(total) / capacity[at]);
            world.pass(1, &busy.map(|busy| (busy, None)));
            let after = world.percents();
            if second >= 40 {
                assert_eq!(after, before, "second {second}");
            }
            before = after;
        }
        let ratio = f64::from(before[1]) / f64::from(before[0]);
        assert!((1.7..2.2).contains(&ratio), "{before:?}");
    }

    #[test]
    fn reports_count_after_ten_seconds_and_for_three_minutes() {
        let mut world = World::new(&[1, 1]);
        let reports = [(0.5, Some(100.0)), (0.5, Some(300.0))];
        world.pass(9, &reports);
        assert_eq!(world.percents(), [100, 100]);
        world.pass(2, &reports);
        assert_eq!(world.percents(), [50, 150]);
        world.pass(178, &[]);
        assert_eq!(world.percents(), [50, 150]);
        world.pass(2, &[]);
        assert_eq!(world.percents(), [100, 100]);
        world.pass(3, &reports);
        assert_eq!(world.percents(), [50, 150], "what was found before is where it begins anew");
    }

    #[test]
    fn small_changes_and_hasty_ones_change_nothing() {
        let mut world = World::new(&[1, 1, 1]);
        let even = [(0.5, Some(100.0)); 3];
        world.pass(12, &even);
        let version = seen(&world.pool().state.version);
        world.pass(5, &[(0.5, Some(104.0)), even[1], even[2]]);
        assert_eq!((world.percents(), seen(&world.pool().state.version)), (vec![100; 3], version));
        for rate in 0..50 {
            world.report(0, 0.5, Some(200.0 + f64::from(rate)), 0.0);
            world.now = Tick(world.now.0 + 15_000);
            world.pool().weigh_loads(world.now);
        }
        assert_eq!(seen(&world.pool().state.version), version, "not a second has passed");
        world.pass(1, &[(0.5, Some(200.0)), even[1], even[2]]);
        assert_eq!(seen(&world.pool().state.version), version + 1);
    }

    #[test]
    fn a_mark_is_a_report_that_lasts_until_another_one_comes() {
        let mut world = World::new(&[1, 1]);
        let load = |at, permille| Mark { load_permille: Some(permille), ..samples::mark("p", at) };
        let version = seen(&world.pool().state.version);
        world.states.mark(&[load(0, 900), load(1, 300)]);
        assert_eq!(seen(&world.pool().state.version), version, "a mark of load alone makes nobody look");
        world.pass(400, &[]);
        let percents = world.percents();
        assert!(percents[0] < 60 && percents[1] > 130, "{percents:?}");
        for _ in 0..40 {
            world.report(0, 0.3, None, 0.0);
            world.states.mark(&[load(0, 900)]);
            world.pass(1, &[]);
        }
        let percents = world.percents();
        assert!(percents[0].abs_diff(percents[1]) < 20, "what it says itself is newer: {percents:?}");
    }

    #[test]
    fn a_marked_load_that_is_taken_back_no_longer_counts_after_three_minutes() {
        let mut world = World::new(&[1, 1]);
        let load = |at, permille| Mark { load_permille: Some(permille), ..samples::mark("p", at) };
        world.states.mark(&[load(0, 900), load(1, 300)]);
        world.pass(20, &[]);
        assert_ne!(world.percents(), [100, 100]);
        world.states.mark(&[0, 1].map(|at| Mark { forget: true, up: Some(true), ..samples::mark("p", at) }));
        world.pass(181, &[]);
        assert_eq!(world.percents(), [100, 100]);
    }

    #[test]
    fn a_pool_that_does_not_go_by_reports_forgets_them() {
        let mut world = World::new(&[1, 1]);
        world.table.pools[0].load_reports = false;
        world.pass(12, &[(0.5, Some(100.0)), (0.5, Some(300.0))]);
        assert_eq!(world.percents(), [100, 100]);
    }
}
