//! Opens connections to endpoints.

use crate::account::Ending;
use crate::deadline::Deadline;
use crate::socket::{Socket, Stream};
use bascule_decide::table::Target;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// Connects within `limit`, or says how it failed.
pub(crate) async fn connect(
    target: &Target,
    deadline: &mut Deadline,
    limit: Duration,
) -> Result<Socket, Ending> {
    deadline.start(limit);
    let mut opening = pin!(open(target));
    let opened = poll_fn(|cx| match opening.as_mut().poll(cx) {
        Poll::Ready(opened) => Poll::Ready(opened.map_err(|error| ending_of(&error))),
        Poll::Pending => deadline.poll(cx).map(|()| Err(Ending::ConnectTimedOut)),
    })
    .await;
    deadline.clear();
    opened
}

async fn open(target: &Target) -> io::Result<Socket> {
    match target {
        Target::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Socket::new(Stream::Tcp(stream)))
        }
        Target::Unix(path) => UnixStream::connect(path).await.map(|stream| Socket::new(Stream::Unix(stream))),
    }
}

fn ending_of(error: &io::Error) -> Ending {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Ending::EndpointRefused,
        io::ErrorKind::TimedOut => Ending::ConnectTimedOut,
        _ => Ending::EndpointUnreachable,
    }
}
