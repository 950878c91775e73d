//! Whether the far end of an HTTP/2 connection is still there: a PING, and the time that its answer may take.

use crate::deadline::Deadline;
use h2::{Ping, PingPong};
use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// How long the answer to a PING may take; then the far end is taken to be gone.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// A connection on which nothing was heard for so long is asked when it is used again.
const QUIET: Duration = Duration::from_secs(10);

/// What the requests of a connection know of its far end, and may want to know.
#[derive(Debug)]
pub(crate) struct Pulse {
    wanted: Cell<bool>,
    /// Whoever drives the connection.
    driver: RefCell<Option<Waker>>,
    /// Who waits for an answer.
    waiting: RefCell<Vec<Waker>>,
    /// A PING was answered: the far end's SETTINGS, which come first, are known.
    answered: Cell<bool>,
    over: Cell<bool>,
    asked_at: Cell<Option<Instant>>,
    heard_at: Cell<Instant>,
}

/// The same for the task that drives the connection.
pub(crate) struct Pinger {
    pings: PingPong,
    deadline: Deadline,
    waiting: bool,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self {
            wanted: Cell::new(false),
            driver: RefCell::default(),
            waiting: RefCell::default(),
            answered: Cell::new(false),
            over: Cell::new(false),
            asked_at: Cell::new(None),
            heard_at: Cell::new(Instant::now()),
        }
    }

    /// Bytes came.
    pub(crate) fn heard(&self) {
        self.heard_at.set(Instant::now());
    }

    /// A request is about to use the connection.
    pub(crate) fn is_used(&self, now: Instant) {
        if now.duration_since(self.heard_at.get()) >= QUIET {
            self.doubt(now);
        }
    }

    /// A request that began at this moment has ended.
    pub(crate) fn has_served(&self, began: Instant) {
        if self.heard_at.get() < began {
            self.doubt(Instant::now());
        }
    }

    /// Asks, unless that was done a moment ago: endpoints count PINGs, and gRPC servers send those away who send many.
    fn doubt(&self, now: Instant) {
        if self.asked_at.get().is_none_or(|at| now.duration_since(at) >= PATIENCE) {
            self.ask(now);
        }
    }

    fn ask(&self, now: Instant) {
        self.asked_at.set(Some(now));
        self.wanted.set(true);
        if let Some(driver) = self.driver.borrow_mut().take() {
            driver.wake();
        }
    }

    /// Ready once the far end has said what it offers. A connection that ends is ready as well.
    pub(crate) fn poll_settled(&self, cx: &Context<'_>) -> Poll<()> {
        if self.answered.get() || self.over.get() {
            return Poll::Ready(());
        }
        if self.asked_at.get().is_none() {
            self.ask(Instant::now());
        }
        self.waiting.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }

    /// The connection has ended.
    pub(crate) fn end(&self) {
        self.over.set(true);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}

impl Pinger {
    pub(crate) fn new(pings: PingPong) -> Self {
        Self { pings, deadline: Deadline::default(), waiting: false }
    }

    /// Asks if somebody wants to know. Ready when there was no answer in time.
    pub(crate) fn poll(&mut self, pulse: &Pulse, cx: &mut Context<'_>) -> Poll<()> {
        if pulse.wanted.take() && !self.waiting && self.pings.send_ping(Ping::opaque()).is_ok() {
            self.waiting = true;
            self.deadline.start(PATIENCE);
        }
        *pulse.driver.borrow_mut() = Some(cx.waker().clone());
        if !self.waiting {
            return Poll::Pending;
        }
        match self.pings.poll_pong(cx) {
            Poll::Ready(Ok(_)) => {
                self.waiting = false;
                pulse.answered.set(true);
                pulse.waiting.take().into_iter().for_each(Waker::wake);
                Poll::Pending
            }
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Pending => self.deadline.poll(cx),
        }
    }
}
