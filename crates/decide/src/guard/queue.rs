//! Who goes next when every endpoint of a pool is full.
//!
//! A request that meets [`crate::pick::Taken::Full`], or that [`Waiting::must_queue`], follows this protocol:
//!
//! 1. [`Waiting::enter`] gives it a ticket, or sheds it;
//! 2. [`Waiting::turn`] says what to do: go, wait (until it is woken, or that time), or give up;
//! 3. who may go calls [`crate::pick::Picker::take`], and then says [`Waiting::went`] when that gave an endpoint,
//!    or [`Waiting::again`] when it did not, and asks for its turn again;
//! 4. whoever goes away in between, for whatever reason, says [`Waiting::leave`].
//!
//! No wake-up is lost: room calls exactly one waiter, by a permission that the waiter uses up or that is passed on;
//! room that nobody claimed is offered to the next one who enters; and every waiter asks again at the latest after
//! [`LOOK_AGAIN_US`], so that even room that nobody told of is found.

mod line;

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::task::Waker;

use bascule_contract::protection::Queue;

use crate::guard::queue::line::{Line, Room};
use crate::shared::Shared;
use crate::table::{Endpoint, Pool};
use crate::time::Tick;

/// A waiter asks again after this long at the latest.
pub const LOOK_AGAIN_US: u64 = 20_000;
/// Half of the service level while nobody says what it is: this many times the usual latency …
const USUALS: u64 = 5;
/// … but not less, and not more than this.
const SHORTEST_US: u64 = 20_000;
const LONGEST_US: u64 = 1_000_000;

/// The requests that wait for an endpoint of one pool, over all threads. `W` wakes one of them.
///
/// Locked only while somebody waits: when nobody does, room costs one load.
#[derive(Debug)]
pub struct Waiting<W> {
    count: AtomicU32,
    /// One more than the highest priority of those who wait for any endpoint; 0 when nobody does.
    front: AtomicU32,
    line: Shared<Line<W>>,
}

/// Wakes one waiter. Rung outside of all locks, from any thread, perhaps more often than needed.
pub trait Bell: Clone {
    /// Wakes it: it asks for its turn.
    fn ring(&self);
    /// Whether this wakes the same waiter as `other`.
    fn is_same(&self, other: &Self) -> bool;
}

/// How long a pool's line may be, and how long one may stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The generation of the table that says so: requests of a later one may know of more room.
    pub generation: u64,
    /// Waiters, over all threads.
    pub length: u32,
    /// Whoever has waited for this long is shed.
    pub longest_us: u64,
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Any endpoint of the pool.
    Any,
    /// Any but those where it has been.
    Other,
    /// This one.
    Only(Place),
}

/// One endpoint, whatever table it is in. Meaningful while some table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize);

impl Place {
    /// Where `endpoint` is.
    pub fn of(endpoint: &Endpoint) -> Self {
        Self(std::sync::Arc::as_ptr(&endpoint.state).addr())
    }
}

/// A place in the line. Must be given back by [`Waiting::went`] or [`Waiting::leave`], whatever happens.
#[derive(Debug)]
#[must_use = "a waiter that is forgotten holds room that others wait for"]
pub struct Ticket {
    priority: u32,
    number: u64,
    until: Tick,
}

/// What a waiter has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Take an endpoint.
    Go,
    /// Wait to be woken, but ask again at this time.
    Wait {
        /// Later than now.
        until: Tick,
    },
    /// It is no longer in the line.
    Shed(Shed),
}

/// Why a request is shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// As many wait as may, and it goes before none of them.
    QueueFull,
    /// It has waited for so long that its answer would come too late.
    TooLong,
    /// The line was full when somebody of a higher priority came.
    Displaced,
}

impl<W> Default for Waiting<W> {
    fn default() -> Self {
        Self { count: AtomicU32::new(0), front: AtomicU32::new(0), line: Shared::new(Line::default()) }
    }
}

impl<W> Waiting<W> {
    /// How many wait.
    pub fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }

    /// Whether a request of this priority that has just come would overtake somebody.
    pub fn must_queue(&self, priority: u32) -> bool {
        self.front.load(Relaxed) > priority
    }
}

impl<W: Bell> Waiting<W> {
    /// Takes a place in the line. `priority` is 0 to [`crate::table::HIGHEST`], and higher ones go first.
    ///
    /// # Errors
    /// The line is full. Somebody else may be shed instead, who is woken to learn of it.
    pub fn enter(
        &self,
        terms: Terms,
        (priority, wish): (u32, Wish),
        now: Tick,
        wake: W,
    ) -> Result<Ticket, Shed> {
        let (entered, displaced) = self.change(|line| line.enter(terms, (priority, wish), now, wake));
        ring(displaced);
        entered
    }

    /// What the waiter has to do now; `wake` wakes it from now on.
    pub fn turn(&self, ticket: &Ticket, wake: &W, now: Tick) -> Turn {
        let (turn, called) = self.change(|line| line.turn(ticket, wake, now));
        ring(called);
        turn
    }

    /// It was told to go and found no room: it is back at its place, and others learn of room that only they can use.
    pub fn again(&self, ticket: &Ticket, now: Tick) {
        ring(self.change(|line| line.again(ticket, now)));
    }

    /// It was told to go and got an endpoint.
    pub fn went(&self, ticket: Ticket, now: Tick) {
        ring(self.change(|line| line.went(&ticket, now)));
    }

    /// It no longer wants an endpoint: its client has gone, or there is no endpoint for it. Right after a shed, too.
    pub fn leave(&self, ticket: Ticket, now: Tick) {
        ring(self.change(|line| line.leave(&ticket, now)));
    }

    /// An endpoint can take one more: whoever goes next is called.
    pub fn has_room(&self, place: Place, now: Tick) {
        // With the SeqCst of `count` and of `in_flight`, either this sees the waiter or the waiter sees the room.
        if self.count.load(SeqCst) > 0 {
            ring(self.change(|line| line.call(Room::At(place), now)));
        }
    }

    /// Some endpoint may take some more: a limit rose, or an endpoint came back. Called one by one until one finds none.
    pub fn may_have_room(&self, now: Tick) {
        if self.count.load(SeqCst) > 0 {
            ring(self.change(|line| line.call(Room::Somewhere, now)));
        }
    }

    fn change<R>(&self, work: impl FnOnce(&mut Line<W>) -> R) -> R {
        self.line.wait(|line| {
            let result = work(line);
            self.count.store(line.count(), SeqCst);
            self.front.store(line.front(), SeqCst);
            result
        })
    }
}

fn ring<W: Bell>(called: Option<W>) {
    if let Some(wake) = called {
        wake.ring();
    }
}

impl Bell for Waker {
    fn ring(&self) {
        self.wake_by_ref();
    }

    fn is_same(&self, other: &Self) -> bool {
        self.will_wake(other)
    }
}

impl Terms {
    /// As `queue` says; `usual_us` is what an answer of the pool takes while nothing queues, if that is known.
    pub fn of(queue: &Queue, usual_us: Option<u64>, generation: u64) -> Self {
        let half_us = match queue.service_level_ms {
            Some(level_ms) => level_ms.saturating_mul(500),
            None => {
                usual_us.map_or(LONGEST_US, |us| us.saturating_mul(USUALS).clamp(SHORTEST_US, LONGEST_US))
            }
        };
        Self { generation, length: queue.length, longest_us: half_us.min(queue.wait_ms.saturating_mul(1000)) }
    }
}

impl Pool {
    /// On what terms requests wait for this pool; `None`: they do not, and are shed when it is full.
    pub fn terms(&self) -> Option<Terms> {
        let queue = self.protection.queue.as_ref()?;
        let usual_us = self.state.gate.usual_us().or_else(|| self.state.delays.usual_us());
        Some(Terms::of(queue, usual_us, self.generation))
    }
}

#[cfg(test)]
mod tests;
