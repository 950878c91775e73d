//! The life of one HTTP exchange, from decoded request to what the client got.
//!
//! Read this file first: each stage is one call, in order, and every way an exchange can end is
//! an [`Ending`]. Stages 1 to 4 (accept, decode, route) lie behind us: `client/`.

use crate::access_log::{Line, LogFacts};
use crate::account::{Counted, Ending};
use crate::answer::Answer;
use crate::client::accept::ListenerCounters;
use crate::client::connection::{After, Connection};
use crate::client::http1::{Destination, Refusal, Request};
use crate::forward::{Moved, Relayed};
use crate::local::LocalTable;
use crate::side::Side;
use bascule_decide::balance::Slot;
use bascule_decide::grpc::Status;
use bascule_decide::http1::Framing;
use bascule_decide::limit::Admission;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// An exchange under way: the connection it is on, the request, and what has become of it so far.
pub(crate) struct Exchange<'a> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) request: &'a Request,
    pub(crate) counters: Arc<ListenerCounters>,
    pub(crate) outcome: Outcome,
    pub(crate) moved: Moved,
    accounted: bool,
}

/// What there is to tell about an exchange.
#[derive(Debug)]
pub(crate) struct Outcome {
    ending: Ending,
    /// More than the ending says, when there is more.
    pub(crate) reason: &'static str,
    status: u16,
    /// Of a call, once it is known.
    grpc_status: Option<Status>,
    received_bytes: u64,
    sent_bytes: u64,
    pub(crate) endpoint: Option<(usize, Slot)>,
    pub(crate) attempts: u32,
    /// Waited for room at an endpoint.
    pub(crate) queued: Duration,
    pub(crate) connect: Duration,
    /// From the request sent to the head of the response.
    response: Option<Duration>,
    after: After,
    /// When the last byte went out, where that is known already.
    ended: Option<Instant>,
}

/// Routes, picks, forwards and responds; then accounts for how it ended.
pub(crate) async fn serve(connection: &mut Connection, request: Box<Request>) -> After {
    let mut exchange = Exchange::begin(connection, &request);
    if !request.limits.is_empty()
        && let Some(fields) = Box::pin(exchange.over_limit()).await
    {
        exchange.answer_with(Answer::RateLimited, &fields).await;
        exchange.account();
        return exchange.outcome.after;
    }
    match &request.to {
        Destination::Answer(answer) => exchange.answer(*answer).await,
        Destination::Own { status, response } => {
            exchange.outcome.status = *status;
            exchange.outcome.ending = Ending::Answered;
            exchange.send(response).await;
        }
        Destination::Pool(pool, head) => {
            if let Some(session) = request.session.as_ref().filter(|it| it.is_in_store()) {
                Box::pin(
                    session
                        .look_up_in_store(&request.table.table().pools[*pool], &exchange.connection.worker),
                )
                .await;
            }
            exchange.forward(*pool, head).await;
        }
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
            grpc_status: None,
            received_bytes: request.head_bytes as u64,
            sent_bytes: 0,
            endpoint: None,
            attempts: 0,
            queued: Duration::ZERO,
            connect: Duration::ZERO,
            response: None,
            after: After::Close,
            ended: None,
        };
        Self { connection, request, counters, outcome, moved: Moved::default(), accounted: false }
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
    pub(crate) fn relayed(&mut self, relayed: &Relayed) {
        self.outcome.status = relayed.status;
        self.outcome.grpc_status = relayed.grpc_status;
        self.outcome.ending = relayed.ending;
        self.outcome.reason = relayed.reason;
        self.outcome.response = relayed.response;
        self.outcome.after = relayed.after;
        self.outcome.ended = Some(relayed.ended);
    }

    pub(crate) fn gone(&mut self, ending: Ending) {
        self.outcome.ending = ending;
        self.outcome.after = After::Cut;
    }

    /// What the client is told when it has sent more than a rate limit of its route lets through.
    async fn over_limit(&self) -> Option<[(&'static str, String); 3]> {
        let route = self.request.route()?;
        let worker = &self.connection.worker;
        for (at, key) in &self.request.limits {
            let limit = &route.limits[*at];
            let admission = match &limit.store {
                // While the store is down this balancer counts for itself.
                Some(_) => worker.stores.admit(limit, *key).await.ok(),
                None => None,
            };
            if let Admission::Limited(limited) = admission.unwrap_or_else(|| limit.admit(*key, worker.now()))
            {
                return Some(limit.fields(&limited));
            }
        }
        None
    }

    /// Sends an answer of ours.
    pub(crate) fn answer(&mut self, answer: Answer) -> impl Future<Output = ()> {
        self.answer_with(answer, &[])
    }

    fn answer_with(&mut self, answer: Answer, fields: &[(&str, String)]) -> impl Future<Output = ()> {
        self.outcome.status = answer.status();
        self.outcome.ending = answer.ending();
        if let Answer::BodyMalformed(reason) = answer {
            self.outcome.reason = reason;
        }
        self.outcome.grpc_status = self.request.call.map(|_| answer.grpc_code().into());
        let response = if self.request.call.is_some() {
            answer.render_grpc(fields)
        } else {
            answer.render(fields, self.closes(), !self.request.is_head)
        };
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
            let Connection { side, deadline, .. } = &mut *self.connection;
            if side.answer(response, deadline, pause).await.is_err() {
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
        if let Side::Http2(stream) = &self.connection.side {
            stream.close(self.outcome.ending);
        }
        let Outcome { ending, status, grpc_status, received_bytes, sent_bytes, endpoint, response, .. } =
            self.outcome;
        let (received_bytes, sent_bytes) =
            (received_bytes + self.moved.received.get(), sent_bytes + self.moved.sent.get());
        // One that was cut off in its middle has begun to answer.
        let status = if status == 0 { self.moved.status.get() } else { status };
        let ended = self.outcome.ended.unwrap_or_else(Instant::now);
        self.connection.idle_since = ended;
        let duration = ended.duration_since(self.request.began);
        let table = &self.request.table;
        let counted = Counted { status, grpc_status, ending, received_bytes, sent_bytes, duration, response };
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
            self.outcome.queued,
            self.outcome.connect,
            counted.response.unwrap_or_default(),
            counted.duration,
        ];
        self.connection.worker.log(&Line {
            facts,
            encryption: self.connection.encryption(),
            listener: &listener.id,
            route: self.request.route().map_or("", |route| &route.id),
            pool: pool.map_or("", |pool| &pool.id),
            endpoint: endpoint.map_or("", |endpoint| &endpoint.id),
            status: counted.status,
            grpc_status: counted.grpc_status,
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
        encryption: connection.encryption(),
        listener: &table.table().listeners[listener].id,
        route: "",
        pool: "",
        endpoint: "",
        status: counted.status,
        grpc_status: counted.grpc_status,
        received_bytes: counted.received_bytes,
        sent_bytes: counted.sent_bytes,
        attempts: 0,
        ending: counted.ending.word(),
        reason: refusal.answer.reason(),
        timers_us: [total, 0, 0, 0, total],
        at_ms: now_ms(),
    });
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
