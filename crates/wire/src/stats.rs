//! What endpoints and pools have counted and learned, as the control plane reads it.

use crate::events::Events;
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

/// What one pool does now, and what happened in it. An overload that has ended meanwhile is told.
pub(crate) fn of_pool(pool: &Pool, now: Tick, events: &Events) -> PoolStats {
    // Without traffic nobody else sees that time has passed.
    pool.state.gate.look_again(pool, now);
    events.tell_overload(pool);
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

#[cfg(test)]
mod tests {
    use super::*;
    use bascule_contract::codec;
    use bascule_contract::event::What;
    use bascule_contract::snapshot::Snapshot;
    use bascule_decide::guard::{Lost, Try};
    use bascule_decide::pick::{Ask, Picker, Taken};
    use bascule_decide::random::Random;
    use bascule_decide::table::{States, Table};
    use std::collections::VecDeque;

    const SNAPSHOT: &[u8] = br#"{
        "contract": 1, "generation": 1, "listeners": [], "access_log": null,
        "pools": [{
            "id": "site", "algorithm": {"name": "least_busy", "options": {}},
            "endpoints": [
                {"id": "a", "address": {"kind": "tcp", "address": "10.0.0.1:80"}, "weight": 1},
                {"id": "b", "address": {"kind": "tcp", "address": "10.0.0.2:80"}, "weight": 1}
            ],
            "connect_ms": 5000, "idle": {"per_thread": 8, "timeout_ms": 60000},
            "retries": {"attempts": 1, "budget_percent": 20, "budget_minimum": 3}, "panic_percent": 0,
            "protection": {"limit": {"kind": "learned"}}
        }]
    }"#;

    /// Endpoints that work on one request at a time, for 10 ms.
    struct Busy {
        table: Table,
        picker: Picker,
        random: Random,
        queues: [VecDeque<Try>; 2],
        free_at: [Tick; 2],
        now: Tick,
    }

    impl Busy {
        fn new() -> Self {
            let snapshot: Snapshot = codec::decode(SNAPSHOT).expect("a snapshot");
            let table = Table::compile(&snapshot, &mut States::new()).unwrap_or_else(|all| panic!("{all:?}"));
            let mut random = Random::seeded(1);
            let picker = Picker::new(&table.pools[0], &mut random);
            let (queues, now) = (Default::default(), Tick(1_000_000));
            Self { table, picker, random, queues, free_at: [now; 2], now }
        }

        /// A request every so many milliseconds.
        fn serve(&mut self, ms: u64, every: u64) {
            for at in 0..ms {
                self.now = self.now.after_ms(1);
                for (queue, free_at) in self.queues.iter_mut().zip(&mut self.free_at) {
                    let Some(first) = queue.front_mut() else { continue };
                    *free_at = (*free_at).max(first.began.after_ms(10));
                    if self.now >= *free_at {
                        self.table.pools[0].answered(first, self.now, false);
                        self.table.pools[0].end(first, self.now, Lost::Abandoned);
                        queue.pop_front();
                        *free_at = self.now.after_ms(10);
                    }
                }
                if at % every == 0 {
                    let pool = &self.table.pools[0];
                    let taken = self.picker.take(pool, &Ask::default(), self.now, &mut self.random);
                    if let Taken::Endpoint(begun) = taken {
                        self.queues[begun.slot.index()].push_back(begun);
                    }
                }
            }
        }

        fn all_leave(&mut self) {
            for left in self.queues.iter_mut().flat_map(|queue| queue.drain(..)) {
                self.table.pools[0].end(&left, self.now, Lost::Abandoned);
            }
        }
    }

    #[test]
    fn a_pool_whose_traffic_stops_in_an_overload_does_not_stay_overloaded() {
        let events = Events::new().expect("a socket pair");
        let mut busy = Busy::new();
        busy.serve(10_000, 6);
        assert!(!of_pool(&busy.table.pools[0], busy.now, &events).overloaded);
        busy.serve(2_000, 2);
        assert!(of_pool(&busy.table.pools[0], busy.now, &events).overloaded);
        busy.all_leave();
        let later = busy.now.after_ms(60_000);
        assert!(!of_pool(&busy.table.pools[0], later, &events).overloaded);
        let pool = "site".to_owned();
        let told: Vec<What> = events.take(10).into_iter().map(|event| event.what).collect();
        assert_eq!(told, [What::OverloadBegan { pool: pool.clone() }, What::OverloadEnded { pool }]);
    }
}
