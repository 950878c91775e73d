//! Stage 7: the endpoint's response on its way to the client.

use crate::account::Ending;
use crate::body::{Incoming, Outgoing, Piece, PieceStop};
use crate::buffers::{Input, Size};
use crate::client::connection::After;
use crate::forward::{Deadlines, Failed, Forward, Relayed, Sent};
use crate::socket::WriteStop;
use crate::tunnel::tunnel;
use bascule_decide::edits::Edits;
use bascule_decide::http1::response::{BadResponse, MAX_INTERIM, Shape, parse};
use bascule_decide::http1::{Framing, field_room, has_empty_line};
use bascule_decide::retry::Progress;
use std::cell::Cell;
use std::future::poll_fn;
use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// How long a response may take before we watch a client that the runtime does not know yet.
const PATIENCE: Duration = Duration::from_millis(100);

/// The response on its way to the client.
pub(crate) struct Download<'a> {
    pub(crate) to: &'a Forward<'a>,
    pub(crate) sent: &'a Cell<Sent>,
    pub(crate) deadlines: Deadlines<'a>,
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
    pub(crate) fn new(to: &'a Forward<'a>, sent: &'a Cell<Sent>, deadlines: Deadlines<'a>) -> Self {
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
    pub(crate) async fn run(&mut self, client_input: &mut Input) -> Result<Relayed, Failed> {
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
        let framed = matches!(head.framing, Framing::None | Framing::Length(_)) || request.http11;
        let close = kind == Kind::Final
            && ((self.to.is_last)() || !request.persistent || !self.is_uploaded() || !framed);
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
            self.to.know_both();
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
            }
            if to.client.poll_reset(cx, &mut watching).is_ready() {
                return Poll::Ready(Err(Ending::ClientAborted));
            }
            deadlines.endpoint.poll(cx).map(|()| Err(Ending::ResponseStalled))
        })
        .await
    }

    /// Whether the endpoint has taken the whole request: only then can either connection go on.
    fn is_uploaded(&self) -> bool {
        matches!(self.sent.get(), Sent::Wholly(_))
    }

    fn whole(&self, head: &Head, ended: Instant) -> Relayed {
        let uploaded = self.is_uploaded();
        let after = match (head.close || !uploaded, uploaded) {
            (false, _) => After::Keep,
            (true, true) => After::Close,
            (true, false) => After::Linger,
        };
        // Bytes beyond the response are nobody's: the connection cannot be trusted with another request.
        let reusable = head.persistent && uploaded && self.input.is_empty();
        Relayed { reusable, after, ..Relayed::ended(head.status, Ending::Ok, ended) }
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
        self.to.know_both();
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
