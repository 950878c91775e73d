//! The life of one client connection: request after request, until one side has enough.

use crate::account::Counted;
use crate::answer::Answer;
use crate::buffers::{Input, Size};
use crate::client::accept::{Acceptor, ListenerCounters, Seat};
use crate::client::http1::{Refusal, Request, read_request};
use crate::client::secure::Secure;
use crate::deadline::Deadline;
use crate::exchange;
use crate::http2::{self, stream::Stream};
use crate::side::Side;
use crate::socket::Socket;
use crate::worker::Worker;
use bascule_contract::event::What;
use bascule_decide::http1::has_empty_line;
use bascule_decide::table::Listener;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// How long, and how many bytes, we listen to a client that has to be told to stop (RFC 9112, 9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// Who the client is.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// `None` for Unix sockets.
    pub(crate) ip: Option<IpAddr>,
    /// The address in text; empty for Unix sockets.
    pub(crate) text: Rc<str>,
}

impl Peer {
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        let ip = address.ip().to_canonical();
        Self { ip: Some(ip), text: ip.to_string().into() }
    }

    pub(crate) fn unix() -> Self {
        Self { ip: None, text: "".into() }
    }
}

/// One client connection, or one stream of it: what an exchange sees of its client.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    pub(crate) acceptor: Rc<Acceptor>,
    pub(crate) side: Side,
    pub(crate) peer: Peer,
    pub(crate) input: Input,
    pub(crate) deadline: Deadline,
    /// Requests answered so far.
    pub(crate) served: u64,
    /// The end of the last exchange; at first, when the connection was accepted.
    pub(crate) idle_since: Instant,
    /// Where it speaks TLS: what the handshake has told.
    pub(crate) secure: Option<Rc<Secure>>,
    /// `None` for a stream.
    arrival: Option<Arrival>,
}

/// A connection's place among those of its thread and listener, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Arrival {
    worker: Rc<Worker>,
    pub(crate) counters: Arc<ListenerCounters>,
    registration: usize,
    /// On the heap: few listeners have any.
    _seat: Option<Box<Seat>>,
}

impl Arrival {
    pub(crate) fn new(worker: &Rc<Worker>, acceptor: &Acceptor, seat: Option<Seat>) -> Self {
        let registration = worker.register();
        let counters = Arc::clone(&acceptor.counters.borrow());
        counters.accepted.fetch_add(1, Relaxed);
        counters.open.fetch_add(1, Relaxed);
        Self { worker: Rc::clone(worker), counters, registration, _seat: seat.map(Box::new) }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Relaxed);
        self.worker.farewell(self.registration);
    }
}

/// What becomes of the connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Close,
    /// Close without a word: what was sent is not the whole of it.
    Cut,
    /// Close, but first let the client read what we said although it is still sending.
    Linger,
}

enum Next {
    Request(Box<Request>),
    /// The client speaks HTTP/2.
    Http2,
    Refused(Refusal),
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    Some,
    End,
    TimedOut,
}

impl Connection {
    pub(crate) fn new(
        worker: Rc<Worker>,
        acceptor: Rc<Acceptor>,
        socket: Socket,
        peer: Peer,
        arrival: Arrival,
    ) -> Self {
        Self {
            input: Input::new(Rc::clone(&worker.buffers)),
            worker,
            acceptor,
            side: Side::Http1(socket),
            peer,
            deadline: Deadline::default(),
            served: 0,
            idle_since: Instant::now(),
            secure: None,
            arrival: Some(arrival),
        }
    }

    /// A stream of this connection.
    pub(crate) fn stream(&self, stream: Stream) -> Self {
        Self {
            worker: Rc::clone(&self.worker),
            acceptor: Rc::clone(&self.acceptor),
            side: Side::Http2(Box::new(stream)),
            peer: self.peer.clone(),
            input: Input::new(Rc::clone(&self.worker.buffers)),
            deadline: Deadline::default(),
            served: self.served,
            idle_since: self.idle_since,
            secure: self.secure.clone(),
            arrival: None,
        }
    }

    /// Serves requests until the connection ends.
    pub(crate) async fn serve(&mut self) {
        if self.speaks_tls() && !Box::pin(self.shake_hands()).await {
            return;
        }
        loop {
            let after = match self.next().await {
                // On the heap, so that a connection between two requests is small.
                Next::Request(request) => Box::pin(exchange::serve(self, request)).await,
                Next::Refused(refusal) => Box::pin(self.refuse(refusal)).await,
                Next::Http2 => return Box::pin(http2::serve(self)).await,
                Next::Closed => return self.side.part(),
            };
            self.served += 1;
            match after {
                // A client that comes again is waited for, and shares the thread fairly.
                After::Keep => drop(self.side.register()),
                After::Close => return self.side.part(),
                After::Cut => return,
                After::Linger => return Box::pin(self.linger()).await,
            }
        }
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure.is_some() { "https" } else { "http" }
    }

    /// Whether the response to come is the last one on this connection.
    pub(crate) fn is_last(&self, listener: &Listener) -> bool {
        is_last(&self.worker, &self.acceptor, self.served, listener)
    }

    /// Whether no more requests are wanted.
    pub(crate) fn is_closing(&self) -> bool {
        self.worker.stopping.get() || self.acceptor.closing.get()
    }

    /// Whether the request that was counted last is the last one that the listener allows.
    pub(crate) fn was_last(&self) -> bool {
        let table = self.worker.table();
        let Some(place) = self.acceptor.place(table.table()) else { return true };
        let limit = table.table().listeners[place].limits.requests_per_connection;
        limit.is_some_and(|limit| self.served >= limit)
    }

    /// Wakes the task when [`Connection::is_closing`] changes.
    pub(crate) fn wake_when_closing(&self, cx: &Context<'_>) {
        if let Some(arrival) = &self.arrival {
            self.worker.wake_when_closing(arrival.registration, cx);
        }
    }

    /// Whether the client speaks HTTP/2: as both sides have agreed within TLS, or because it begins with the preface, as far as
    /// that is here; `None`: it may.
    fn prefers_http2(&self) -> Option<bool> {
        if let Some(secure) = &self.secure {
            return Some(secure.http2);
        }
        let (bytes, preface) = (self.input.bytes(), http2::PREFACE);
        let length = bytes.len().min(preface.len());
        if self.served > 0 || bytes[..length] != preface[..length] {
            return Some(false);
        }
        let table = self.worker.table();
        let place = self.acceptor.place(table.table());
        if !place.is_some_and(|place| table.table().listeners[place].http2.enabled) {
            return Some(false);
        }
        (length == preface.len()).then_some(true)
    }

    /// Waits for the next request, whose head may come in pieces or may be here already.
    async fn next(&mut self) -> Next {
        let mut began = None;
        // How much was there when the head was last looked at, and how much makes another look worth it.
        let (mut seen, mut enough) = (0, 1);
        loop {
            if !self.input.is_empty() {
                let began = *began.get_or_insert_with(Instant::now);
                let http2 = self.prefers_http2();
                if http2 == Some(true) {
                    return Next::Http2;
                }
                let bytes = self.input.bytes();
                let is_http1 = http2 == Some(false);
                if is_http1 && (bytes.len() >= enough || has_empty_line(bytes, seen_before(seen))) {
                    let now = if seen == 0 { began } else { Instant::now() };
                    match read_request(self, began, now) {
                        Ok(Some(request)) => return Next::Request(request),
                        Ok(None) => enough = self.input.len() + self.input.len() / 4 + 1,
                        Err(refusal) => return Next::Refused(refusal),
                    }
                }
                seen = self.input.len();
            }
            match self.read(began).await {
                Read::Some => {}
                Read::TimedOut if began.is_some() => {
                    let began = began.unwrap_or(self.idle_since);
                    return Next::Refused(Refusal {
                        answer: Answer::ClientTooSlow,
                        began,
                        listener: None,
                        facts: None,
                    });
                }
                Read::End | Read::TimedOut => return Next::Closed,
            }
        }
    }

    /// Reads once. Between requests the wait is idle: it may be long, and ends when the connection must close.
    async fn read(&mut self, began: Option<Instant>) -> Read {
        let limit = self.time_limit(began);
        self.deadline.set(limit);
        // Who has just shaken hands has a request: it comes a round trip later.
        let is_new = self.served == 0 && self.secure.is_some();
        let Self { worker, acceptor, side, input, deadline, arrival, .. } = self;
        poll_fn(|cx| {
            match side.poll_fill(input, Size::Head, cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Read::End),
                Poll::Ready(Ok(_)) => return Poll::Ready(Read::Some),
                Poll::Pending => {}
            }
            if began.is_none() {
                if let Some(arrival) = arrival {
                    worker.wake_when_closing(arrival.registration, cx);
                }
                if worker.stopping.get() || acceptor.closing.get() {
                    if !is_new {
                        return Poll::Ready(Read::End);
                    }
                    deadline.set(limit.min(Instant::now() + LINGER));
                }
            }
            deadline.poll(cx).map(|()| Read::TimedOut)
        })
        .await
    }

    /// When the connection has waited long enough: for the rest of a head, or for the next one.
    pub(crate) fn time_limit(&self, began: Option<Instant>) -> Instant {
        let table = self.worker.table();
        let Some(listener) = self.acceptor.place(table.table()) else { return Instant::now() };
        let timeouts = &table.table().listeners[listener].timeouts;
        match began {
            Some(began) => began + Duration::from_millis(timeouts.head_ms),
            None if self.served == 0 => self.idle_since + Duration::from_millis(timeouts.head_ms),
            None => self.idle_since + Duration::from_millis(timeouts.keep_alive_ms),
        }
    }

    /// Answers a request that cannot be served; its framing is not to be trusted, so the connection ends.
    pub(crate) async fn refuse(&mut self, refusal: Refusal) -> After {
        let response = refusal.answer.render(&[], true, true);
        let received = self.input.len() as u64;
        let _ = self.side.answer(&response, &mut self.deadline, LINGER).await;
        let table = self.worker.table();
        if let Some(listener) = refusal.listener.or_else(|| self.acceptor.place(table.table())) {
            self.acceptor.counters.borrow().requests.fetch_add(1, Relaxed);
            let counted = Counted {
                status: refusal.answer.status(),
                ending: refusal.answer.ending(),
                received_bytes: received,
                sent_bytes: response.len() as u64,
                duration: refusal.began.elapsed(),
                response: None,
            };
            table.series(&self.worker.book, listener, None, None).count(&counted);
            exchange::log_refusal(self, &table, listener, &refusal, &counted);
        }
        After::Linger
    }

    /// Says that we are done, then reads and forgets what the client still sends: closing at once would
    /// reset the connection, and the client might never see the answer.
    async fn linger(&mut self) {
        self.side.finish_writing();
        self.deadline.start(LINGER);
        let mut left = LINGER_BYTES;
        self.input.consume(self.input.len());
        let Self { side, input, deadline, .. } = self;
        poll_fn(|cx| {
            while left > 0 {
                match side.poll_fill(input, Size::Relay, cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(count)) => {
                        left = left.saturating_sub(count);
                        input.consume(input.len());
                    }
                    Poll::Pending => return deadline.poll(cx),
                }
            }
            Poll::Ready(())
        })
        .await;
    }
}

/// Whether the response to come is the last one of a connection that has served so many requests.
pub(crate) fn is_last(worker: &Worker, acceptor: &Acceptor, served: u64, listener: &Listener) -> bool {
    let closing = worker.stopping.get() || acceptor.closing.get();
    closing || listener.limits.requests_per_connection.is_some_and(|limit| served + 1 >= limit)
}

/// An empty line may begin three bytes before what came last.
fn seen_before(seen: usize) -> usize {
    seen.saturating_sub(3)
}

impl Drop for Connection {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let message = format!(
                "serving {}",
                if self.peer.text.is_empty() { "a Unix socket" } else { &self.peer.text }
            );
            self.worker.event(What::TaskPanicked { thread: self.worker.index, message });
        }
    }
}
