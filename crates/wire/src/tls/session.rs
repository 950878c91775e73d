//! A TLS session on a stream: what is written is encrypted, what is read is decrypted, and nothing is held in between
//! for longer than it must be.
//!
//! A response is one run of records and one system call, whatever parts it is made of; what TLS itself has to say
//! (tickets, say) goes out with it.

use crate::stream::Stream;
use rustls::{Connection, HandshakeKind, ProtocolVersion};
use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::task::{Context, Poll, Waker, ready};

/// What one record may need (RFC 8446, 5.2), and a little more.
const RECORD: usize = 17 * 1024;
/// Encrypted bytes of a long body that are read at a time.
const FLOOD: usize = 128 * 1024;

thread_local! {
    /// Where long bodies arrive. All of it is decrypted before anything else happens: it belongs to nobody.
    static ARRIVED: RefCell<Box<[u8]>> = RefCell::new(vec![0; FLOOD].into());
}

/// One side of a TLS connection.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Connection,
    /// The peer's first byte: tells TLS from what is not.
    first: Option<u8>,
    /// Encrypted bytes that the system has taken.
    sent: u64,
    /// More was waiting than the last read took.
    flooded: bool,
    /// The system did not take all that is encrypted.
    congested: bool,
    failed: bool,
}

impl Session {
    pub(crate) fn new(connection: impl Into<Connection>) -> Self {
        Self {
            connection: connection.into(),
            first: None,
            sent: 0,
            flooded: false,
            congested: false,
            failed: false,
        }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn first_byte(&self) -> Option<u8> {
        self.first
    }

    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent
    }

    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Ready when the handshake is over. What is still to be said then goes out with the first bytes that follow, if the
    /// peer does not wait for it.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<io::Result<()>> {
        while self.connection.is_handshaking() {
            ready!(self.poll_flush(cx, stream))?;
            if !self.connection.is_handshaking() {
                break;
            }
            if ready!(self.poll_receive(cx, stream))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        if self.connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            ready!(self.poll_flush(cx, stream))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what there is, a whole flood of it if `into` has room for one.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut filled = 0;
        loop {
            match self.connection.reader().read(&mut into[filled..]) {
                Ok(0) => return Poll::Ready(Ok(filled)),
                Ok(count) => {
                    filled += count;
                    if !self.flooded || filled == into.len() {
                        return Poll::Ready(Ok(filled));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return ready_with(filled, Err(error)),
            }
            let room = into.len() - filled;
            let received = if self.flooded && room >= 2 * RECORD {
                self.poll_receive_flood(cx, stream, &mut into[filled..]).map_ok(|(more, count)| {
                    filled += more;
                    count
                })
            } else {
                self.poll_receive(cx, stream)
            };
            match received {
                // An end: the reader knows whether it is a proper one.
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return ready_with(filled, Err(error)),
                Poll::Pending if filled > 0 => return Poll::Ready(Ok(filled)),
                // Nobody is to wait for what we have not sent.
                Poll::Pending => {
                    let _ = self.poll_flush(cx, stream)?;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Reads encrypted bytes once, a few thousand at most. 0 at the end of the stream.
    fn poll_receive(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<io::Result<usize>> {
        let mut from = Reading { stream, cx, first: &mut self.first, was_full: false };
        let count = match self.connection.read_tls(&mut from) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.flooded = false;
                return Poll::Pending;
            }
            Err(error) => return Poll::Ready(Err(error)),
        };
        self.flooded = from.was_full;
        self.decrypt(cx, stream)?;
        Poll::Ready(Ok(count))
    }

    /// Reads many encrypted bytes at once. Tells how many in the clear that made, and how many they were.
    fn poll_receive_flood(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        into: &mut [u8],
    ) -> Poll<io::Result<(usize, usize)>> {
        ARRIVED.with_borrow_mut(|arrived| {
            // What is decrypted must fit, and so must a record of which a part is here already.
            let limit = arrived.len().min(into.len() - RECORD);
            let count = match stream.poll_read(cx, &mut arrived[..limit]) {
                Poll::Pending => {
                    self.flooded = false;
                    return Poll::Pending;
                }
                Poll::Ready(read) => read?,
            };
            self.flooded = count == limit;
            let (mut left, mut filled) = (&arrived[..count], 0);
            if count == 0 {
                self.connection.read_tls(&mut left)?;
            }
            while !left.is_empty() && self.connection.read_tls(&mut left)? > 0 {
                self.decrypt(cx, stream)?;
                match self.connection.reader().read(&mut into[filled..]) {
                    Ok(more) => filled += more,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            Poll::Ready(Ok((filled, count)))
        })
    }

    fn decrypt(&mut self, cx: &mut Context<'_>, stream: &Stream) -> io::Result<()> {
        if let Err(error) = self.connection.process_new_packets() {
            self.say_why(cx, stream);
            self.failed = true;
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(())
    }

    /// Sends the alert that a fault has left behind, unless the peer does not speak TLS.
    fn say_why(&mut self, cx: &mut Context<'_>, stream: &Stream) {
        if self.first.is_some_and(|byte| byte.is_ascii_uppercase()) {
            return;
        }
        let mut alert = Vec::new();
        while self.connection.wants_write() && matches!(self.connection.write_tls(&mut alert), Ok(1..)) {}
        rename_alert(&mut alert);
        let _ = stream.poll_write(cx, &[IoSlice::new(&alert)]);
    }

    /// Takes what there is room for, and sends it as far as the system takes it. The rest is sent by the next write,
    /// or by [`Session::poll_flush`].
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Stream,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.congested {
            ready!(self.poll_flush(cx, stream))?;
        }
        let taken = self.connection.writer().write_vectored(parts)?;
        match self.poll_flush(cx, stream) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if taken == 0 => Poll::Pending,
            _ => Poll::Ready(Ok(taken)),
        }
    }

    /// Ready once the system has taken everything that was encrypted.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<io::Result<()>> {
        self.congested = false;
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Writing { stream, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.sent += count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.congested = true;
                    return Poll::Pending;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = true;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether nothing was said to us. What is said to TLS is taken in.
    pub(crate) fn is_quiet(&mut self, stream: &Stream) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        while !self.failed && !stream.is_quiet() {
            match self.poll_receive(&mut cx, stream) {
                Poll::Pending => break,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return false,
            }
        }
        !self.failed && self.hears_nothing()
    }

    /// Ready once the peer sends no more, or has broken off, unless something that it said before is still unread.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<()> {
        loop {
            match self.connection.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() > 0 => return Poll::Pending,
                Ok(state) if !state.peer_has_closed() && !self.failed => {}
                _ => return Poll::Ready(()),
            }
            match ready!(self.poll_receive(cx, stream)) {
                Ok(1..) => {}
                _ => return Poll::Ready(()),
            }
        }
    }

    fn hears_nothing(&mut self) -> bool {
        self.connection
            .process_new_packets()
            .is_ok_and(|state| state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed())
    }

    /// Says that no more follows, if that can be said at once and is true.
    pub(crate) fn finish_writing(&mut self, stream: &Stream) {
        if self.failed || self.connection.is_handshaking() {
            return;
        }
        self.connection.send_close_notify();
        let _ = self.poll_flush(&mut Context::from_waker(Waker::noop()), stream);
    }
}

/// What was read counts first; the error comes again with the next read.
fn ready_with(filled: usize, error: io::Result<usize>) -> Poll<io::Result<usize>> {
    Poll::Ready(if filled > 0 { Ok(filled) } else { error })
}

/// rustls says `access_denied` where no certificate is chosen; clients know `unrecognized_name` (RFC 6066, 3).
fn rename_alert(alert: &mut [u8]) {
    if let [21, 3, _, 0, 2, 2, what @ 49] = alert {
        *what = 112;
    }
}

/// The stream as rustls reads it.
struct Reading<'a, 'b> {
    stream: &'a Stream,
    cx: &'a mut Context<'b>,
    first: &'a mut Option<u8>,
    was_full: bool,
}

impl Read for Reading<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.stream.poll_read(self.cx, into) {
            Poll::Ready(Ok(count)) => {
                self.first.get_or_insert(into.first().copied().filter(|_| count > 0).unwrap_or(0));
                self.was_full = count == into.len();
                Ok(count)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// The stream as rustls writes it.
struct Writing<'a, 'b> {
    stream: &'a Stream,
    cx: &'a mut Context<'b>,
}

impl Write for Writing<'_, '_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(from)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.stream.poll_write(self.cx, parts) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
