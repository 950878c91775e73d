//! One connection as all above it see it: bytes in and out, in the clear or over TLS.

use crate::deadline::Deadline;
use crate::stream::{Stream, Watch};
use crate::tls::session::Session;
use socket2::TcpKeepalive;
use std::cell::{RefCell, RefMut};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Between two questions to a peer that does not answer, and how many there are.
const PROBE_PAUSE: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;

/// A connected stream, TCP or Unix, perhaps with TLS on it. Borrowed only within a poll, so that one task may wait for
/// both directions.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    /// On the heap: most of what there is to a connection is this.
    tls: Option<Box<RefCell<Session>>>,
}

/// Why a write did not finish.
#[derive(Debug)]
pub(crate) enum WriteStop {
    /// The peer took nothing for too long.
    TimedOut,
    /// The connection is gone.
    Failed,
}

impl Socket {
    /// Takes a connected socket that does not block.
    pub(crate) fn new(descriptor: impl Into<OwnedFd>) -> Self {
        Self { stream: Stream::new(descriptor), tls: None }
    }

    /// From now on all bytes are those of a TLS session, which begins with its handshake.
    pub(crate) fn secure(&mut self, session: Session) {
        self.tls = Some(Box::new(RefCell::new(session)));
    }

    fn session(&self) -> Option<RefMut<'_, Session>> {
        self.tls.as_ref().map(|tls| tls.borrow_mut())
    }

    /// Drives the handshake. Ready once bytes can be read and written, or at the first fault.
    pub(crate) fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session().map_or(Poll::Ready(Ok(())), |mut tls| tls.poll_handshake(cx, &self.stream))
    }

    /// What is to be known of the TLS session, once its handshake is over.
    pub(crate) fn with_session<T>(&self, look: impl FnOnce(&mut Session) -> T) -> Option<T> {
        self.session().map(|mut tls| look(&mut tls))
    }

    /// Whether both sides have agreed to speak this protocol within TLS (`h2`).
    pub(crate) fn has_agreed_on(&self, protocol: &[u8]) -> bool {
        self.session().is_some_and(|tls| tls.alpn() == Some(protocol))
    }

    /// Takes the connection out; what stays is gone.
    pub(crate) fn take(&mut self) -> Self {
        Self { stream: self.stream.take(), tls: self.tls.take() }
    }

    /// Makes the socket known to the runtime, which can wait for it from now on.
    pub(crate) fn register(&self) -> io::Result<()> {
        self.stream.register()
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.stream.is_fresh()
    }

    /// Reads what there is. `Ok(0)` is the end of the stream (or `into` is empty). A TLS peer that goes without a word
    /// is an error: what it said may not be all that it had to say.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.session() {
            Some(mut tls) => tls.poll_read(cx, &self.stream, into),
            None => self.stream.poll_read(cx, into),
        }
    }

    /// Writes what the peer takes at once. `Ok(0)` is a connection that takes nothing any more.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.session() {
            Some(mut tls) => tls.poll_write(cx, &self.stream, parts),
            None => self.stream.poll_write(cx, parts),
        }
    }

    /// Whether the last read was told that the end, or a reset, is behind what there was to read.
    pub(crate) fn ends(&self) -> bool {
        self.tls.is_none() && self.stream.ends()
    }

    /// Writes the last bytes, before [`Socket::finish_writing`] or the end of the connection: both go out as one, where that
    /// is possible.
    pub(crate) fn poll_write_last(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.session() {
            Some(mut tls) => tls.poll_write(cx, &self.stream, &[IoSlice::new(bytes)]),
            None => self.stream.poll_write_last(cx, bytes),
        }
    }

    /// Ready once the system has taken everything that was written. In the clear that is always so.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session().map_or(Poll::Ready(Ok(())), |mut tls| tls.poll_flush(cx, &self.stream))
    }

    /// Bytes that the system has taken of what is encrypted: how a slow peer is told from one that takes nothing.
    fn taken(&self) -> u64 {
        self.session().map_or(0, |tls| tls.sent_bytes())
    }

    /// Whether nothing has arrived since the last read, neither bytes nor an end. Asks no system call of a socket
    /// that the runtime knows. What TLS says to itself, such as a ticket, is no noise.
    pub(crate) fn is_quiet(&self) -> bool {
        match self.session() {
            Some(mut tls) => tls.is_quiet(&self.stream),
            None => self.stream.is_quiet(),
        }
    }

    /// Ready once the peer has gone, as far as `watch` says. Says nothing of a fresh stream.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>, watch: &mut Watch) -> Poll<()> {
        match self.session() {
            // A goodbye of TLS is bytes to the system.
            Some(mut tls) if *watch == Watch::End && !self.is_fresh() => tls.poll_end(cx, &self.stream),
            _ => self.stream.poll_gone(cx, watch),
        }
    }

    /// Ready once a connect that was begun has succeeded or failed.
    pub(crate) fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_connected(cx)
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
        let mut waiting = None;
        poll_fn(|cx| {
            loop {
                match self.poll_some(cx, left) {
                    Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(Some(0)) | Err(_)) => return Poll::Ready(Err(WriteStop::Failed)),
                    Poll::Ready(Ok(Some(written))) => {
                        IoSlice::advance_slices(&mut left, written);
                        waiting = None;
                    }
                    Poll::Pending => {
                        let taken = self.taken();
                        if waiting != Some(taken) {
                            deadline.start(pause);
                            waiting = Some(taken);
                        }
                        return deadline.poll(cx).map(|()| Err(WriteStop::TimedOut));
                    }
                }
            }
        })
        .await
    }

    /// Writes a part of what is left, or sees it off; `None` when all is done.
    fn poll_some(&self, cx: &mut Context<'_>, left: &[IoSlice<'_>]) -> Poll<io::Result<Option<usize>>> {
        if left.is_empty() {
            ready!(self.poll_flush(cx))?;
            return Poll::Ready(Ok(None));
        }
        self.poll_write(cx, left).map_ok(Some)
    }

    /// Tells the peer that no more bytes come. Waits for nothing.
    pub(crate) fn finish_writing(&self) {
        if let Some(mut tls) = self.session() {
            tls.finish_writing(&self.stream);
        }
        self.stream.finish_writing();
    }

    /// Says goodbye where the protocol has a word for it, before the connection is dropped: a peer over TLS then knows
    /// that it has heard everything.
    pub(crate) fn part(&self) {
        if let Some(mut tls) = self.session() {
            tls.finish_writing(&self.stream);
        }
    }

    /// Sends bytes outside the TLS session. For a peer that does not speak TLS.
    pub(crate) fn say_in_the_clear(&self, bytes: &[u8]) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let _ = self.stream.poll_write(&mut cx, &[IoSlice::new(bytes)]);
    }

    /// The local address; Unix sockets have none.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.stream.local_address()
    }

    /// Small messages go out at once from now on. Until then one that follows another waits for its acknowledgement.
    pub(crate) fn hurry(&self) {
        self.stream.set(|it| it.set_tcp_nodelay(true));
    }

    /// The peer is told of a reset, not of an end, when this is dropped. What it has not got yet is lost.
    pub(crate) fn reset(&self) {
        self.stream.set(|it| it.set_linger(Some(Duration::ZERO)));
    }

    /// After this long a silence the kernel asks whether the peer is still there, and breaks the connection if it is not.
    pub(crate) fn probe_after(&self, silence: Duration) {
        let probes = TcpKeepalive::new()
            .with_time(silence)
            .with_interval(silence.min(PROBE_PAUSE))
            .with_retries(PROBES);
        self.stream.set(|it| it.set_tcp_keepalive(&probes));
    }

    /// Looks at what has arrived in the clear, and leaves it there. Ready once that is more than `seen` bytes, or the
    /// stream has ended: then it is no more.
    pub(crate) fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        into: &mut [u8],
        seen: usize,
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_peek(cx, into, seen)
    }

    /// Sends in the clear what comes before everything else, and waits for nothing. `more`: something follows at once.
    pub(crate) fn send_first(&self, bytes: &[u8], more: bool) -> io::Result<()> {
        self.stream.send_first(bytes, more)
    }
}
