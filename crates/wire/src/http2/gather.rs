//! The socket beneath an HTTP/2 connection. Frames of all its streams are gathered and leave in one write per turn.

use crate::buffers::{Buffers, Input, Size};
use crate::socket::Socket;
use bascule_decide::http2::{Flood, Meter};
use bascule_decide::time::Tick;
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much may wait to be written. Beyond it the streams wait.
const MOST: usize = 128 * 1024;
/// Reads in one turn of the connection; then others of the thread have theirs.
const READS: u32 = 8;

/// A socket with what was read from it ahead, and what is to be written to it.
pub(crate) struct Gather {
    socket: Socket,
    input: RefCell<Input>,
    output: RefCell<Input>,
    meter: RefCell<Meter>,
    now: Box<dyn Fn() -> Tick>,
    flood: Cell<bool>,
    reads: Cell<u32>,
    heard: Cell<bool>,
}

impl Gather {
    /// `input` is what came already.
    pub(crate) fn new(
        socket: Socket,
        input: Input,
        buffers: &Rc<Buffers>,
        preface: usize,
        now: impl Fn() -> Tick + 'static,
    ) -> Rc<Self> {
        let mut meter = Meter::new(preface, now());
        let flood = meter.read(input.bytes(), &now) == Err(Flood);
        Rc::new(Self {
            socket,
            input: RefCell::new(input),
            output: RefCell::new(Input::new(Rc::clone(buffers))),
            meter: RefCell::new(meter),
            now: Box::new(now),
            flood: Cell::new(flood),
            reads: Cell::new(READS),
            heard: Cell::new(false),
        })
    }

    /// The connection has its turn.
    pub(crate) fn begin_turn(&self) {
        self.reads.set(READS);
    }

    /// Whether bytes came since this was asked last.
    pub(crate) fn has_heard(&self) -> bool {
        self.heard.take()
    }

    /// The peer sends frames that bring nothing, and too many of them.
    pub(crate) fn is_flooded(&self) -> bool {
        self.flood.get()
    }

    /// Writes what has gathered. Pending when the peer does not take it all.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.borrow().is_empty() {
            ready!(self.poll_write_some(cx))?;
        }
        self.socket.poll_flush(cx)
    }

    fn poll_write_some(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut output = self.output.borrow_mut();
        match ready!(self.socket.poll_write(cx, &[IoSlice::new(output.bytes())]))? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => {
                output.consume(written);
                self.meter.borrow_mut().wrote(written);
                Poll::Ready(Ok(()))
            }
        }
    }

    fn poll_read(&self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut input = self.input.borrow_mut();
        if input.is_empty() {
            if self.flood.get() {
                // Nothing more is heard; whoever drives the connection ends it.
                return Poll::Pending;
            }
            if self.reads.get() == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.reads.set(self.reads.get() - 1);
            if ready!(input.poll_fill(&self.socket, Size::Head, cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
            self.heard.set(true);
            if self.meter.borrow_mut().read(input.bytes(), &self.now) == Err(Flood) {
                self.flood.set(true);
            }
        }
        let count = input.len().min(into.remaining());
        into.put_slice(&input.bytes()[..count]);
        input.consume(count);
        Poll::Ready(Ok(()))
    }
}

/// What `h2` reads and writes.
pub(crate) struct Gathered(pub(crate) Rc<Gather>);

impl AsyncRead for Gathered {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, into)
    }
}

impl AsyncWrite for Gathered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        while self.0.output.borrow().len() >= MOST {
            ready!(self.0.poll_write_some(cx))?;
        }
        Poll::Ready(Ok(self.0.output.borrow_mut().append(Size::Head, bytes)))
    }

    /// Whoever drives the connection flushes when its turn is over: until then more may gather.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_flush(cx))?;
        self.0.socket.finish_writing();
        Poll::Ready(Ok(()))
    }
}
