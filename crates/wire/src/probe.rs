//! Endpoints are asked how busy they are, for algorithms that go by what they say.

use crate::endpoint::open;
use crate::local::LocalTable;
use crate::quiet;
use crate::worker::Worker;
use bascule_decide::balance::Slot;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Probes under way at one time, per thread.
const MOST: u32 = 256;
/// An answer that takes longer says nothing about now.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks those endpoints of a pool that its algorithm wants to hear from, without waiting for them.
pub(crate) fn probe(worker: &Rc<Worker>, table: &Rc<LocalTable>, pool: usize) {
    let Some(path) = &table.table().pools[pool].probe_path else { return };
    for slot in table.wants_probes(pool) {
        if worker.probing.get() >= MOST {
            return;
        }
        worker.probing.set(worker.probing.get() + 1);
        let request = format!("GET {path} HTTP/1.1\r\nHost: bascule\r\nUser-Agent: bascule-probe\r\n\r\n");
        let (worker, table) = (Rc::clone(worker), Rc::clone(table));
        tokio::task::spawn_local(async move {
            let _ = timeout(PATIENCE, ask(&worker, &table, (pool, slot), request.as_bytes())).await;
            worker.probing.set(worker.probing.get() - 1);
        });
    }
}

/// A probe is no try: it counts nowhere, and a failed one only means that nothing was heard.
async fn ask(worker: &Worker, table: &LocalTable, (pool, slot): (usize, Slot), request: &[u8]) -> Option<()> {
    let settings = &table.table().pools[pool];
    let mut connection = match open::take(table, pool, slot) {
        Some(connection) => connection,
        None => open::open(worker, table, pool, slot, None).await.ok()?,
    };
    let answered = quiet::exchange(&mut connection, (request, &[]), false, &worker.buffers).await?;
    if answered.reusable {
        table.idle(pool, slot).put(connection, Instant::now(), settings.idle.per_thread);
    }
    table.hear(pool, slot, &answered.report?, worker.now());
    Some(())
}
