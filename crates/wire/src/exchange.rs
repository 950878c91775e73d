//! The life of one HTTP exchange, from decoded request to what the client got.
//!
//! Read this file first: each stage is one call, in order, and every way an exchange can end is
//! an [`Ending`]. Stages 1 to 4 (accept, decode, route) lie behind us: `client/`.

use crate::access_log::{Line, LogFacts};
use crate::account::{Counted, Ending};
use crate::answer::Answer;
use crate::client::accept::ListenerCounters;
use crate::client::connection::{After, Connection, is_last};
use crate::client::http1::{Destination, Refusal, Request};
use crate::deadline::Deadline;
use crate::endpoint::connect::connect;
use crate::endpoint::idle::EndpointConnection;
use crate::forward::{Deadlines, Failed, Forward, Relayed, forward};
use crate::local::LocalTable;
use bascule_decide::balance::{Key, Slot};
use bascule_decide::http1::Framing;
use bascule_decide::retry::{Budget, Progress, Tries, may_try_again};
use bascule_decide::table::{Endpoint, Pool};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// An exchange under way: the connection it is on, the request, and what has become of it so far.
struct Exchange<'a> {
    connection: &'a mut Connection,
    request: &'a Request,
    counters: Arc<ListenerCounters>,
    outcome: Outcome,
    accounted: bool,
}

/// What there is to tell about an exchange.
#[derive(Debug)]
struct Outcome {
    ending: Ending,
    /// More than the ending says, when there is more.
    reason: &'static str,
    status: u16,
    received_bytes: u64,
    sent_bytes: u64,
    endpoint: Option<(usize, Slot)>,
    attempts: u32,
    connect: Duration,
    /// From the request sent to the head of the response.
    response: Option<Duration>,
    after: After,
    /// When the last byte went out, where that is known already.
    ended: Option<Instant>,
}

/// Routes, picks, forwards and responds; then accounts for how it ended.
pub(crate) async fn serve(connection: &mut Connection, request: Box<Request>) -> After {
    let mut exchange = Exchange::begin(connection, &request);
    match &request.to {
        Destination::Answer(answer) => exchange.answer(*answer).await,
        Destination::Own { status, response } => {
            exchange.outcome.status = *status;
            exchange.outcome.ending = Ending::Answered;
            exchange.send(response).await;
        }
        Destination::Pool(pool, head) => exchange.forward(*pool, head).await,
    }
    exchange.account();
    exchange.outcome.after
}

impl<'a> Exchange<'a> {
    fn begin(connection: &'a mut Connection, request: &'a Request) -> Self {
        let counters = Arc::clone(&connection.acceptor.counters.borrow());
        counters.in_flight.fetch_add(1, Relaxed);
        connection.worker.in_flight.set(connection.worker.in_flight.get() + 1);
        let outcome = Outcome {
            ending: Ending::Ok,
            reason: "",
            status: 0,
            received_bytes: request.head_bytes as u64,
            sent_bytes: 0,
            endpoint: None,
            attempts: 0,
            connect: Duration::ZERO,
            response: None,
            after: After::Close,
            ended: None,
        };
        Self { connection, request, counters, outcome, accounted: false }
    }
}

/// An exchange that is dropped on its way is accounted for as well: the thread stops, or has failed.
impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.counters.in_flight.fetch_sub(1, Relaxed);
        let worker = &self.connection.worker;
        worker.in_flight.set(worker.in_flight.get() - 1);
        if !self.accounted {
            self.outcome.ending =
                if std::thread::panicking() { Ending::InternalError } else { Ending::CutByStop };
            self.account();
        }
    }
}

impl Exchange<'_> {
    /// Stages 5 to 7: picks an endpoint and forwards, again elsewhere when that is safe, until there is a response.
    async fn forward(&mut self, pool: usize, head: &[u8]) {
        let table = Rc::clone(&self.request.table);
        let settings = &table.table().pools[pool];
        let mut tried: Vec<Slot> = Vec::new();
        let mut failed: Option<Ending> = None;
        let mut retrying = None;
        let mut tries = Tries::default();
        loop {
            let picked = table.pick(pool, Key(0), &tried, &mut self.connection.worker.random.borrow_mut());
            let Some(slot) = picked else {
                return self.answer(failed.map_or(Answer::NoEndpoint, Answer::Failed)).await;
            };
            self.outcome.endpoint = Some((pool, slot));
            self.outcome.attempts += 1;
            let failure = match self.limited_attempt(&table, pool, slot, head).await {
                Ok(relayed) => return self.relayed(&relayed),
                Err(failure) => failure,
            };
            let (ending, progress) = match failure {
                Failed::Endpoint { ending, reason, progress } => {
                    self.outcome.reason = reason;
                    (ending, progress)
                }
                Failed::Client(answer) => return self.answer(answer).await,
                Failed::ClientGone => return self.gone(Ending::ClientAborted),
            };
            failed = Some(ending);
            let replayable = progress == Progress::NotConnected || self.request.framing == Framing::None;
            let refused = progress == Progress::NotConnected && ending != Ending::ConnectTimedOut;
            let budget = || retrying.is_some() || self.within_budget(settings);
            if !may_try_again(progress, self.request.idempotent, replayable)
                || !tries.another(refused, settings.retries.attempts, budget)
            {
                return self.answer(Answer::Failed(ending)).await;
            }
            settings.endpoints[slot.0 as usize].state.retried.fetch_add(1, Relaxed);
            tried.push(slot);
            if !refused {
                retrying.get_or_insert_with(|| Retrying::begin(&self.connection.worker));
            }
        }
    }

    fn within_budget(&self, pool: &Pool) -> bool {
        let budget = Budget { percent: pool.retries.budget_percent, minimum: pool.retries.budget_minimum };
        let worker = &self.connection.worker;
        budget.allows(worker.retrying.get(), worker.in_flight.get())
    }

    /// One attempt, cut off when the whole exchange may take no longer.
    async fn limited_attempt(
        &mut self,
        table: &LocalTable,
        pool: usize,
        slot: Slot,
        head: &[u8],
    ) -> Result<Relayed, Failed> {
        let total_ms = self.request.route().and_then(|route| route.timeouts.total_ms);
        let mut limit = Deadline::default();
        if let Some(total_ms) = total_ms {
            limit.set(self.request.began + Duration::from_millis(total_ms));
        }
        let began = Cell::new(0);
        let mut attempt = pin!(self.attempt(table, pool, slot, head, &began));
        poll_fn(|cx| match attempt.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => limit.poll(cx).map(|()| match began.get() {
                0 => Err(Failed::Endpoint {
                    ending: Ending::TotalTimedOut,
                    reason: "",
                    progress: Progress::Answered,
                }),
                status => Ok(Relayed::cut(status, Ending::TotalTimedOut)),
            }),
        })
        .await
    }

    /// One attempt at one endpoint: on an idle connection if there is one, and once more on a fresh one if that had gone stale.
    ///
    /// `began` becomes the status as soon as the client was sent the first byte of the response.
    async fn attempt(
        &mut self,
        table: &LocalTable,
        pool: usize,
        slot: Slot,
        head: &[u8],
        began: &Cell<u16>,
    ) -> Result<Relayed, Failed> {
        let settings = &table.table().pools[pool];
        let endpoint = &settings.endpoints[slot.0 as usize];
        let _in_flight = InFlight::begin(endpoint);
        let mut idle = table.idle(pool, slot).take();
        loop {
            let reused = idle.is_some();
            let mut connection = match idle.take() {
                Some(connection) => connection,
                None => self.connect(endpoint, settings.connect_ms).await?,
            };
            match self.over(&mut connection, head, began).await {
                Err(failure) if reused && self.was_stale(&failure) => {}
                Ok(relayed) => {
                    // The endpoint allows another request and has said no more than its response.
                    if relayed.reusable {
                        table.idle(pool, slot).put(connection, relayed.ended, settings.idle.per_thread);
                    }
                    return Ok(relayed);
                }
                failed => return failed,
            }
        }
    }

    /// Whether an idle connection had been closed by the endpoint when we took it, and the request may be sent once more.
    fn was_stale(&self, failure: &Failed) -> bool {
        let closed = matches!(
            failure,
            Failed::Endpoint {
                ending: Ending::EndpointClosed | Ending::EndpointReset,
                progress: Progress::Sent,
                ..
            }
        );
        closed
            && may_try_again(Progress::Sent, self.request.idempotent, self.request.framing == Framing::None)
    }

    /// Opens a connection. On the heap: most exchanges find one open.
    fn connect<'b>(
        &'b mut self,
        endpoint: &'b Endpoint,
        limit_ms: u64,
    ) -> Pin<Box<dyn Future<Output = Result<EndpointConnection, Failed>> + 'b>> {
        Box::pin(async move {
            let began = Instant::now();
            let mut deadline = Deadline::default();
            let opened = connect(&endpoint.target, &mut deadline, Duration::from_millis(limit_ms)).await;
            self.outcome.connect = began.elapsed();
            let counter =
                if opened.is_ok() { &endpoint.state.connects } else { &endpoint.state.connect_failures };
            counter.fetch_add(1, Relaxed);
            let socket = opened.map_err(Failed::not_connected)?;
            Ok(EndpointConnection { socket, deadline })
        })
    }

    /// Forwards over an open connection.
    async fn over(
        &mut self,
        endpoint: &mut EndpointConnection,
        head: &[u8],
        began: &Cell<u16>,
    ) -> Result<Relayed, Failed> {
        let Connection { worker, acceptor, socket: client, input, deadline, peer, served, .. } =
            &mut *self.connection;
        let listener = &self.request.table.table().listeners[self.request.listener];
        let is_last = || is_last(worker, acceptor, *served, listener);
        let EndpointConnection { socket, deadline: endpoint_deadline } = endpoint;
        let request = self.request;
        let to = Forward {
            worker,
            client,
            endpoint: socket,
            request,
            client_text: &peer.text,
            is_last: &is_last,
            began,
        };
        forward(&to, head, input, Deadlines { client: deadline, endpoint: endpoint_deadline }).await
    }

    fn relayed(&mut self, relayed: &Relayed) {
        self.outcome.status = relayed.status;
        self.outcome.ending = relayed.ending;
        self.outcome.reason = relayed.reason;
        self.outcome.received_bytes += relayed.received_bytes;
        self.outcome.sent_bytes += relayed.sent_bytes;
        self.outcome.response = relayed.response;
        self.outcome.after = relayed.after;
        self.outcome.ended = Some(relayed.ended);
    }

    fn gone(&mut self, ending: Ending) {
        self.outcome.ending = ending;
        self.outcome.after = After::Close;
    }

    /// Sends an answer of ours.
    fn answer(&mut self, answer: Answer) -> impl Future<Output = ()> {
        self.outcome.status = answer.status();
        self.outcome.ending = answer.ending();
        if let Answer::BodyMalformed(reason) = answer {
            self.outcome.reason = reason;
        }
        let response = answer.render(self.closes(), !self.request.is_head);
        async move { self.send(&response).await }
    }

    /// Whether the connection ends with a response of ours: it goes on only if the next request surely begins where this one ends.
    fn closes(&self) -> bool {
        let listener = &self.request.table.table().listeners[self.request.listener];
        let body_is_unread = self.request.framing != Framing::None;
        body_is_unread || !self.request.persistent || self.connection.is_last(listener)
    }

    /// Sends a response of ours. On the heap: most exchanges have none.
    fn send<'b>(&'b mut self, response: &'b [u8]) -> Pin<Box<dyn Future<Output = ()> + 'b>> {
        Box::pin(async move {
            let body_is_unread = self.request.framing != Framing::None;
            let close = self.closes();
            let listener = &self.request.table.table().listeners[self.request.listener];
            let pause = Duration::from_millis(listener.timeouts.send_ms);
            let Connection { socket, deadline, .. } = &mut *self.connection;
            if socket.write_all(&mut [IoSlice::new(response)], deadline, pause).await.is_err() {
                return self.gone(Ending::ClientAborted);
            }
            self.outcome.sent_bytes = response.len() as u64;
            self.outcome.after = match (close, body_is_unread) {
                (true, true) => After::Linger,
                (true, false) => After::Close,
                (false, _) => After::Keep,
            };
        })
    }

    /// Stage 8: counts, and writes the access log if it is on.
    fn account(&mut self) {
        self.accounted = true;
        let Outcome { ending, status, received_bytes, sent_bytes, endpoint, response, .. } = self.outcome;
        let ended = self.outcome.ended.unwrap_or_else(Instant::now);
        self.connection.idle_since = ended;
        let duration = ended.duration_since(self.request.began);
        let table = &self.request.table;
        let counted = Counted { status, ending, received_bytes, sent_bytes, duration, response };
        table
            .series(&self.connection.worker.book, self.request.listener, self.request.route, endpoint)
            .count(&counted);
        if self.request.log.is_some() {
            self.log(&counted);
        }
    }

    fn log(&self, counted: &Counted) {
        let Some(facts) = self.request.log.as_deref() else { return };
        let table = self.request.table.table();
        let listener = &table.listeners[self.request.listener];
        let pool = self.outcome.endpoint.map(|(pool, _)| &table.pools[pool]);
        let endpoint =
            self.outcome.endpoint.map(|(pool, slot)| &table.pools[pool].endpoints[slot.0 as usize]);
        let request = self.request.head_read - self.request.began;
        let timers = [
            request,
            Duration::ZERO,
            self.outcome.connect,
            counted.response.unwrap_or_default(),
            counted.duration,
        ];
        self.connection.worker.log(&Line {
            facts,
            listener: &listener.id,
            route: self.request.route().map_or("", |route| &route.id),
            pool: pool.map_or("", |pool| &pool.id),
            endpoint: endpoint.map_or("", |endpoint| &endpoint.id),
            status: counted.status,
            received_bytes: counted.received_bytes,
            sent_bytes: counted.sent_bytes,
            attempts: self.outcome.attempts,
            ending: counted.ending.word(),
            reason: self.outcome.reason,
            timers_us: timers.map(|timer| u64::try_from(timer.as_micros()).unwrap_or(u64::MAX)),
            at_ms: now_ms(),
        });
    }
}

/// The access log's line for a request that was refused before it was routed.
pub(crate) fn log_refusal(
    connection: &Connection,
    table: &LocalTable,
    listener: usize,
    refusal: &Refusal,
    counted: &Counted,
) {
    if !connection.worker.log_is_on() {
        return;
    }
    let nothing = LogFacts { client: connection.peer.text.to_string(), ..LogFacts::default() };
    let total = u64::try_from(counted.duration.as_micros()).unwrap_or(u64::MAX);
    connection.worker.log(&Line {
        facts: refusal.facts.as_deref().unwrap_or(&nothing),
        listener: &table.table().listeners[listener].id,
        route: "",
        pool: "",
        endpoint: "",
        status: counted.status,
        received_bytes: counted.received_bytes,
        sent_bytes: counted.sent_bytes,
        attempts: 0,
        ending: counted.ending.word(),
        reason: refusal.answer.reason(),
        timers_us: [total, 0, 0, 0, total],
        at_ms: now_ms(),
    });
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// An endpoint's count of exchanges, for as long as this lives.
struct InFlight<'a>(&'a Endpoint);

impl<'a> InFlight<'a> {
    fn begin(endpoint: &'a Endpoint) -> Self {
        endpoint.state.in_flight.fetch_add(1, Relaxed);
        endpoint.state.picked.fetch_add(1, Relaxed);
        Self(endpoint)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.state.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A thread's count of exchanges that are at a retry, for as long as this lives.
struct Retrying(Rc<crate::worker::Worker>);

impl Retrying {
    fn begin(worker: &Rc<crate::worker::Worker>) -> Self {
        worker.retrying.set(worker.retrying.get() + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Retrying {
    fn drop(&mut self) {
        self.0.retrying.set(self.0.retrying.get() - 1);
    }
}
