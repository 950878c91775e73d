//! When requests come, and how much each demands.

use bascule_decide::random::Random;
use bascule_decide::time::Tick;

/// What a request demands of an endpoint of usual speed. All have a mean of 20 ms.
#[derive(Clone, Copy, Debug)]
pub enum Demand {
    Exponential,
    /// Nine of ten take 5 ms, the tenth takes 155 ms.
    Bimodal,
    /// Shape 1.5: few requests are most of the work. At most 3 s.
    Pareto,
}

/// How requests come.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Since when how many requests come per second, ascending; the first is since 0.
    pub rates: Vec<(Tick, f64)>,
    pub demand: Demand,
    /// Rates alternate between half as many and half as many again, 200 ms each.
    pub bursts: bool,
    pub ends: Tick,
}

/// Microseconds that a request demands on average.
pub const MEAN_US: f64 = 20_000.0;
const BURST_US: u64 = 200_000;

impl Traffic {
    /// Poisson arrivals of exponential demands at one rate.
    pub fn steady(per_second: f64, ends: Tick) -> Self {
        Self { rates: vec![(Tick(0), per_second)], demand: Demand::Exponential, bursts: false, ends }
    }

    /// When the next request comes; `None` after the end.
    pub fn next(&self, after: Tick, random: &mut Random) -> Option<Tick> {
        let highest = self.rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max) * 1.5;
        let mut at = after.0 as f64;
        loop {
            // Thinning: arrivals at the highest rate there ever is, of which the present rate's share stays.
            at += -uniform(random).ln() * 1e6 / highest;
            let now = Tick(at as u64);
            if now >= self.ends {
                return None;
            }
            if uniform(random) * highest < self.rate(now) {
                return Some(now);
            }
        }
    }

    fn rate(&self, now: Tick) -> f64 {
        let since = self.rates.partition_point(|(since, _)| *since <= now);
        let rate = self.rates[since - 1].1;
        match (self.bursts, now.0 / BURST_US % 2) {
            (false, _) => rate,
            (true, 0) => rate * 0.5,
            (true, _) => rate * 1.5,
        }
    }
}

impl Demand {
    /// Microseconds at an endpoint of usual speed.
    pub fn draw(self, random: &mut Random) -> f64 {
        match self {
            Self::Exponential => -uniform(random).ln() * MEAN_US,
            Self::Bimodal if uniform(random) < 0.9 => 5_000.0,
            Self::Bimodal => 155_000.0,
            Self::Pareto => (MEAN_US / 3.0 * uniform(random).powf(-1.0 / 1.5)).min(3e6),
        }
    }
}

/// Above 0, at most 1.
fn uniform(random: &mut Random) -> f64 {
    ((random.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
}
