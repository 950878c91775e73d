//! A request or a flow waits for room at an endpoint of its pool, in the pool's line.

use crate::deadline::Deadline;
use crate::leg::Held;
use crate::local::LocalTable;
use crate::worker::Worker;
use bascule_decide::guard::Try;
use bascule_decide::guard::queue::{Place, Shed, Ticket, Turn, Wish};
use bascule_decide::pick::{Ask, Taken};
use bascule_decide::table::Pool;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// Who waits, and for what.
pub(crate) struct Wait<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) table: &'a Rc<LocalTable>,
    pub(crate) pool: usize,
    pub(crate) ask: Ask<'a>,
    pub(crate) priority: u32,
    pub(crate) until: Option<Instant>,
}

/// Why nobody has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The client has left.
    ClientGone,
    /// There is no endpoint any more.
    Nothing,
    /// The queue was full, or the wait was too long.
    Shed,
    /// The time of the whole was over.
    TimedOut,
}

/// Waits until an endpoint has room, while the client is there: `left` says when it is not.
pub(crate) async fn wait_for_room(
    wait: &Wait<'_>,
    mut left: impl FnMut(&mut Context<'_>) -> Poll<()>,
) -> Result<Held, NoRoom> {
    let Wait { worker, table, pool: position, ask, priority, until } = wait;
    let pool = &table.table().pools[*position];
    let mut line = InLine { worker, pool, ticket: None };
    let mut alarm = Deadline::default();
    let waited: Result<Try, NoRoom> = poll_fn(|cx| {
        loop {
            let again_at = match line.turn(*priority, ask, cx) {
                Turn::Go => match table.take(*position, ask, worker.now()) {
                    Taken::Endpoint(attempt) => return Poll::Ready(Ok(line.went(attempt))),
                    Taken::Nothing => return Poll::Ready(Err(NoRoom::Nothing)),
                    Taken::Full => {
                        line.again();
                        continue;
                    }
                },
                Turn::Shed(_) => return Poll::Ready(Err(NoRoom::Shed)),
                Turn::Wait { until } => worker.instant(until),
            };
            if left(cx).is_ready() {
                return Poll::Ready(Err(NoRoom::ClientGone));
            }
            alarm.set(until.map_or(again_at, |until| until.min(again_at)));
            if alarm.poll(cx).is_pending() {
                return Poll::Pending;
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Poll::Ready(Err(NoRoom::TimedOut));
            }
        }
    })
    .await;
    drop(line);
    if waited.is_err_and(|why| why == NoRoom::Shed) {
        pool.state.counted.shed.fetch_add(1, Relaxed);
    }
    Ok(Held::new(worker, table, *position, waited?))
}

/// A request's place in the line; given up when this is dropped.
struct InLine<'a> {
    worker: &'a Worker,
    pool: &'a Pool,
    ticket: Option<Ticket>,
}

impl InLine<'_> {
    /// What is to be done now. Takes a place when there is none yet.
    fn turn(&mut self, priority: u32, ask: &Ask<'_>, cx: &Context<'_>) -> Turn {
        let (waiting, now) = (&self.pool.state.waiting, self.worker.now());
        if self.ticket.is_none() {
            let wish = match ask.stay {
                Some(slot) if ask.strict => Wish::Only(Place::of(&self.pool.endpoints[slot.index()])),
                _ if ask.tried.is_empty() => Wish::Any,
                _ => Wish::Other,
            };
            let Some(terms) = self.pool.terms() else { return Turn::Shed(Shed::QueueFull) };
            match waiting.enter(terms, (priority, wish), now, cx.waker().clone()) {
                Ok(ticket) => {
                    self.pool.state.counted.queued.fetch_add(1, Relaxed);
                    self.ticket = Some(ticket);
                }
                Err(shed) => return Turn::Shed(shed),
            }
        }
        match &self.ticket {
            Some(ticket) => waiting.turn(ticket, cx.waker(), now),
            None => Turn::Shed(Shed::QueueFull),
        }
    }

    /// There was no room after all.
    fn again(&self) {
        if let Some(ticket) = &self.ticket {
            self.pool.state.waiting.again(ticket, self.worker.now());
        }
    }

    /// It has its endpoint.
    fn went(&mut self, attempt: Try) -> Try {
        if let Some(ticket) = self.ticket.take() {
            self.pool.state.waiting.went(ticket, self.worker.now());
        }
        attempt
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.pool.state.waiting.leave(ticket, self.worker.now());
        }
    }
}
