//! What endpoints and pools have counted and learned, as the control plane reads it.

use crate::local::LocalTable;
use bascule_contract::stats::{EndpointStats, PoolStats};
use bascule_decide::balance::Slot;
use bascule_decide::guard::ejection::Standing;
use bascule_decide::table::Pool;
use bascule_decide::time::Tick;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// What one endpoint does now, and what happened to it.
pub(crate) fn of_endpoint(pool: &Pool, slot: Slot, now: Tick) -> EndpointStats {
    let endpoint = &pool.endpoints[slot.index()];
    let state = &endpoint.state;
    let limit = pool.limit(slot);
    EndpointStats {
        pool: pool.id.to_string(),
        endpoint: endpoint.id.to_string(),
        up: endpoint.is_up(),
        draining: endpoint.is_draining(),
        weight: endpoint.weight_now(),
        in_flight: state.in_flight.load(Relaxed).into(),
        picked: state.picked.load(Relaxed),
        connects: state.connects.load(Relaxed),
        connect_failures: state.connect_failures.load(Relaxed),
        retried: state.retried.load(Relaxed),
        idle: state.idle.load(Relaxed).into(),
        maintenance: endpoint.is_in_maintenance(),
        ejected: state.record.standing(now) != Standing::Good,
        ejections: state.record.ejections.load(Relaxed),
        failures: state.record.failures.load(Relaxed),
        limit: (limit != u32::MAX).then(|| limit.into()),
        learned_limit: state.flow.learned_limit().map(Into::into),
        pace_us: state.pace.usual_us(),
    }
}

/// What one pool does now, and what happened in it.
pub(crate) fn of_pool(pool: &Pool, now: Tick) -> PoolStats {
    let counted = &pool.state.counted;
    let count = |counter: &AtomicU64| counter.load(Relaxed);
    PoolStats {
        pool: pool.id.to_string(),
        waiting: pool.state.waiting.count().into(),
        queued: count(&counted.queued),
        shed: count(&counted.shed),
        overloaded: pool.state.gate.is_open(),
        hedged: count(&counted.hedged),
        hedges_won: count(&counted.hedges_won),
        retries_denied: count(&counted.retries_denied),
        sessions_kept: count(&counted.sessions_kept),
        sessions_moved: count(&counted.sessions_moved),
        sessions_refused: count(&counted.sessions_refused),
        sessions_remembered: LocalTable::sessions_of(pool, now),
        mirrored: count(&counted.mirrored),
    }
}
