//! Who waits while every endpoint is full. A test of queues brings its own.

use bascule_decide::table::Pool;
use bascule_decide::time::Tick;

/// What becomes of a request that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It asks for an endpoint again.
    Go(usize),
    /// It is shed.
    Shed(usize),
}

/// The requests that wait; they are known by their index.
pub trait Waiters {
    /// A new request comes: whether it has to wait behind others before it may ask for an endpoint.
    fn must_queue(&mut self, pool: &Pool, request: usize, now: Tick) -> bool;

    /// Every endpoint is full for it, or it had to wait. False: it is shed. Comes again when a turn led to nothing.
    fn enter(&mut self, pool: &Pool, request: usize, now: Tick) -> bool;

    /// One that waited has got an endpoint.
    fn leave(&mut self, pool: &Pool, request: usize, now: Tick);

    /// Called after every event, until `turns` stays empty. When to call again at the latest.
    fn due(&mut self, pool: &Pool, now: Tick, turns: &mut Vec<Turn>) -> Option<Tick>;
}

/// Nobody waits.
pub struct ShedsAtOnce;

impl Waiters for ShedsAtOnce {
    fn must_queue(&mut self, _pool: &Pool, _request: usize, _now: Tick) -> bool {
        false
    }

    fn enter(&mut self, _pool: &Pool, _request: usize, _now: Tick) -> bool {
        false
    }

    fn leave(&mut self, _pool: &Pool, _request: usize, _now: Tick) {}

    fn due(&mut self, _pool: &Pool, _now: Tick, _turns: &mut Vec<Turn>) -> Option<Tick> {
        None
    }
}
