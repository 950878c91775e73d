//! Accepts connections and gives each a task of its own.

use crate::client::bind::{Bound, Held};
use crate::client::connection::{Arrival, Connection, Peer};
use crate::deadline::Deadline;
use crate::flow;
use crate::socket::Socket;
use crate::stream::watch;
use crate::tls::fault::Fault;
use crate::udp::drops::DatagramCounters;
use crate::worker::Worker;
use bascule_contract::event::What;
use bascule_contract::flows::Carries;
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How long accepting rests when the process or the listener is full.
const PAUSE: Duration = Duration::from_millis(20);

/// What all threads count about one listener.
#[derive(Debug, Default)]
pub(crate) struct ListenerCounters {
    pub(crate) accepted: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) in_flight: AtomicU64,
    pub(crate) tunnels: AtomicU64,
    pub(crate) flows: AtomicU64,
    pub(crate) datagrams: DatagramCounters,
    pub(crate) turned_away: AtomicU64,
    pub(crate) refused_proxy_headers: AtomicU64,
    pub(crate) handshakes: AtomicU64,
    pub(crate) resumed: AtomicU64,
    pub(crate) failed_handshakes: [AtomicU64; Fault::WORDS.len()],
    /// Open connections by client, while the listener limits them.
    clients: Mutex<HashMap<IpAddr, u32>>,
}

/// A client's place among the connections that it may have, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Seat {
    counters: Arc<ListenerCounters>,
    client: IpAddr,
}

impl Seat {
    /// The client's seat where the listener limits them; `None` when it has no more.
    #[allow(clippy::option_option, reason = "no seat is needed, or none is left: two things")]
    pub(crate) fn of(worker: &Worker, acceptor: &Acceptor, peer: &Peer) -> Option<Option<Self>> {
        let table = worker.table();
        let limit = acceptor
            .place(table.table())
            .and_then(|place| table.table().listeners[place].limits.connections_per_client);
        let (Some(limit), Some(client)) = (limit, peer.ip) else { return Some(None) };
        Self::take(&acceptor.counters.borrow(), client, limit).map(Some)
    }

    /// `None` when the client has `limit` connections already.
    fn take(counters: &Arc<ListenerCounters>, client: IpAddr, limit: u32) -> Option<Self> {
        let mut clients = counters.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let open = clients.entry(client).or_insert(0);
        if *open >= limit {
            return None;
        }
        *open += 1;
        Some(Self { counters: Arc::clone(counters), client })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut clients = self.counters.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = clients.get_mut(&self.client) {
            *open -= 1;
            if *open == 0 {
                clients.remove(&self.client);
            }
        }
    }
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

    /// Wakes the task when the acceptor closes.
    pub(crate) fn wake_when_closing(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    pub(crate) fn close(&self) {
        self.closing.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// A listening socket that the runtime watches.
struct Listening {
    socket: AsyncFd<OwnedFd>,
    /// Its peers are on this machine and have no address.
    is_unix: bool,
}

impl Listening {
    fn new(bound: Bound) -> io::Result<Self> {
        let is_unix = matches!(bound, Bound::Unix(_));
        Ok(Self { socket: watch(bound.into(), Interest::READABLE)?, is_unix })
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Peer)>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(cx))?;
            match self.accept() {
                Err(Errno::AGAIN) => ready.clear_ready(),
                accepted => return Poll::Ready(accepted.map_err(io::Error::from)),
            }
        }
    }

    fn accept(&self) -> Result<(Socket, Peer), Errno> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (socket, address) = acceptfrom_with(&self.socket, flags)?;
        let peer = if self.is_unix {
            Peer::unix()
        } else {
            // Without an address nothing can be said about trust: as good as gone.
            let address = address.ok_or(Errno::CONNABORTED)?;
            Peer::tcp(SocketAddr::try_from(address).map_err(|_| Errno::CONNABORTED)?)
        };
        Ok((Socket::new(socket), peer))
    }
}

/// Accepts until the acceptor closes, then takes what already waits in the backlog, so that no handshake is lost.
///
/// `_held` says for as long as this runs that the port is ours.
pub(crate) async fn accept(worker: Rc<Worker>, acceptor: Rc<Acceptor>, bound: Bound, _held: Arc<Held>) {
    let Ok(listening) = Listening::new(bound) else { return };
    let mut paused = false;
    loop {
        let reason = match next(&acceptor, &listening, paused).await {
            Next::Closed => return,
            Next::Accepted(socket, peer) => {
                match seat(&worker, &acceptor, &peer) {
                    Some(seat) => {
                        let (worker, acceptor) = (Rc::clone(&worker), Rc::clone(&acceptor));
                        welcome(worker, acceptor, socket, peer, seat);
                    }
                    // Closed at once: one client is not to take everybody's connections.
                    None => drop(acceptor.counters.borrow().turned_away.fetch_add(1, Relaxed)),
                }
                match worker.is_full(&acceptor) {
                    Some(reason) => reason.to_owned(),
                    None => {
                        resume(&worker, &acceptor, &mut paused);
                        continue;
                    }
                }
            }
            Next::Nobody => {
                resume(&worker, &acceptor, &mut paused);
                continue;
            }
            // The client gave up while it waited.
            Next::Failed(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Next::Failed(error) => error.to_string(),
        };
        if !std::mem::replace(&mut paused, true) {
            worker.event(What::AcceptPaused { listener: acceptor.listener.borrow().to_string(), reason });
        }
        tokio::time::sleep(PAUSE).await;
        while worker.is_full(&acceptor).is_some() && !acceptor.closing.get() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Gives a connection to a task of its own: that of its listener's kind.
fn welcome(worker: Rc<Worker>, acceptor: Rc<Acceptor>, socket: Socket, peer: Peer, seat: Option<Seat>) {
    let table = worker.table();
    let place = acceptor.place(table.table());
    let arrival = Arrival::new(&worker, &acceptor, seat);
    let listener = place.map(|place| &table.table().listeners[place]);
    if listener.is_some_and(|it| it.carries == Carries::Tcp || !it.flows.passthrough.is_empty()) {
        return flow::welcome(worker, acceptor, socket, peer, arrival);
    }
    let mut connection = Connection::new(worker, acceptor, socket, peer, arrival);
    tokio::task::spawn_local(async move { connection.serve().await });
}

/// The seat of a client that has come itself; one that is passed on is not known yet.
#[allow(clippy::option_option, reason = "as of `Seat::of`")]
fn seat(worker: &Worker, acceptor: &Acceptor, peer: &Peer) -> Option<Option<Seat>> {
    let table = worker.table();
    let place = acceptor.place(table.table());
    if place.is_some_and(|place| peer.announces(&table.table().listeners[place])) {
        return Some(None);
    }
    Seat::of(worker, acceptor, peer)
}

enum Next {
    Accepted(Socket, Peer),
    Failed(io::Error),
    /// Nobody came for a while.
    Nobody,
    Closed,
}

/// Waits for the next connection; after a pause not for long, so that the end of the pause is told.
async fn next(acceptor: &Acceptor, listening: &Listening, paused: bool) -> Next {
    let mut patience = Deadline::default();
    if paused {
        patience.start(PAUSE * 10);
    }
    poll_fn(|cx| match listening.poll_accept(cx) {
        Poll::Ready(Ok((socket, peer))) => Poll::Ready(Next::Accepted(socket, peer)),
        Poll::Ready(Err(error)) => Poll::Ready(Next::Failed(error)),
        Poll::Pending if acceptor.closing.get() => Poll::Ready(Next::Closed),
        Poll::Pending => {
            *acceptor.waker.borrow_mut() = Some(cx.waker().clone());
            patience.poll(cx).map(|()| Next::Nobody)
        }
    })
    .await
}

/// Says that the pause is over once there is room to spare: a listener that is all but full would say so all the time.
fn resume(worker: &Worker, acceptor: &Acceptor, paused: &mut bool) {
    if *paused && worker.has_room(acceptor) {
        *paused = false;
        worker.event(What::AcceptResumed { listener: acceptor.listener.borrow().to_string() });
    }
}
