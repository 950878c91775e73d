//! One try at one endpoint, up to the head of its response. Two legs of one request may run at the same time.

use crate::account::Ending;
use crate::buffers::Input;
use crate::deadline::Deadline;
use crate::endpoint::connect::NotConnected;
use crate::endpoint::idle::EndpointConnection;
use crate::endpoint::open::{self, Connecting};
use crate::forward::{Failed, Forward, Sent, endpoint_failed};
use crate::head::{Head, Kind, bad_response, read_head};
use crate::local::LocalTable;
use crate::socket::WriteStop;
use crate::stream::Watch;
use crate::worker::Worker;
use bascule_contract::event::What;
use bascule_decide::balance::Slot;
use bascule_decide::guard::ejection::Change;
use bascule_decide::guard::{Lost, Try, Verdict};
use bascule_decide::http1::response::{BadResponse, MAX_HEAD, MAX_INTERIM};
use bascule_decide::http1::{Field, has_empty_line, offers_websocket};
use bascule_decide::load_report;
use bascule_decide::retry::Progress;
use bascule_decide::sessions::pool::{PoolSessions, Remembered};
use bascule_decide::table::{Endpoint, Pool};
use bascule_decide::time::Tick;
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// How long a response may take before we watch a client that the runtime does not know yet.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the operator reads when a WebSocket goes to an endpoint that has none over HTTP/2.
const NO_TUNNEL: &str = "the endpoint has no WebSocket over HTTP/2 (SETTINGS_ENABLE_CONNECT_PROTOCOL, RFC 8441): turn \
                         it on there, or send these requests to a pool without `protocol`";

/// A try that was begun; it ends when this is dropped, whatever has become of it.
pub(crate) struct Held {
    worker: Rc<Worker>,
    table: Rc<LocalTable>,
    pool: usize,
    attempt: Try,
    lost: Rc<Cell<Lost>>,
    /// Tick 0: nobody has said so.
    ended: Tick,
}

impl Held {
    pub(crate) fn new(worker: &Rc<Worker>, table: &Rc<LocalTable>, pool: usize, attempt: Try) -> Self {
        Self {
            lost: Rc::clone(&worker.abandoned),
            worker: Rc::clone(worker),
            table: Rc::clone(table),
            pool,
            attempt,
            ended: Tick(0),
        }
    }

    pub(crate) fn place(&self) -> (usize, Slot) {
        (self.pool, self.attempt.slot)
    }

    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    pub(crate) fn table(&self) -> &Rc<LocalTable> {
        &self.table
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.table.table().pools[self.pool]
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.pool().endpoints[self.attempt.slot.index()]
    }

    /// Whether the request could go somewhere else, having been at `tried` and here.
    pub(crate) fn has_other(&self, tried: &[Slot]) -> bool {
        self.table.has_other(self.pool, tried, self.attempt.slot)
    }

    /// Whether sessions stay on this endpoint.
    pub(crate) fn keeps_sessions(&self, slot: Slot) -> bool {
        self.pool().keeps_sessions(slot, self.worker.now())
    }

    /// How the pool remembers sessions, if it does.
    pub(crate) fn remembered(&self) -> Option<&Remembered> {
        self.pool().sessions.as_ref().and_then(PoolSessions::remembered)
    }

    /// When the try was begun.
    pub(crate) fn began(&self) -> Instant {
        self.worker.instant(self.attempt.began)
    }

    /// The head of the response came.
    pub(crate) fn answered(&mut self, verdict: Verdict, at: Instant) {
        let now = self.worker.tick(at);
        let mut attempt = self.attempt;
        let change = match verdict {
            Verdict::Open => self.pool().opened(&mut attempt, now),
            told => self.pool().answered(&mut attempt, now, told == Verdict::Failed),
        };
        self.attempt = attempt;
        self.tell(change);
        self.table.learn(self.pool, now.since(attempt.began), now);
    }

    /// The end of the response shows what its head left open, if it did.
    pub(crate) fn concluded(&mut self, failed: bool) {
        if self.attempt.is_open() {
            let mut attempt = self.attempt;
            let change = self.pool().concluded(&mut attempt, self.worker.now(), failed);
            self.attempt = attempt;
            self.tell(change);
        }
    }

    /// The endpoint has taken the connection of a flow.
    pub(crate) fn connected(&mut self, at: Instant) {
        let mut attempt = self.attempt;
        let change = self.pool().connected(&mut attempt, self.worker.tick(at));
        self.attempt = attempt;
        self.tell(change);
    }

    /// Whether a second leg elsewhere may well be faster.
    pub(crate) fn would_do_better(&self) -> bool {
        self.pool().would_do_better(&self.attempt)
    }

    /// The endpoint says how loaded it is, beside its answer.
    pub(crate) fn hear(&self, fields: &[Field<'_>]) {
        if self.pool().reads_reports
            && let Some(report) = load_report::find(fields)
        {
            self.table.hear(self.pool, self.attempt.slot, &report, self.worker.now());
        }
    }

    /// The usual time of a try is over.
    pub(crate) fn is_late(&self, at: Instant) {
        let change = self.pool().is_late(&self.attempt, self.worker.tick(at));
        self.tell(change);
    }

    /// What the try counts as if it ends without an answer.
    pub(crate) fn counts_as(&mut self, lost: Lost) {
        self.lost = Rc::new(Cell::new(lost));
    }

    /// The same, to be said by somebody who does not hold it.
    pub(crate) fn decided_by(&mut self, lost: &Rc<Cell<Lost>>) {
        self.lost = Rc::clone(lost);
    }

    /// The exchange ended at this moment: saves looking at the clock.
    pub(crate) fn ended(&mut self, at: Instant) {
        self.ended = self.worker.tick(at);
    }

    /// There is no connection.
    pub(crate) fn was_not_connected(&mut self, why: &mut NotConnected) {
        if let Some(told) = why.told.take() {
            self.tell_of_tls(told);
        }
        let silent = why.ending == Ending::ConnectTimedOut;
        self.counts_as(if silent { Lost::Silent } else { Lost::Broken });
    }

    /// The endpoint could not be spoken to, or did not prove who it is.
    fn tell_of_tls(&self, reason: String) {
        self.worker.event_of_many(|| {
            let (pool, endpoint) = (self.pool().id.to_string(), self.endpoint().id.to_string());
            What::EndpointTlsFailed { pool, endpoint, reason }
        });
    }

    fn tell(&self, change: Option<Change>) {
        let Some(change) = change else { return };
        let (pool, endpoint) = (self.pool().id.to_string(), self.endpoint().id.to_string());
        self.worker.event(match change {
            Change::Ejected { for_ms, why } => {
                What::Ejected { pool, endpoint, reason: why.to_string(), for_ms }
            }
            Change::Restored => What::Restored { pool, endpoint },
        });
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let now = if self.ended == Tick(0) { self.worker.now() } else { self.ended };
        let change = self.pool().end(&self.attempt, now, self.lost.get());
        self.tell(change);
        self.worker.shared.events.tell_overload(self.pool());
    }
}

/// One try under way.
pub(crate) struct Leg {
    pub(crate) held: Held,
    /// What announces the client, where the pool wants that.
    pub(crate) caller: Option<Rc<[u8]>>,
    connection: Option<EndpointConnection>,
    connecting: Option<Connecting>,
    /// The connection has served before: it may have gone stale.
    reused: bool,
    /// It was, and this is another one.
    renewed: bool,
    pub(crate) connect_took: Duration,
    pub(crate) input: Input,
    interim: u32,
    /// Rings while a connect is waited for; most legs never need it.
    alarm: Deadline,
}

impl Leg {
    pub(crate) fn new(held: Held, caller: Option<Rc<[u8]>>) -> Self {
        let connection = open::take(&held.table, held.pool, held.attempt.slot);
        Self::on(held, caller, connection)
    }

    /// The same on a connection that has served nobody before: what follows on it is no HTTP that we understand.
    pub(crate) fn fresh(held: Held, caller: Option<Rc<[u8]>>) -> Self {
        Self::on(held, caller, None)
    }

    fn on(held: Held, caller: Option<Rc<[u8]>>, connection: Option<EndpointConnection>) -> Self {
        let input = Input::new(Rc::clone(&held.worker.buffers));
        Self {
            reused: connection.is_some(),
            renewed: false,
            held,
            caller,
            connection,
            connecting: None,
            connect_took: Duration::ZERO,
            input,
            interim: 0,
            alarm: Deadline::default(),
        }
    }

    /// Sends the request (one without a body) and waits for a head. `None`: it is not there at `until`; go on by
    /// asking again. An interim head counts; after it was consumed, ask again.
    ///
    /// An idle connection that turns out to be stale is replaced by a fresh one, where that is safe.
    pub(crate) async fn ask(
        &mut self,
        to: &Forward<'_>,
        head: &[u8],
        until: Option<Instant>,
    ) -> Result<Option<Head>, Failed> {
        loop {
            if self.connection.is_none() && !self.connect(until).await? {
                return Ok(None);
            }
            if to.sent.get() == Sent::Nothing {
                self.send(to, head).await?;
            }
            match self.receive(to, until).await {
                // An endpoint may close an idle connection whenever it likes: nothing is held against it.
                Err(failure) if self.may_renew(&failure, to.request.idempotent) => {
                    self.connection = None;
                    self.renewed = true;
                    to.sent.set(Sent::Nothing);
                }
                received => return received.map_err(|failure| self.broken(failure)),
            }
        }
    }

    /// Whether the request may be sent once more, on a fresh connection to the same endpoint: the idle one had been
    /// closed when we took it, or the endpoint has let us know that it did nothing.
    fn may_renew(&self, failure: &Failed, idempotent: bool) -> bool {
        !self.renewed
            && match failure {
                Failed::Endpoint { progress: Progress::Refused, .. } => true,
                Failed::Endpoint {
                    ending: Ending::EndpointClosed | Ending::EndpointReset,
                    progress: Progress::Sent,
                    ..
                } => self.reused && idempotent,
                _ => false,
            }
    }

    /// Gives up the connection of an upload that failed, when all of it may be sent once more to the same endpoint.
    pub(crate) fn renew(&mut self, failure: &Failed) -> bool {
        let renewed = self.may_renew(failure, false);
        if renewed {
            (self.connection, self.renewed, self.interim) = (None, true, 0);
            self.input.consume(self.input.len());
            self.held.counts_as(Lost::Abandoned);
        }
        renewed
    }

    /// Has a connection when it returns.
    pub(crate) async fn open(&mut self) -> Result<(), Failed> {
        if self.connection.is_none() {
            self.connect(None).await?;
        }
        Ok(())
    }

    /// The connection. Only after [`Leg::open`] or [`Leg::ask`] has succeeded.
    pub(crate) fn connection(&mut self) -> &mut EndpointConnection {
        self.connection.as_mut().expect("a leg that was asked is connected")
    }

    /// The connection, and what came over it.
    pub(crate) fn receiving(&mut self) -> (&mut EndpointConnection, &mut Input) {
        let connection = self.connection.as_mut().expect("a leg that was asked is connected");
        (connection, &mut self.input)
    }

    /// Gives the connection back for reuse.
    pub(crate) fn keep(self, ended: Instant) {
        let Self { held, connection, .. } = self;
        let limit = held.pool().idle.per_thread;
        if let Some(connection) = connection {
            held.table.idle(held.pool, held.attempt.slot).put(connection, ended, limit);
        }
    }

    /// False when `until` came first.
    async fn connect(&mut self, until: Option<Instant>) -> Result<bool, Failed> {
        let began = Instant::now();
        let held = &self.held;
        let connecting = self.connecting.get_or_insert_with(|| {
            let caller = self.caller.clone();
            open::open(&held.worker, &held.table, held.pool, held.attempt.slot, caller)
        });
        if let Some(until) = until {
            self.alarm.set(until);
        }
        let alarm = &mut self.alarm;
        let opened = poll_fn(|cx| match connecting.as_mut().poll(cx) {
            Poll::Ready(opened) => Poll::Ready(Some(opened)),
            Poll::Pending if until.is_some() => alarm.poll(cx).map(|()| None),
            Poll::Pending => Poll::Pending,
        })
        .await;
        self.connect_took += began.elapsed();
        let Some(opened) = opened else { return Ok(false) };
        self.connecting = None;
        match opened {
            Ok(connection) => {
                self.connection = Some(connection);
                Ok(true)
            }
            Err(mut why) => {
                self.held.was_not_connected(&mut why);
                Err(Failed::not_connected(why.ending, why.reason))
            }
        }
    }

    async fn send(&mut self, to: &Forward<'_>, head: &[u8]) -> Result<(), Failed> {
        if to.request.upgrade.as_deref().is_some_and(offers_websocket) {
            Box::pin(self.may_tunnel()).await?;
        }
        let EndpointConnection { side, deadline } = self.connection();
        match side.ask(head, &[], deadline, to.idle()).await {
            Ok(()) => to.sent.set(Sent::Wholly(Instant::now())),
            // It may have closed after an answer of its own accord (408); what it said is read later.
            Err(WriteStop::Failed) => to.sent.set(Sent::Broken(Instant::now())),
            Err(WriteStop::TimedOut) => {
                self.held.counts_as(Lost::Silent);
                return Err(endpoint_failed(Ending::EndpointNotReading));
            }
        }
        Ok(())
    }

    /// An endpoint that cannot be asked for a tunnel is not asked at all; nothing is held against it.
    async fn may_tunnel(&mut self) -> Result<(), Failed> {
        match self.connection().side.http2() {
            Some(stream) if !stream.offers_tunnels().await => {
                Err(Failed::not_connected(Ending::NoTunnel, NO_TUNNEL))
            }
            _ => Ok(()),
        }
    }

    /// Waits for a head, while the client is there.
    pub(crate) async fn wait(
        &mut self,
        to: &Forward<'_>,
        until: Option<Instant>,
    ) -> Result<Option<Head>, Failed> {
        let received = self.receive(to, until).await;
        received.map_err(|failure| self.broken(failure))
    }

    /// The same; a failure is not yet held against the endpoint.
    async fn receive(&mut self, to: &Forward<'_>, until: Option<Instant>) -> Result<Option<Head>, Failed> {
        let mut watch = to.request.watch();
        let mut seen = 0_usize;
        loop {
            let worth_a_look = seen == 0 || has_empty_line(self.input.bytes(), seen.saturating_sub(3));
            if !self.input.is_empty()
                && worth_a_look
                && let Some(head) = read_head(to, &self.held, &self.input).map_err(bad_response)?
            {
                if head.kind != Kind::Interim {
                    self.held.answered(head.verdict, Instant::now());
                }
                return Ok(Some(head));
            }
            seen = self.input.len();
            if seen >= MAX_HEAD {
                return Err(bad_response(BadResponse::TooLarge));
            }
            if !self.wait_for_bytes(to, until, &mut watch).await? {
                return Ok(None);
            }
        }
    }

    /// An interim head came; a flood of them is refused.
    pub(crate) fn count_interim(&mut self) -> Result<(), Failed> {
        self.interim += 1;
        if self.interim > MAX_INTERIM {
            return Err(self.broken(bad_response(BadResponse::Interim)));
        }
        Ok(())
    }

    fn broken(&mut self, failed: Failed) -> Failed {
        if let Failed::Endpoint { ending, .. } = failed {
            let silent = ending == Ending::ResponseTimedOut;
            self.held.counts_as(if silent { Lost::Silent } else { Lost::Broken });
        }
        failed
    }

    /// False when `until` came first.
    async fn wait_for_bytes(
        &mut self,
        to: &Forward<'_>,
        until: Option<Instant>,
        watch: &mut Watch,
    ) -> Result<bool, Failed> {
        let Self { connection, input, interim, .. } = self;
        let Some(EndpointConnection { side, deadline }) = connection else { return Ok(false) };
        // What has begun to answer has done the work: nobody else is to do it again.
        let begun = !input.is_empty() || *interim > 0;
        let progress = if begun { Progress::Answered } else { Progress::Sent };
        let failed = |ending| Poll::Ready(Err(Failed::Endpoint { ending, reason: "", progress }));
        poll_fn(|cx| {
            match side.poll_fill_for(to.client, input, cx) {
                Poll::Ready(Ok(1..)) => return Poll::Ready(Ok(true)),
                Poll::Ready(Ok(0)) => return failed(Ending::EndpointClosed),
                Poll::Ready(Err(_)) if side.was_refused() => {
                    return Poll::Ready(Err(Failed::refused()));
                }
                Poll::Ready(Err(_)) => return failed(Ending::EndpointReset),
                Poll::Pending => {}
            }
            let sent_at = match to.sent.get() {
                // The upload reads from the client and sees for itself when it is gone.
                Sent::Nothing | Sent::Partly => return Poll::Pending,
                Sent::Wholly(at) | Sent::Broken(at) => at,
            };
            let limit = sent_at + to.response_limit();
            let next = until.map_or(limit, |until| limit.min(until));
            if to.client.is_fresh() {
                deadline.set(next.min(sent_at + PATIENCE));
                if deadline.poll(cx).is_pending() {
                    return Poll::Pending;
                }
                // A slow response: from now on we want to know when the client goes away.
                if to.client.register().is_err() {
                    return Poll::Ready(Err(Failed::ClientGone));
                }
            }
            if to.client.poll_gone(cx, watch).is_ready() {
                return Poll::Ready(Err(Failed::ClientGone));
            }
            deadline.set(next);
            match deadline.poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) if next < limit => Poll::Ready(Ok(false)),
                Poll::Ready(()) => failed(Ending::ResponseTimedOut),
            }
        })
        .await
    }
}
