//! One connected stream of bytes as the system gives it, read and written through a shared reference so that both
//! directions can be driven by one task.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown};
use socket2::SockRef;
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What we look out for while a peer waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// That it breaks off. One that only stopped sending may still read (a half-closed client).
    Reset,
    /// Also that it sends no more.
    End,
    Nothing,
}

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

    /// Looks at what has arrived, and leaves it there. Ready once that is more than `seen` bytes, or the stream has ended:
    /// then it is no more.
    pub(crate) fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>> {
        if let Some(peeked) = self.at_once(|fresh| match peek_into(fresh, into) {
            Ok(arrived) if 0 < arrived && arrived <= seen => Err(Errno::AGAIN),
            peeked => peeked,
        }) {
            return Poll::Ready(peeked);
        }
        let stream = self.0.borrow();
        let State::Known(known, ..) = &*stream else { return Poll::Ready(gone()) };
        loop {
            let mut ready = ready!(known.poll_read_ready(cx))?;
            // Known before we look: what came before the end is there then.
            let ended = ready.ready().is_read_closed();
            match peek_into(known.get_ref(), into) {
                Ok(arrived) if arrived > seen || arrived == 0 || ended => return Poll::Ready(Ok(arrived)),
                Ok(_) | Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Sends what comes before everything else. A connection that was just opened has room for it. With `more` it goes in
    /// one packet with what follows: where nothing does, 200 ms later.
    pub(crate) fn send_first(&self, bytes: &[u8], more: bool) -> io::Result<()> {
        let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
        let sent = match &*self.0.borrow() {
            State::Fresh(fresh) => send(fresh, bytes, flags),
            State::Known(known, ..) => send(known, bytes, flags),
            State::Gone => return gone(),
        };
        if sent? == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
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

    /// Ready once the peer has gone, as far as `watch` says. Says nothing of a fresh stream. There is nothing more to
    /// be learnt, which `watch` says then, when the peer has sent more than was asked for.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>, watch: &mut Watch) -> Poll<()> {
        let stream = self.0.borrow();
        let State::Known(known, ..) = &*stream else { return Poll::Pending };
        while *watch != Watch::Nothing {
            let Ok(mut ready) = ready!(known.poll_read_ready(cx)) else { return Poll::Ready(()) };
            match peek(known.get_ref()) {
                Ok(0) if *watch == Watch::End => return Poll::Ready(()),
                Ok(_) => *watch = Watch::Nothing,
                Err(Errno::AGAIN | Errno::INTR) => ready.clear_ready(),
                Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
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

    /// The local address; Unix sockets have none.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        let address = match &*self.0.borrow() {
            State::Fresh(fresh) => SockRef::from(fresh).local_addr(),
            State::Known(known, ..) => SockRef::from(known.get_ref()).local_addr(),
            State::Gone => gone(),
        };
        address.ok().and_then(|address| address.as_socket())
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
    peek_into(from, &mut [0; 1])
}

fn peek_into(from: &OwnedFd, into: &mut [u8]) -> Result<usize, Errno> {
    recv(from, into, RecvFlags::PEEK).map(|(read, _)| read)
}

fn gone<T>() -> io::Result<T> {
    Err(io::ErrorKind::NotConnected.into())
}
