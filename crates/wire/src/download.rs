//! Stage 7: the endpoint's response on its way to the client.

use crate::account::Ending;
use crate::body::{Incoming, Outgoing, Piece, PieceStop};
use crate::buffers::Input;
use crate::client::connection::After;
use crate::deadline::Deadline;
use crate::endpoint::idle::EndpointConnection;
use crate::forward::{Failed, Forward, Relayed, Sent};
use crate::head::{Head, Kind, Written};
use crate::leg::Leg;
use crate::socket::WriteStop;
use crate::tunnel::{Closed, Open, tunnel};
use crate::upload::SoFar;
use bascule_decide::guard::Verdict;
use bascule_decide::http1::Framing;
use http::Response;
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
    /// A client that speaks HTTP/2 gets the head with what is sent next.
    head_waits: bool,
    /// What was sent of a call that may be sent again; until its caller was sent anything.
    call: Option<&'a SoFar>,
}

impl<'a> Download<'a> {
    pub(crate) fn new(to: &'a Forward<'a>, leg: &'a mut Leg, deadline: &'a mut Deadline) -> Self {
        Self { to, leg, deadline, head_waits: false, call: None }
    }

    /// The response to a request with a body, of which this was sent.
    pub(crate) fn of_call(self, so_far: &'a SoFar) -> Self {
        Self { call: self.to.request.call.map(|_| so_far), ..self }
    }

    /// Waits for the final head and passes it on, and what follows. `client_input` is what the client has said beyond
    /// its request.
    pub(crate) async fn run(&mut self, client_input: &mut Input) -> Result<Relayed, Failed> {
        loop {
            let Some(head) = self.leg.wait(self.to, None).await? else { continue };
            if self.call.take().is_some_and(|call| call.is_at_hand())
                && self.to.course.calls_elsewhere(&self.leg.held, &head, self.to.worker)
            {
                return Err(Failed::Judged(Ending::EndpointFailed));
            }
            if let Some(relayed) = self.pass(head, client_input).await? {
                return Ok(relayed);
            }
        }
    }

    /// Passes a head on, and all that follows a final one. `None` after an interim one: there is more to come.
    pub(crate) async fn pass(
        &mut self,
        mut head: Head,
        client_input: &mut Input,
    ) -> Result<Option<Relayed>, Failed> {
        if head.kind == Kind::Interim {
            Box::pin(self.pass_interim(&mut head)).await?;
            return Ok(None);
        }
        let began = Instant::now();
        let response = match self.to.sent.get() {
            Sent::Wholly(at) | Sent::Broken(at) => began.duration_since(at),
            Sent::Nothing | Sent::Partly => Duration::ZERO,
        };
        self.to.began.set(head.status);
        self.to.moved.status.set(head.status);
        let mut relayed = if head.kind == Kind::Upgrade {
            Box::pin(self.upgraded(&mut head, client_input)).await
        } else {
            self.body(&mut head, began).await
        };
        relayed.response = Some(response);
        Ok(Some(relayed))
    }

    /// Interim responses are passed on to clients that understand them (RFC 9110, 15.2).
    async fn pass_interim(&mut self, head: &mut Head) -> Result<(), Failed> {
        self.leg.count_interim()?;
        let wanted = self.to.request.http11 && (head.status != 100 || self.to.request.expects_continue);
        if wanted {
            let sent = self.send_head(head).await;
            sent.map_err(|_| Failed::ClientGone)?;
        }
        self.leg.input.consume(head.length);
        Ok(())
    }

    /// Passes the final response on: the head together with what there is of the body, then the rest.
    async fn body(&mut self, head: &mut Head, began: Instant) -> Relayed {
        let mut body = Incoming::from(&self.leg.connection().side, head.framing);
        let mut ended = began;
        let (mut unsent, mut passed) = match std::mem::replace(&mut head.written, Written::Same) {
            Written::Same => (Vec::new(), head.length),
            Written::Anew(written) => (written, 0),
            Written::Http2(written) => (self.announce(*written, head), 0),
        };
        if passed == 0 {
            self.leg.input.consume(head.length);
        }
        loop {
            body.look_ahead(&self.leg.connection().side);
            let piece = match self.piece(&mut body, passed) {
                Ok(piece) => piece,
                Err(()) => {
                    return Relayed {
                        reason: "the chunks of the response are malformed",
                        ..Relayed::cut(head.status, Ending::BadResponse)
                    };
                }
            };
            if body.done {
                self.conclude(head, &body);
            }
            if let Err(ending) = self.send(head, &body, &piece, &unsent).await {
                return Relayed::cut(head.status, ending);
            }
            unsent.clear();
            (passed, self.head_waits) = (0, false);
            self.leg.input.consume(piece.taken);
            if body.done {
                break;
            }
            self.to.know_both(&self.leg.connection().side);
            match self.more().await {
                Ok(true) => {}
                Ok(false) if body.end(&self.leg.connection().side) => {}
                Ok(false) => return self.broke_off(head, Ending::ResponseCut),
                Err(ending) => return self.broke_off(head, ending),
            }
            ended = Instant::now();
        }
        self.whole(head, ended)
    }

    /// All of the response is there: a call tells how it went.
    fn conclude(&mut self, head: &mut Head, body: &Incoming) {
        let Some(call) = self.to.request.call else { return };
        if head.verdict == Verdict::Open {
            let status = *head.grpc_status.insert(body.grpc_status());
            self.leg.held.concluded(call.is_failure(status));
        }
    }

    /// A call whose endpoint left in the middle has failed, however well it began.
    fn broke_off(&mut self, head: &Head, ending: Ending) -> Relayed {
        if ending == Ending::ResponseCut {
            self.leg.held.concluded(true);
        }
        Relayed::cut(head.status, ending)
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
        let ends = body.done && head.coding != Outgoing::Plain;
        if first.is_empty() && payload.is_empty() && !ends && !self.head_waits {
            return Ok(());
        }
        let piece = Piece { head: first, payload, body, coding: head.coding };
        match piece.send(self.to.client, self.deadline, self.to.send()).await {
            Ok(bytes) => {
                self.to.moved.send(bytes);
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
        let mut watch = to.request.watch();
        let mut waiting = false;
        let (EndpointConnection { side, deadline }, input) = self.leg.receiving();
        poll_fn(|cx| {
            match side.poll_fill_for(to.client, input, cx) {
                Poll::Ready(Ok(count)) => return Poll::Ready(Ok(count > 0)),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Ending::ResponseCut)),
                Poll::Pending => {}
            }
            if !waiting {
                waiting = true;
                deadline.start(to.idle());
            }
            if to.client.poll_gone(cx, &mut watch).is_ready() {
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
        let grpc_status = head.grpc_status;
        Relayed { grpc_status, reusable, after, ..Relayed::ended(head.status, Ending::Ok, ended) }
    }

    /// Sends a head that no body follows.
    async fn send_head(&mut self, head: &mut Head) -> Result<(), WriteStop> {
        let bytes = match std::mem::replace(&mut head.written, Written::Same) {
            Written::Same => self.leg.input.bytes()[..head.length].to_vec(),
            Written::Anew(written) => written,
            Written::Http2(interim) if head.kind == Kind::Interim => {
                return self.to.client.http2().map_or(Ok(()), |stream| stream.inform(*interim));
            }
            Written::Http2(written) => self.announce(*written, head),
        };
        self.to.moved.send(bytes.len() as u64);
        self.to.client.write_all(&mut [IoSlice::new(&bytes)], self.deadline, self.to.send()).await
    }

    /// Has the client's stream send a head with what is sent next; there are no bytes to be sent here.
    fn announce(&mut self, written: Response<()>, head: &Head) -> Vec<u8> {
        if let Some(stream) = self.to.client.http2() {
            stream.announce(written);
            self.to.moved.send(head.length as u64);
            self.head_waits = true;
        }
        Vec::new()
    }

    /// Connects a client that asked for a tunnel to an endpoint that was told nothing of it.
    pub(crate) async fn connected(&mut self, client_input: &mut Input) -> Relayed {
        self.leg.held.answered(Verdict::Worked, Instant::now());
        self.to.began.set(200);
        self.to.moved.status.set(200);
        let written = match self.to.client.http2() {
            Some(_) => Written::Http2(Box::default()),
            None => Written::Anew(b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec()),
        };
        let mut head = Head {
            grpc_status: None,
            verdict: Verdict::Worked,
            status: 200,
            framing: Framing::None,
            written,
            length: 0,
            kind: Kind::Upgrade,
            persistent: false,
            close: false,
            coding: Outgoing::Plain,
        };
        self.upgraded(&mut head, client_input).await
    }

    async fn upgraded(&mut self, head: &mut Head, client_input: &mut Input) -> Relayed {
        if self.send_head(head).await.is_err() {
            return Relayed::cut(head.status, Ending::ClientAborted);
        }
        self.leg.input.consume(head.length);
        self.to.know_both(&self.leg.connection().side);
        let (connection, input) = self.leg.receiving();
        let open = Open::begin(&self.to.counters.tunnels, &self.to.worker.tunnels);
        let (client, endpoint) = ((self.to.client, client_input), (&*connection.side, input));
        let closed = tunnel(client, endpoint, self.to.tunnel_limit(), self.to.moved, &open).await;
        let (ending, reason) = match closed {
            Closed::Ended => (Ending::Tunnelled, ""),
            Closed::Silent => (Ending::Tunnelled, "nothing moved for as long as timeouts.tunnel"),
            Closed::Cut => (Ending::CutByStop, ""),
        };
        Relayed { reason, ..Relayed::cut(head.status, ending) }
    }
}

/// What of the input goes out next.
struct Taken {
    passed: usize,
    payload: usize,
    taken: usize,
}
