//! Bodies on their way: taken out of one side's framing and put into the other's, a buffer at a time.

use crate::buffers::Input;
use crate::deadline::Deadline;
use crate::http2::message::add_lines;
use crate::http2::stream::Stream;
use crate::side::Side;
use crate::socket::{Socket, WriteStop};
use bascule_decide::grpc::Status;
use bascule_decide::http1::Framing;
use bascule_decide::http1::chunked::{ChunkProblem, Decoder, copy_trailers};
use http::HeaderMap;
use std::io::{IoSlice, Write};
use std::time::Duration;

/// Below this, copying a body behind its head is cheaper than a second part for the kernel to walk.
const COPY: usize = 4096;

/// A body as it comes in.
#[derive(Debug)]
pub(crate) struct Incoming {
    framing: Framing,
    left: u64,
    decoder: Decoder,
    /// That came behind the body over HTTP/2.
    told: Vec<u8>,
    /// Over HTTP/2: what was read is all there is.
    last: bool,
    /// All of it was taken.
    pub(crate) done: bool,
}

impl Incoming {
    pub(crate) fn new(framing: Framing) -> Self {
        let left = if let Framing::Length(length) = framing { length } else { 0 };
        Self {
            framing,
            left,
            decoder: Decoder::default(),
            told: Vec::new(),
            last: false,
            done: framing == Framing::None,
        }
    }

    /// The body of a message with this framing that comes from `side`. HTTP/2 has a framing of its own, already taken off.
    pub(crate) fn from(side: &Side, framing: Framing) -> Self {
        match (side, framing) {
            (Side::Http2(_), Framing::Chunked) => Self::new(Framing::Close),
            _ => Self::new(framing),
        }
    }

    /// Takes what `input` has of the body: so many bytes at its front are payload now, and so many are to be
    /// consumed once they are written. What lies behind belongs to the next message.
    pub(crate) fn take(&mut self, input: &mut Input) -> Result<(usize, usize), ChunkProblem> {
        match self.framing {
            Framing::None => Ok((0, 0)),
            Framing::Length(_) => {
                let taken = input.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= taken as u64;
                self.done = self.left == 0;
                Ok((taken, taken))
            }
            Framing::Chunked => {
                let step = self.decoder.decode(input.bytes_mut())?;
                self.done = step.done;
                Ok((step.payload, step.consumed))
            }
            Framing::Close => {
                self.done |= self.last;
                Ok((input.len(), input.len()))
            }
        }
    }

    /// The same for a body that begins behind `skipped` bytes, which stay.
    pub(crate) fn take_behind(
        &mut self,
        input: &mut Input,
        skipped: usize,
    ) -> Result<(usize, usize), ChunkProblem> {
        input.behind(skipped, |input| self.take(input))
    }

    /// Looks whether the end of the body has come with what was read.
    pub(crate) fn look_ahead(&mut self, side: &Side) {
        if let Side::Http2(stream) = side {
            self.last = stream.is_over();
        }
    }

    /// What `side` says has ended: whether the body has, too.
    pub(crate) fn end(&mut self, side: &Side) -> bool {
        self.done |= self.framing == Framing::Close;
        if let Side::Http2(stream) = side {
            self.told = stream.take_trailers();
        }
        self.done
    }

    /// How a call ended, by the trailers behind its messages.
    pub(crate) fn grpc_status(&self) -> Status {
        Status::of_trailers(if self.told.is_empty() { self.decoder.trailers() } else { &self.told })
    }

    /// The trailers that travel on, each line with its CRLF.
    fn trailers(&self) -> Result<Vec<u8>, ChunkProblem> {
        let mut trailers = Vec::new();
        let raw = if self.told.is_empty() { self.decoder.trailers() } else { &self.told };
        copy_trailers(raw, &mut trailers)?;
        Ok(trailers)
    }
}

/// How a body goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// As it is: its length was announced, or its end is the end of the connection.
    Plain,
    /// In chunks.
    Chunked,
    /// In frames of HTTP/2.
    Frames,
}

/// Why a piece could not be sent.
#[derive(Debug)]
pub(crate) enum PieceStop {
    Write(WriteStop),
    Trailers(ChunkProblem),
}

/// One write: perhaps a head, what there is of the body, perhaps its end.
pub(crate) struct Piece<'a> {
    pub(crate) head: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) body: &'a Incoming,
    pub(crate) coding: Outgoing,
}

impl Piece<'_> {
    /// Sends all of it in as few system calls as it takes. Returns how many bytes that were.
    pub(crate) async fn send(
        self,
        to: &Side,
        deadline: &mut Deadline,
        pause: Duration,
    ) -> Result<u64, PieceStop> {
        let to = match to {
            Side::Http1(socket) => socket,
            Side::Http2(stream) => return Box::pin(self.send_frames(stream, deadline, pause)).await,
        };
        let mut size = [0; 20];
        let (mut before, mut after, mut end) = (&size[..0], &b""[..], Vec::new());
        if self.coding == Outgoing::Chunked {
            if !self.payload.is_empty() {
                let mut line = &mut size[..];
                let _ = write!(line, "{:x}\r\n", self.payload.len());
                let left = line.len();
                (before, after) = (&size[..size.len() - left], &b"\r\n"[..]);
            }
            if self.body.done {
                end.extend_from_slice(b"0\r\n");
                end.extend_from_slice(&self.body.trailers().map_err(PieceStop::Trailers)?);
                end.extend_from_slice(b"\r\n");
            }
        }
        let all = [self.head, before, self.payload, after, &end];
        let total = all.iter().map(|part| part.len()).sum::<usize>();
        let sent = if total <= COPY && all.iter().filter(|part| !part.is_empty()).count() > 1 {
            let whole = all.concat();
            to.write_all(&mut [IoSlice::new(&whole)], deadline, pause).await
        } else {
            write_parts(to, &all, deadline, pause).await
        };
        sent.map_err(PieceStop::Write).map(|()| total as u64)
    }

    async fn send_frames(
        self,
        to: &Stream,
        deadline: &mut Deadline,
        pause: Duration,
    ) -> Result<u64, PieceStop> {
        if !self.head.is_empty() {
            to.ask(self.head, false).map_err(PieceStop::Write)?;
        }
        let mut end = None;
        if self.body.done {
            let trailers = end.insert(HeaderMap::new());
            add_lines(&self.body.trailers().map_err(PieceStop::Trailers)?, trailers);
        }
        let sent = to.send(self.payload, end, deadline, pause).await;
        sent.map_err(PieceStop::Write).map(|()| self.payload.len() as u64)
    }
}

async fn write_parts(
    to: &Socket,
    all: &[&[u8]; 5],
    deadline: &mut Deadline,
    pause: Duration,
) -> Result<(), WriteStop> {
    let mut parts = [IoSlice::new(b""); 5];
    let mut count = 0;
    for part in all.iter().filter(|part| !part.is_empty()) {
        parts[count] = IoSlice::new(part);
        count += 1;
    }
    to.write_all(&mut parts[..count], deadline, pause).await
}
