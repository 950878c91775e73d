//! Two connections as one: bytes go both ways, untouched, until both sides have ended or nothing moved for too long.

use crate::buffers::Input;
use crate::deadline::Deadline;
use crate::forward::Moved;
use crate::side::Side;
use crate::socket::WriteStop;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// How a tunnel came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// Both sides have ended, or one is gone.
    Ended,
    /// Nothing moved.
    Silent,
    /// The thread stops.
    Cut,
}

/// The tunnels of one thread: whatever waits in them, they learn when it stops.
#[derive(Debug, Default)]
pub(crate) struct Tunnels {
    open: RefCell<Slab<Option<Waker>>>,
    cut: Cell<bool>,
}

impl Tunnels {
    /// Ends all of them, so that each can say goodbye.
    pub(crate) fn cut(&self) {
        self.cut.set(true);
        self.open.borrow().iter().filter_map(|(_, waker)| waker.as_ref()).for_each(Waker::wake_by_ref);
    }
}

/// A tunnel among those that are open now, for as long as this lives.
pub(crate) struct Open<'a> {
    counter: &'a AtomicU64,
    tunnels: &'a Tunnels,
    place: usize,
}

impl<'a> Open<'a> {
    pub(crate) fn begin(counter: &'a AtomicU64, tunnels: &'a Tunnels) -> Self {
        counter.fetch_add(1, Relaxed);
        Self { counter, tunnels, place: tunnels.open.borrow_mut().insert(None) }
    }

    /// Whether the tunnel has to end; wakes its task when it has. That is the same one all the time.
    fn is_cut(&self, cx: &Context<'_>) -> bool {
        self.tunnels.open.borrow_mut()[self.place].get_or_insert_with(|| cx.waker().clone());
        self.tunnels.cut.get()
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(1, Relaxed);
        self.tunnels.open.borrow_mut().remove(self.place);
    }
}

/// What both directions of a tunnel know of each other.
struct Course {
    moved: Cell<Instant>,
    /// Directions whose receiver has not taken all yet: the write has a time limit of its own.
    writing: Cell<u32>,
    idle: Duration,
}

/// How one direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The sender has said all, and the receiver knows.
    Whole,
    /// One of the connections is gone.
    Broken,
    /// The receiver took nothing of what waits for it for too long.
    Silent,
}

/// Relays until both directions have ended, one breaks, or `idle` passes without a byte in either. A side that takes
/// nothing of what waits for it has as long.
pub(crate) async fn tunnel(
    client: (&Side, &mut Input),
    endpoint: (&Side, &mut Input),
    idle: Duration,
    moved: &Moved,
    open: &Open<'_>,
) -> Closed {
    let course = Course { moved: Cell::new(Instant::now()), writing: Cell::new(0), idle };
    let mut up = pin!(relay(client.0, client.1, endpoint.0, &moved.received, &course));
    let mut down = pin!(relay(endpoint.0, endpoint.1, client.0, &moved.sent, &course));
    let (mut up_ended, mut down_ended) = (false, false);
    let mut deadline = Deadline::default();
    let closed = |end| if end == End::Silent { Closed::Silent } else { Closed::Ended };
    poll_fn(|cx| {
        if open.is_cut(cx) {
            return Poll::Ready(Closed::Cut);
        }
        if !up_ended && let Poll::Ready(end) = up.as_mut().poll(cx) {
            up_ended = true;
            if end != End::Whole {
                return Poll::Ready(closed(end));
            }
        }
        if !down_ended && let Poll::Ready(end) = down.as_mut().poll(cx) {
            down_ended = true;
            if end != End::Whole {
                return Poll::Ready(closed(end));
            }
        }
        if up_ended && down_ended {
            return Poll::Ready(Closed::Ended);
        }
        if course.writing.get() > 0 {
            return Poll::Pending;
        }
        deadline.set(course.moved.get() + idle);
        deadline.poll(cx).map(|()| Closed::Silent)
    })
    .await
}

/// One direction, to its end, which is passed on.
async fn relay(from: &Side, input: &mut Input, to: &Side, bytes: &Cell<u64>, course: &Course) -> End {
    let mut deadline = Deadline::default();
    loop {
        if !input.is_empty() {
            course.writing.set(course.writing.get() + 1);
            let sent = to.write_all(&mut [IoSlice::new(input.bytes())], &mut deadline, course.idle).await;
            course.writing.set(course.writing.get() - 1);
            match sent {
                Ok(()) => {}
                Err(WriteStop::TimedOut) => return End::Silent,
                Err(WriteStop::Failed) => return End::Broken,
            }
            bytes.set(bytes.get() + input.len() as u64);
            input.consume(input.len());
            course.moved.set(Instant::now());
        }
        match poll_fn(|cx| from.poll_fill_for(to, input, cx)).await {
            Ok(0) => {
                to.finish_writing();
                return End::Whole;
            }
            Ok(_) => course.moved.set(Instant::now()),
            Err(_) => return End::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::Socket;
    use std::os::unix::net::UnixStream as Pair;
    use std::rc::Rc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    /// What a tunnel has carried, and whether it ended because nothing moved.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Carried {
        to_client: u64,
        to_endpoint: u64,
        was_silent: bool,
    }

    const IDLE: Duration = Duration::from_secs(10);

    /// A socket of ours that holds little, and its far end.
    fn pair() -> (Side, UnixStream) {
        let (near, far) = Pair::pair().expect("a pair of sockets");
        near.set_nonblocking(true).expect("it can be told not to block");
        far.set_nonblocking(true).expect("it can be told not to block");
        socket2::SockRef::from(&near).set_send_buffer_size(1).expect("the least there is");
        (Side::Http1(Socket::new(near)), UnixStream::from_std(far).expect("the runtime takes it"))
    }

    /// Runs a tunnel between a client and an endpoint, by a clock that goes on only while nothing else does.
    fn between<F: Future<Output = ()>>(act: impl FnOnce(UnixStream, UnixStream) -> F) -> Carried {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let ((client, far_client), (endpoint, far_endpoint)) = (pair(), pair());
            let (mut said, mut answered) = (Input::new(Rc::default()), Input::new(Rc::default()));
            let tunnel = async {
                let moved = Moved::default();
                let (counter, tunnels) = (AtomicU64::new(0), Tunnels::default());
                let open = Open::begin(&counter, &tunnels);
                let sides = ((&client, &mut said), (&endpoint, &mut answered));
                let closed = tunnel(sides.0, sides.1, IDLE, &moved, &open).await;
                drop((client, endpoint));
                let was_silent = closed == Closed::Silent;
                Carried { to_client: moved.sent.get(), to_endpoint: moved.received.get(), was_silent }
            };
            let mut act = pin!(act(far_client, far_endpoint));
            let mut tunnel = pin!(tunnel);
            let (mut acted, mut carried) = (false, None);
            poll_fn(|cx| {
                acted = acted || act.as_mut().poll(cx).is_ready();
                if carried.is_none()
                    && let Poll::Ready(all) = tunnel.as_mut().poll(cx)
                {
                    carried = Some(all);
                }
                carried.filter(|_| acted).map_or(Poll::Pending, Poll::Ready)
            })
            .await
        })
    }

    #[test]
    fn a_receiver_that_takes_little_at_a_time_keeps_the_tunnel_open() {
        let length = 300_000;
        let carried = between(|mut client, mut endpoint| async move {
            let content = vec![7; length];
            let sending = async {
                endpoint.write_all(&content).await.expect("the tunnel is there");
                endpoint.shutdown().await.expect("the tunnel is there");
            };
            let (mut sending, mut sent) = (pin!(sending), false);
            let mut taken = 0;
            let mut buffer = [0; 4096];
            while taken < length {
                tokio::time::sleep(IDLE / 4).await;
                let mut read = pin!(client.read(&mut buffer));
                let count = poll_fn(|cx| {
                    sent = sent || sending.as_mut().poll(cx).is_ready();
                    read.as_mut().poll(cx)
                })
                .await;
                taken += count.ok().filter(|count| *count > 0).expect("the tunnel is there");
            }
            drop(client);
        });
        assert_eq!(carried, Carried { to_client: length as u64, to_endpoint: 0, was_silent: false });
    }

    #[test]
    fn a_receiver_that_takes_nothing_ends_it() {
        let carried = between(|client, mut endpoint| async move {
            let failed = endpoint.write_all(&vec![7; 2_000_000]).await;
            assert!(failed.is_err(), "nobody took it");
            drop(client);
        });
        assert!(carried.was_silent);
    }

    #[test]
    fn silence_ends_it_and_a_word_in_either_direction_is_none() {
        let carried = between(|mut client, mut endpoint| async move {
            let began = Instant::now();
            for _ in 0..3 {
                tokio::time::sleep(IDLE * 3 / 4).await;
                client.write_all(b"ping").await.expect("the tunnel is there");
                endpoint.read_exact(&mut [0; 4]).await.expect("the ping");
                tokio::time::sleep(IDLE * 3 / 4).await;
                endpoint.write_all(b"pong!").await.expect("the tunnel is there");
                client.read_exact(&mut [0; 5]).await.expect("the pong");
            }
            let last = Instant::now();
            assert_eq!(client.read(&mut [0; 1]).await.expect("no reset"), 0);
            assert_eq!(last - began, IDLE * 9 / 2);
            assert!((IDLE..IDLE * 11 / 10).contains(&last.elapsed()));
        });
        assert_eq!(carried, Carried { to_client: 15, to_endpoint: 12, was_silent: true });
    }
}
