//! One connected stream of bytes as the system gives it, read and written through a shared reference so that both
//! directions can be driven by one task.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown};
use socket2::SockRef;
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A connected stream, TCP or Unix. Borrowed only within a poll, so that one task may wait for both directions.
#[derive(Debug)]
pub(crate) struct Stream(RefCell<State>);

#[derive(Debug)]
enum State {
    /// Not known to the runtime. A client that has sent its request already, and takes the whole response at
    /// once, never needs to be: that saves two system calls for each connection.
    Fresh(OwnedFd),
    /// The runtime can wait for it, and has said whether the peer has said all.
    Known(AsyncFd<OwnedFd>, Cell<bool>),
    /// The runtime did not take it.
    Gone,
}

impl Stream {
    /// Takes a connected socket that does not block.
    pub(crate) fn new(descriptor: impl Into<OwnedFd>) -> Self {
        Self(RefCell::new(State::Fresh(descriptor.into())))
    }

    /// Makes the socket known to the runtime, which can wait for it from now on.
    pub(crate) fn register(&self) -> io::Result<()> {
        let mut stream = self.0.borrow_mut();
        *stream = match std::mem::replace(&mut *stream, State::Gone) {
            State::Fresh(fresh) => {
                State::Known(watch(fresh, Interest::READABLE | Interest::WRITABLE)?, Cell::new(false))
            }
            known => known,
        };
        Ok(())
    }

    /// Takes the stream out; what stays is gone.
    pub(crate) fn take(&mut self) -> Self {
        Self(RefCell::new(self.0.replace(State::Gone)))
    }

    pub(crate) fn is_fresh(&self) -> bool {
        matches!(&*self.0.borrow(), State::Fresh(_))
    }

    /// What a fresh stream says at once; `None` when it has to be waited for, which it can be from now on.
    fn at_once(&self, act: impl FnOnce(&OwnedFd) -> Result<usize, Errno>) -> Option<io::Result<usize>> {
        let done = match &*self.0.borrow() {
            State::Fresh(fresh) => act(fresh),
            _ => return None,
        };
        match done {
            Err(Errno::AGAIN | Errno::INTR) => self.register().err().map(Err),
            done => Some(done.map_err(io::Error::from)),
        }
    }

    /// Reads what there is. `Ok(0)` is the end of the stream (or `into` is empty).
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(read) =
            self.at_once(|fresh| recv(fresh, &mut *into, RecvFlags::empty()).map(|(read, _)| read))
        {
            return Poll::Ready(read);
        }
        let stream = self.0.borrow();
        let State::Known(known, ends) = &*stream else { return Poll::Ready(gone()) };
        loop {
            let mut ready = ready!(known.poll_read_ready(cx))?;
            ends.set(ready.ready().is_read_closed());
            match recv(known, &mut *into, RecvFlags::empty()) {
                Ok((read, _)) => {
                    // Less than there was room for: the next read would find nothing, and need not be tried.
                    if 0 < read && read < into.len() {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(read));
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Whether the last read was told that the end, or a reset, is behind what there was to read.
    pub(crate) fn ends(&self) -> bool {
        matches!(&*self.0.borrow(), State::Known(_, ends) if ends.get())
    }

    /// Writes what the system takes now, in one call.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |to| write(to, parts))
    }

    /// The same for the last bytes: they may wait for the end, which must be told next. Both then go out as one.
    pub(crate) fn poll_write_last(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |to| send(to, bytes, SendFlags::NOSIGNAL | SendFlags::MORE))
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&OwnedFd) -> Result<usize, Errno>,
    ) -> Poll<io::Result<usize>> {
        if let Some(written) = self.at_once(&write) {
            return Poll::Ready(written);
        }
        let stream = self.0.borrow();
        let State::Known(known, ..) = &*stream else { return Poll::Ready(gone()) };
        loop {
            let mut ready = ready!(known.poll_write_ready(cx))?;
            match write(known.get_ref()) {
                Ok(written) => return Poll::Ready(Ok(written)),
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Whether nothing has arrived since the last read, neither bytes nor an end. Asks no system call of a socket
    /// that the runtime knows.
    pub(crate) fn is_quiet(&self) -> bool {
        let heard = match &*self.0.borrow() {
            State::Known(known, ..) => known.try_io(Interest::READABLE, |_| Ok(())),
            State::Fresh(fresh) => peek(fresh).map(drop).map_err(io::Error::from),
            State::Gone => Ok(()),
        };
        heard.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Ready once the peer has reset the connection. Says nothing of a fresh stream.
    ///
    /// A peer that only stopped sending may still read (a half-closed client), so the end of its stream is not a
    /// reset; `watching` turns false when there is nothing more to be learnt.
    pub(crate) fn poll_reset(&self, cx: &mut Context<'_>, watching: &mut bool) -> Poll<()> {
        let stream = self.0.borrow();
        let State::Known(known, ..) = &*stream else { return Poll::Pending };
        while *watching {
            let Ok(mut ready) = ready!(known.poll_read_ready(cx)) else { return Poll::Ready(()) };
            match peek(known.get_ref()) {
                Ok(_) => *watching = false,
                Err(Errno::AGAIN | Errno::INTR) => ready.clear_ready(),
                Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Looks at what waits to be read and leaves it there; waits while that is no more than `seen`, unless no more can come.
    pub(crate) fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>> {
        let look =
            |from: &OwnedFd, into: &mut [u8]| recv(from, into, RecvFlags::PEEK).map(|(count, _)| count);
        if let State::Fresh(fresh) = &*self.0.borrow()
            && let Ok(count) = look(fresh, into)
            && count > seen
        {
            return Poll::Ready(Ok(count));
        }
        self.register()?;
        let stream = self.0.borrow();
        let State::Known(known, ..) = &*stream else { return Poll::Ready(gone()) };
        loop {
            let mut ready = ready!(known.poll_read_ready(cx))?;
            match look(known.get_ref(), into) {
                Ok(count) if count > seen || ready.ready().is_read_closed() => return Poll::Ready(Ok(count)),
                Ok(_) | Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Sets an option of the socket. One that it does not know is no fault.
    pub(crate) fn set(&self, option: impl FnOnce(SockRef<'_>) -> io::Result<()>) {
        let _ = match &*self.0.borrow() {
            State::Fresh(fresh) => option(SockRef::from(fresh)),
            State::Known(known, ..) => option(SockRef::from(known.get_ref())),
            State::Gone => Ok(()),
        };
    }

    /// Ready once a connect that was begun has succeeded or failed.
    pub(crate) fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.register()?;
        let stream = self.0.borrow();
        let State::Known(known, ..) = &*stream else { return Poll::Ready(gone()) };
        drop(ready!(known.poll_write_ready(cx))?);
        Poll::Ready(SockRef::from(known.get_ref()).take_error()?.map_or(Ok(()), Err))
    }

    /// Tells the peer that no more bytes come.
    pub(crate) fn finish_writing(&self) {
        let _ = match &*self.0.borrow() {
            State::Fresh(fresh) => shutdown(fresh, Shutdown::Write),
            State::Known(known, ..) => shutdown(known, Shutdown::Write),
            State::Gone => Ok(()),
        };
    }

    /// The local address in text, for requests that name no host.
    pub(crate) fn local_text(&self) -> String {
        let address = match &*self.0.borrow() {
            State::Fresh(fresh) => SockRef::from(fresh).local_addr(),
            State::Known(known, ..) => SockRef::from(known.get_ref()).local_addr(),
            State::Gone => gone(),
        };
        let address = address.ok().and_then(|address| address.as_socket());
        address.map_or_else(|| "localhost".to_owned(), |address| address.to_string())
    }
}

/// Has the runtime watch a descriptor.
#[allow(unsafe_code)]
pub(crate) fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` owns its descriptor and always names the same one; nobody takes it out of the `AsyncFd`.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, interest) };
    watched.map_err(|error| io::Error::other(error.to_string()))
}

/// One system call, and never a signal.
fn write(to: &OwnedFd, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
    match parts {
        [whole] => send(to, whole, SendFlags::NOSIGNAL),
        _ => sendmsg(to, parts, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL),
    }
}

fn peek(from: &OwnedFd) -> Result<usize, Errno> {
    let mut byte = [0; 1];
    recv(from, &mut byte[..], RecvFlags::PEEK).map(|(read, _)| read)
}

fn gone<T>() -> io::Result<T> {
    Err(io::ErrorKind::NotConnected.into())
}
