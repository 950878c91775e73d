//! A connection on which an endpoint can be asked: an idle one, a place on one that others use as well, or a fresh one.

use crate::deadline::Deadline;
use crate::endpoint::announce::own;
use crate::endpoint::connect::{NotConnected, connect};
use crate::endpoint::idle::EndpointConnection;
use crate::endpoint::link::Opening;
use crate::local::LocalTable;
use crate::side::Side;
use crate::worker::Worker;
use bascule_contract::snapshot::Protocol;
use bascule_decide::balance::Slot;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A connection that is being opened.
pub(crate) type Connecting = Pin<Box<dyn Future<Output = Result<EndpointConnection, NotConnected>>>>;

/// One that is open already.
pub(crate) fn take(table: &LocalTable, pool: usize, slot: Slot) -> Option<EndpointConnection> {
    let idle = table.idle(pool, slot);
    // Who is announced shares with nobody.
    if table.table().pools[pool].announce.is_some() {
        return None;
    }
    match table.table().pools[pool].protocol {
        Protocol::Http1 => idle.take(),
        Protocol::Http2 => idle.links.find().map(EndpointConnection::on),
    }
}

/// One that has to be opened, unless somebody else does that just now. Where the pool announces clients, `caller` is the
/// header that does; without, the connection is for nobody.
pub(crate) fn open(
    worker: &Worker,
    table: &LocalTable,
    pool: usize,
    slot: Slot,
    caller: Option<Rc<[u8]>>,
) -> Connecting {
    let settings = &table.table().pools[pool];
    let endpoint = &settings.endpoints[slot.index()];
    let (target, limit) = (endpoint.target.clone(), Duration::from_millis(settings.connect_ms));
    let tls = table.secured().pool(pool).cloned();
    if settings.protocol == Protocol::Http2 {
        let (buffers, shared) = (Rc::clone(&worker.buffers), Arc::clone(&worker.shared));
        let now = Rc::new(move || shared.now());
        let lease = table.idle(pool, slot).links.lease(&Opening { target, tls, limit, buffers, now });
        return Box::pin(async move {
            lease.ready().await?;
            Ok(EndpointConnection::on(lease))
        });
    }
    let first = settings.announce.as_ref().map(|announce| caller.unwrap_or_else(|| own(announce).into()));
    let state = Arc::clone(&endpoint.state);
    Box::pin(async move {
        let mut deadline = Deadline::default();
        let connected = connect(&target, tls.as_deref(), first.as_deref(), &mut deadline, limit).await;
        let counter = if connected.is_ok() { &state.connects } else { &state.connect_failures };
        counter.fetch_add(1, Relaxed);
        Ok(EndpointConnection { side: Rc::new(Side::Http1(connected?)), deadline })
    })
}
