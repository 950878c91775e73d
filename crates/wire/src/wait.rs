//! A request waits for room at an endpoint of its pool, in the pool's line.

use crate::account::Ending;
use crate::answer::Answer;
use crate::course::Course;
use crate::deadline::Deadline;
use crate::exchange::Exchange;
use crate::forward::Failed;
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

/// Waits until an endpoint has room. The answer that the client gets instead, when it has been too long.
pub(crate) async fn wait_for_room(
    exchange: &mut Exchange<'_>,
    table: &Rc<LocalTable>,
    course: &Course,
) -> Result<Held, Failed> {
    let worker = Rc::clone(&exchange.connection.worker);
    let pool = &table.table().pools[course.pool];
    let began = Instant::now();
    // Only a client that the runtime knows is seen to leave.
    if exchange.connection.side.register().is_err() {
        return Err(Failed::ClientGone);
    }
    let priority = exchange.priority();
    let until = exchange.request.until;
    let client = &exchange.connection.side;
    let mut line = InLine { worker: &worker, pool, ticket: None };
    let (mut alarm, mut watch) = (Deadline::default(), exchange.request.watch());
    let ask = exchange.ask(&course.tried);
    let waited = poll_fn(|cx| {
        loop {
            let again_at = match line.turn(priority, &ask, cx) {
                Turn::Go => match table.take(course.pool, &ask, worker.now()) {
                    Taken::Endpoint(attempt) => return Poll::Ready(Ok(line.went(attempt))),
                    Taken::Nothing => return Poll::Ready(Err(Failed::Client(Answer::NoEndpoint))),
                    Taken::Full => {
                        line.again();
                        continue;
                    }
                },
                Turn::Shed(_) => return Poll::Ready(Err(Failed::Client(Answer::Shed))),
                Turn::Wait { until } => worker.instant(until),
            };
            if client.poll_gone(cx, &mut watch).is_ready() {
                return Poll::Ready(Err(Failed::ClientGone));
            }
            alarm.set(until.map_or(again_at, |until| until.min(again_at)));
            if alarm.poll(cx).is_pending() {
                return Poll::Pending;
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Poll::Ready(Err(Failed::Client(Answer::Failed(Ending::TotalTimedOut))));
            }
        }
    })
    .await;
    drop(line);
    if matches!(waited, Err(Failed::Client(Answer::Shed))) {
        pool.state.counted.shed.fetch_add(1, Relaxed);
    }
    exchange.outcome.queued += began.elapsed();
    Ok(Held::new(&worker, table, course.pool, waited?))
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
