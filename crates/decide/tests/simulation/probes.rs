//! What endpoints answer to probes: how many requests they have, and what those took of late that found as many.
//!
//! Answers come at once: half a millisecond, which they take in a real network, is little beside 20 ms of service.

use bascule_decide::load_report::Report;

/// A new sample counts this much.
const SHARE: f64 = 1.0 / 8.0;

/// Latencies of one endpoint by what requests found before them; 0 where nothing is known.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Vec<f64>);

impl Latencies {
    /// A request that found so many before it took this long.
    pub fn note(&mut self, found: usize, took_us: u64) {
        let Self(means) = self;
        if means.len() <= found {
            means.resize(found + 1, 0.0);
        }
        let (mean, took) = (&mut means[found], took_us as f64);
        *mean += if *mean == 0.0 { took } else { (took - *mean) * SHARE };
    }

    /// What the endpoint says while it has so many; the latency is that of the nearest number that has one.
    pub fn report(&self, jobs: usize) -> Report {
        let known = self.0.iter().enumerate().filter(|(_, mean)| **mean > 0.0);
        let nearest = known.min_by_key(|(found, _)| found.abs_diff(jobs));
        Report {
            in_flight: Some(jobs as u32),
            latency_us: nearest.map(|(_, mean)| *mean as u64),
            ..Report::default()
        }
    }
}
