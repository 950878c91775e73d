//! Accepts connections and gives each a task of its own.

use crate::client::connection::{Connection, Peer};
use crate::socket::{Socket, Stream};
use crate::worker::Worker;
use bascule_contract::event::What;
use bascule_contract::snapshot::Bind;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, SockAddr, Type};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixListener;

const BACKLOG: i32 = 4096;
/// How long accepting rests when the process or the listener is full.
const PAUSE: Duration = Duration::from_millis(20);

/// What all threads count about one listener.
#[derive(Debug, Default)]
pub(crate) struct ListenerCounters {
    pub(crate) accepted: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) in_flight: AtomicU64,
}

/// One bind of one thread. Connections hold it to know which listener they belong to, also after a reload.
#[derive(Debug)]
pub(crate) struct Acceptor {
    pub(crate) listener: RefCell<Arc<str>>,
    pub(crate) counters: RefCell<Arc<ListenerCounters>>,
    /// The bind is gone: no new connections, and none of the old ones stays for another request.
    pub(crate) closing: Cell<bool>,
    /// Where the listener stands in the table of a generation.
    place: Cell<(u64, Option<usize>)>,
    waker: RefCell<Option<Waker>>,
}

impl Acceptor {
    pub(crate) fn new(listener: Arc<str>, counters: Arc<ListenerCounters>) -> Self {
        let place = Cell::new((u64::MAX, None));
        Self {
            listener: RefCell::new(listener),
            counters: RefCell::new(counters),
            closing: Cell::new(false),
            place,
            waker: RefCell::default(),
        }
    }

    /// The position of the listener in `table`, looked up once per generation.
    pub(crate) fn place(&self, table: &bascule_decide::table::Table) -> Option<usize> {
        let (generation, place) = self.place.get();
        if generation == table.generation {
            return place;
        }
        let place = table.listener(&self.listener.borrow());
        self.place.set((table.generation, place));
        place
    }

    /// The bind belongs to another listener now.
    pub(crate) fn rename(&self, listener: Arc<str>, counters: Arc<ListenerCounters>) {
        *self.listener.borrow_mut() = listener;
        *self.counters.borrow_mut() = counters;
        self.place.set((u64::MAX, None));
    }

    pub(crate) fn close(&self) {
        self.closing.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// A bound socket, not yet in any runtime.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Bound {
    /// Binds one socket for each thread, all or none. TCP sockets share the address (`SO_REUSEPORT`), the kernel spreads connections over them.
    pub(crate) fn bind(bind: &Bind, threads: usize) -> io::Result<Vec<Self>> {
        match bind {
            Bind::Tcp { address } => {
                let asked: SocketAddr = address.parse().map_err(|_| {
                    io::Error::new(io::ErrorKind::InvalidInput, format!("{address} is not ip:port"))
                })?;
                let first = bind_first(asked)?;
                // With port 0 the first socket learns the port and the others join it.
                let address = first.local_addr()?;
                let others = (1..threads).map(|_| bind_tcp(address).map(Self::Tcp));
                std::iter::once(Ok(Self::Tcp(first))).chain(others).collect()
            }
            Bind::Unix { path, mode } => {
                let first = bind_unix(path, *mode)?;
                let others = (1..threads)
                    .map(|_| first.try_clone().map(Self::Unix))
                    .collect::<io::Result<Vec<_>>>()?;
                Ok(std::iter::once(Self::Unix(first)).chain(others).collect())
            }
        }
    }

    /// As clients would name it.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map(|address| address.to_string()).unwrap_or_default()
            }
            Self::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                path.map(|path| format!("unix:{}", path.display())).unwrap_or_default()
            }
        }
    }
}

/// The first socket of an address. `SO_REUSEPORT` would let a second balancer join in silently and take half of
/// the traffic, so it is asked for only once a plain bind has shown that the address is free.
fn bind_first(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let address = match tcp_socket(address) {
        // A machine without IPv6: `[::]` then means every address that there is.
        Err(error) if address.ip().is_unspecified() && is_unsupported(&error) => {
            SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, address.port()))
        }
        Err(error) => return Err(error),
        Ok(probe) => {
            probe.bind(&SockAddr::from(address))?;
            address
        }
    };
    bind_tcp(address)
}

fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn bind_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = tcp_socket(address)?;
    socket.set_reuse_port(true)?;
    // Accepted sockets inherit this on Linux: one system call less for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn tcp_socket(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]` takes IPv4 too, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

/// A socket file that nobody listens on is replaced; one in use is an error.
fn bind_unix(path: &str, mode: u32) -> io::Result<std::os::unix::net::UnixListener> {
    use std::os::unix::net::{UnixListener, UnixStream};
    let stale = std::fs::metadata(path).is_ok()
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if stale {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

enum Listening {
    Tcp(AsyncFd<std::net::TcpListener>),
    Unix(UnixListener),
}

impl Listening {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Peer)>> {
        match self {
            Self::Tcp(listener) => {
                while let Poll::Ready(ready) = listener.poll_read_ready(cx) {
                    if let Ok(accepted) = ready?.try_io(|listener| accept_tcp(listener.get_ref())) {
                        return Poll::Ready(accepted);
                    }
                }
                Poll::Pending
            }
            Self::Unix(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, _)| (Socket::new(Stream::Unix(stream)), Peer::unix())),
        }
    }
}

/// Accepts without telling the runtime yet: see [`Stream::Fresh`].
fn accept_tcp(listener: &std::net::TcpListener) -> io::Result<(Socket, Peer)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (socket, address) = acceptfrom_with(listener, flags)?;
    let address = address.ok_or(io::ErrorKind::ConnectionAborted)?;
    let address = SocketAddr::try_from(address).map_err(|_| io::ErrorKind::ConnectionAborted)?;
    Ok((Socket::new(Stream::Fresh(socket.into())), Peer::tcp(address)))
}

/// Accepts until the acceptor closes, then takes what already waits in the backlog, so that no handshake is lost.
pub(crate) async fn accept(worker: Rc<Worker>, acceptor: Rc<Acceptor>, bound: Bound) {
    let listening = match bound {
        Bound::Tcp(listener) => watch(listener).map(Listening::Tcp),
        Bound::Unix(listener) => UnixListener::from_std(listener).map(Listening::Unix),
    };
    let Ok(listening) = listening else { return };
    let mut paused = false;
    loop {
        let reason = match next(&acceptor, &listening).await {
            None => return,
            Some(Ok((socket, peer))) => {
                worker.welcome(Connection::new(Rc::clone(&worker), Rc::clone(&acceptor), socket, peer));
                if !worker.is_full(&acceptor) {
                    resume(&worker, &acceptor, &mut paused);
                    continue;
                }
                "the limit of open connections is reached".to_owned()
            }
            // The client gave up while it waited.
            Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Some(Err(error)) => error.to_string(),
        };
        if !paused {
            paused = true;
            worker.event(What::AcceptPaused { listener: acceptor.listener.borrow().to_string(), reason });
        }
        loop {
            tokio::time::sleep(PAUSE).await;
            if acceptor.closing.get() || !worker.is_full(&acceptor) {
                break;
            }
        }
    }
}

#[allow(unsafe_code)]
fn watch(listener: std::net::TcpListener) -> io::Result<AsyncFd<std::net::TcpListener>> {
    // SAFETY: a `TcpListener` owns its descriptor and always names the same one, and nobody takes it out of the `AsyncFd`.
    let watched = unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) };
    watched.map_err(|error| io::Error::other(error.to_string()))
}

async fn next(acceptor: &Acceptor, listening: &Listening) -> Option<io::Result<(Socket, Peer)>> {
    poll_fn(|cx| match listening.poll_accept(cx) {
        Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
        Poll::Pending if acceptor.closing.get() => Poll::Ready(None),
        Poll::Pending => {
            *acceptor.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        }
    })
    .await
}

fn resume(worker: &Worker, acceptor: &Acceptor, paused: &mut bool) {
    if std::mem::take(paused) {
        worker.event(What::AcceptResumed { listener: acceptor.listener.borrow().to_string() });
    }
}
