//! Who goes next when every endpoint of a pool is full.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use crate::time::Tick;

/// The requests that wait for an endpoint of one pool, over all threads. `W` wakes one of them.
#[derive(Debug)]
pub struct Waiting<W> {
    count: AtomicU32,
    _of: std::marker::PhantomData<fn() -> W>,
}

impl<W> Default for Waiting<W> {
    fn default() -> Self {
        Self { count: AtomicU32::new(0), _of: std::marker::PhantomData }
    }
}

impl<W> Waiting<W> {
    /// How many wait.
    pub fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }

    /// There is room at an endpoint: whoever goes next is woken.
    pub fn has_room(&self, _now: Tick) {}
}
