//! Opens connections to endpoints.

use crate::account::Ending;
use crate::deadline::Deadline;
use crate::socket::Socket;
use bascule_decide::table::Target;
use socket2::{Domain, Protocol, SockAddr, Type};
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

/// Connects within `limit`, or says how it failed.
pub(crate) async fn connect(
    target: &Target,
    deadline: &mut Deadline,
    limit: Duration,
) -> Result<Socket, Ending> {
    let (socket, connected) = begin(target).map_err(|error| ending_of(&error))?;
    if connected {
        return Ok(socket);
    }
    deadline.start(limit);
    let opened = poll_fn(|cx| match socket.poll_connected(cx) {
        Poll::Ready(opened) => Poll::Ready(opened.map_err(|error| ending_of(&error))),
        Poll::Pending => deadline.poll(cx).map(|()| Err(Ending::ConnectTimedOut)),
    })
    .await;
    deadline.clear();
    opened.map(|()| socket)
}

/// Begins to connect; true when that has succeeded already, as it does on one machine.
fn begin(target: &Target) -> io::Result<(Socket, bool)> {
    let (domain, protocol, address) = match target {
        Target::Tcp(address) => {
            (Domain::for_address(*address), Some(Protocol::TCP), SockAddr::from(*address))
        }
        Target::Unix(path) => (Domain::UNIX, None, SockAddr::unix(path)?),
    };
    let socket = socket2::Socket::new(domain, Type::STREAM.nonblocking(), protocol)?;
    if protocol.is_some() {
        socket.set_tcp_nodelay(true)?;
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
