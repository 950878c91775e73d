//! Stages 5 and 6: an endpoint is taken and asked, another one when that is safe, two at once when one takes long.

use crate::account::Ending;
use crate::answer::Answer;
use crate::client::connection::{Connection, is_last};
use crate::client::session::Session;
use crate::deadline::Deadline;
use crate::download::Download;
use crate::exchange::Exchange;
use crate::forward::{Failed, Forward, Relayed, Sent, both};
use crate::head::{Head, Kind};
use crate::leg::{Held, Leg};
use crate::local::LocalTable;
use crate::mirror::send_copy;
use crate::probe::probe;
use crate::race::{Milestones, Race, Won};
use crate::wait::{NoRoom, Wait, wait_for_room};
use crate::worker::Worker;
use bascule_contract::protection::TryLimit;
use bascule_decide::balance::Slot;
use bascule_decide::guard::Lost;
use bascule_decide::http1::Framing;
use bascule_decide::pick::{Ask, Taken};
use bascule_decide::retry::{Budget, Progress, Tries, may_try_again};
use bascule_decide::table::Pool;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// Where a request has been, and what it may still do.
pub(crate) struct Course {
    pub(crate) pool: usize,
    pub(crate) tried: Vec<Slot>,
    tries: Tries,
    retrying: Option<Retrying>,
    /// How the last try failed.
    failed: Option<Ending>,
}

impl Course {
    pub(crate) fn new(pool: usize) -> Self {
        Self { pool, tried: Vec::new(), tries: Tries::default(), retrying: None, failed: None }
    }
}

impl Exchange<'_> {
    /// Takes an endpoint and asks it, again elsewhere when that is safe, until there is a response.
    pub(crate) async fn forward(&mut self, pool: usize, head: &[u8]) {
        let table = Rc::clone(&self.request.table);
        send_copy(&self.connection.worker, self.request, head, &self.connection.input);
        probe(&self.connection.worker, &table, pool);
        let mut course = Course::new(pool);
        loop {
            let held = match self.take(&table, &course).await {
                Ok(held) => held,
                Err(Failed::Client(answer)) => return self.answer(answer).await,
                Err(_) => return self.gone(Ending::ClientAborted),
            };
            let slot = held.place().1;
            self.outcome.endpoint = Some(held.place());
            self.outcome.attempts += 1;
            let failure = match self.limited(&table, held, head, &mut course).await {
                Ok(relayed) => return self.relayed(&relayed),
                Err(failure) => failure,
            };
            match failure {
                Failed::Endpoint { ending, reason, progress } => {
                    self.outcome.reason = reason;
                    course.failed = Some(ending);
                    if !self.may_go_on(&table, &mut course, ending, progress) {
                        return self.answer(Answer::Failed(ending)).await;
                    }
                }
                // Decided when its answer came.
                Failed::Judged(ending) => course.failed = Some(ending),
                Failed::Client(answer) => return self.answer(answer).await,
                Failed::ClientGone => return self.gone(Ending::ClientAborted),
            }
            table.table().pools[pool].endpoints[slot.index()].state.retried.fetch_add(1, Relaxed);
            if !course.tried.contains(&slot) {
                course.tried.push(slot);
            }
        }
    }

    /// An endpoint with room, after a wait if need be; or the answer that the client gets instead.
    async fn take(&mut self, table: &Rc<LocalTable>, course: &Course) -> Result<Held, Failed> {
        let worker = Rc::clone(&self.connection.worker);
        let nothing = Failed::Client(course.failed.map_or(Answer::NoEndpoint, Answer::Failed));
        let waiting = &table.table().pools[course.pool].state.waiting;
        if !waiting.must_queue(self.priority()) {
            match table.take(course.pool, &self.ask(&course.tried), worker.now()) {
                Taken::Endpoint(attempt) => {
                    return Ok(self.settled(Held::new(&worker, table, course.pool, attempt), table, course));
                }
                Taken::Nothing => return Err(nothing),
                Taken::Full => {}
            }
        }
        match Box::pin(self.wait(table, course)).await {
            Ok(held) => Ok(self.settled(held, table, course)),
            Err(NoRoom::Nothing) => Err(nothing),
            Err(NoRoom::ClientGone) => Err(Failed::ClientGone),
            Err(NoRoom::Shed) => Err(Failed::Client(Answer::Shed)),
            Err(NoRoom::TimedOut) => Err(Failed::Client(Answer::Failed(Ending::TotalTimedOut))),
        }
    }

    async fn wait(&mut self, table: &Rc<LocalTable>, course: &Course) -> Result<Held, NoRoom> {
        let (began, client) = (Instant::now(), &self.connection.side);
        // Only a client that the runtime knows is seen to leave.
        client.register().map_err(|_| NoRoom::ClientGone)?;
        let (pool, ask, until) = (course.pool, self.ask(&course.tried), self.request.until);
        let (worker, priority) = (&self.connection.worker, self.priority());
        let mut watching = true;
        let wait = Wait { worker, table, pool, ask, priority, until };
        let waited = wait_for_room(&wait, |cx| client.poll_reset(cx, &mut watching)).await;
        self.outcome.queued += began.elapsed();
        waited
    }

    fn settled(&self, held: Held, table: &Rc<LocalTable>, course: &Course) -> Held {
        match &self.request.session {
            Some(session) => settled(session, held, table, &self.ask(&course.tried)),
            None => held,
        }
    }

    pub(crate) fn ask<'b>(&self, tried: &'b [Slot]) -> Ask<'b> {
        let stay = self.request.session.as_ref().and_then(|session| session.stay());
        Ask {
            key: self.request.key,
            tried,
            stay: stay.map(|stay| stay.slot),
            strict: stay.is_some_and(|stay| stay.strict),
            repeatable: self.request.is_repeatable(),
        }
    }

    pub(crate) fn priority(&self) -> u32 {
        self.request.route().map_or(5, |route| route.priority)
    }

    /// Whether a failed try may be followed by another; the decision is counted.
    fn may_go_on(&self, table: &LocalTable, course: &mut Course, ending: Ending, progress: Progress) -> bool {
        let replayable = progress == Progress::NotConnected || self.request.framing == Framing::None;
        let refused = progress == Progress::NotConnected && ending != Ending::ConnectTimedOut;
        may_try_again(progress, self.request.idempotent, replayable)
            && another(&table.table().pools[course.pool], course, &self.connection.worker, refused)
    }

    /// One try, cut off when it or the whole exchange may take no longer.
    async fn limited(
        &mut self,
        table: &Rc<LocalTable>,
        mut held: Held,
        head: &[u8],
        course: &mut Course,
    ) -> Result<Relayed, Failed> {
        let mut limit = Deadline::default();
        let mut ending = Ending::TotalTimedOut;
        let fate = self.try_until(&held).map(|at| {
            let fate = Rc::new(Cell::new(Lost::Abandoned));
            held.decided_by(&fate);
            ending = Ending::TryTimedOut;
            limit.set(at);
            fate
        });
        if let Some(total) = self.request.until
            && fate.as_ref().is_none_or(|_| limit.is_later_than(total))
        {
            ending = Ending::TotalTimedOut;
            limit.set(total);
        }
        let began = Cell::new(0);
        let mut attempt = pin!(self.attempt(table, held, head, course, &began));
        let progress = if ending == Ending::TryTimedOut { Progress::Sent } else { Progress::Answered };
        poll_fn(|cx| match attempt.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending if began.get() != 0 && ending == Ending::TryTimedOut => Poll::Pending,
            Poll::Pending => limit.poll(cx).map(|()| match began.get() {
                0 => {
                    fate.iter().for_each(|fate| fate.set(Lost::Silent));
                    Err(Failed::Endpoint { ending, reason: "", progress })
                }
                status => Ok(Relayed::cut(status, ending)),
            }),
        })
        .await
    }

    /// When a try is over whose pool says how long one may take. An upload takes as long as it takes.
    fn try_until(&self, held: &Held) -> Option<Instant> {
        match held.pool().retries.try_limit {
            TryLimit::Fixed { ms } if self.request.framing == Framing::None => {
                Some(held.began() + Duration::from_millis(ms))
            }
            _ => None,
        }
    }

    /// One try at one endpoint, and a second beside it when it takes long.
    ///
    /// `began` becomes the status as soon as the client was sent the first byte of the response.
    async fn attempt(
        &mut self,
        table: &Rc<LocalTable>,
        held: Held,
        head: &[u8],
        course: &mut Course,
        began: &Cell<u16>,
    ) -> Result<Relayed, Failed> {
        let sent = [Cell::new(Sent::Nothing), Cell::new(Sent::Nothing)];
        let tried = course.tried.clone();
        let mut milestones =
            if self.request.is_repeatable() { table.milestones(&held) } else { Milestones::default() };
        let (ask, request, outcome) = (self.ask(&[]), self.request, &mut self.outcome);
        let counters = &*self.counters;
        let Connection { worker, acceptor, side: client, input, deadline, peer, served, .. } =
            &mut *self.connection;
        let listener = &request.table.table().listeners[request.listener];
        let is_last = || is_last(worker, acceptor, *served, listener);
        let to = [&sent[0], &sent[1]].map(|sent| Forward {
            worker,
            client,
            request,
            client_text: &peer.text,
            counters,
            is_last: &is_last,
            began,
            tried: &tried,
            sent,
        });
        let mut leg = Leg::new(held);
        if request.framing != Framing::None {
            leg.open().await?;
            // On the heap: most requests have no body.
            let relayed = Box::pin(both(&to[0], &mut leg, head, input, deadline)).await?;
            outcome.connect += leg.connect_took;
            return Ok(finish(leg, relayed));
        }
        let asked = loop {
            match leg.ask(&to[0], head, milestones.first()).await? {
                Some(answer) => break Some(answer),
                None if milestones.is_due(&leg.held, Instant::now()) => break None,
                None => milestones = milestones.postponed(&leg.held, Instant::now()),
            }
        };
        let (mut leg, answer, second) = match asked {
            Some(answer) => (leg, answer, 0),
            None => {
                let race = Race { table, course, ask, to: &to, head, milestones };
                let Won { leg, answer, second } = Box::pin(race.run(leg)).await?;
                outcome.attempts += second as u32;
                outcome.endpoint = Some(leg.held.place());
                (leg, answer, second)
            }
        };
        outcome.connect += leg.connect_took;
        if request.is_repeatable() && asks_elsewhere(&leg.held, &answer, course, worker) {
            return Err(Failed::Judged(Ending::EndpointFailed));
        }
        if let Some(session) = &request.session {
            session.count(&leg.held, &tried);
        }
        let mut download = Download::new(&to[second], &mut leg, deadline);
        let relayed = match download.pass(answer, input).await? {
            Some(relayed) => relayed,
            None => download.run(input).await?,
        };
        Ok(finish(leg, relayed))
    }
}

/// The same endpoint, or the one that a request of the same session took a moment before.
pub(crate) fn settled(session: &Session, held: Held, table: &Rc<LocalTable>, ask: &Ask<'_>) -> Held {
    let worker = held.worker();
    let Some(other) = session.settle(&held, ask.tried, worker) else { return held };
    let ask = Ask { stay: Some(other), strict: false, ..*ask };
    let pool = held.place().0;
    match table.take(pool, &ask, worker.now()) {
        Taken::Endpoint(attempt) => Held::new(worker, table, pool, attempt),
        _ => held,
    }
}

/// Whether an answer counts as a failed try, and there may be another somewhere else; the decision is counted.
fn asks_elsewhere(held: &Held, answer: &Head, course: &mut Course, worker: &Rc<Worker>) -> bool {
    let pool = held.pool();
    answer.kind == Kind::Final
        && pool.retries.statuses.contains(&answer.status)
        && held.has_other(&course.tried)
        && another(pool, course, worker, false)
}

/// Whether there may be another try; the decision is counted. `refused`: nobody has had any work with the last one.
pub(crate) fn another(pool: &Pool, course: &mut Course, worker: &Rc<Worker>, refused: bool) -> bool {
    let retrying = course.retrying.is_some();
    let within_budget = || retrying || within_budget(pool, worker);
    let allowed = course.tries.another(refused, pool.retries.attempts, within_budget);
    if allowed && !refused {
        course.retrying.get_or_insert_with(|| Retrying::begin(worker));
    }
    allowed
}

pub(crate) fn within_budget(pool: &Pool, worker: &Worker) -> bool {
    let budget = Budget { percent: pool.retries.budget_percent, minimum: pool.retries.budget_minimum };
    let allowed = budget.allows(worker.retrying.get(), worker.in_flight.get());
    if !allowed {
        pool.state.counted.retries_denied.fetch_add(1, Relaxed);
    }
    allowed
}

fn finish(mut leg: Leg, relayed: Relayed) -> Relayed {
    leg.held.ended(relayed.ended);
    // The endpoint allows another request and has said no more than its response.
    if relayed.reusable {
        leg.keep(relayed.ended);
    }
    relayed
}

/// A thread's count of exchanges that are at a retry, for as long as this lives.
pub(crate) struct Retrying(Rc<Worker>);

impl Retrying {
    pub(crate) fn begin(worker: &Rc<Worker>) -> Self {
        worker.retrying.set(worker.retrying.get() + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Retrying {
    fn drop(&mut self) {
        self.0.retrying.set(self.0.retrying.get() - 1);
    }
}
