//! Two connections as one: bytes go both ways, untouched, until both sides have ended or nothing moved for too long.

use crate::buffers::{Input, Size};
use crate::deadline::Deadline;
use crate::side::Side;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::Instant;

/// Relays until both directions have ended, one breaks, or `idle` passes without a byte in either.
/// Returns how many bytes went to the client.
pub(crate) async fn tunnel(
    client: (&Side, &mut Input),
    endpoint: (&Side, &mut Input),
    idle: Duration,
) -> u64 {
    let (to_client, to_endpoint) = (Cell::new(0), Cell::new(0));
    let moved = Cell::new(Instant::now());
    let mut up = pin!(relay(client.0, client.1, endpoint.0, &moved, &to_endpoint, idle));
    let mut down = pin!(relay(endpoint.0, endpoint.1, client.0, &moved, &to_client, idle));
    let (mut up_ended, mut down_ended) = (false, false);
    let mut deadline = Deadline::default();
    poll_fn(|cx| {
        if !up_ended && let Poll::Ready(whole) = up.as_mut().poll(cx) {
            up_ended = true;
            if !whole {
                return Poll::Ready(());
            }
        }
        if !down_ended && let Poll::Ready(whole) = down.as_mut().poll(cx) {
            down_ended = true;
            if !whole {
                return Poll::Ready(());
            }
        }
        if up_ended && down_ended {
            return Poll::Ready(());
        }
        deadline.set(moved.get() + idle);
        deadline.poll(cx)
    })
    .await;
    to_client.get()
}

/// One direction, to its end, which is passed on. False when it broke.
async fn relay(
    from: &Side,
    input: &mut Input,
    to: &Side,
    moved: &Cell<Instant>,
    bytes: &Cell<u64>,
    pause: Duration,
) -> bool {
    let mut deadline = Deadline::default();
    loop {
        if !input.is_empty() {
            if to.write_all(&mut [IoSlice::new(input.bytes())], &mut deadline, pause).await.is_err() {
                return false;
            }
            bytes.set(bytes.get() + input.len() as u64);
            input.consume(input.len());
            moved.set(Instant::now());
        }
        match poll_fn(|cx| from.poll_fill(input, Size::Relay, cx)).await {
            Ok(0) => {
                to.finish_writing();
                return true;
            }
            Ok(_) => moved.set(Instant::now()),
            Err(_) => return false,
        }
    }
}
