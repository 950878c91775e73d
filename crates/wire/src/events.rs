//! What happened, kept until the control plane asks: a bounded ring and a descriptor that becomes readable.

use bascule_contract::event::{Event, What};
use bascule_decide::table::Pool;
use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

const CAPACITY: usize = 4096;

/// The ring. Adding never waits; when nobody asks, the oldest go and are counted.
#[derive(Debug)]
pub(crate) struct Events {
    ring: Mutex<Ring>,
    wake: UnixStream,
    woken: UnixStream,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Event>,
    lost: u64,
}

impl Events {
    pub(crate) fn new() -> std::io::Result<Self> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        Ok(Self { ring: Mutex::default(), wake, woken })
    }

    /// Readable when there are events; whoever is woken reads it empty and then calls [`Events::take`].
    pub(crate) fn wake_fd(&self) -> RawFd {
        self.woken.as_raw_fd()
    }

    pub(crate) fn add(&self, what: What) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.events.len() == CAPACITY {
            ring.events.pop_front();
            ring.lost += 1;
        }
        ring.events.push_back(Event { at_ms: now_ms(), what });
        // A full pipe has woken the reader already.
        let _ = (&self.wake).write(&[1]);
    }

    /// Adds that an overload of `pool` has begun or ended, when nobody has said so yet.
    pub(crate) fn tell_overload(&self, pool: &Pool) {
        let Some(overloaded) = pool.state.gate.take_change() else { return };
        let pool = pool.id.to_string();
        self.add(if overloaded { What::OverloadBegan { pool } } else { What::OverloadEnded { pool } });
    }

    /// The oldest events, `limit` at most; first of all how many were lost, if any.
    pub(crate) fn take(&self, limit: usize) -> Vec<Event> {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        if ring.lost > 0 {
            taken.push(Event {
                at_ms: now_ms(),
                what: What::EventsLost { count: std::mem::take(&mut ring.lost) },
            });
        }
        let count = limit.saturating_sub(taken.len()).min(ring.events.len());
        taken.extend(ring.events.drain(..count));
        taken
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_nobody_took_are_counted_not_kept() {
        let events = Events::new().expect("a socket pair");
        for generation in 0..CAPACITY as u64 + 5 {
            events.add(What::GenerationDrained { generation });
        }
        let taken = events.take(2);
        assert_eq!(taken[0].what, What::EventsLost { count: 5 });
        assert_eq!(taken[1].what, What::GenerationDrained { generation: 5 });
    }
}
