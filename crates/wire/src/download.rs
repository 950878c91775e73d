//! Stage 7: the endpoint's response on its way to the client.

use crate::account::Ending;
use crate::body::{Incoming, Outgoing, Piece, PieceStop};
use crate::buffers::{Input, Size};
use crate::client::connection::After;
use crate::deadline::Deadline;
use crate::endpoint::idle::EndpointConnection;
use crate::forward::{Failed, Forward, Relayed, Sent};
use crate::head::{Head, Kind};
use crate::leg::Leg;
use crate::socket::WriteStop;
use crate::tunnel::{Open, tunnel};
use std::future::poll_fn;
use std::io::IoSlice;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// The response on its way to the client.
pub(crate) struct Download<'a> {
    to: &'a Forward<'a>,
    leg: &'a mut Leg,
    /// Of the client's connection.
    deadline: &'a mut Deadline,
    sent_bytes: u64,
}

impl<'a> Download<'a> {
    pub(crate) fn new(to: &'a Forward<'a>, leg: &'a mut Leg, deadline: &'a mut Deadline) -> Self {
        Self { to, leg, deadline, sent_bytes: 0 }
    }

    /// Waits for the final head and passes it on, and what follows. `client_input` is what the client has said beyond
    /// its request.
    pub(crate) async fn run(&mut self, client_input: &mut Input) -> Result<Relayed, Failed> {
        loop {
            let Some(head) = self.leg.wait(self.to, None).await? else { continue };
            if let Some(relayed) = self.pass(head, client_input).await? {
                return Ok(relayed);
            }
        }
    }

    /// Passes a head on, and all that follows a final one. `None` after an interim one: there is more to come.
    pub(crate) async fn pass(
        &mut self,
        head: Head,
        client_input: &mut Input,
    ) -> Result<Option<Relayed>, Failed> {
        if head.kind == Kind::Interim {
            Box::pin(self.pass_interim(&head)).await?;
            return Ok(None);
        }
        let began = Instant::now();
        let response = match self.to.sent.get() {
            Sent::Wholly(at) | Sent::Broken(at) => began.duration_since(at),
            Sent::Nothing | Sent::Partly => Duration::ZERO,
        };
        self.to.began.set(head.status);
        let mut relayed = if head.kind == Kind::Upgrade {
            Box::pin(self.upgraded(&head, client_input)).await
        } else {
            self.body(&head, began).await
        };
        relayed.response = Some(response);
        relayed.sent_bytes = self.sent_bytes;
        Ok(Some(relayed))
    }

    /// Interim responses are passed on to clients that understand them (RFC 9110, 15.2).
    async fn pass_interim(&mut self, head: &Head) -> Result<(), Failed> {
        self.leg.count_interim()?;
        let wanted = self.to.request.http11 && (head.status != 100 || self.to.request.expects_continue);
        if wanted {
            let bytes = head.written.as_deref().unwrap_or(&self.leg.input.bytes()[..head.length]);
            self.sent_bytes += bytes.len() as u64;
            let sent =
                self.to.client.write_all(&mut [IoSlice::new(bytes)], self.deadline, self.to.send()).await;
            sent.map_err(|_| Failed::ClientGone)?;
        }
        self.leg.input.consume(head.length);
        Ok(())
    }

    /// Passes the final response on: the head together with what there is of the body, then the rest.
    async fn body(&mut self, head: &Head, began: Instant) -> Relayed {
        let mut body = Incoming::new(head.framing);
        let mut ended = began;
        let mut unsent = head.written.as_deref();
        let mut passed = if unsent.is_some() {
            self.leg.input.consume(head.length);
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
            self.leg.input.consume(piece.taken);
            if body.done {
                break;
            }
            self.to.know_both(&self.leg.connection().socket);
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
            let (payload, taken) = body.take(&mut self.leg.input).map_err(drop)?;
            return Ok(Taken { passed, payload, taken });
        }
        // The head is to go out in one run with the payload behind it: take the body from behind the head.
        let (payload, taken) = body.take_behind(&mut self.leg.input, passed).map_err(drop)?;
        Ok(Taken { passed, payload, taken: passed + taken })
    }

    async fn send(
        &mut self,
        head: &Head,
        body: &Incoming,
        piece: &Taken,
        written: &[u8],
    ) -> Result<(), Ending> {
        let bytes = self.leg.input.bytes();
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
        match piece.send(self.to.client, self.deadline, self.to.send()).await {
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
        let to = self.to;
        let mut watching = true;
        let mut waiting = false;
        let (EndpointConnection { socket, deadline }, input) = self.leg.receiving();
        poll_fn(|cx| {
            match input.poll_fill(socket, Size::Relay, cx) {
                Poll::Ready(Ok(count)) => return Poll::Ready(Ok(count > 0)),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Ending::ResponseCut)),
                Poll::Pending => {}
            }
            if !waiting {
                waiting = true;
                deadline.start(to.idle());
            }
            if to.client.poll_reset(cx, &mut watching).is_ready() {
                return Poll::Ready(Err(Ending::ClientAborted));
            }
            deadline.poll(cx).map(|()| Err(Ending::ResponseStalled))
        })
        .await
    }

    fn whole(&self, head: &Head, ended: Instant) -> Relayed {
        // Only when the endpoint has taken the whole request can either connection go on.
        let uploaded = matches!(self.to.sent.get(), Sent::Wholly(_));
        let after = match (head.close || !uploaded, uploaded) {
            (false, _) => After::Keep,
            (true, true) => After::Close,
            (true, false) => After::Linger,
        };
        // Bytes beyond the response are nobody's: the connection cannot be trusted with another request.
        let reusable = head.persistent && uploaded && self.leg.input.is_empty();
        Relayed { reusable, after, ..Relayed::ended(head.status, Ending::Ok, ended) }
    }

    async fn upgraded(&mut self, head: &Head, client_input: &mut Input) -> Relayed {
        let written = head.written.as_deref().unwrap_or_default();
        if self
            .to
            .client
            .write_all(&mut [IoSlice::new(written)], self.deadline, self.to.send())
            .await
            .is_err()
        {
            return Relayed::cut(head.status, Ending::ClientAborted);
        }
        self.leg.input.consume(head.length);
        self.to.know_both(&self.leg.connection().socket);
        let (connection, input) = self.leg.receiving();
        let _open = Open::begin(&self.to.counters.tunnels);
        let carried =
            tunnel((self.to.client, client_input), (&connection.socket, input), self.to.tunnel_limit()).await;
        self.sent_bytes += written.len() as u64 + carried.to_client;
        Relayed {
            received_bytes: carried.to_endpoint,
            reason: if carried.was_silent { "nothing moved for as long as timeouts.tunnel" } else { "" },
            ..Relayed::cut(head.status, Ending::Tunnelled)
        }
    }
}

/// What of the input goes out next.
struct Taken {
    passed: usize,
    payload: usize,
    taken: usize,
}
