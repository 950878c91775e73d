//! The sockets to endpoints: one for each flow, told apart by their ports, and watched together.
//!
//! A socket is connected, so the system drops what anybody but its endpoint sends to it, and tells when the endpoint's port
//! is closed. One that is used again gets another port, at the system's random choice: what comes late for its former
//! user reaches nobody, and a port cannot be guessed from those before (RFC 5452, 9.2).

use crate::endpoint::transparent::come_from;
use crate::stream::watch;
use crate::udp::message::{disconnect, tell_more};
use crate::worker::Worker;
use bascule_decide::datagrams::table::FlowId;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use slab::Slab;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Events taken at a time.
const EVENTS: usize = 256;

/// Room for what comes at a time: memory is taken only as it is used.
const BULK_BYTES: usize = 1024 * 1024;

/// A socket of [`Ports`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortId(u32);

/// The sockets of one listener's thread.
pub(crate) struct Ports {
    worker: Rc<Worker>,
    /// Readable when a socket has something.
    epoll: AsyncFd<OwnedFd>,
    sockets: Slab<Port>,
    events: Vec<Event>,
}

/// Between whom a socket carries datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) endpoint: SocketAddr,
    /// The client, where the endpoint is to see its address.
    pub(crate) client: Option<IpAddr>,
}

struct Port {
    socket: OwnedFd,
    ends: Ends,
    flow: Option<FlowId>,
}

impl Ports {
    pub(crate) fn new(worker: &Rc<Worker>) -> io::Result<Self> {
        Ok(Self {
            worker: Rc::clone(worker),
            epoll: watch(epoll::create(CreateFlags::CLOEXEC)?, Interest::READABLE)?,
            sockets: Slab::new(),
            events: Vec::with_capacity(EVENTS),
        })
    }

    /// Opens a socket to an endpoint. `bulk`: more than an answer or two may come at a time.
    pub(crate) fn open(&mut self, ends: Ends, bulk: bool) -> io::Result<PortId> {
        let Ends { endpoint, client } = ends;
        let domain = Domain::for_address(endpoint);
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        if let Some(client) = client {
            come_from(&socket, client, endpoint.ip())?;
        }
        socket.connect(&SockAddr::from(endpoint))?;
        if bulk {
            // The system may give less; it says so nowhere.
            let _ = socket.set_recv_buffer_size(BULK_BYTES);
            tell_more(&socket, false, false, true);
        }
        let entry = self.sockets.vacant_entry();
        let id = PortId(u32::try_from(entry.key()).map_err(io::Error::other)?);
        let data = EventData::new_u64(id.0.into());
        epoll::add(&self.epoll, &socket, data, EventFlags::IN | EventFlags::ET)?;
        entry.insert(Port { socket: socket.into(), ends, flow: None });
        self.worker.shared.clients.fetch_add(1, Relaxed);
        Ok(id)
    }

    /// Has a socket lead to this endpoint, with nothing left of what came for its former user. It is closed when that
    /// fails.
    pub(crate) fn redirect(&mut self, id: PortId, ends: Ends, bulk: bool) -> io::Result<PortId> {
        let port = &mut self.sockets[id.0 as usize];
        // One that comes from a client's address keeps it.
        let is_bound = port.ends.client.is_some() || ends.client.is_some();
        if is_bound || port.ends.endpoint.is_ipv4() != ends.endpoint.is_ipv4() {
            self.close(id);
            return self.open(ends, bulk);
        }
        port.flow = None;
        let done = disconnect(&port.socket)
            .and_then(|()| empty(&port.socket))
            .and_then(|()| rustix::net::connect(&port.socket, &ends.endpoint));
        match done {
            Ok(()) => {
                port.ends = ends;
                Ok(id)
            }
            Err(error) => {
                self.close(id);
                Err(error.into())
            }
        }
    }

    pub(crate) fn close(&mut self, id: PortId) {
        self.sockets.remove(id.0 as usize);
        self.worker.shared.clients.fetch_sub(1, Relaxed);
    }

    pub(crate) fn ends(&self, id: PortId) -> Ends {
        self.sockets[id.0 as usize].ends
    }

    pub(crate) fn socket(&self, id: PortId) -> BorrowedFd<'_> {
        self.sockets[id.0 as usize].socket.as_fd()
    }

    /// Whose it is.
    pub(crate) fn flow(&self, id: PortId) -> Option<FlowId> {
        self.sockets.get(id.0 as usize)?.flow
    }

    pub(crate) fn belongs_to(&mut self, id: PortId, flow: FlowId) {
        self.sockets[id.0 as usize].flow = Some(flow);
    }

    /// Adds the sockets that have something to `found`. False when there are none; then the task is woken for the next.
    pub(crate) fn poll_look(&mut self, cx: &mut Context<'_>, found: &mut Vec<PortId>) -> bool {
        let Poll::Ready(Ok(mut ready)) = self.epoll.poll_read_ready(cx) else { return false };
        self.events.clear();
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let room = rustix::buffer::spare_capacity(&mut self.events);
        if epoll::wait(&self.epoll, room, Some(&now)).is_err() {
            self.events.clear();
        }
        if self.events.len() < EVENTS {
            ready.clear_ready();
        }
        // An event of a socket that is closed by now finds none, or another one with nothing to read.
        found.extend(self.events.iter().filter_map(|event| {
            let id = u32::try_from(event.data.u64()).ok()?;
            Some(PortId(id))
        }));
        true
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        self.worker.shared.clients.fetch_sub(self.sockets.len() as u64, Relaxed);
    }
}

/// Drops what a socket has received, and errors that it has learnt of.
fn empty(socket: &OwnedFd) -> Result<(), Errno> {
    loop {
        match recv(socket, &mut [0; 1][..], RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::BADF | Errno::NOTSOCK) => return Err(Errno::BADF),
            _ => {}
        }
    }
}
