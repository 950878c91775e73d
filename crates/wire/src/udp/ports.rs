//! The sockets to endpoints: one for each flow, told apart by their ports, and watched together.
//!
//! A socket is connected, so the system drops what anybody but its endpoint sends to it, and tells when the endpoint's port
//! is closed. One that is used again gets another port, at the system's random choice: what comes late for its former
//! user reaches nobody, and a port cannot be guessed from those before (RFC 5452, 9.2).

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
use std::net::SocketAddr;
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

struct Port {
    socket: OwnedFd,
    peer: SocketAddr,
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
    pub(crate) fn open(&mut self, peer: SocketAddr, bulk: bool) -> io::Result<PortId> {
        let socket = Socket::new(Domain::for_address(peer), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        socket.connect(&SockAddr::from(peer))?;
        if bulk {
            // The system may give less; it says so nowhere.
            let _ = socket.set_recv_buffer_size(BULK_BYTES);
            tell_more(&socket, false, false, true);
        }
        let entry = self.sockets.vacant_entry();
        let id = PortId(u32::try_from(entry.key()).map_err(io::Error::other)?);
        let data = EventData::new_u64(id.0.into());
        epoll::add(&self.epoll, &socket, data, EventFlags::IN | EventFlags::ET)?;
        entry.insert(Port { socket: socket.into(), peer, flow: None });
        self.worker.shared.clients.fetch_add(1, Relaxed);
        Ok(id)
    }

    /// Has a socket lead to this endpoint, with nothing left of what came for its former user. It is closed when that
    /// fails.
    pub(crate) fn redirect(&mut self, id: PortId, peer: SocketAddr, bulk: bool) -> io::Result<PortId> {
        let port = &mut self.sockets[id.0 as usize];
        if port.peer.is_ipv4() != peer.is_ipv4() {
            self.close(id);
            return self.open(peer, bulk);
        }
        port.flow = None;
        let done = disconnect(&port.socket)
            .and_then(|()| empty(&port.socket))
            .and_then(|()| rustix::net::connect(&port.socket, &peer));
        match done {
            Ok(()) => {
                port.peer = peer;
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

    pub(crate) fn peer(&self, id: PortId) -> SocketAddr {
        self.sockets[id.0 as usize].peer
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
