//! Both directions of a flow, byte for byte: a state machine that holds no buffer while nothing waits.
//!
//! What is read goes through one buffer that all flows of a thread share, and out again at once. Only what the receiver
//! does not take is copied and kept; nothing more is read from that sender until it has been taken.

use crate::socket::Socket;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

/// What all flows of a thread read into.
pub(crate) const HOT_BYTES: usize = 256 * 1024;
/// A receiver that does not take all is read for in smaller steps, so that less is copied; not smaller than this.
const SMALLEST: u32 = 32 * 1024;
/// Reads in a row for one direction: then others have their turn.
const ROUNDS: u32 = 4;

/// Two connections that are one.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) client: Socket,
    pub(crate) endpoint: Socket,
    up: Way,
    down: Way,
}

/// One of the two peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Client,
    Endpoint,
}

/// How a relay has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both have said all that they had to say, and know it of each other.
    Whole,
    /// The connection of this one broke; the other one is to be reset.
    Broken(Peer),
}

impl Relay {
    /// `early` was read from the client already.
    pub(crate) fn new(client: Socket, endpoint: Socket, early: Early) -> Self {
        // Neither has more to read now, most likely: trying would be one system call more. One that is not taken is gone,
        // which the first read says.
        let _ = client.register().and_then(|()| endpoint.register());
        let up = Way { carried: early.sent, rest: early.rest, may_wait: true, ..Way::default() };
        Self { client, endpoint, up, down: Way::default() }
    }

    /// Bytes that the receivers have taken: the endpoint, and the client.
    pub(crate) fn carried(&self) -> (u64, u64) {
        (self.up.carried, self.down.carried)
    }

    /// Moves what can be moved. Ready when there is no more to come. `hot` is for the time of this call.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, hot: &mut [u8]) -> Poll<End> {
        let Self { client, endpoint, up, down } = self;
        up.other = down.stage;
        if up.poll(cx, client, endpoint, hot).is_err() {
            return Poll::Ready(End::Broken(Peer::Client));
        }
        down.other = up.stage;
        if down.poll(cx, endpoint, client, hot).is_err() {
            return Poll::Ready(End::Broken(Peer::Endpoint));
        }
        match (self.up.stage, self.down.stage) {
            (Stage::Told, Stage::Told) => Poll::Ready(End::Whole),
            (Stage::Told | Stage::Lost, Stage::Lost) => Poll::Ready(End::Broken(Peer::Client)),
            (Stage::Lost, Stage::Told) => Poll::Ready(End::Broken(Peer::Endpoint)),
            _ => Poll::Pending,
        }
    }
}

/// What was read from a client before there was an endpoint, and how much of it the endpoint has.
#[derive(Debug, Default)]
pub(crate) struct Early {
    pub(crate) rest: Rest,
    pub(crate) sent: u64,
}

/// Bytes that were read and that their receiver has not taken. Holds memory only while there are some.
#[derive(Debug, Default)]
pub(crate) struct Rest(Option<Box<Kept>>);

#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    start: usize,
}

impl Rest {
    /// Keeps these; there are none.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        self.0 = (!bytes.is_empty()).then(|| Box::new(Kept { bytes: bytes.to_vec(), start: 0 }));
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |kept| &kept.bytes[kept.start..])
    }

    /// The first so many are taken.
    pub(crate) fn consume(&mut self, count: usize) {
        if let Some(kept) = &mut self.0 {
            kept.start += count;
            if kept.start == kept.bytes.len() {
                self.0 = None;
            }
        }
    }
}

/// One direction.
#[derive(Debug)]
struct Way {
    rest: Rest,
    carried: u64,
    /// Bytes to read at a time.
    step: u32,
    stage: Stage,
    /// How the other direction stands.
    other: Stage,
    /// The receiver's socket still lets a small message wait for the acknowledgement of the one before.
    may_wait: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The sender has said all.
    Ended,
    /// The receiver knows.
    Told,
    /// The receiver is gone. What it said before may still be under way to the sender.
    Lost,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            rest: Rest::default(),
            carried: 0,
            step: HOT_BYTES as u32,
            stage: Stage::Open,
            other: Stage::Open,
            may_wait: false,
        }
    }
}

impl Way {
    /// Moves what can be moved.
    ///
    /// # Errors
    /// The sender's connection is broken.
    fn poll(&mut self, cx: &mut Context<'_>, from: &Socket, to: &Socket, hot: &mut [u8]) -> io::Result<()> {
        for _ in 0..ROUNDS {
            let Poll::Ready(went_on) = self.step(cx, from, to, hot)? else { return Ok(()) };
            if !went_on {
                return Ok(());
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// One read and what belongs to it. Ready with false when there is nothing left to do.
    fn step(
        &mut self,
        cx: &mut Context<'_>,
        from: &Socket,
        to: &Socket,
        hot: &mut [u8],
    ) -> Poll<io::Result<bool>> {
        match self.stage {
            Stage::Told | Stage::Lost => return Poll::Ready(Ok(false)),
            Stage::Ended | Stage::Open => {}
        }
        while !self.rest.bytes().is_empty() {
            let Some(taken) = ready!(self.offer(cx, to, None)) else { return Poll::Ready(Ok(false)) };
            self.rest.consume(taken);
        }
        if self.stage == Stage::Ended {
            let flushed = ready!(to.poll_flush(cx));
            self.stage = if flushed.is_ok() { Stage::Told } else { Stage::Lost };
            match self.other {
                Stage::Open | Stage::Ended => to.finish_writing(),
                // The connection is dropped next, which says the same.
                Stage::Told => to.part(),
                // It was no end: the sender is gone, and the connection is reset next.
                Stage::Lost => {}
            }
            return Poll::Ready(Ok(false));
        }
        let room = self.step as usize;
        let Poll::Ready(read) = from.poll_read(cx, &mut hot[..room]) else {
            // Nobody waits for what is encrypted and not yet sent.
            if matches!(to.poll_flush(cx), Poll::Ready(Err(_))) {
                self.stage = Stage::Lost;
            }
            return Poll::Pending;
        };
        match read? {
            0 => self.stage = Stage::Ended,
            count if count < room && from.ends() => return self.see_end(cx, from, to, (hot, count)),
            count => self.pass_on(cx, to, &hot[..count]),
        }
        Poll::Ready(Ok(true))
    }

    /// The end is behind what was read: it is looked for first, so that bytes and end can go out together.
    fn see_end(
        &mut self,
        cx: &mut Context<'_>,
        from: &Socket,
        to: &Socket,
        (hot, count): (&mut [u8], usize),
    ) -> Poll<io::Result<bool>> {
        let next = from.poll_read(cx, &mut hot[count..]);
        if matches!(next, Poll::Ready(Ok(0))) {
            self.stage = Stage::Ended;
        }
        let more = if let Poll::Ready(Ok(more)) = next { more } else { 0 };
        self.pass_on(cx, to, &hot[..count + more]);
        match next {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(true)),
        }
    }

    /// Sends these, and keeps what the receiver does not take.
    fn pass_on(&mut self, cx: &mut Context<'_>, to: &Socket, bytes: &[u8]) {
        let taken = match self.offer(cx, to, Some(bytes)) {
            Poll::Ready(Some(taken)) => taken,
            Poll::Ready(None) => return,
            Poll::Pending => 0,
        };
        if taken < bytes.len() {
            self.rest.keep(&bytes[taken..]);
            self.step = (taken as u32).clamp(SMALLEST, HOT_BYTES as u32);
        } else if bytes.len() == self.step as usize {
            self.step = (self.step * 2).min(HOT_BYTES as u32);
        }
    }

    /// What the receiver takes of these bytes, or of the rest. `None`: it is gone.
    fn offer(&mut self, cx: &mut Context<'_>, to: &Socket, bytes: Option<&[u8]>) -> Poll<Option<usize>> {
        // The first message has nothing to wait for: a flow with one alone is spared a system call.
        if self.may_wait && self.carried > 0 {
            self.may_wait = false;
            to.hurry();
        }
        let bytes = bytes.unwrap_or_else(|| self.rest.bytes());
        let written = match self.stage {
            Stage::Ended if self.other != Stage::Lost => to.poll_write_last(cx, bytes),
            _ => to.poll_write(cx, &[IoSlice::new(bytes)]),
        };
        match ready!(written) {
            Ok(taken @ 1..) => {
                self.carried += taken as u64;
                Poll::Ready(Some(taken))
            }
            Ok(0) | Err(_) => {
                self.stage = Stage::Lost;
                self.rest = Rest::default();
                Poll::Ready(None)
            }
        }
    }
}

#[cfg(test)]
mod tests;
