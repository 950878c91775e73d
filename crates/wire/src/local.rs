//! One thread's view of the live table: pickers, idle connections and counters by the table's own positions.

use crate::account::{Series, SeriesBook, SeriesKey};
use crate::endpoint::idle::IdleConnections;
use crate::plane::Live;
use bascule_decide::balance::{Key, Slot};
use bascule_decide::pick::Picker;
use bascule_decide::random::Random;
use bascule_decide::table::{Pool, Table, Target};
use foldhash::fast::FixedState;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The idle connections of a thread, by what they lead to: they outlive the tables.
pub(crate) type IdleByEndpoint = HashMap<(Arc<str>, Arc<str>, Target), Rc<IdleConnections>>;

/// Listener, route, pool and slot; `u32::MAX` for "none".
type Place = (u32, u32, u32, u32);

/// The live table with what this thread needs beside it. An exchange holds one from beginning to end.
pub(crate) struct LocalTable {
    live: Arc<Live>,
    pools: Vec<LocalPool>,
    series: RefCell<HashMap<Place, Arc<Series>, FixedState>>,
}

struct LocalPool {
    picker: RefCell<Picker>,
    idle: Vec<Rc<IdleConnections>>,
}

impl std::fmt::Debug for LocalTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalTable").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

impl LocalTable {
    /// Builds the view; idle connections of endpoints that stay are kept in `idle`, the others are closed.
    pub(crate) fn new(live: Arc<Live>, idle: &mut IdleByEndpoint, random: &mut Random) -> Self {
        let mut kept = IdleByEndpoint::new();
        let mut pools = Vec::with_capacity(live.table().pools.len());
        for pool in &live.table().pools {
            let mut lists = Vec::with_capacity(pool.endpoints.len());
            for endpoint in &pool.endpoints {
                let key = (Arc::clone(&pool.id), Arc::clone(&endpoint.id), endpoint.target.clone());
                let list = idle
                    .remove(&key)
                    .unwrap_or_else(|| Rc::new(IdleConnections::new(Arc::clone(&endpoint.state))));
                lists.push(Rc::clone(&list));
                kept.insert(key, list);
            }
            pools.push(LocalPool { picker: RefCell::new(Picker::new(pool, random)), idle: lists });
        }
        *idle = kept;
        Self { live, pools, series: RefCell::default() }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.live.table().generation
    }

    pub(crate) fn table(&self) -> &Table {
        self.live.table()
    }

    pub(crate) fn pick(&self, pool: usize, key: Key, tried: &[Slot], random: &mut Random) -> Option<Slot> {
        self.pools[pool].picker.borrow_mut().pick(&self.table().pools[pool], key, tried, random)
    }

    pub(crate) fn idle(&self, pool: usize, slot: Slot) -> &IdleConnections {
        &self.pools[pool].idle[slot.0 as usize]
    }

    /// Closes idle connections that are too old or were closed by their endpoint.
    pub(crate) fn sweep(&self, now: Instant) {
        for (pool, here) in self.table().pools.iter().zip(&self.pools) {
            let timeout = Duration::from_millis(pool.idle.timeout_ms);
            here.idle.iter().for_each(|idle| idle.sweep(now, timeout));
        }
    }

    /// The counters of an exchange, by where it came from and where it went.
    pub(crate) fn series(
        &self,
        book: &SeriesBook,
        listener: usize,
        route: Option<usize>,
        endpoint: Option<(usize, Slot)>,
    ) -> Arc<Series> {
        let small = |position: usize| u32::try_from(position).unwrap_or(u32::MAX);
        let place = (
            small(listener),
            route.map_or(u32::MAX, small),
            endpoint.map_or(u32::MAX, |(pool, _)| small(pool)),
            endpoint.map_or(u32::MAX, |(_, slot)| slot.0),
        );
        let mut series = self.series.borrow_mut();
        Arc::clone(series.entry(place).or_insert_with(|| book.series(self.key(listener, route, endpoint))))
    }

    fn key(&self, listener: usize, route: Option<usize>, endpoint: Option<(usize, Slot)>) -> SeriesKey {
        let table = self.table();
        let listener = &table.listeners[listener];
        SeriesKey {
            listener: Arc::clone(&listener.id),
            route: route.map_or_else(|| Arc::from(""), |route| Arc::clone(&listener.routes[route].id)),
            endpoint: endpoint.map(|(pool, slot)| {
                let pool: &Pool = &table.pools[pool];
                (Arc::clone(&pool.id), Arc::clone(&pool.endpoints[slot.0 as usize].id))
            }),
        }
    }
}
