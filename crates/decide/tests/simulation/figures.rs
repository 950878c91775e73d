//! What came of a simulation, as numbers.

use std::fmt;
use std::ops::Range;

use bascule_decide::time::Tick;

use super::world::{Outcome, Request};

/// What a failed request counts as.
const FAILED_US: f64 = 3e6;
/// The service level.
pub const LEVEL_US: f64 = 200_000.0;

/// Of the requests that came in one stretch of time.
#[derive(Clone, Debug)]
pub struct Figures {
    pub requests: usize,
    /// Latency beyond what an idle endpoint of usual speed takes, in milliseconds.
    pub mean_excess_ms: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    /// Share that took more than 200 ms or failed.
    pub missed: f64,
    /// Share that got no good answer, shed ones included.
    pub errors: f64,
    /// Share that was shed.
    pub shed: f64,
    /// Tries per request.
    pub attempts: f64,
    /// Tries at each endpoint.
    pub tries: Vec<usize>,
}

impl Figures {
    /// Of those that came within `window`, at a pool of so many endpoints.
    pub fn of(requests: &[Request], window: Range<Tick>, endpoints: usize) -> Self {
        let counted: Vec<&Request> = requests.iter().filter(|it| window.contains(&it.arrived)).collect();
        let mut took: Vec<f64> = counted.iter().map(|it| it.latency_us()).collect();
        let mut tries = vec![0; endpoints];
        counted.iter().flat_map(|it| &it.tried).for_each(|slot| tries[slot.index()] += 1);
        let share = |count: usize| count as f64 / counted.len().max(1) as f64;
        let of = |outcome| counted.iter().filter(|it| it.outcome == outcome).count();
        let excess: f64 = counted.iter().map(|it| it.latency_us() - it.demand_us).sum();
        took.sort_unstable_by(f64::total_cmp);
        Self {
            requests: counted.len(),
            mean_excess_ms: excess / 1e3 / counted.len().max(1) as f64,
            p50_ms: below(&took, 0.5),
            p99_ms: below(&took, 0.99),
            p999_ms: below(&took, 0.999),
            missed: share(took.iter().filter(|us| **us > LEVEL_US).count()),
            errors: 1.0 - share(of(Outcome::Answered)),
            shed: share(of(Outcome::Shed)),
            attempts: share(tries.iter().sum()),
            tries,
        }
    }

    /// The median of each figure over several runs.
    pub fn medians(runs: &[Self]) -> Self {
        let by = |figure: fn(&Self) -> f64| {
            let mut all: Vec<f64> = runs.iter().map(figure).collect();
            all.sort_unstable_by(f64::total_cmp);
            all[all.len() / 2]
        };
        let tries = |endpoint: usize| {
            let mut all: Vec<usize> = runs.iter().map(|run| run.tries[endpoint]).collect();
            all.sort_unstable();
            all[all.len() / 2]
        };
        Self {
            requests: by(|run| run.requests as f64) as usize,
            mean_excess_ms: by(|run| run.mean_excess_ms),
            p50_ms: by(|run| run.p50_ms),
            p99_ms: by(|run| run.p99_ms),
            p999_ms: by(|run| run.p999_ms),
            missed: by(|run| run.missed),
            errors: by(|run| run.errors),
            shed: by(|run| run.shed),
            attempts: by(|run| run.attempts),
            tries: (0..runs[0].tries.len()).map(tries).collect(),
        }
    }

    /// How many times its equal share the busiest and the idlest endpoint got.
    pub fn extremes(&self) -> (f64, f64) {
        let equal = self.tries.iter().sum::<usize>() as f64 / self.tries.len() as f64;
        let shares = self.tries.iter().map(|tries| *tries as f64 / equal);
        shares.fold((0.0, f64::INFINITY), |(most, least), share| (most.max(share), least.min(share)))
    }
}

impl Request {
    /// What its client saw; failures count as three seconds.
    pub fn latency_us(&self) -> f64 {
        match self.outcome {
            Outcome::Answered => self.ended.since(self.arrived) as f64,
            _ => FAILED_US,
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "excess {:6.2}  p50 {:5.1}  p99 {:6.1}  p99.9 {:7.1}  missed {:6.3} %  errors {:6.3} %",
            self.mean_excess_ms,
            self.p50_ms,
            self.p99_ms,
            self.p999_ms,
            self.missed * 100.0,
            self.errors * 100.0
        )
    }
}

fn below(sorted: &[f64], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |us| us / 1e3)
}
