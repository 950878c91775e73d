//! Copies of requests for a second pool; what it answers is read and dropped.

use crate::buffers::Input;
use crate::client::http1::Request;
use crate::leg::{Held, Leg};
use crate::quiet;
use crate::worker::Worker;
use bascule_contract::snapshot::Connect;
use bascule_decide::guard::{Lost, Verdict};
use bascule_decide::http1::Framing;
use bascule_decide::pick::{Ask, Taken};
use bascule_decide::retry::is_failure;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Copies under way at one time, per thread: a mirror that is slow must not fill the memory.
const MOST: u32 = 256;
/// How long the mirror may take for all of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a copy on its way if the route asks for one. `input` begins with what there is of the body.
///
/// A body is copied when all of it has arrived with the head; a request whose body has not is not mirrored.
pub(crate) fn send_copy(worker: &Rc<Worker>, request: &Request, head: &[u8], input: &Input) {
    let Some(mirror) = request.route().and_then(|route| route.mirror) else { return };
    let body = match request.framing {
        Framing::None => &[][..],
        Framing::Length(length) if length <= input.len() as u64 => &input.bytes()[..length as usize],
        _ => return,
    };
    if request.upgrade.is_some()
        || request.connect != Connect::Off
        || worker.mirrored.get() >= MOST
        || !worker.draws(mirror.permille)
    {
        return;
    }
    let ask = Ask { key: request.key, ..Ask::default() };
    let Taken::Endpoint(attempt) = request.table.take(mirror.pool, &ask, worker.now()) else { return };
    let held = Held::new(worker, &request.table, mirror.pool, attempt);
    held.pool().state.counted.mirrored.fetch_add(1, Relaxed);
    worker.mirrored.set(worker.mirrored.get() + 1);
    let (head, body, to_head, worker) = (head.to_vec(), body.to_vec(), request.is_head, Rc::clone(worker));
    tokio::task::spawn_local(async move {
        let _ = timeout(PATIENCE, copy(&worker, held, (&head, &body), to_head)).await;
        worker.mirrored.set(worker.mirrored.get() - 1);
    });
}

async fn copy(worker: &Worker, held: Held, request: (&[u8], &[u8]), to_head: bool) {
    let mut leg = Leg::new(held, None);
    if leg.open().await.is_err() {
        return;
    }
    match quiet::exchange(leg.connection(), request, to_head, &worker.buffers).await {
        Some(answered) => {
            leg.held.answered(Verdict::of(is_failure(answered.status)), Instant::now());
            if answered.reusable {
                leg.keep(Instant::now());
            }
        }
        None => leg.held.counts_as(Lost::Broken),
    }
}
