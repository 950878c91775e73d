//! One stream of an HTTP/2 connection as one side of an exchange: payload in, payload out, and heads as HTTP/1 has them.

use crate::account::Ending;
use crate::buffers::{Input, Size};
use crate::deadline::Deadline;
use crate::http2::message::{self, trailer_lines};
use crate::socket::WriteStop;
use bascule_decide::edits::Edits;
use bascule_decide::http1::field_room;
use bascule_decide::http1::response::parse;
use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A stream that a client opened.
#[derive(Debug)]
pub(crate) struct Stream(RefCell<State>);

#[derive(Debug)]
struct State {
    respond: SendResponse<Bytes>,
    /// A head that goes out with the next payload, or the end.
    head: Option<Response<()>>,
    sending: Option<SendStream<Bytes>>,
    /// We have said all that there is to say.
    ended: bool,
    receiving: RecvStream,
    /// What did not fit where it was to go.
    rest: Bytes,
    /// Taken in, but the peer may not send as much again yet.
    held: usize,
    trailers: Vec<u8>,
}

impl Stream {
    pub(crate) fn of_client(receiving: RecvStream, respond: SendResponse<Bytes>) -> Self {
        Self(RefCell::new(State {
            respond,
            head: None,
            sending: None,
            ended: false,
            receiving,
            rest: Bytes::new(),
            held: 0,
            trailers: Vec::new(),
        }))
    }

    /// Takes payload in, as much as came and fits. What was taken before counts as used: the peer may send as much again.
    pub(crate) fn poll_fill(
        &self,
        input: &mut Input,
        size: Size,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let state = &mut *self.0.borrow_mut();
        let held = std::mem::take(&mut state.held);
        // Fails only on a stream that is gone, which the next read tells.
        let _ = state.receiving.flow_control().release_capacity(held);
        let mut taken = 0;
        loop {
            let count = input.append(size, &state.rest);
            state.rest.advance(count);
            taken += count;
            if !state.rest.is_empty() {
                break;
            }
            match state.receiving.poll_data(cx) {
                Poll::Ready(Some(Ok(more))) => state.rest = more,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io::Error::other(error))),
                Poll::Pending if taken == 0 => return Poll::Pending,
                Poll::Ready(None) if taken == 0 => return state.poll_end(cx),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        state.held = taken;
        Poll::Ready(Ok(taken))
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
        self.0.borrow_mut().respond.send_informational(head).map_err(|_| WriteStop::Failed)
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
        let Some(head) = state.head.take() else { return Ok(()) };
        let sending = state.respond.send_response(head, ends).map_err(|_| WriteStop::Failed)?;
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
        let count = sending.capacity().min(left.len());
        let last = ends && count == left.len();
        let sent = sending.send_data(Bytes::copy_from_slice(&left[..count]), last);
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
        let reset = match &mut state.sending {
            None => state.respond.poll_reset(cx),
            Some(sending) => sending.poll_reset(cx),
        };
        reset.map(drop)
    }

    /// The exchange is over. A response that is not whole is broken off, so that nobody takes it for one.
    pub(crate) fn close(&self, ending: Ending) {
        let state = &mut *self.0.borrow_mut();
        if state.ended {
            return;
        }
        state.ended = true;
        let reason = reason_of(ending);
        match &mut state.sending {
            None => state.respond.send_reset(reason),
            Some(sending) => sending.send_reset(reason),
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
            sending.send_data(Bytes::new(), true)
        } else {
            sending.send_trailers(trailers)
        };
        sent.map_err(|_| WriteStop::Failed)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match ready!(self.receiving.poll_trailers(cx)) {
            Ok(trailers) => {
                self.trailers = trailers.map(|fields| trailer_lines(&fields)).unwrap_or_default();
                Poll::Ready(Ok(0))
            }
            Err(error) => Poll::Ready(Err(io::Error::other(error))),
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
