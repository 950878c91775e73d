//! Stage 6 and 7: the request goes to the endpoint while its response comes back, both with back-pressure.

use crate::account::Ending;
use crate::answer::Answer;
use crate::body::{Incoming, Outgoing, Piece, PieceStop};
use crate::buffers::{Input, Size};
use crate::client::connection::After;
use crate::client::http1::Request;
use crate::deadline::Deadline;
use crate::socket::{Socket, WriteStop};
use crate::tunnel::tunnel;
use crate::worker::Worker;
use bascule_decide::edits::Edits;
use bascule_decide::http1::response::{BadResponse, MAX_INTERIM, Shape, parse};
use bascule_decide::http1::{Framing, field_room, has_empty_line};
use bascule_decide::retry::Progress;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// How long a response may take before we watch a client that the runtime does not know yet.
const PATIENCE: Duration = Duration::from_millis(100);

/// What one forwarding needs to know.
pub(crate) struct Forward<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) client: &'a Socket,
    pub(crate) endpoint: &'a Socket,
    pub(crate) request: &'a Request,
    pub(crate) client_text: &'a str,
    /// Whether the client's connection ends with this response; asked when its head is written.
    pub(crate) is_last: &'a dyn Fn() -> bool,
    /// The status, once the client was sent the first byte of the response.
    pub(crate) began: &'a Cell<u16>,
}

/// Time limits of the two sides; each stays with its connection, so that reuse costs no new timer.
pub(crate) struct Deadlines<'a> {
    pub(crate) client: &'a mut Deadline,
    pub(crate) endpoint: &'a mut Deadline,
}

/// A forwarding that failed before the client was sent anything.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The endpoint's fault; perhaps another one does better.
    Endpoint { ending: Ending, reason: &'static str, progress: Progress },
    /// The client's fault, and it may be told.
    Client(Answer),
    /// Nobody is left to tell.
    ClientGone,
}

impl Failed {
    pub(crate) fn not_connected(ending: Ending) -> Self {
        Self::Endpoint { ending, reason: "", progress: Progress::NotConnected }
    }
}

/// A forwarding whose response has begun to reach the client.
#[derive(Debug)]
pub(crate) struct Relayed {
    pub(crate) status: u16,
    pub(crate) ending: Ending,
    pub(crate) reason: &'static str,
    /// Of the request's body.
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    /// From the request sent to the head of the response.
    pub(crate) response: Option<Duration>,
    pub(crate) ended: Instant,
    /// The endpoint's connection can serve another request.
    pub(crate) reusable: bool,
    pub(crate) after: After,
}

impl Relayed {
    /// A response that broke off: both connections end, so that nobody takes it for a whole one.
    pub(crate) fn cut(status: u16, ending: Ending) -> Self {
        Self {
            status,
            ending,
            reason: "",
            received_bytes: 0,
            sent_bytes: 0,
            response: None,
            ended: Instant::now(),
            reusable: false,
            after: After::Close,
        }
    }
}

/// How far the request has gone out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// The body is on its way.
    Partly,
    /// All of it.
    Wholly(Instant),
    /// The endpoint stopped taking it. It may have answered all the same.
    Broken(Instant),
}

/// Forwards one request over one connection.
pub(crate) async fn forward(
    to: &Forward<'_>,
    head: &[u8],
    input: &mut Input,
    deadlines: Deadlines<'_>,
) -> Result<Relayed, Failed> {
    let sent = Cell::new(Sent::Partly);
    let received = Cell::new(0);
    let mut download = Download::new(to, &sent, deadlines);
    let mut relayed = if to.request.framing == Framing::None {
        let limit = &mut *download.deadlines.endpoint;
        match to.endpoint.write_all(&mut [IoSlice::new(head)], limit, to.idle()).await {
            Ok(()) => sent.set(Sent::Wholly(Instant::now())),
            // It may have closed after an answer of its own accord (408); what it said is read below.
            Err(WriteStop::Failed) => sent.set(Sent::Broken(Instant::now())),
            Err(WriteStop::TimedOut) => return Err(endpoint_failed(Ending::EndpointNotReading)),
        }
        download.run(input).await?
    } else {
        // On the heap: most requests have no body.
        Box::pin(both(download, head, input, &received)).await?
    };
    relayed.received_bytes = received.get();
    Ok(relayed)
}

/// Uploads and downloads at once: the endpoint may answer before it has read everything, or because of what it has read.
async fn both(
    mut download: Download<'_>,
    head: &[u8],
    input: &mut Input,
    received: &Cell<u64>,
) -> Result<Relayed, Failed> {
    let (to, sent) = (download.to, download.sent);
    let mut nothing = Input::new(Rc::clone(&to.worker.buffers));
    let mut uploading = pin!(upload(to, head, input, received));
    let mut downloading = pin!(download.run(&mut nothing));
    poll_fn(|cx| {
        if sent.get() == Sent::Partly
            && let Poll::Ready(uploaded) = uploading.as_mut().poll(cx)
        {
            match uploaded {
                Ok(()) => sent.set(Sent::Wholly(Instant::now())),
                Err(UploadStop::Endpoint) => sent.set(Sent::Broken(Instant::now())),
                Err(stop) => return Poll::Ready(upload_failed(stop, to.began.get())),
            }
        }
        downloading.as_mut().poll(cx)
    })
    .await
}

/// Why an upload ended early.
#[derive(Debug)]
enum UploadStop {
    /// The endpoint's connection broke: there may still be a response to read.
    Endpoint,
    EndpointNotReading,
    Client(Answer),
    ClientGone,
}

fn upload_failed(stop: UploadStop, began: u16) -> Result<Relayed, Failed> {
    match (stop, began) {
        (UploadStop::Endpoint, 0) => Err(endpoint_failed(Ending::EndpointReset)),
        (UploadStop::EndpointNotReading, 0) => Err(endpoint_failed(Ending::EndpointNotReading)),
        (UploadStop::Client(answer), 0) => Err(Failed::Client(answer)),
        (UploadStop::ClientGone, 0) => Err(Failed::ClientGone),
        (UploadStop::Client(answer), status) => Ok(Relayed::cut(status, answer.ending())),
        (UploadStop::ClientGone, status) => Ok(Relayed::cut(status, Ending::ClientAborted)),
        (UploadStop::Endpoint | UploadStop::EndpointNotReading, status) => {
            Ok(Relayed::cut(status, Ending::EndpointNotReading))
        }
    }
}

fn endpoint_failed(ending: Ending) -> Failed {
    Failed::Endpoint { ending, reason: "", progress: Progress::Sent }
}

/// Sends the head and then the body as it arrives, in the framing in which it came.
async fn upload(
    to: &Forward<'_>,
    head: &[u8],
    input: &mut Input,
    received: &Cell<u64>,
) -> Result<(), UploadStop> {
    let mut deadline = Deadline::default();
    let mut body = Incoming::new(to.request.framing);
    let coding = if to.request.framing == Framing::Chunked { Outgoing::Chunked } else { Outgoing::Plain };
    let limit = to.listener().limits.body_bytes.unwrap_or(u64::MAX);
    let mut head = head;
    loop {
        let (payload, taken) = body
            .take(input)
            .map_err(|problem| UploadStop::Client(Answer::BodyMalformed(problem.reason())))?;
        received.set(received.get() + payload as u64);
        if received.get() > limit {
            return Err(UploadStop::Client(Answer::BodyTooLarge));
        }
        let piece = Piece { head, payload: &input.bytes()[..payload], body: &body, coding };
        piece.send(to.endpoint, &mut deadline, to.idle()).await.map_err(|stop| match stop {
            PieceStop::Write(WriteStop::TimedOut) => UploadStop::EndpointNotReading,
            PieceStop::Write(WriteStop::Failed) => UploadStop::Endpoint,
            PieceStop::Trailers(problem) => UploadStop::Client(Answer::BodyMalformed(problem.reason())),
        })?;
        head = b"";
        input.consume(taken);
        if body.done {
            return Ok(());
        }
        deadline.start(Duration::from_millis(to.listener().timeouts.body_ms));
        let read = poll_fn(|cx| match input.poll_fill(to.client, Size::Relay, cx) {
            Poll::Ready(read) => Poll::Ready(Some(read)),
            Poll::Pending => deadline.poll(cx).map(|()| None),
        });
        match read.await {
            Some(Ok(1..)) => {}
            Some(_) => return Err(UploadStop::ClientGone),
            None => return Err(UploadStop::Client(Answer::ClientTooSlow)),
        }
    }
}

impl Forward<'_> {
    fn listener(&self) -> &bascule_decide::table::Listener {
        &self.request.table.table().listeners[self.request.listener]
    }

    /// Between two reads or writes on the endpoint's side.
    fn idle(&self) -> Duration {
        Duration::from_millis(self.request.route().map_or(60_000, |route| route.timeouts.idle_ms))
    }

    fn response_limit(&self) -> Duration {
        Duration::from_millis(self.request.route().map_or(30_000, |route| route.timeouts.response_ms))
    }

    fn tunnel_limit(&self) -> Duration {
        Duration::from_millis(self.request.route().map_or(3_600_000, |route| route.timeouts.tunnel_ms))
    }

    /// Between two writes that the client takes.
    fn send(&self) -> Duration {
        Duration::from_millis(self.listener().timeouts.send_ms)
    }
}

/// The response on its way to the client.
struct Download<'a> {
    to: &'a Forward<'a>,
    sent: &'a Cell<Sent>,
    deadlines: Deadlines<'a>,
    input: Input,
    sent_bytes: u64,
    interim: u32,
}

/// The head of a response, read and rewritten.
struct Head {
    status: u16,
    framing: Framing,
    /// What the client gets; `None` when it is what the endpoint sent.
    written: Option<Vec<u8>>,
    /// Bytes of the endpoint's head.
    length: usize,
    kind: Kind,
    persistent: bool,
    close: bool,
    coding: Outgoing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Interim,
    Final,
    Upgrade,
}

impl<'a> Download<'a> {
    fn new(to: &'a Forward<'a>, sent: &'a Cell<Sent>, deadlines: Deadlines<'a>) -> Self {
        Self {
            to,
            sent,
            deadlines,
            input: Input::new(Rc::clone(&to.worker.buffers)),
            sent_bytes: 0,
            interim: 0,
        }
    }

    /// Waits for the response and passes it on. `client_input` is what the client has said beyond its request.
    async fn run(&mut self, client_input: &mut Input) -> Result<Relayed, Failed> {
        let head = self.head().await?;
        let began = Instant::now();
        let response = match self.sent.get() {
            Sent::Wholly(at) | Sent::Broken(at) => began.duration_since(at),
            Sent::Partly => Duration::ZERO,
        };
        self.to.began.set(head.status);
        let mut relayed = if head.kind == Kind::Upgrade {
            Box::pin(self.upgraded(&head, client_input)).await
        } else {
            self.body(&head, began).await
        };
        relayed.response = Some(response);
        relayed.sent_bytes = self.sent_bytes;
        Ok(relayed)
    }

    /// Waits for the final head; interim ones are passed on (RFC 9110, 15.2).
    async fn head(&mut self) -> Result<Head, Failed> {
        let mut watching = true;
        let mut seen = 0_usize;
        loop {
            let worth_a_look = seen == 0 || has_empty_line(self.input.bytes(), seen.saturating_sub(3));
            if !self.input.is_empty() && worth_a_look {
                match self.read_head().map_err(bad_response)? {
                    Some(head) if head.kind == Kind::Interim => {
                        Box::pin(self.pass_interim(&head)).await?;
                        seen = 0;
                        continue;
                    }
                    Some(head) => return Ok(head),
                    None => {}
                }
            }
            seen = self.input.len();
            if seen >= bascule_decide::http1::response::MAX_HEAD {
                return Err(bad_response(BadResponse::TooLarge));
            }
            self.wait_for_head(&mut watching).await?;
        }
    }

    async fn wait_for_head(&mut self, watching: &mut bool) -> Result<(), Failed> {
        let Self { to, sent, input, deadlines, interim, .. } = self;
        // What has begun to answer has done the work: nobody else is to do it again.
        let progress = if input.is_empty() && *interim == 0 { Progress::Sent } else { Progress::Answered };
        let failed = |ending| Poll::Ready(Err(Failed::Endpoint { ending, reason: "", progress }));
        poll_fn(|cx| {
            match input.poll_fill(to.endpoint, Size::Relay, cx) {
                Poll::Ready(Ok(1..)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(0)) => return failed(Ending::EndpointClosed),
                Poll::Ready(Err(_)) => return failed(Ending::EndpointReset),
                Poll::Pending => {}
            }
            let limit = match sent.get() {
                // The upload reads from the client and sees for itself when it is gone.
                Sent::Partly => return Poll::Pending,
                Sent::Wholly(at) | Sent::Broken(at) => at + to.response_limit(),
            };
            if to.client.is_fresh() {
                deadlines.endpoint.set(limit.min(limit - to.response_limit() + PATIENCE));
                if deadlines.endpoint.poll(cx).is_pending() {
                    return Poll::Pending;
                }
                // A slow response: from now on we want to know when the client goes away.
                if to.client.register().is_err() {
                    return Poll::Ready(Err(Failed::ClientGone));
                }
            }
            if to.client.poll_reset(cx, watching).is_ready() {
                return Poll::Ready(Err(Failed::ClientGone));
            }
            deadlines.endpoint.set(limit);
            ready!(deadlines.endpoint.poll(cx));
            failed(Ending::ResponseTimedOut)
        })
        .await
    }

    fn read_head(&self) -> Result<Option<Head>, BadResponse> {
        let request = self.to.request;
        let mut room = field_room();
        let bytes = self.input.bytes();
        let Some(head) = parse(bytes, request.is_head, &mut room)? else { return Ok(None) };
        let kind = match (head.is_interim(), head.status) {
            (true, _) => Kind::Interim,
            (false, 101) if request.upgrade.as_deref().is_some_and(|offer| head.accepts(offer)) => {
                Kind::Upgrade
            }
            (false, 101) => return Err(BadResponse::Unasked),
            (false, _) => Kind::Final,
        };
        let no_edits = Edits::default();
        let edits =
            request.route().filter(|_| kind == Kind::Final).map_or(&no_edits, |route| &route.response_edits);
        let upload_is_open = self.sent.get() == Sent::Partly || matches!(self.sent.get(), Sent::Broken(_));
        let framed = matches!(head.framing, Framing::None | Framing::Length(_)) || request.http11;
        let close =
            kind == Kind::Final && ((self.to.is_last)() || !request.persistent || upload_is_open || !framed);
        let shape = Shape {
            http11: request.http11,
            close,
            say_keep_alive: kind == Kind::Final && !request.http11 && !close,
            chunk: head.framing == Framing::Close && request.http11,
        };
        let chunked = request.http11 && matches!(head.framing, Framing::Chunked | Framing::Close);
        let written = (!head.passes_unchanged(shape, edits)).then(|| {
            let mut out = Vec::with_capacity(head.length + 64);
            head.write(bytes, shape, edits, &request.facts(self.to.client_text), &mut out);
            out
        });
        let coding = if chunked { Outgoing::Chunked } else { Outgoing::Plain };
        Ok(Some(Head {
            status: head.status,
            framing: head.framing,
            written,
            length: head.length,
            kind,
            persistent: head.persistent,
            close,
            coding,
        }))
    }

    async fn pass_interim(&mut self, head: &Head) -> Result<(), Failed> {
        self.interim += 1;
        if self.interim > MAX_INTERIM {
            return Err(bad_response(BadResponse::Interim));
        }
        let wanted = self.to.request.http11 && (head.status != 100 || self.to.request.expects_continue);
        if wanted {
            let bytes = head.written.as_deref().unwrap_or(&self.input.bytes()[..head.length]);
            self.sent_bytes += bytes.len() as u64;
            let sent = self
                .to
                .client
                .write_all(&mut [IoSlice::new(bytes)], self.deadlines.client, self.to.send())
                .await;
            sent.map_err(|_| Failed::ClientGone)?;
        }
        self.input.consume(head.length);
        Ok(())
    }

    /// Passes the final response on: the head together with what there is of the body, then the rest.
    async fn body(&mut self, head: &Head, began: Instant) -> Relayed {
        let mut body = Incoming::new(head.framing);
        let mut ended = began;
        let mut unsent = head.written.as_deref();
        let mut passed = if unsent.is_some() {
            self.input.consume(head.length);
            0
        } else {
            head.length
        };
        loop {
            let piece = match self.piece(&mut body, passed) {
                Ok(piece) => piece,
                Err(()) => {
                    return Relayed {
                        reason: "the chunks of the response are malformed",
                        ..Relayed::cut(head.status, Ending::BadResponse)
                    };
                }
            };
            if let Err(ending) = self.send(head, &body, &piece, unsent.take().unwrap_or_default()).await {
                return Relayed::cut(head.status, ending);
            }
            passed = 0;
            self.input.consume(piece.taken);
            if body.done {
                break;
            }
            match self.more().await {
                Ok(true) => {}
                Ok(false) if body.end() => {}
                Ok(false) => return Relayed::cut(head.status, Ending::ResponseCut),
                Err(ending) => return Relayed::cut(head.status, ending),
            }
            ended = Instant::now();
        }
        self.whole(head, ended)
    }

    /// What to send next: `passed` bytes of unchanged head, then payload.
    fn piece(&mut self, body: &mut Incoming, passed: usize) -> Result<Taken, ()> {
        if passed == 0 {
            let (payload, taken) = body.take(&mut self.input).map_err(drop)?;
            return Ok(Taken { passed, payload, taken });
        }
        // The head is to go out in one run with the payload behind it: take the body from behind the head.
        let (payload, taken) = body.take_behind(&mut self.input, passed).map_err(drop)?;
        Ok(Taken { passed, payload, taken: passed + taken })
    }

    async fn send(
        &mut self,
        head: &Head,
        body: &Incoming,
        piece: &Taken,
        written: &[u8],
    ) -> Result<(), Ending> {
        let bytes = self.input.bytes();
        let plain = head.coding == Outgoing::Plain;
        let (first, payload) = match piece.passed {
            0 => (written, &bytes[..piece.payload]),
            // One run of bytes, as the endpoint sent it.
            passed if plain => (&b""[..], &bytes[..passed + piece.payload]),
            passed => (&bytes[..passed], &bytes[passed..passed + piece.payload]),
        };
        if first.is_empty() && payload.is_empty() && !(head.coding == Outgoing::Chunked && body.done) {
            return Ok(());
        }
        let piece = Piece { head: first, payload, body, coding: head.coding };
        match piece.send(self.to.client, self.deadlines.client, self.to.send()).await {
            Ok(bytes) => {
                self.sent_bytes += bytes;
                Ok(())
            }
            Err(PieceStop::Write(WriteStop::TimedOut)) => Err(Ending::ClientNotReading),
            Err(PieceStop::Write(WriteStop::Failed)) => Err(Ending::ClientAborted),
            Err(PieceStop::Trailers(_)) => Err(Ending::BadResponse),
        }
    }

    /// Reads more of the body. False at the end of the stream.
    async fn more(&mut self) -> Result<bool, Ending> {
        let Self { to, input, deadlines, .. } = self;
        let mut watching = true;
        let mut waiting = false;
        poll_fn(|cx| {
            match input.poll_fill(to.endpoint, Size::Relay, cx) {
                Poll::Ready(Ok(count)) => return Poll::Ready(Ok(count > 0)),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Ending::ResponseCut)),
                Poll::Pending => {}
            }
            if !waiting {
                waiting = true;
                deadlines.endpoint.start(to.idle());
                if to.client.register().is_err() {
                    return Poll::Ready(Err(Ending::ClientAborted));
                }
            }
            if to.client.poll_reset(cx, &mut watching).is_ready() {
                return Poll::Ready(Err(Ending::ClientAborted));
            }
            deadlines.endpoint.poll(cx).map(|()| Err(Ending::ResponseStalled))
        })
        .await
    }

    fn whole(&self, head: &Head, ended: Instant) -> Relayed {
        let uploaded = matches!(self.sent.get(), Sent::Wholly(_));
        let after = match (head.close || !uploaded, uploaded) {
            (false, _) => After::Keep,
            (true, true) => After::Close,
            (true, false) => After::Linger,
        };
        // Bytes beyond the response are nobody's: the connection cannot be trusted with another request.
        let reusable = head.persistent && uploaded && self.input.is_empty();
        Relayed { reusable, after, ended, ..Relayed::cut(head.status, Ending::Ok) }
    }

    async fn upgraded(&mut self, head: &Head, client_input: &mut Input) -> Relayed {
        let written = head.written.as_deref().unwrap_or_default();
        if self
            .to
            .client
            .write_all(&mut [IoSlice::new(written)], self.deadlines.client, self.to.send())
            .await
            .is_err()
        {
            return Relayed::cut(head.status, Ending::ClientAborted);
        }
        self.input.consume(head.length);
        let sent = tunnel(
            (self.to.client, client_input),
            (self.to.endpoint, &mut self.input),
            self.to.tunnel_limit(),
        )
        .await;
        self.sent_bytes += written.len() as u64 + sent;
        Relayed::cut(head.status, Ending::Tunnelled)
    }
}

/// What of the input goes out next.
struct Taken {
    passed: usize,
    payload: usize,
    taken: usize,
}

fn bad_response(bad: BadResponse) -> Failed {
    Failed::Endpoint { ending: Ending::BadResponse, reason: bad.reason(), progress: Progress::Answered }
}
