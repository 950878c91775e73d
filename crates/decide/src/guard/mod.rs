//! What a pool learns from its traffic, and how that protects endpoints and requests.
//!
//! | question | answered in |
//! |---|---|
//! | How fast is this endpoint, and how much does it do at once? | [`pace`] |
//! | How many requests may it have? | [`concurrency`] |
//! | Who goes next when every endpoint is full? | [`queue`] |
//! | Does it fail? | [`ejection`] |
//! | How loaded does it say it is? | [`load`] |
//! | What is unusually long? | [`delays`] |
//!
//! Every try is begun by [`crate::pick::Picker::take`], and ended by [`Pool::end`] exactly once, whatever
//! becomes of it. In between, [`Pool::answered`] says when the head of a response came, and [`Pool::concluded`] how
//! one went that tells only at its end.

pub mod concurrency;
pub mod delays;
pub mod ejection;
pub mod load;
pub mod pace;
pub mod queue;

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

use crate::balance::{KeptPlaces, Slot};
use crate::guard::concurrency::Gate;
use crate::guard::delays::Delays;
use crate::guard::ejection::{Change, Evidence};
use crate::guard::load::Scale;
use crate::guard::pace::Fleet;
use crate::guard::queue::{Place, Waiting};
use crate::shared::Shared;
use crate::table::Pool;
use crate::time::Tick;

/// Tiers from which on an endpoint is so much slower than the others (two and a half times) that a copy pays.
const FAR_SLOWER: i32 = 2;

/// What one pool has learned and counts. Outlives tables; shared by all threads.
#[derive(Debug, Default)]
pub struct PoolState {
    /// Grows with everything that changes which endpoints may be picked, and how.
    pub version: AtomicU64,
    /// How fast its endpoints are, together.
    pub fleet: Fleet,
    /// Whether it is overloaded.
    pub gate: Gate,
    /// What is usual and what is unusually long.
    pub delays: Delays,
    /// Who waits for an endpoint.
    pub waiting: Waiting<Waker>,
    /// What happened.
    pub counted: Counted,
    /// How loaded its endpoints say they are.
    pub(crate) scale: Shared<Scale>,
    /// Where keys belong.
    pub(crate) places: KeptPlaces,
    /// One ejection at a time, so that the pool's last endpoint is not ejected by two threads at once.
    pub(crate) ejecting: Shared<()>,
}

/// What happened in one pool, counted.
#[derive(Debug, Default)]
pub struct Counted {
    /// Requests that had to wait for an endpoint.
    pub queued: AtomicU64,
    /// Requests that were shed.
    pub shed: AtomicU64,
    /// Requests that were sent a second time because the first took long.
    pub hedged: AtomicU64,
    /// How many of them were answered by the second.
    pub hedges_won: AtomicU64,
    /// Retries that the budget did not allow.
    pub retries_denied: AtomicU64,
    /// Requests of sessions that stayed with their endpoint.
    pub sessions_kept: AtomicU64,
    /// Sessions that moved because their endpoint was gone.
    pub sessions_moved: AtomicU64,
    /// Session cookies that were ignored.
    pub sessions_refused: AtomicU64,
    /// Copies sent to this pool as a mirror.
    pub mirrored: AtomicU64,
}

/// One try at one endpoint, from its begin to its end.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    /// Where.
    pub slot: Slot,
    /// When it was begun.
    pub began: Tick,
    /// Requests that were at the endpoint before it.
    pub before: u32,
    /// Its number among those of the endpoint.
    pub order: u32,
    /// When the head of the response came, and whether it was a failure.
    answer: Option<(Tick, bool)>,
    /// The head did not tell: its end will.
    open: bool,
    /// It was let through to see whether an endpoint that was ejected works again.
    pub(crate) proves: bool,
}

/// What the head of a response shows about how the endpoint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does what it is there for.
    Worked,
    /// It does not.
    Failed,
    /// Its end will tell.
    Open,
}

impl Verdict {
    /// `failed`: the answer counts as a failure.
    pub fn of(failed: bool) -> Self {
        if failed { Self::Failed } else { Self::Worked }
    }
}

/// How a try ended that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The endpoint refused the connection, broke it off, or sent nonsense.
    Broken,
    /// It did not answer in the time it had.
    Silent,
    /// Another try that was begun later answered first.
    Outpaced,
    /// The client or the balancer gave up: says nothing about the endpoint.
    Abandoned,
}

impl Try {
    pub(crate) fn begin(slot: Slot, began: Tick, before: u32, order: u32) -> Self {
        Self { slot, began, before, order, answer: None, open: false, proves: false }
    }

    /// Whether the head of a response came.
    pub fn is_answered(&self) -> bool {
        self.answer.is_some()
    }

    /// Whether the end of the response has still to tell how it went.
    pub fn is_open(&self) -> bool {
        self.open
    }
}

impl Pool {
    /// The head of the response to `attempt` came; `failed` says that its status counts as a failure.
    ///
    /// What follows from that for the endpoint's standing is done, and told for the log.
    pub fn answered(&self, attempt: &mut Try, now: Tick, failed: bool) -> Option<Change> {
        attempt.answer = Some((now, failed));
        self.endpoints[attempt.slot.index()].state.record.has_answered(now);
        self.judge(attempt, Evidence::of(failed), now)
    }

    /// The head of the response to `attempt` came, and only its end will say whether it is a failure:
    /// [`Pool::concluded`] is called then.
    pub fn opened(&self, attempt: &mut Try, now: Tick) -> Option<Change> {
        attempt.open = true;
        // An endpoint that proves itself gets nothing else meanwhile, and an answer may last for hours.
        if attempt.proves {
            return self.answered(attempt, now, false);
        }
        attempt.answer = Some((now, false));
        self.endpoints[attempt.slot.index()].state.record.has_answered(now);
        None
    }

    /// The end of a response shows what its head left open. Otherwise nothing happens.
    pub fn concluded(&self, attempt: &mut Try, now: Tick, failed: bool) -> Option<Change> {
        let (at, _) = attempt.answer.filter(|_| attempt.open)?;
        (attempt.answer, attempt.open) = (Some((at, failed)), false);
        // What the head proved is not proved twice.
        if attempt.proves && !failed {
            return None;
        }
        self.judge(attempt, Evidence::of(failed), now)
    }

    /// The endpoint has taken the connection of a flow: it works. How long the flow lasts, and whether it ever answers,
    /// says nothing about it: the try is ended as [`Lost::Abandoned`].
    pub fn connected(&self, attempt: &mut Try, now: Tick) -> Option<Change> {
        let record = &self.endpoints[attempt.slot.index()].state.record;
        record.has_answered(now);
        let change = self.judge(attempt, Evidence::Worked, now);
        if std::mem::take(&mut attempt.proves) {
            // The next one may prove it while this one lasts.
            record.ends_proof();
        }
        change
    }

    /// Whether the endpoint has begun no answer since `attempt` was begun there: not this request takes long, but
    /// all of them.
    pub fn is_quiet(&self, attempt: &Try) -> bool {
        self.endpoints[attempt.slot.index()].state.record.is_quiet_since(attempt.began)
    }

    /// Whether a request that takes long at its endpoint would do better elsewhere: nobody gets an answer there, or all
    /// take far longer than at the others. Otherwise it takes long by itself, and would anywhere.
    pub fn would_do_better(&self, attempt: &Try) -> bool {
        self.is_quiet(attempt) || self.endpoints[attempt.slot.index()].state.pace.tier() >= FAR_SLOWER
    }

    /// Nothing came in the time that a try of this pool usually has. The try may go on.
    ///
    /// That speaks against the endpoint only when nobody else got an answer from it either.
    pub fn is_late(&self, attempt: &Try, now: Tick) -> Option<Change> {
        self.is_quiet(attempt).then(|| self.judge(attempt, Evidence::Silent, now))?
    }

    /// The try is over: the endpoint has room again. `lost` says how, when no answer came.
    ///
    /// Whoever may go next is woken.
    pub fn end(&self, attempt: &Try, now: Tick, lost: Lost) -> Option<Change> {
        let endpoint = &self.endpoints[attempt.slot.index()];
        let state = &endpoint.state;
        let ended = match attempt.answer {
            Some((at, failed)) => pace::Ended::Answered { after_us: at.since(attempt.began), failed },
            None if lost == Lost::Abandoned => pace::Ended::Nothing,
            None => pace::Ended::Lost,
        };
        let others = state.leave();
        if attempt.proves {
            state.record.ends_proof();
        }
        let begun = state.picked.load(Relaxed) as u32;
        state.pace.end(
            &self.state.fleet,
            attempt,
            now,
            &pace::Leaving { ended, others, begun, quiet: self.is_quiet(attempt) },
        );
        state.flow.end(self, attempt, now, ended);
        let change = match (attempt.answer, lost) {
            // Nobody waited for its end.
            (Some(_), _) if attempt.open && !attempt.proves => self.judge(attempt, Evidence::Worked, now),
            (Some(_), _) | (None, Lost::Abandoned) => None,
            (None, Lost::Broken) => self.judge(attempt, Evidence::Failed, now),
            (None, Lost::Silent | Lost::Outpaced) => self.is_late(attempt, now),
        };
        if others < self.limit(attempt.slot) {
            self.state.waiting.has_room(Place::of(endpoint), now);
        }
        change
    }
}
