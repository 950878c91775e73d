//! How many requests an endpoint may have at a time, learned, and whether that is enforced now.

use crate::guard::Try;
use crate::guard::pace::Ended;
use crate::table::Pool;
use crate::time::Tick;

/// Whether a pool is overloaded.
#[derive(Debug, Default)]
pub struct Gate {}

/// What is known about how much one endpoint does.
#[derive(Debug, Default)]
pub struct Flow {}

impl Gate {
    /// Whether learned limits are enforced now.
    pub fn is_open(&self) -> bool {
        false
    }
}

impl Flow {
    /// A try has ended.
    pub fn end(&self, _pool: &Pool, _attempt: &Try, _now: Tick, _ended: Ended) {}

    /// What the endpoint can have at a time, as learned so far.
    pub fn learned_limit(&self) -> Option<u32> {
        None
    }
}
