//! What may be configured: endpoints, limits, the queue and ejection, drawn at random.

use bascule_contract::protection::{Ejection, Limit, Protection, Queue};
use bascule_contract::snapshot::Pool;

use super::{Machine, NAMES, samples};

impl Machine {
    /// A pool of some of the endpoints that there may be.
    pub(crate) fn draw_pool(&mut self) -> Pool {
        let mut pool = samples::pool("p", "least_busy", &[1; NAMES]);
        pool.endpoints.retain(|_| self.random.below(100) < 50);
        if pool.endpoints.is_empty() {
            pool.endpoints = samples::pool("p", "least_busy", &[1]).endpoints;
        }
        for endpoint in &mut pool.endpoints {
            endpoint.limit = self.chance(20).then(|| 1 + self.random.below(3) as u32);
        }
        let (length, wait_ms) = (1 + self.random.below(40) as u32, 20 + self.random.below(400) as u64);
        pool.panic_percent = if self.chance(50) { 50 } else { 0 };
        pool.protection = Protection {
            limit: match self.random.below(8) {
                0 => Limit::Off {},
                1 => Limit::Learned {},
                _ => Limit::Fixed { requests: 1 + self.random.below(3) as u32 },
            },
            queue: self.chance(90).then(|| Queue {
                length,
                wait_ms,
                service_level_ms: self.chance(50).then_some(300),
            }),
            ejection: (!self.is_calm && self.chance(70)).then(|| Ejection {
                failures: 2 + self.random.below(3) as u32,
                failure_percent: self.chance(30).then_some(60),
                slowness_percent: None,
                time_ms: 20,
                longest_ms: 100,
                most_percent: [1, 50, 100][self.random.below(3)],
            }),
            ..Protection::default()
        };
        pool
    }
}
