//! One connected stream, read and written through a shared reference so that both directions can be driven by one task.

use crate::deadline::Deadline;
use socket2::SockRef;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// What a [`Socket`] is made of.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connected stream. Borrowed only within a poll, so that one task may wait for both directions.
#[derive(Debug)]
pub(crate) struct Socket(RefCell<Stream>);

/// Why a write did not finish.
#[derive(Debug)]
pub(crate) enum WriteStop {
    /// The peer took nothing for too long.
    TimedOut,
    /// The connection is gone.
    Failed,
}

impl Socket {
    pub(crate) fn new(stream: Stream) -> Self {
        Self(RefCell::new(stream))
    }

    /// Reads what there is. `Ok(0)` is the end of the stream (or `into` is empty).
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(into);
        let read = match &mut *self.0.borrow_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut room),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, &mut room),
        };
        read.map_ok(|()| room.filled().len())
    }

    fn poll_write(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match (&mut *self.0.borrow_mut(), parts) {
            (Stream::Tcp(stream), [whole]) => Pin::new(stream).poll_write(cx, whole),
            (Stream::Tcp(stream), _) => Pin::new(stream).poll_write_vectored(cx, parts),
            (Stream::Unix(stream), [whole]) => Pin::new(stream).poll_write(cx, whole),
            (Stream::Unix(stream), _) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &*self.0.borrow() {
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
            Stream::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Whether nothing has arrived since the last read, neither bytes nor an end. Asks no system call.
    pub(crate) fn is_quiet(&self) -> bool {
        self.poll_readable(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Ready once the peer has reset the connection.
    ///
    /// A peer that only stopped sending may still read (a half-closed client), so the end of its stream is not a reset;
    /// `watching` turns false when there is nothing more to be learnt.
    pub(crate) fn poll_reset(&self, cx: &mut Context<'_>, watching: &mut bool) -> Poll<()> {
        if !*watching || self.poll_readable(cx).is_pending() {
            return Poll::Pending;
        }
        let mut byte = [MaybeUninit::uninit(); 1];
        let peeked = match &*self.0.borrow() {
            Stream::Tcp(stream) => SockRef::from(stream).peek(&mut byte),
            Stream::Unix(stream) => SockRef::from(stream).peek(&mut byte),
        };
        match peeked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(_) => Poll::Ready(()),
            Ok(_) => {
                *watching = false;
                Poll::Pending
            }
        }
    }

    /// Writes all parts. The time limit counts from the last byte that the peer took.
    pub(crate) async fn write_all(
        &self,
        parts: &mut [IoSlice<'_>],
        deadline: &mut Deadline,
        pause: Duration,
    ) -> Result<(), WriteStop> {
        let mut left = parts;
        IoSlice::advance_slices(&mut left, 0);
        let mut waiting = false;
        poll_fn(|cx| {
            while !left.is_empty() {
                match self.poll_write(cx, left) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(WriteStop::Failed)),
                    Poll::Ready(Ok(written)) => {
                        IoSlice::advance_slices(&mut left, written);
                        waiting = false;
                    }
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
        .await
    }

    /// Tells the peer that no more bytes come.
    pub(crate) fn finish_writing(&self) {
        let how = std::net::Shutdown::Write;
        let _ = match &*self.0.borrow() {
            Stream::Tcp(stream) => SockRef::from(stream).shutdown(how),
            Stream::Unix(stream) => SockRef::from(stream).shutdown(how),
        };
    }

    /// The local address in text, for requests that name no host.
    pub(crate) fn local_text(&self) -> String {
        match &*self.0.borrow() {
            Stream::Tcp(stream) => stream.local_addr().map(|address| address.to_string()).unwrap_or_default(),
            Stream::Unix(_) => "localhost".to_owned(),
        }
    }
}
