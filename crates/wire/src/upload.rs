//! The request's body on its way to the endpoint, as it arrives; its beginning can be sent again.

use crate::account::Ending;
use crate::answer::Answer;
use crate::body::{Incoming, Outgoing, Piece, PieceStop};
use crate::buffers::{Input, Size};
use crate::deadline::Deadline;
use crate::forward::{Failed, Forward, Relayed, endpoint_failed};
use crate::side::Side;
use crate::socket::WriteStop;
use bascule_decide::http1::Framing;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// As much of a body's beginning is kept for an endpoint that may say that it did nothing with it.
const KEPT: usize = 64 * 1024;

/// The body of one request, over all its tries.
pub(crate) struct Body {
    incoming: Incoming,
    so_far: Rc<SoFar>,
}

/// What was taken of a body so far. Shared, to be asked while the upload goes on.
pub(crate) struct SoFar {
    /// All payload that was sent; `None` when it was too much, or nobody will want it again.
    kept: RefCell<Option<Vec<u8>>>,
    /// It is on its way, or was on a try before.
    begun: Cell<bool>,
}

impl Body {
    pub(crate) fn new(client: &Side, framing: Framing) -> Self {
        let kept = RefCell::new(Some(Vec::new()));
        let so_far = Rc::new(SoFar { kept, begun: Cell::new(false) });
        Self { incoming: Incoming::from(client, framing), so_far }
    }

    pub(crate) fn so_far(&self) -> Rc<SoFar> {
        Rc::clone(&self.so_far)
    }

    /// Whether all that was sent of it can be sent again.
    pub(crate) fn is_at_hand(&self) -> bool {
        self.so_far.is_at_hand()
    }
}

impl SoFar {
    /// Whether all that was sent can be sent again.
    pub(crate) fn is_at_hand(&self) -> bool {
        !self.begun.get() || self.kept.borrow().is_some()
    }

    /// It will not be sent again.
    pub(crate) fn forget(&self) {
        self.kept.take();
    }

    /// Keeps this, unless something before it was not kept or it is too much. Whether it was.
    fn keep(&self, payload: &[u8]) -> bool {
        let mut kept = self.kept.borrow_mut();
        let fits = kept.as_mut().filter(|kept| kept.len() + payload.len() <= KEPT);
        match fits {
            Some(kept) => kept.extend_from_slice(payload),
            None => *kept = None,
        }
        kept.is_some()
    }
}

/// Why an upload ended early.
#[derive(Debug)]
pub(crate) enum UploadStop {
    /// The endpoint's connection broke: there may still be a response to read.
    Endpoint,
    EndpointNotReading,
    Client(Answer),
    ClientGone,
}

pub(crate) fn upload_failed(stop: UploadStop, began: u16) -> Result<Relayed, Failed> {
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

/// Sends the head and then the body as it arrives, in the framing in which it came. After a try that came to nothing
/// what was kept goes first.
pub(crate) async fn upload(
    to: &Forward<'_>,
    endpoint: &Side,
    head: &[u8],
    input: &mut Input,
    body: &mut Body,
) -> Result<(), UploadStop> {
    let mut deadline = Deadline::default();
    let Body { incoming, so_far } = body;
    let limit = to.listener().limits.body_bytes.unwrap_or(u64::MAX);
    let mut head = head;
    if so_far.begun.replace(true) {
        let again = so_far.kept.borrow().clone().unwrap_or_default();
        send(to, endpoint, (head, &again), incoming, &mut deadline).await?;
        if incoming.done {
            return Ok(());
        }
        head = b"";
    } else if to.client.http2().is_some() {
        // What has come with the head leaves with it.
        match poll_fn(|cx| Poll::Ready(to.client.poll_fill(input, Size::Relay, cx))).await {
            Poll::Ready(Ok(0)) => drop(incoming.end(to.client)),
            Poll::Ready(Err(_)) => return Err(UploadStop::ClientGone),
            Poll::Ready(Ok(_)) | Poll::Pending => {}
        }
    }
    if endpoint.http2().is_none() {
        // Only over HTTP/2 an endpoint can say that it did nothing.
        so_far.forget();
    }
    loop {
        incoming.look_ahead(to.client);
        let (payload, taken) = incoming
            .take(input)
            .map_err(|problem| UploadStop::Client(Answer::BodyMalformed(problem.reason())))?;
        to.moved.receive(payload as u64);
        if to.moved.received.get() > limit {
            return Err(UploadStop::Client(Answer::BodyTooLarge));
        }
        if to.began.get() != 0 {
            so_far.forget();
        }
        let payload = &input.bytes()[..payload];
        if so_far.keep(payload) {
            // What is kept leaves the input at once: this may end in the middle of sending it.
            let payload = payload.to_vec();
            input.consume(taken);
            send(to, endpoint, (head, &payload), incoming, &mut deadline).await?;
        } else {
            send(to, endpoint, (head, payload), incoming, &mut deadline).await?;
            input.consume(taken);
        }
        head = b"";
        if incoming.done {
            return Ok(());
        }
        more(to, endpoint, input, incoming, &mut deadline).await?;
    }
}

async fn send(
    to: &Forward<'_>,
    endpoint: &Side,
    (head, payload): (&[u8], &[u8]),
    body: &Incoming,
    deadline: &mut Deadline,
) -> Result<(), UploadStop> {
    let coding = if to.request.framing == Framing::Chunked { Outgoing::Chunked } else { Outgoing::Plain };
    let piece = Piece { head, payload, body, coding };
    match piece.send(endpoint, deadline, to.idle()).await {
        Ok(_) => Ok(()),
        Err(PieceStop::Write(WriteStop::TimedOut)) => Err(UploadStop::EndpointNotReading),
        Err(PieceStop::Write(WriteStop::Failed)) => Err(UploadStop::Endpoint),
        Err(PieceStop::Trailers(problem)) => Err(UploadStop::Client(Answer::BodyMalformed(problem.reason()))),
    }
}

/// Reads more of the body, or finds its end.
async fn more(
    to: &Forward<'_>,
    endpoint: &Side,
    input: &mut Input,
    body: &mut Incoming,
    deadline: &mut Deadline,
) -> Result<(), UploadStop> {
    to.know_both(endpoint);
    deadline.start(Duration::from_millis(to.listener().timeouts.body_ms));
    let read = poll_fn(|cx| match to.client.poll_fill(input, Size::Relay, cx) {
        Poll::Ready(read) => Poll::Ready(Some(read)),
        Poll::Pending => deadline.poll(cx).map(|()| None),
    });
    match read.await {
        Some(Ok(1..)) => Ok(()),
        Some(Ok(0)) if body.end(to.client) => Ok(()),
        Some(_) => Err(UploadStop::ClientGone),
        None => Err(UploadStop::Client(Answer::ClientTooSlow)),
    }
}
