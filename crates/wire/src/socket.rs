//! One connected stream, read and written through a shared reference so that both directions can be driven by one task.

use crate::deadline::Deadline;
use socket2::SockRef;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// What a [`Socket`] is made of.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Accepted just now and not known to the runtime. A client that has sent its request already, and takes
    /// the whole response at once, never needs to be: that saves two system calls for each connection.
    Fresh(std::net::TcpStream),
    Tcp(TcpStream),
    Unix(UnixStream),
    /// The runtime did not take it.
    Gone,
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

    /// Makes the socket known to the runtime, which can wait for it from now on.
    pub(crate) fn register(&self) -> io::Result<()> {
        let mut stream = self.0.borrow_mut();
        *stream = match std::mem::replace(&mut *stream, Stream::Gone) {
            Stream::Fresh(fresh) => Stream::Tcp(TcpStream::from_std(fresh)?),
            known => known,
        };
        Ok(())
    }

    pub(crate) fn is_fresh(&self) -> bool {
        matches!(&*self.0.borrow(), Stream::Fresh(_))
    }

    /// What a fresh stream says at once; `None` when it has to be waited for, which it can be from now on.
    fn at_once(
        &self,
        act: impl FnOnce(&std::net::TcpStream) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        let done = match &*self.0.borrow() {
            Stream::Fresh(stream) => act(stream),
            _ => return None,
        };
        match done {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.register().err().map(Err),
            done => Some(done),
        }
    }

    /// Reads what there is. `Ok(0)` is the end of the stream (or `into` is empty).
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(read) = self.at_once(|mut stream| stream.read(into)) {
            return Poll::Ready(read);
        }
        let mut room = ReadBuf::new(into);
        let read = match &mut *self.0.borrow_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut room),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, &mut room),
            Stream::Fresh(_) | Stream::Gone => return Poll::Ready(gone()),
        };
        read.map_ok(|()| room.filled().len())
    }

    fn poll_write(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = self.at_once(|mut stream| match parts {
            [whole] => stream.write(whole),
            _ => stream.write_vectored(parts),
        });
        if let Some(written) = written {
            return Poll::Ready(written);
        }
        match (&mut *self.0.borrow_mut(), parts) {
            (Stream::Tcp(stream), [whole]) => Pin::new(stream).poll_write(cx, whole),
            (Stream::Tcp(stream), _) => Pin::new(stream).poll_write_vectored(cx, parts),
            (Stream::Unix(stream), [whole]) => Pin::new(stream).poll_write(cx, whole),
            (Stream::Unix(stream), _) => Pin::new(stream).poll_write_vectored(cx, parts),
            (Stream::Fresh(_) | Stream::Gone, _) => Poll::Ready(gone()),
        }
    }

    /// Whether nothing has arrived since the last read, neither bytes nor an end. Asks no system call.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut heard = false;
        let mut note = || {
            heard = true;
            Ok(())
        };
        let _ = match &*self.0.borrow() {
            Stream::Fresh(_) | Stream::Gone => Ok(()),
            Stream::Tcp(stream) => stream.try_io(Interest::READABLE, &mut note),
            Stream::Unix(stream) => stream.try_io(Interest::READABLE, &mut note),
        };
        !heard
    }

    /// Ready once the peer has reset the connection.
    ///
    /// A peer that only stopped sending may still read (a half-closed client), so the end of its stream is not a reset;
    /// `watching` turns false when there is nothing more to be learnt.
    pub(crate) fn poll_reset(&self, cx: &mut Context<'_>, watching: &mut bool) -> Poll<()> {
        let heard = match &*self.0.borrow() {
            _ if !*watching => return Poll::Pending,
            Stream::Fresh(_) | Stream::Gone => return Poll::Pending,
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
            Stream::Unix(stream) => stream.poll_read_ready(cx),
        };
        if heard.is_pending() {
            return Poll::Pending;
        }
        match self.peek() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(_) => Poll::Ready(()),
            Ok(_) => {
                *watching = false;
                Poll::Pending
            }
        }
    }

    fn peek(&self) -> io::Result<usize> {
        let mut byte = [MaybeUninit::uninit(); 1];
        match &*self.0.borrow() {
            Stream::Fresh(stream) => SockRef::from(stream).peek(&mut byte),
            Stream::Tcp(stream) => SockRef::from(stream).peek(&mut byte),
            Stream::Unix(stream) => SockRef::from(stream).peek(&mut byte),
            Stream::Gone => gone(),
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
            Stream::Fresh(stream) => stream.shutdown(how),
            Stream::Tcp(stream) => SockRef::from(stream).shutdown(how),
            Stream::Unix(stream) => SockRef::from(stream).shutdown(how),
            Stream::Gone => Ok(()),
        };
    }

    /// The local address in text, for requests that name no host.
    pub(crate) fn local_text(&self) -> String {
        let address = match &*self.0.borrow() {
            Stream::Fresh(stream) => stream.local_addr(),
            Stream::Tcp(stream) => stream.local_addr(),
            Stream::Unix(_) | Stream::Gone => return "localhost".to_owned(),
        };
        address.map(|address| address.to_string()).unwrap_or_default()
    }
}

fn gone<T>() -> io::Result<T> {
    Err(io::ErrorKind::NotConnected.into())
}
