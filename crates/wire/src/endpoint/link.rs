//! HTTP/2 connections to one endpoint, of one thread: few of them, each for many requests at a time.

use crate::account::Ending;
use crate::buffers::{Buffers, Input};
use crate::deadline::Deadline;
use crate::endpoint::connect::{NotConnected, connect};
use crate::endpoint::pulse::{Pinger, Pulse};
use crate::http2::ahead::Payload;
use crate::http2::gather::{Gather, Gathered};
use crate::tls::endpoint::EndpointTls;
use bascule_decide::table::{EndpointState, Target};
use bascule_decide::time::Tick;
use h2::client::{Builder, Connection, SendRequest};
use http::uri::Scheme;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// Requests on one connection until its endpoint has said how many it allows, and the most however many it allows.
const FIRST: usize = 100;
const MOST: usize = 1000;
/// What an endpoint may send ahead of one client, and ahead of all clients of one connection. A client can have a
/// hundred streams that it does not read, and `h2` holds twice as much as it was sent.
const WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;
/// A stream that sends no faster than its endpoint reads buffers this much at most.
const SEND_BUFFER: usize = 64 * 1024;
/// The longest head of a response, as HTTP/2 counts it: each field has 32 bytes more than it has (RFC 9113, 6.5.2).
const HEADER_LIST: u32 = 64 * 1024 + 256 * 32;

/// How a connection is opened when one is needed.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) target: Target,
    pub(crate) tls: Option<Arc<EndpointTls>>,
    pub(crate) limit: Duration,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) now: Rc<dyn Fn() -> Tick>,
}

/// The connections of one thread to one endpoint.
#[derive(Debug)]
pub(crate) struct Links {
    state: Arc<EndpointState>,
    open: RefCell<Vec<Rc<Link>>>,
    /// How many requests the endpoint allows on one connection, as far as we know.
    allowed: Cell<usize>,
}

/// One connection, perhaps still being opened.
#[derive(Debug)]
pub(crate) struct Link {
    phase: RefCell<Phase>,
    secure: bool,
    streams: Cell<usize>,
    idle_since: Cell<Instant>,
    pulse: Pulse,
}

#[derive(Debug)]
enum Phase {
    Opening(Vec<Waker>),
    Open(SendRequest<Payload>),
    Failed(NotConnected),
    /// It takes no more requests; those that are under way may end.
    Leaving,
}

/// A request's place on a connection, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Lease {
    link: Rc<Link>,
    began: Instant,
}

impl Links {
    pub(crate) fn new(state: Arc<EndpointState>) -> Self {
        Self { state, open: RefCell::default(), allowed: Cell::new(FIRST) }
    }

    /// A place on a connection that is open already.
    pub(crate) fn find(&self) -> Option<Lease> {
        let open = self.open.borrow();
        let link = open.iter().find(|link| link.is_open() && self.has_room(link))?;
        Some(Lease::on(link))
    }

    /// A place on a connection, which is opened if need be.
    pub(crate) fn lease(&self, opening: &Opening) -> Lease {
        let mut open = self.open.borrow_mut();
        open.retain(|link| !link.is_over());
        if let Some(link) = open.iter().find(|link| self.has_room(link)) {
            return Lease::on(link);
        }
        let link = Rc::new(Link {
            phase: RefCell::new(Phase::Opening(Vec::new())),
            secure: opening.tls.is_some(),
            streams: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            pulse: Pulse::new(),
        });
        open.push(Rc::clone(&link));
        let (opening, state, allowed) = (opening.clone(), Arc::clone(&self.state), self.allowed.get());
        tokio::task::spawn_local(run(Rc::clone(&link), opening, state, allowed));
        Lease::on(&link)
    }

    fn has_room(&self, link: &Link) -> bool {
        if let Phase::Open(sender) = &*link.phase.borrow() {
            self.allowed.set(sender.current_max_send_streams().clamp(1, MOST));
        }
        !link.is_over() && link.streams.get() < self.allowed.get()
    }

    /// Closes those that were idle for too long, and forgets those that are over.
    pub(crate) fn sweep(&self, now: Instant, timeout: Duration) {
        self.open.borrow_mut().retain(|link| {
            let idle = link.streams.get() == 0 && now.duration_since(link.idle_since.get()) >= timeout;
            if idle && link.is_open() {
                link.retire();
            }
            !link.is_over()
        });
    }
}

/// Connections end when nobody needs them any more.
impl Drop for Links {
    fn drop(&mut self) {
        self.open.borrow().iter().for_each(|link| link.retire());
    }
}

impl Link {
    fn is_open(&self) -> bool {
        matches!(&*self.phase.borrow(), Phase::Open(_))
    }

    fn is_over(&self) -> bool {
        matches!(&*self.phase.borrow(), Phase::Failed(_) | Phase::Leaving)
    }

    fn is_now(&self, phase: Phase) {
        if let Phase::Opening(waiting) = self.phase.replace(phase) {
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Takes no more requests. The connection ends when those that it has have ended.
    fn retire(&self) {
        self.is_now(Phase::Leaving);
    }
}

impl Lease {
    fn on(link: &Rc<Link>) -> Self {
        link.streams.set(link.streams.get() + 1);
        let began = Instant::now();
        link.pulse.is_used(began);
        Self { link: Rc::clone(link), began }
    }

    /// Returns when requests can be sent, or says why they cannot.
    pub(crate) async fn ready(&self) -> Result<(), NotConnected> {
        poll_fn(|cx| match &mut *self.link.phase.borrow_mut() {
            Phase::Opening(waiting) => {
                waiting.push(cx.waker().clone());
                Poll::Pending
            }
            Phase::Open(_) => Poll::Ready(Ok(())),
            Phase::Failed(why) => Poll::Ready(Err(why.again())),
            Phase::Leaving => Poll::Ready(Err(NotConnected::plainly(Ending::EndpointClosed))),
        })
        .await
    }

    /// What sends one request; `None` when the connection takes no more.
    pub(crate) fn sender(&self) -> Option<SendRequest<Payload>> {
        match &*self.link.phase.borrow() {
            Phase::Open(sender) => Some(sender.clone()),
            _ => None,
        }
    }

    /// Whether the endpoint can be asked for a tunnel on a stream (RFC 8441); it may take a moment until that is known.
    pub(crate) async fn offers_tunnels(&self) -> bool {
        // One that takes no more requests will say so itself.
        let is_offered = || self.sender().is_none_or(|sender| sender.is_extended_connect_protocol_enabled());
        if !is_offered() {
            poll_fn(|cx| self.link.pulse.poll_settled(cx)).await;
        }
        is_offered()
    }

    pub(crate) fn scheme(&self) -> Scheme {
        if self.link.secure { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// The endpoint takes no more requests on this connection.
    pub(crate) fn retire(&self) {
        self.link.retire();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let left = self.link.streams.get() - 1;
        self.link.streams.set(left);
        if left == 0 {
            self.link.idle_since.set(Instant::now());
        }
        self.link.pulse.has_served(self.began);
    }
}

/// A connection from its beginning to its end.
async fn run(link: Rc<Link>, opening: Opening, state: Arc<EndpointState>, allowed: usize) {
    let mut deadline = Deadline::default();
    let connected =
        connect(&opening.target, opening.tls.as_deref(), None, &mut deadline, opening.limit).await;
    let counter = if connected.is_ok() { &state.connects } else { &state.connect_failures };
    counter.fetch_add(1, Relaxed);
    let socket = match connected {
        Ok(socket) => socket,
        Err(why) => return link.is_now(Phase::Failed(why)),
    };
    link.pulse.heard();
    if opening.tls.is_some() && !socket.has_agreed_on(b"h2") {
        let reason = "it does not speak HTTP/2 within TLS";
        let told = Some(format!("{reason} (ALPN)"));
        return link.is_now(Phase::Failed(NotConnected {
            reason,
            told,
            ..NotConnected::plainly(Ending::EndpointTlsFailed)
        }));
    }
    let now = Rc::clone(&opening.now);
    let input = Input::new(Rc::clone(&opening.buffers));
    let gather = Gather::new(socket, input, &opening.buffers, 0, move || now());
    let shaken = settings(allowed).handshake::<_, Payload>(Gathered(Rc::clone(&gather))).await;
    let Ok((sender, mut connection)) = shaken else {
        return link.is_now(Phase::Failed(NotConnected::plainly(Ending::EndpointReset)));
    };
    connection.set_target_window_size(CONNECTION_WINDOW);
    let mut pinger = connection.ping_pong().map(Pinger::new);
    link.is_now(Phase::Open(sender));
    state.idle.fetch_add(1, Relaxed);
    poll_fn(|cx| {
        let ended = poll_turn(&gather, &mut connection, cx);
        if gather.has_heard() {
            link.pulse.heard();
        }
        match &mut pinger {
            Some(pinger) if ended.is_pending() => pinger.poll(&link.pulse, cx),
            _ => ended,
        }
    })
    .await;
    state.idle.fetch_sub(1, Relaxed);
    link.retire();
    link.pulse.end();
}

fn settings(allowed: usize) -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(WINDOW)
        .initial_max_send_streams(allowed)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(HEADER_LIST);
    builder
}

/// Ready when the connection has ended.
fn poll_turn(
    gather: &Gather,
    connection: &mut Connection<Gathered, Payload>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    gather.begin_turn();
    let ended = Pin::new(connection).poll(cx).is_ready();
    let flushed = gather.poll_flush(cx);
    let broken = matches!(flushed, Poll::Ready(Err(_))) || gather.is_flooded();
    if ended || broken { Poll::Ready(()) } else { Poll::Pending }
}
