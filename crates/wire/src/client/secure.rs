//! Stage 2 where a listener speaks TLS: the handshake, and what it tells about the connection.

use crate::answer::Answer;
use crate::client::accept::Acceptor;
use crate::client::connection::Connection;
use crate::deadline::Deadline;
use crate::side::Side;
use crate::socket::Socket;
use crate::tls::fault::{Fault, in_words};
use crate::tls::server::{CHALLENGE, ServerTls};
use crate::tls::session::Session;
use crate::worker::Worker;
use bascule_contract::event::What;
use bascule_decide::identity::Identity;
use rustls::Connection as Tls;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

/// What is known of a client since its handshake.
#[derive(Debug)]
pub(crate) struct Secure {
    tls: Arc<ServerTls>,
    /// The host that it asked for; lower case.
    server_name: Option<Box<str>>,
    /// It agreed to speak HTTP/2.
    pub(crate) http2: bool,
    /// Whom its certificate names; few show one.
    identity: Option<Box<Identity>>,
}

impl Secure {
    /// Whether the client has taken this connection for one to another host.
    pub(crate) fn is_misdirected(&self, host: &str) -> bool {
        self.server_name.as_deref().is_some_and(|name| self.tls.is_misdirected(name, host))
    }
}

impl Connection {
    /// Whether its listener speaks TLS, now that the connection begins.
    pub(crate) fn speaks_tls(&self) -> bool {
        let table = self.worker.table();
        self.acceptor.place(table.table()).is_some_and(|place| table.secured().listener(place).is_some())
    }

    /// The handshake. False: it failed, which the client has been told if it could be, or was all that was wanted, and
    /// the connection ends.
    pub(crate) async fn shake_hands(&mut self) -> bool {
        let table = self.worker.table();
        let Some(place) = self.acceptor.place(table.table()) else { return false };
        let Some(tls) = table.secured().listener(place).map(Arc::clone) else { return false };
        let limit = Duration::from_millis(table.table().listeners[place].timeouts.head_ms);
        drop(table);
        self.deadline.set(self.idle_since + limit);
        let Self { side: Side::Http1(socket), deadline, .. } = self else { return false };
        let shaken = shake_hands(socket, &tls, deadline).await;
        let Self { side: Side::Http1(socket), worker, acceptor, peer, .. } = self else { return false };
        if let Err(error) = shaken {
            let fault = fault_of(socket, error.as_ref());
            if fault == Fault::PlainHttp {
                socket.say_in_the_clear(&Answer::NotTls.render(&[], true, true));
            }
            count_failure(worker, acceptor, (socket, &peer.text), error.as_ref());
            return false;
        }
        count_success(acceptor, socket);
        let was_a_challenge = is_a_challenge(socket);
        self.know(tls);
        !was_a_challenge
    }

    /// Whom the client's certificate names, if it has shown one.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.secure.as_ref()?.identity.as_deref()
    }

    fn know(&mut self, tls: Arc<ServerTls>) {
        let Side::Http1(socket) = &self.side else { return };
        let http2 = socket.has_agreed_on(b"h2");
        let told = socket.with_session(|session| {
            let server_name = match session.connection() {
                Tls::Server(server) => server.server_name().map(Into::into),
                Tls::Client(_) => None,
            };
            let shown = session.connection().peer_certificates().and_then(|chain| chain.first());
            let identity = shown.map(|certificate| Box::new(Identity::of(certificate)));
            (server_name, identity)
        });
        let (server_name, identity) = told.unwrap_or_default();
        self.secure = Some(Rc::new(Secure { tls, server_name, http2, identity }));
    }
}

/// The handshake with a client, until the deadline.
///
/// # Errors
/// It failed, which the client has been told if it could be; `None`: it took too long.
pub(crate) async fn shake_hands(
    socket: &mut Socket,
    tls: &ServerTls,
    deadline: &mut Deadline,
) -> Result<(), Option<io::Error>> {
    socket.secure(Session::new(tls.accept().map_err(|error| Some(io::Error::other(error)))?));
    poll_fn(|cx| {
        if let Poll::Ready(shaken) = socket.poll_handshake(cx) {
            return Poll::Ready(shaken.map_err(Some));
        }
        deadline.poll(cx).map(|()| Err(None))
    })
    .await
}

/// Whether the client was an authority, which has seen what it came for (RFC 8737, 4).
pub(crate) fn is_a_challenge(socket: &Socket) -> bool {
    socket.has_agreed_on(CHALLENGE)
}

/// Counts a handshake that succeeded.
pub(crate) fn count_success(acceptor: &Acceptor, socket: &Socket) {
    let resumed = socket.with_session(|session| session.is_resumed()).unwrap_or_default();
    let counters = acceptor.counters.borrow();
    counters.handshakes.fetch_add(1, Relaxed);
    counters.resumed.fetch_add(resumed.into(), Relaxed);
}

fn fault_of(socket: &Socket, error: Option<&io::Error>) -> Fault {
    let first = socket.with_session(|session| session.first_byte()).flatten();
    error.map_or(Fault::TimedOut, |error| Fault::of(error, first))
}

/// Counts a handshake that failed, and tells of it. `None`: it took too long.
pub(crate) fn count_failure(
    worker: &Worker,
    acceptor: &Acceptor,
    (socket, client): (&Socket, &str),
    error: Option<&io::Error>,
) {
    let first = socket.with_session(|session| session.first_byte()).flatten();
    let fault = fault_of(socket, error);
    let counters = acceptor.counters.borrow();
    counters.failed_handshakes[fault as usize].fetch_add(1, Relaxed);
    if fault == Fault::Closed && first.is_none() {
        // Somebody looked whether the port is open.
        return;
    }
    worker.event_of_many(|| What::HandshakeFailed {
        listener: acceptor.listener.borrow().to_string(),
        client: client.to_owned(),
        reason: match error {
            _ if fault == Fault::PlainHttp => "it spoke HTTP in the clear".to_owned(),
            Some(error) => in_words(error),
            None => "it took too long".to_owned(),
        },
    });
}
