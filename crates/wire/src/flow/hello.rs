//! Stage 1: what the client's TLS hello says, where a route goes by it. The hello is looked at and stays unread: whoever
//! reads next has all of it.

use crate::account::Ending;
use crate::client::announced::Spoken;
use crate::deadline::Deadline;
use crate::socket::Socket;
use bascule_decide::client_hello::{self, MAX_BYTES, Reading};
use rustls::Connection as Tls;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use tokio::time::Instant;

/// Room for the hello of any browser; it grows for those that need more.
const USUAL: usize = 4 * 1024;

/// What is known of what a client asks for.
#[derive(Debug, Default)]
pub(crate) struct Hello {
    server_name: Option<Box<str>>,
    alpn: Vec<Box<[u8]>>,
    /// It speaks TLS, to us or through us.
    is_tls: bool,
    /// What it has agreed on with us.
    protocol: Option<Box<[u8]>>,
}

/// What came of looking.
#[derive(Debug)]
pub(crate) enum Seen {
    /// A hello that says this.
    Hello(Hello),
    /// No TLS, or nothing for too long: only routes that do not ask can take it.
    Nothing,
    /// A hello that two readers could understand in two ways.
    Refused(&'static str),
}

impl Hello {
    /// In lower case, without a dot at its end.
    pub(crate) fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    pub(crate) fn alpn(&self) -> Vec<&[u8]> {
        self.alpn.iter().map(|protocol| &**protocol).collect()
    }

    fn of(hello: &client_hello::Hello<'_>) -> Self {
        let name = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into();
        Self {
            server_name: hello.server_name().map(name),
            alpn: hello.alpn().map(Into::into).collect(),
            is_tls: true,
            protocol: None,
        }
    }

    /// Takes over what a handshake with us has told.
    pub(crate) fn has_shaken_hands(&mut self, socket: &Socket) {
        self.is_tls = true;
        socket.with_session(|session| {
            self.protocol = session.alpn().map(Into::into);
            if let Tls::Server(server) = session.connection() {
                self.server_name = server.server_name().map(Into::into);
            }
        });
    }

    /// What is to be told of the client's TLS; `None` where it speaks none.
    pub(crate) fn spoken(&self) -> Option<Spoken<'_>> {
        let server_name = self.server_name.as_deref().map(str::as_bytes);
        self.is_tls.then_some(Spoken { server_name, protocol: self.protocol.as_deref() })
    }
}

/// Looks until the hello is complete, or cannot be one, or `until` has come.
///
/// # Errors
/// The client is gone.
pub(crate) async fn look(client: &Socket, until: Instant) -> Result<Seen, Ending> {
    let (mut bytes, mut seen) = (vec![0; USUAL], 0);
    let mut deadline = Deadline::default();
    deadline.set(until);
    loop {
        let peeked = poll_fn(|cx| match client.poll_peek(cx, &mut bytes, seen) {
            Poll::Ready(peeked) => Poll::Ready(Some(peeked)),
            Poll::Pending => deadline.poll(cx).map(|()| None),
        });
        let count = match peeked.await {
            None => return Ok(Seen::Nothing),
            Some(peeked) => peeked.map_err(|_: io::Error| Ending::ClientAborted)?,
        };
        match client_hello::read(&bytes[..count]) {
            Reading::Hello(hello) => return Ok(Seen::Hello(Hello::of(&hello))),
            Reading::NotTls => return Ok(Seen::Nothing),
            Reading::Refused(why) => return Ok(Seen::Refused(why.reason())),
            // No more can come, or none that would fit.
            Reading::NeedMore if count <= seen || bytes.len() >= MAX_BYTES => return Ok(Seen::Nothing),
            Reading::NeedMore if count == bytes.len() => bytes.resize((count * 4).min(MAX_BYTES), 0),
            Reading::NeedMore => seen = count,
        }
    }
}
