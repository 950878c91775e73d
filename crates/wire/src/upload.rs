//! The request's body on its way to the endpoint, as it arrives.

use crate::account::Ending;
use crate::answer::Answer;
use crate::body::{Incoming, Outgoing, Piece, PieceStop};
use crate::buffers::{Input, Size};
use crate::deadline::Deadline;
use crate::forward::{Failed, Forward, Relayed, endpoint_failed};
use crate::side::Side;
use crate::socket::WriteStop;
use bascule_decide::http1::Framing;
use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

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

/// Sends the head and then the body as it arrives, in the framing in which it came.
pub(crate) async fn upload(
    to: &Forward<'_>,
    endpoint: &Side,
    head: &[u8],
    input: &mut Input,
    received: &Cell<u64>,
) -> Result<(), UploadStop> {
    let mut deadline = Deadline::default();
    let mut body = Incoming::from(to.client, to.request.framing);
    let coding = if to.request.framing == Framing::Chunked { Outgoing::Chunked } else { Outgoing::Plain };
    let limit = to.listener().limits.body_bytes.unwrap_or(u64::MAX);
    let mut head = head;
    if to.client.http2().is_some() {
        // What has come with the head leaves with it.
        match poll_fn(|cx| Poll::Ready(to.client.poll_fill(input, Size::Relay, cx))).await {
            Poll::Ready(Ok(0)) => drop(body.end(to.client)),
            Poll::Ready(Err(_)) => return Err(UploadStop::ClientGone),
            Poll::Ready(Ok(_)) | Poll::Pending => {}
        }
    }
    loop {
        body.look_ahead(to.client);
        let (payload, taken) = body
            .take(input)
            .map_err(|problem| UploadStop::Client(Answer::BodyMalformed(problem.reason())))?;
        received.set(received.get() + payload as u64);
        if received.get() > limit {
            return Err(UploadStop::Client(Answer::BodyTooLarge));
        }
        let piece = Piece { head, payload: &input.bytes()[..payload], body: &body, coding };
        piece.send(endpoint, &mut deadline, to.idle()).await.map_err(|stop| match stop {
            PieceStop::Write(WriteStop::TimedOut) => UploadStop::EndpointNotReading,
            PieceStop::Write(WriteStop::Failed) => UploadStop::Endpoint,
            PieceStop::Trailers(problem) => UploadStop::Client(Answer::BodyMalformed(problem.reason())),
        })?;
        head = b"";
        input.consume(taken);
        if body.done {
            return Ok(());
        }
        to.know_both(endpoint);
        deadline.start(Duration::from_millis(to.listener().timeouts.body_ms));
        let read = poll_fn(|cx| match to.client.poll_fill(input, Size::Relay, cx) {
            Poll::Ready(read) => Poll::Ready(Some(read)),
            Poll::Pending => deadline.poll(cx).map(|()| None),
        });
        match read.await {
            Some(Ok(1..)) => {}
            Some(Ok(0)) if body.end(to.client) => {}
            Some(_) => return Err(UploadStop::ClientGone),
            None => return Err(UploadStop::Client(Answer::ClientTooSlow)),
        }
    }
}
