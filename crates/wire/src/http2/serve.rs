//! One HTTP/2 connection of a client: its streams, each an exchange with a task of its own, until one side has enough.

use crate::answer::Answer;
use crate::buffers::Size;
use crate::client::connection::Connection;
use crate::client::http1::{Refusal, Request as Asked, is_trusted, read_request};
use crate::deadline::Deadline;
use crate::exchange;
use crate::http2::ahead::{Payload, Share, Shared};
use crate::http2::gather::{Gather, Gathered};
use crate::http2::message::request_head;
use crate::http2::stream::Stream;
use crate::side::Side;
use bascule_decide::http1::Malformed;
use bascule_decide::http2::message::is_of_connection;
use bascule_decide::random::Random;
use bascule_decide::table::Listener;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// What an HTTP/2 connection begins with (RFC 9113, 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a connection that is to end waits for its last frames to be taken.
const LINGER: Duration = Duration::from_secs(2);
/// A stream that sends no faster than its client reads buffers this much at most.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a client may cancel before we have looked at them, and that it may make us cancel.
const RESETS: usize = 100;

type Server = h2::server::Connection<Gathered, Payload>;

/// Serves a connection whose client speaks HTTP/2, until it ends. Its input may begin with the preface, or with part of it.
pub(crate) async fn serve(connection: &mut Connection) {
    let Some(gather) = take_socket(connection) else { return };
    let Some(settings) = settings(connection) else { return };
    let mut deadline = Deadline::default();
    deadline.set(connection.time_limit(None));
    let mut handshake = pin!(settings.handshake::<_, Payload>(Gathered(Rc::clone(&gather))));
    let shaken = poll_fn(|cx| {
        let shaken = handshake.as_mut().poll(cx).map(Result::ok);
        let _ = gather.poll_flush(cx);
        if shaken.is_ready() { shaken } else { deadline.poll(cx).map(|()| None) }
    })
    .await;
    let Some(server) = shaken else { return };
    let streams = Rc::new(Streams {
        open: Cell::new(0),
        idle_since: Cell::new(Instant::now()),
        waker: RefCell::default(),
    });
    let ahead = Rc::default();
    let mut serving =
        Serving { connection, gather, server, streams, ahead, deadline, leaving: None, flooded: false };
    poll_fn(|cx| serving.poll(cx)).await;
}

fn take_socket(connection: &mut Connection) -> Option<Rc<Gather>> {
    let Side::Http1(socket) = &mut connection.side else { return None };
    connection.local = socket.local_address();
    let (socket, worker) = (socket.take(), Rc::clone(&connection.worker));
    let input = connection.input.take();
    let clock = Rc::clone(&worker);
    Some(Gather::new(socket, input, &worker.buffers, PREFACE.len(), move || clock.now()))
}

fn settings(connection: &Connection) -> Option<Builder> {
    let table = connection.worker.table();
    let place = connection.acceptor.place(table.table())?;
    let Listener { limits, http2, .. } = &table.table().listeners[place];
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(http2.streams)
        // Each field counts 32 bytes more than it has (RFC 9113, 6.5.2).
        .max_header_list_size(limits.head_bytes.saturating_add(limits.headers.saturating_mul(32)))
        .initial_window_size(http2.window_bytes)
        // What one stream does not take must not keep another one waiting.
        .initial_connection_window_size(connection_window(http2.window_bytes, http2.streams))
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(Some(RESETS))
        .enable_connect_protocol();
    Some(builder)
}

/// Room for all streams at once, as far as HTTP/2 can count.
pub(crate) fn connection_window(window: u32, streams: u32) -> u32 {
    window.saturating_mul(streams).clamp(65_535, (1 << 31) - 1)
}

/// What a connection knows of its streams.
#[derive(Debug)]
struct Streams {
    open: Cell<u32>,
    idle_since: Cell<Instant>,
    waker: RefCell<Option<Waker>>,
}

/// A stream that is open for as long as this lives.
struct Open(Rc<Streams>);

impl Open {
    fn begin(streams: &Rc<Streams>) -> Self {
        streams.open.set(streams.open.get() + 1);
        Self(Rc::clone(streams))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        if self.0.open.get() == 0 {
            self.0.idle_since.set(Instant::now());
            if let Some(waker) = self.0.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}

struct Serving<'a> {
    connection: &'a mut Connection,
    gather: Rc<Gather>,
    server: Server,
    streams: Rc<Streams>,
    ahead: Rc<Shared>,
    deadline: Deadline,
    /// Since when no more streams are wanted.
    leaving: Option<Instant>,
    /// The client was told that it sends too much of nothing.
    flooded: bool,
}

impl Serving<'_> {
    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.gather.begin_turn();
        loop {
            match self.server.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => self.begin(request, respond),
                Poll::Ready(Some(Err(_)) | None) => {
                    // A last word, if the client takes it at once.
                    let _ = self.gather.poll_flush(cx);
                    return Poll::Ready(());
                }
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(Err(_)) = self.gather.poll_flush(cx) {
            return Poll::Ready(());
        }
        if self.gather.is_flooded() && !std::mem::replace(&mut self.flooded, true) {
            self.server.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            self.leave();
            cx.waker().wake_by_ref();
        }
        if self.connection.is_closing() && self.leaving.is_none() {
            self.server.graceful_shutdown();
            self.leave();
            cx.waker().wake_by_ref();
        }
        self.connection.wake_when_closing(cx);
        self.poll_idle(cx)
    }

    fn leave(&mut self) {
        self.leaving = Some(Instant::now());
    }

    /// A connection without streams ends when its time is over: first with a word, then without.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.streams.open.get() > 0 {
            *self.streams.waker.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let idle_since = self.streams.idle_since.get();
        self.connection.idle_since = idle_since;
        loop {
            match self.leaving {
                Some(since) => self.deadline.set(since.max(idle_since) + LINGER),
                None => self.deadline.set(self.connection.time_limit(None)),
            }
            if self.deadline.poll(cx).is_pending() {
                return Poll::Pending;
            }
            if self.leaving.is_some() {
                return Poll::Ready(());
            }
            self.server.graceful_shutdown();
            self.leave();
            cx.waker().wake_by_ref();
        }
    }

    fn begin(&mut self, request: Request<RecvStream>, respond: SendResponse<Payload>) {
        let open = Open::begin(&self.streams);
        let (request, receiving) = request.into_parts();
        let request = Request::from_parts(request, ());
        let ends = receiving.is_end_stream();
        let stream = self.connection.stream(Stream::of_client(receiving, respond, Share::of(&self.ahead)));
        self.connection.served += 1;
        if self.leaving.is_none() && self.connection.was_last() {
            self.server.graceful_shutdown();
            self.leave();
        }
        tokio::task::spawn_local(exchange_on(stream, request, ends, open));
    }
}

/// One stream from its head to its end.
async fn exchange_on(mut stream: Connection, request: Request<()>, ends: bool, _open: Open) {
    let began = Instant::now();
    let nonce = if request.extensions().get::<h2::ext::Protocol>().is_some() {
        stream.worker.with_random(websocket_nonce)
    } else {
        String::new()
    };
    let asked = decode(&mut stream, &request, ends, &nonce, began);
    drop(request);
    match asked {
        Ok(asked) => drop(exchange::serve(&mut stream, asked).await),
        Err(refusal) => drop(stream.refuse(refusal).await),
    }
}

/// The request as HTTP/1 would have it.
fn decode(
    stream: &mut Connection,
    request: &Request<()>,
    ends: bool,
    nonce: &str,
    began: Instant,
) -> Result<Box<Asked>, Refusal> {
    let refuse = |answer| Refusal { answer, began, listener: None, facts: None };
    if !may_ask_for(stream, request.uri().scheme_str()) {
        return Err(refuse(Answer::WrongScheme));
    }
    let worker = Rc::clone(&stream.worker);
    let mut head = worker.scratch.borrow_mut();
    head.clear();
    request_head(request, ends, nonce, &mut head).map_err(|malformed| refuse(Answer::Refused(malformed)))?;
    if stream.input.append(Size::Head, &head) < head.len() {
        return Err(refuse(Answer::Refused(Malformed::HeadTooLarge)));
    }
    // What was composed is whole: a reader that waits for more would have found something that is not what it seems.
    read_request(stream, began, began)?.ok_or_else(|| refuse(Answer::Refused(Malformed::Syntax)))
}

/// Whether the client may ask for what has this scheme here. One that is trusted may have ended TLS itself.
fn may_ask_for(stream: &Connection, scheme: Option<&str>) -> bool {
    let table = stream.worker.table();
    let place = stream.acceptor.place(table.table());
    is_of_connection(scheme, stream.secure.is_some())
        || place.is_some_and(|place| is_trusted(stream, &table.table().listeners[place]))
}

fn websocket_nonce(random: &mut Random) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // 16 bytes in base64: the last letter holds two bits, then comes padding (RFC 6455, 4.1).
    let mut nonce: String = (0..21).map(|_| char::from(LETTERS[random.below(64)])).collect();
    nonce.push(char::from(LETTERS[random.below(4) * 16]));
    nonce.push_str("==");
    nonce
}
