//! Opens connections to endpoints, and shakes hands where the pool speaks TLS.

use crate::account::Ending;
use crate::deadline::Deadline;
use crate::endpoint::transparent::come_from;
use crate::socket::Socket;
use crate::tls::endpoint::EndpointTls;
use crate::tls::fault;
use crate::tls::session::Session;
use bascule_decide::table::Target;
use socket2::{Domain, Protocol, SockAddr, Type};
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::task::Poll;
use std::time::Duration;

/// How a connection could not be had.
#[derive(Debug)]
pub(crate) struct NotConnected {
    pub(crate) ending: Ending,
    /// More than the ending says, where there is more.
    pub(crate) reason: &'static str,
    /// The same in more words, for the operator.
    pub(crate) told: Option<String>,
    /// It says nothing about the endpoint.
    pub(crate) is_ours: bool,
}

impl NotConnected {
    /// There is no more to say than this.
    pub(crate) fn plainly(ending: Ending) -> Self {
        Self { ending, reason: "", told: None, is_ours: false }
    }

    /// It is the client for whom there is none.
    pub(crate) fn for_client(reason: &'static str) -> Self {
        Self { reason, is_ours: true, ..Self::plainly(Ending::EndpointUnreachable) }
    }

    /// As the system says it.
    pub(crate) fn of(error: &io::Error) -> Self {
        Self::plainly(ending_of(error))
    }

    /// The same for another one who waited; the operator is told once.
    pub(crate) fn again(&mut self) -> Self {
        Self { told: self.told.take(), ..*self }
    }
}

/// Connects within `limit`, which includes the TLS handshake, or says how it failed. `first` goes before everything else.
pub(crate) async fn connect(
    target: &Target,
    tls: Option<&EndpointTls>,
    first: Option<&[u8]>,
    deadline: &mut Deadline,
    limit: Duration,
) -> Result<Socket, NotConnected> {
    let (socket, connected) = begin(target, None, false).map_err(|error| NotConnected::of(&error))?;
    // Small messages are not to wait for each other. A Unix socket knows nothing of that.
    socket.hurry();
    finish((socket, connected), target, (tls, first), deadline, limit).await
}

/// Waits for a connect that was begun, sends what goes first, and shakes hands.
pub(crate) async fn finish(
    (mut socket, connected): (Socket, bool),
    target: &Target,
    (tls, first): (Option<&EndpointTls>, Option<&[u8]>),
    deadline: &mut Deadline,
    limit: Duration,
) -> Result<Socket, NotConnected> {
    if connected && tls.is_none() && first.is_none() {
        return Ok(socket);
    }
    deadline.start(limit);
    if !connected {
        poll_fn(|cx| match socket.poll_connected(cx) {
            Poll::Ready(opened) => Poll::Ready(opened.map_err(|error| NotConnected::of(&error))),
            Poll::Pending => deadline.poll(cx).map(|()| Err(NotConnected::plainly(Ending::ConnectTimedOut))),
        })
        .await?;
    }
    if let Some(first) = first {
        socket.send_first(first, true).map_err(|error| NotConnected::of(&error))?;
    }
    if let Some(tls) = tls {
        Box::pin(shake_hands(&mut socket, tls, target, deadline)).await?;
    }
    deadline.clear();
    Ok(socket)
}

async fn shake_hands(
    socket: &mut Socket,
    tls: &EndpointTls,
    target: &Target,
    deadline: &mut Deadline,
) -> Result<(), NotConnected> {
    let session = tls.connect(target).map_err(|error| untrusted(&io::Error::other(error)))?;
    socket.secure(Session::new(session));
    poll_fn(|cx| match socket.poll_handshake(cx) {
        Poll::Ready(shaken) => Poll::Ready(shaken.map_err(|error| untrusted(&error))),
        Poll::Pending => deadline.poll(cx).map(|()| Err(NotConnected::plainly(Ending::ConnectTimedOut))),
    })
    .await
}

fn untrusted(error: &io::Error) -> NotConnected {
    let (reason, told) = (fault::of_endpoint(error), Some(fault::in_words(error)));
    NotConnected { reason, told, ..NotConnected::plainly(Ending::EndpointTlsFailed) }
}

/// Begins to connect; true when that has succeeded already, as it does with Unix sockets.
///
/// `client`: the connection comes from its address, where the target has one.
/// `speaks`: there is something to say at once, which then tells the peer that the connection stands. Otherwise that takes a
/// packet of its own.
pub(crate) fn begin(target: &Target, client: Option<IpAddr>, speaks: bool) -> io::Result<(Socket, bool)> {
    let (domain, protocol, address) = match target {
        Target::Tcp(address) => {
            (Domain::for_address(*address), Some(Protocol::TCP), SockAddr::from(*address))
        }
        Target::Unix(path) => (Domain::UNIX, None, SockAddr::unix(path)?),
    };
    let socket = socket2::Socket::new(domain, Type::STREAM.nonblocking(), protocol)?;
    if let (Some(client), Target::Tcp(endpoint)) = (client, target) {
        come_from(&socket, client, endpoint.ip())?;
    }
    if speaks && protocol.is_some() {
        socket.set_tcp_quickack(false)?;
    }
    let connected = match socket.connect(&address) {
        Ok(()) => true,
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => false,
        Err(error) => return Err(error),
    };
    Ok((Socket::new(socket), connected))
}

fn ending_of(error: &io::Error) -> Ending {
    match error.kind() {
        // A Unix socket whose backlog is full says that it would block.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::WouldBlock => Ending::EndpointRefused,
        io::ErrorKind::TimedOut => Ending::ConnectTimedOut,
        _ => Ending::EndpointUnreachable,
    }
}
