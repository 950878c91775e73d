//! One side of an exchange, the client's or the endpoint's, whatever version of HTTP it speaks.

use crate::buffers::{Input, Size};
use crate::deadline::Deadline;
use crate::http2::stream::Stream;
use crate::socket::{Socket, WriteStop};
use crate::stream::Watch;
use http::HeaderMap;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

/// Where bytes of a message come from and go to. Borrowed only within a poll, as a [`Socket`] is.
#[derive(Debug)]
pub(crate) enum Side {
    /// A connection of its own: heads and framing are among the bytes.
    Http1(Socket),
    /// One stream of a connection: bytes are payload alone.
    Http2(Box<Stream>),
}

impl Side {
    pub(crate) fn http2(&self) -> Option<&Stream> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(stream) => Some(stream),
        }
    }

    /// Reads once behind what `input` has. Ready with how many bytes came; 0 is the end.
    pub(crate) fn poll_fill(
        &self,
        input: &mut Input,
        size: Size,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Http1(socket) => input.poll_fill(socket, size, cx),
            Self::Http2(stream) => stream.poll_fill(input, size, cx),
        }
    }

    /// Reads once what `to` is to be sent: for a stream, little until its client shows that it takes what it is sent.
    pub(crate) fn poll_fill_for(
        &self,
        to: &Self,
        input: &mut Input,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Self::Http2(stream) = to else { return self.poll_fill(input, Size::Relay, cx) };
        let filled = self.poll_fill(input, stream.step(), cx);
        if input.is_empty() {
            stream.has_nothing();
        }
        filled
    }

    /// Writes all parts, as they are. The time limit counts from the last byte that the peer took.
    pub(crate) async fn write_all(
        &self,
        parts: &mut [IoSlice<'_>],
        deadline: &mut Deadline,
        pause: Duration,
    ) -> Result<(), WriteStop> {
        match self {
            Self::Http1(socket) => socket.write_all(parts, deadline, pause).await,
            Self::Http2(stream) => {
                for part in parts {
                    Box::pin(stream.send(part, None, deadline, pause)).await?;
                }
                Ok(())
            }
        }
    }

    /// Sends a whole request to an endpoint, its head written as HTTP/1 has it.
    pub(crate) async fn ask(
        &self,
        head: &[u8],
        body: &[u8],
        deadline: &mut Deadline,
        pause: Duration,
    ) -> Result<(), WriteStop> {
        match self {
            Self::Http1(socket) if body.is_empty() => {
                socket.write_all(&mut [IoSlice::new(head)], deadline, pause).await
            }
            Self::Http1(socket) => {
                socket.write_all(&mut [IoSlice::new(head), IoSlice::new(body)], deadline, pause).await
            }
            Self::Http2(stream) if body.is_empty() => stream.ask(head, true),
            Self::Http2(stream) => {
                stream.ask(head, false)?;
                Box::pin(stream.send(body, Some(HeaderMap::new()), deadline, pause)).await
            }
        }
    }

    /// Whether the endpoint has let us know that it did nothing with the request.
    pub(crate) fn was_refused(&self) -> bool {
        matches!(self, Self::Http2(stream) if stream.was_refused())
    }

    /// Sends a response of ours, written as HTTP/1 has it.
    pub(crate) async fn answer(
        &self,
        response: &[u8],
        deadline: &mut Deadline,
        pause: Duration,
    ) -> Result<(), WriteStop> {
        match self {
            Self::Http1(socket) => socket.write_all(&mut [IoSlice::new(response)], deadline, pause).await,
            Self::Http2(stream) => Box::pin(stream.answer(response, deadline, pause)).await,
        }
    }

    /// Tells the peer that no more bytes come.
    pub(crate) fn finish_writing(&self) {
        match self {
            Self::Http1(socket) => socket.finish_writing(),
            Self::Http2(stream) => stream.finish_writing(),
        }
    }

    /// Says goodbye before the connection is dropped. A stream has its own end.
    pub(crate) fn part(&self) {
        if let Self::Http1(socket) = self {
            socket.part();
        }
    }

    /// Has the runtime know the socket; streams are known by their connection.
    pub(crate) fn register(&self) -> io::Result<()> {
        match self {
            Self::Http1(socket) => socket.register(),
            Self::Http2(_) => Ok(()),
        }
    }

    /// Whether nothing has arrived since the last read.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self, Self::Http1(socket) if socket.is_quiet())
    }

    /// The local address in text, for requests that name no host; those of HTTP/2 do.
    pub(crate) fn local_text(&self) -> String {
        self.local_address().map_or_else(|| "localhost".to_owned(), |address| address.to_string())
    }

    /// The local address of a connection; `None` of a stream, and of a Unix socket.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Http1(socket) => socket.local_address(),
            Self::Http2(_) => None,
        }
    }

    /// The runtime does not know the socket.
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(self, Self::Http1(socket) if socket.is_fresh())
    }

    /// Ready once the peer has gone, as far as `watch` says. A stream that is given up is reset.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>, watch: &mut Watch) -> Poll<()> {
        match self {
            Self::Http1(socket) => socket.poll_gone(cx, watch),
            Self::Http2(stream) => stream.poll_reset(cx),
        }
    }
}
