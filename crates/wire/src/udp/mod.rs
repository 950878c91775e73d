//! The life of a datagram, and of the flow that it belongs to, top to bottom.
//!
//! | stage | file |
//! |---|---|
//! | 1 datagrams come, many at a time, each from a client to an address of ours | here, `batch.rs` |
//! | 2 each belongs to a flow; a new one gets a route and an endpoint | `conversations.rs`, `flow.rs` |
//! | 3 it leaves by the flow's own socket | `ports.rs` |
//! | 4 answers come by that socket, and leave together for their clients | `conversations.rs`, `batch.rs` |
//! | 5 all answers have come, or nothing comes for too long: the flow is counted | `ends.rs`, `flow.rs`, `drops.rs` |
//!
//! What is known of flows, and which one ends, is decided in `decide/datagrams`.
//!
//! Nothing leaves that was not sent by the other side: each answer goes to the one address that its flow is with, and we
//! say nothing of our own. What a flood from invented addresses can take is the table's size.

pub(crate) mod batch;
mod conversations;
pub(crate) mod drops;
mod ends;
mod flow;
mod kept;
mod message;
mod ports;

use crate::account::Ending;
use crate::client::accept::Acceptor;
use crate::client::bind::Held;
use crate::deadline::Deadline;
use crate::stream::watch;
use crate::udp::batch::{Batch, PLACES};
use crate::udp::conversations::Conversations;
use crate::udp::message::tell_more;
use crate::worker::Worker;
use rustix::io::Errno;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What waits while the thread does something else: a socket's usual room holds some 250 small datagrams.
const RECEIVE_BYTES: usize = 4 * 1024 * 1024;
/// How often flows are looked through for endpoints that are down or drain, while there are flows.
const LOOK: Duration = Duration::from_secs(1);
/// Batches that are carried before it is another task's turn.
const ROUNDS: u32 = 16;
/// Expired flows that are ended at a time.
const EXPIRED: usize = 512;

/// Has a socket that is about to be bound say where datagrams are sent to, and keep more of them.
pub(crate) fn prepare(socket: &socket2::Socket, address: SocketAddr) {
    // The system may give less; it says so nowhere.
    let _ = socket.set_recv_buffer_size(RECEIVE_BYTES);
    tell_more(socket, address.ip().is_unspecified(), address.is_ipv6(), true);
}

/// Carries the datagrams of one socket until its acceptor closes. `_held` says for as long as this runs that the port is
/// ours.
pub(crate) async fn carry(worker: &Rc<Worker>, acceptor: Rc<Acceptor>, socket: UdpSocket, _held: Arc<Held>) {
    worker.carriers.set(worker.carriers.get() + 1);
    if let Ok(mut carrier) = Carrier::new(worker, acceptor, socket) {
        poll_fn(|cx| carrier.poll(cx)).await;
    }
    worker.carriers.set(worker.carriers.get() - 1);
}

/// One socket of a listener with its flows.
struct Carrier {
    worker: Rc<Worker>,
    acceptor: Rc<Acceptor>,
    socket: AsyncFd<OwnedFd>,
    conversations: Conversations,
    alarm: Deadline,
}

impl Carrier {
    fn new(worker: &Rc<Worker>, acceptor: Rc<Acceptor>, socket: UdpSocket) -> io::Result<Self> {
        let bound = socket.local_addr()?;
        let conversations = Conversations::new(worker, &acceptor, bound.ip())?;
        Ok(Self {
            worker: Rc::clone(worker),
            acceptor,
            socket: watch(socket.into(), Interest::READABLE)?,
            conversations,
            alarm: Deadline::default(),
        })
    }

    /// Ready when there is nothing more to carry.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // One for all sockets of the thread: nothing stays in it between two polls.
        let mut batch = self.worker.batch.take().unwrap_or_default();
        for round in 0.. {
            if !(self.poll_clients(cx, &mut batch) | self.poll_endpoints(cx, &mut batch)) {
                break;
            }
            self.conversations.tell();
            if round == ROUNDS {
                // Others go first.
                cx.waker().wake_by_ref();
                break;
            }
        }
        self.worker.batch.set(Some(batch));
        if self.acceptor.closing.get() {
            self.conversations.close();
        } else {
            self.acceptor.wake_when_closing(cx);
        }
        self.poll_alarm(cx);
        if self.conversations.has_closed() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Datagrams of clients go to their endpoints. False when there are none; then the task is woken for the next.
    fn poll_clients(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> bool {
        let Poll::Ready(Ok(mut ready)) = self.socket.poll_read_ready(cx) else { return false };
        batch.clear();
        match batch.receive(self.socket.get_ref(), PLACES, true) {
            Ok(places) => {
                if places.len() < PLACES {
                    ready.clear_ready();
                }
                let now = self.worker.now();
                let trains = batch.gather(places);
                trains.iter().for_each(|place| self.conversations.hear(batch.at(*place), now));
                batch.gathered(trains);
            }
            Err(Errno::AGAIN) => ready.clear_ready(),
            // Somebody else's word about a datagram that was sent before.
            Err(_) => {}
        }
        true
    }

    /// Answers of endpoints go to their clients. False when there are none.
    fn poll_endpoints(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> bool {
        self.conversations.poll_answers(cx, batch, self.socket.get_ref())
    }

    /// Ends what has expired, and winds the alarm up for what expires next.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) {
        loop {
            let now = self.worker.now();
            if self.conversations.expire(EXPIRED, LOOK, now) {
                // There are more: others go first.
                return cx.waker().wake_by_ref();
            }
            let Some(next) = self.conversations.next_look(LOOK) else { return self.alarm.clear() };
            self.alarm.set(self.worker.instant(next));
            if self.alarm.poll(cx).is_pending() {
                return;
            }
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        // Nothing is left unless the grace of a stop has ended.
        self.conversations.end_all(Ending::CutByStop);
    }
}
