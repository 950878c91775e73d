//! One stream of an HTTP/2 connection as one side of an exchange: payload in, payload out, and heads as HTTP/1 has them.

use crate::account::Ending;
use crate::buffers::{Input, Size};
use crate::deadline::Deadline;
use crate::endpoint::link::Lease;
use crate::http2::ahead::{Payload, Share};
use crate::http2::message::{self, trailer_lines};
use crate::socket::WriteStop;
use bascule_decide::edits::Edits;
use bascule_decide::http1::field_room;
use bascule_decide::http1::response::parse;
use bytes::{Buf, Bytes};
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Response};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A stream that a client opened, or that we open to an endpoint.
#[derive(Debug)]
pub(crate) struct Stream(RefCell<State>);

#[derive(Debug)]
struct State {
    peer: Peer,
    /// A head that goes out with the next payload, or the end.
    head: Option<Response<()>>,
    sending: Option<SendStream<Payload>>,
    /// We have said all that there is to say.
    ended: bool,
    receiving: Receiving,
    /// What did not fit where it was to go.
    rest: Bytes,
    /// Taken in, but the peer may not send as much again yet.
    held: usize,
    trailers: Vec<u8>,
    /// The endpoint has done nothing with the request.
    refused: bool,
    /// A WebSocket was asked for, and this is what its client will want to hear.
    accept: Option<String>,
    /// A tunnel was asked for.
    tunnels: bool,
}

#[derive(Debug)]
enum Peer {
    Client(SendResponse<Payload>, Share),
    Endpoint(Rc<Lease>),
}

#[derive(Debug)]
enum Receiving {
    /// Nothing was asked yet, or could be.
    Nothing,
    Head(ResponseFuture),
    Body(RecvStream),
}

impl Stream {
    pub(crate) fn of_client(receiving: RecvStream, respond: SendResponse<Payload>, share: Share) -> Self {
        Self::new(Peer::Client(respond, share), Receiving::Body(receiving))
    }

    /// A stream that is not open yet.
    pub(crate) fn to_endpoint(lease: Lease) -> Self {
        Self::new(Peer::Endpoint(Rc::new(lease)), Receiving::Nothing)
    }

    fn new(peer: Peer, receiving: Receiving) -> Self {
        Self(RefCell::new(State {
            peer,
            head: None,
            sending: None,
            ended: false,
            receiving,
            rest: Bytes::new(),
            held: 0,
            trailers: Vec::new(),
            refused: false,
            accept: None,
            tunnels: false,
        }))
    }

    /// Sends the head of a request, written as HTTP/1 has it.
    pub(crate) fn ask(&self, head: &[u8], ends: bool) -> Result<(), WriteStop> {
        let state = &mut *self.0.borrow_mut();
        let Peer::Endpoint(lease) = &state.peer else { return Err(WriteStop::Failed) };
        let Some((request, accept)) = message::request(head, lease.scheme()) else {
            return Err(WriteStop::Failed);
        };
        // A tunnel has the request's direction for itself.
        state.tunnels = request.method() == Method::CONNECT;
        let ends = ends && !state.tunnels;
        state.accept = accept;
        match lease.sender().map(|mut sender| sender.send_request(request, ends)) {
            Some(Ok((response, sending))) => {
                (state.sending, state.ended) = (Some(sending), ends);
                state.receiving = Receiving::Head(response);
                Ok(())
            }
            // It has said goodbye since we took our place.
            Some(Err(_)) | None => {
                lease.retire();
                state.refused = true;
                Err(WriteStop::Failed)
            }
        }
    }

    /// Whether the endpoint can be asked for a WebSocket on a stream (RFC 8441, 3).
    pub(crate) async fn offers_tunnels(&self) -> bool {
        let lease = match &self.0.borrow().peer {
            Peer::Endpoint(lease) => Rc::clone(lease),
            Peer::Client(..) => return false,
        };
        lease.offers_tunnels().await
    }

    /// Whether the endpoint has let us know that it did nothing with the request (RFC 9113, 8.7).
    pub(crate) fn was_refused(&self) -> bool {
        self.0.borrow().refused
    }

    /// How much may be read for this stream at once. A large step is the stream's until [`Stream::has_nothing`].
    pub(crate) fn step(&self) -> Size {
        match &self.0.borrow().peer {
            Peer::Client(_, share) if !share.borrow_step() => Size::Head,
            _ => Size::Relay,
        }
    }

    /// Nothing that was read for this stream is left.
    pub(crate) fn has_nothing(&self) {
        if let Peer::Client(_, share) = &self.0.borrow().peer {
            share.give_back();
        }
    }

    /// Whether nothing more comes, neither payload nor trailers.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.0.borrow();
        state.rest.is_empty() && matches!(&state.receiving, Receiving::Body(body) if body.is_end_stream())
    }

    /// Takes payload in, as much as came and `size` has room for. What was taken before counts as used: the peer may send as much again.
    pub(crate) fn poll_fill(
        &self,
        input: &mut Input,
        size: Size,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let state = &mut *self.0.borrow_mut();
        let held = std::mem::take(&mut state.held);
        let head = match &state.receiving {
            Receiving::Body(_) => 0,
            _ => ready!(state.poll_head(input, size, cx))?,
        };
        let Receiving::Body(receiving) = &mut state.receiving else { return Poll::Ready(Ok(head)) };
        // A client that may not send more ahead fills no larger buffer, and it may be one of many.
        let size = if let Peer::Client(..) = state.peer { size.min(Size::Stream) } else { size };
        // Fails only on a stream that is gone, which the next read tells.
        let _ = receiving.flow_control().release_capacity(held);
        let mut taken = 0;
        loop {
            // Nothing at all would be the end.
            let room = size.bytes().saturating_sub(input.len()).max(1).min(state.rest.len());
            let count = input.append(size, &state.rest[..room]);
            state.rest.advance(count);
            taken += count;
            if !state.rest.is_empty() {
                break;
            }
            match receiving.poll_data(cx) {
                Poll::Ready(Some(Ok(more))) => state.rest = more,
                _ if head + taken > 0 => break,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(state.failed(error))),
                Poll::Ready(None) => return state.poll_end(cx),
                Poll::Pending => return Poll::Pending,
            }
        }
        state.held = taken;
        Poll::Ready(Ok(head + taken))
    }

    /// The trailers that came behind the payload, as lines; complete once a fill found the end.
    pub(crate) fn take_trailers(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().trailers)
    }

    /// This head goes out with what is sent next.
    pub(crate) fn announce(&self, head: Response<()>) {
        self.0.borrow_mut().head = Some(head);
    }

    /// An interim head goes out.
    pub(crate) fn inform(&self, head: Response<()>) -> Result<(), WriteStop> {
        match &mut self.0.borrow_mut().peer {
            Peer::Client(respond, _) => respond.send_informational(head).map_err(|_| WriteStop::Failed),
            Peer::Endpoint(_) => Err(WriteStop::Failed),
        }
    }

    /// Sends a response of ours, written as HTTP/1 has it.
    pub(crate) async fn answer(
        &self,
        response: &[u8],
        deadline: &mut Deadline,
        pause: Duration,
    ) -> Result<(), WriteStop> {
        let body = {
            let mut room = field_room();
            let head = parse(response, false, &mut room).ok().flatten().ok_or(WriteStop::Failed)?;
            let bytes = &response[..head.length];
            self.announce(message::response(head.status, bytes, head.kept(&Edits::default())));
            &response[head.length..]
        };
        self.send(body, Some(HeaderMap::new()), deadline, pause).await
    }

    /// Sends the head that waits, then `payload`, as the peer takes it; then, if this is the end, trailers.
    pub(crate) async fn send(
        &self,
        payload: &[u8],
        end: Option<HeaderMap>,
        deadline: &mut Deadline,
        pause: Duration,
    ) -> Result<(), WriteStop> {
        let trailers = end.as_ref().is_some_and(|trailers| !trailers.is_empty());
        let ends = end.is_some() && !trailers;
        self.begin(ends && payload.is_empty())?;
        let mut left = payload;
        let mut waiting = false;
        poll_fn(|cx| {
            while !left.is_empty() {
                match self.poll_send(cx, left, ends) {
                    Poll::Ready(Ok(sent)) => {
                        left = &left[sent..];
                        waiting = false;
                    }
                    Poll::Ready(Err(stop)) => return Poll::Ready(Err(stop)),
                    Poll::Pending => {
                        if !waiting {
                            deadline.start(pause);
                            waiting = true;
                        }
                        return deadline.poll(cx).map(|()| Err(WriteStop::TimedOut));
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        end.map_or(Ok(()), |trailers| self.0.borrow_mut().end(trailers))
    }

    fn begin(&self, ends: bool) -> Result<(), WriteStop> {
        let state = &mut *self.0.borrow_mut();
        let (Some(head), Peer::Client(respond, _)) = (state.head.take(), &mut state.peer) else {
            return Ok(());
        };
        let sending = respond.send_response(head, ends).map_err(|_| WriteStop::Failed)?;
        state.sending = Some(sending);
        state.ended = ends;
        Ok(())
    }

    fn poll_send(&self, cx: &mut Context<'_>, left: &[u8], ends: bool) -> Poll<Result<usize, WriteStop>> {
        let state = &mut *self.0.borrow_mut();
        let Some(sending) = &mut state.sending else { return Poll::Ready(Err(WriteStop::Failed)) };
        if sending.capacity() == 0 {
            sending.reserve_capacity(left.len());
        }
        while sending.capacity() == 0 {
            match ready!(sending.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(WriteStop::Failed)),
            }
        }
        let mut count = sending.capacity().min(left.len());
        let payload = match &state.peer {
            Peer::Client(_, share) => {
                count = count.min(share.room());
                if count == 0 {
                    share.wake_when_room(cx);
                    let gone = ready!(sending.poll_reset(cx));
                    drop(gone);
                    return Poll::Ready(Err(WriteStop::Failed));
                }
                share.payload(&left[..count])
            }
            Peer::Endpoint(_) => Payload::free(&left[..count]),
        };
        let last = ends && count == left.len();
        let sent = sending.send_data(payload, last);
        state.ended |= last;
        Poll::Ready(sent.map(|()| count).map_err(|_| WriteStop::Failed))
    }

    /// No more payload comes.
    pub(crate) fn finish_writing(&self) {
        let _ = self.0.borrow_mut().end(HeaderMap::new());
    }

    /// Ready once the peer has given the stream up, or the connection is gone.
    pub(crate) fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        let state = &mut *self.0.borrow_mut();
        match (&mut state.sending, &mut state.peer) {
            (Some(sending), _) => sending.poll_reset(cx).map(drop),
            (None, Peer::Client(respond, _)) => respond.poll_reset(cx).map(drop),
            (None, Peer::Endpoint(_)) => Poll::Pending,
        }
    }

    /// The exchange is over. A response that is not whole is broken off, so that nobody takes it for one.
    pub(crate) fn close(&self, ending: Ending) {
        let state = &mut *self.0.borrow_mut();
        if state.ended {
            return;
        }
        state.ended = true;
        let reason = reason_of(ending);
        match (&mut state.sending, &mut state.peer) {
            (Some(sending), _) => sending.send_reset(reason),
            (None, Peer::Client(respond, _)) => respond.send_reset(reason),
            (None, Peer::Endpoint(_)) => {}
        }
    }
}

impl State {
    fn end(&mut self, trailers: HeaderMap) -> Result<(), WriteStop> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        let Some(sending) = &mut self.sending else { return Err(WriteStop::Failed) };
        let sent = if trailers.is_empty() {
            sending.send_data(Payload::none(), true)
        } else {
            sending.send_trailers(trailers)
        };
        sent.map_err(|_| WriteStop::Failed)
    }

    /// Takes the head of the endpoint's response in, an interim one or the final one.
    fn poll_head(&mut self, input: &mut Input, size: Size, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Receiving::Head(waiting) = &mut self.receiving else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let interim = match waiting.poll_informational(cx) {
            Poll::Ready(Some(Ok(interim))) => Some(interim),
            _ => None,
        };
        let (status, headers) = match interim {
            Some(interim) => (interim.status(), interim.into_parts().0.headers),
            None => match ready!(Pin::new(waiting).poll(cx)) {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    self.receiving = Receiving::Body(body);
                    (head.status, head.headers)
                }
                Err(error) => return Poll::Ready(Err(self.failed(error))),
            },
        };
        if self.tunnels && !status.is_informational() && !status.is_success() {
            // There is no tunnel, and so nothing more to be said.
            let _ = self.end(HeaderMap::new());
        }
        let head = match &self.accept {
            Some(accept) if status.is_success() => message::switching_head(accept, &headers),
            _ => message::response_head(status, &headers),
        };
        match head.map(|head| (input.append(size, &head), head.len())) {
            Some((count, length)) if count == length => Poll::Ready(Ok(count)),
            _ => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        }
    }

    fn failed(&mut self, error: h2::Error) -> io::Error {
        let unread = error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM);
        self.refused |= unread && error.is_remote();
        if let (true, Peer::Endpoint(lease)) = (error.is_go_away(), &self.peer) {
            lease.retire();
        }
        io::Error::other(error)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Receiving::Body(receiving) = &mut self.receiving else { return Poll::Ready(Ok(0)) };
        match ready!(receiving.poll_trailers(cx)) {
            Ok(trailers) => {
                self.trailers = trailers.map(|fields| trailer_lines(&fields)).unwrap_or_default();
                Poll::Ready(Ok(0))
            }
            Err(error) => Poll::Ready(Err(self.failed(error))),
        }
    }
}

/// What the client is told about a response that breaks off (RFC 9113, 7).
fn reason_of(ending: Ending) -> Reason {
    match ending {
        Ending::ClientAborted
        | Ending::ClientNotReading
        | Ending::Tunnelled
        | Ending::TotalTimedOut
        | Ending::CutByStop => Reason::CANCEL,
        Ending::BadRequest => Reason::PROTOCOL_ERROR,
        _ => Reason::INTERNAL_ERROR,
    }
}
