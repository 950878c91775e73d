//! One thread's view of the live table: pickers, idle connections and counters by the table's own positions.

use crate::account::{FlowSeries, Series, SeriesBook, SeriesKey};
use crate::endpoint::idle::IdleConnections;
use crate::leg::Held;
use crate::plane::Live;
use crate::race::Milestones;
use crate::tls::Secured;
use bascule_contract::protection::TryLimit;
use bascule_decide::balance::Slot;
use bascule_decide::flow::FlowRoute;
use bascule_decide::load_report::Report;
use bascule_decide::pick::{Ask, Picker, Taken};
use bascule_decide::random::Random;
use bascule_decide::retry::Ration;
use bascule_decide::table::{Listener, ListenerFlows, Pool, Table, Target};
use bascule_decide::time::Tick;
use foldhash::fast::FixedState;
use std::cell::{Cell, RefCell};
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
    random: RefCell<Random>,
    series: RefCell<HashMap<Place, Arc<Series>, FixedState>>,
    flow_series: RefCell<HashMap<Place, Arc<FlowSeries>, FixedState>>,
}

struct LocalPool {
    picker: RefCell<Picker>,
    /// What may be sent twice.
    ration: Cell<Ration>,
    idle: Vec<Rc<IdleConnections>>,
}

impl LocalPool {
    fn change_ration<T>(&self, change: impl FnOnce(&mut Ration) -> T) -> T {
        let mut ration = self.ration.get();
        let result = change(&mut ration);
        self.ration.set(ration);
        result
    }
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
        for (position, pool) in live.table().pools.iter().enumerate() {
            let tls = live.secured().pool(position);
            let mut lists = Vec::with_capacity(pool.endpoints.len());
            for endpoint in &pool.endpoints {
                let key = (Arc::clone(&pool.id), Arc::clone(&endpoint.id), endpoint.target.clone());
                let list = match idle.get(&key).filter(|list| list.speak(tls)).map(Rc::clone) {
                    Some(list) => list,
                    None => Rc::new(IdleConnections::new(Arc::clone(&endpoint.state), tls.cloned())),
                };
                lists.push(Rc::clone(&list));
                kept.insert(key, list);
            }
            let permille = pool.protection.hedge.as_ref().map_or(0, |hedge| hedge.budget_permille);
            pools.push(LocalPool {
                picker: RefCell::new(Picker::new(pool, random)),
                ration: Cell::new(Ration::new(permille)),
                idle: lists,
            });
        }
        // Not by being dropped: an old table that a tunnel holds may have them for days.
        let is_kept = |key, list| kept.get(key).is_some_and(|other| Rc::ptr_eq(other, list));
        idle.iter().filter(|(key, list)| !is_kept(key, list)).for_each(|(_, gone)| gone.close());
        *idle = kept;
        let random = RefCell::new(Random::seeded(random.next()));
        Self { live, pools, random, series: RefCell::default(), flow_series: RefCell::default() }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.live.table().generation
    }

    pub(crate) fn table(&self) -> &Table {
        self.live.table()
    }

    /// What its listeners and pools speak TLS with.
    pub(crate) fn secured(&self) -> &Secured {
        self.live.secured()
    }

    /// Begins a try at an endpoint of a pool.
    pub(crate) fn take(&self, pool: usize, ask: &Ask<'_>, now: Tick) -> Taken {
        let here = &self.pools[pool];
        if ask.tried.is_empty() {
            here.change_ration(Ration::earn);
        }
        here.picker.borrow_mut().take(&self.table().pools[pool], ask, now, &mut self.random.borrow_mut())
    }

    /// Whether a request of this pool that has been at `tried` could go somewhere else.
    pub(crate) fn has_other(&self, pool: usize, tried: &[Slot], here: Slot) -> bool {
        self.pools[pool].picker.borrow_mut().has_other(&self.table().pools[pool], tried, here)
    }

    /// The endpoints that the pool's algorithm wants to hear from now.
    pub(crate) fn wants_probes(&self, pool: usize) -> Vec<Slot> {
        let mut wanted = Vec::new();
        self.pools[pool].picker.borrow_mut().wants_probes(
            &self.table().pools[pool],
            &mut self.random.borrow_mut(),
            &mut wanted,
        );
        wanted
    }

    /// An endpoint has said how loaded it is.
    pub(crate) fn hear(&self, pool: usize, slot: Slot, report: &Report, now: Tick) {
        let (table, mut random) = (&self.table().pools[pool], self.random.borrow_mut());
        self.pools[pool].picker.borrow_mut().hear(table, slot, report, now, &mut random);
    }

    /// An answer came after this long.
    pub(crate) fn learn(&self, pool: usize, took_us: u64, now: Tick) {
        self.pools[pool].picker.borrow_mut().learn(&self.table().pools[pool], took_us, now);
    }

    /// Takes a copy out of what the pool's requests have earned.
    pub(crate) fn spend_hedge(&self, pool: usize) -> bool {
        self.pools[pool].change_ration(Ration::spend)
    }

    /// When something is to be done about a try that has no answer yet.
    pub(crate) fn milestones(&self, held: &Held) -> Milestones {
        let pool = held.pool();
        let delays = &pool.state.delays;
        let after = |us: u64| held.began() + Duration::from_micros(us);
        let hedge = pool.protection.hedge.as_ref().filter(|_| !pool.state.gate.is_open());
        Milestones {
            hedge: hedge
                .and_then(|hedge| hedge.after_ms.map(|ms| ms * 1000).or_else(|| delays.long_us()))
                .map(after),
            late: matches!(pool.retries.try_limit, TryLimit::Learned {})
                .then(|| delays.late_us())
                .flatten()
                .map(after),
        }
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
        let mut series = self.series.borrow_mut();
        let found = series.entry(place(listener, route, endpoint)).or_insert_with(|| {
            let route = route.map(|route| &self.table().listeners[listener].routes[route].id);
            book.series(self.key(listener, route, endpoint))
        });
        Arc::clone(found)
    }

    /// The same of a flow.
    pub(crate) fn flow_series(
        &self,
        book: &SeriesBook,
        listener: usize,
        route: Option<FlowRoutePlace>,
        endpoint: Option<(usize, Slot)>,
    ) -> Arc<FlowSeries> {
        let mut series = self.flow_series.borrow_mut();
        let at = place(listener, route.map(FlowRoutePlace::number), endpoint);
        let found = series.entry(at).or_insert_with(|| {
            let route = route.map(|route| &route.of(&self.table().listeners[listener]).id);
            book.flow_series(self.key(listener, route, endpoint))
        });
        Arc::clone(found)
    }

    fn key(&self, listener: usize, route: Option<&Arc<str>>, endpoint: Option<(usize, Slot)>) -> SeriesKey {
        let table = self.table();
        SeriesKey {
            listener: Arc::clone(&table.listeners[listener].id),
            route: route.map_or_else(|| Arc::from(""), Arc::clone),
            endpoint: endpoint.map(|(pool, slot)| {
                let pool: &Pool = &table.pools[pool];
                (Arc::clone(&pool.id), Arc::clone(&pool.endpoints[slot.0 as usize].id))
            }),
        }
    }
}

fn place(listener: usize, route: Option<usize>, endpoint: Option<(usize, Slot)>) -> Place {
    let small = |position: usize| u32::try_from(position).unwrap_or(u32::MAX);
    (
        small(listener),
        route.map_or(u32::MAX, small),
        endpoint.map_or(u32::MAX, |(pool, _)| small(pool)),
        endpoint.map_or(u32::MAX, |(_, slot)| slot.0),
    )
}

/// Where the route of a flow stands in its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowRoutePlace {
    position: u32,
    /// Among what is passed on still encrypted.
    passthrough: bool,
}

impl FlowRoutePlace {
    pub(crate) fn new(position: usize, passthrough: bool) -> Self {
        Self { position: u32::try_from(position).unwrap_or(u32::MAX), passthrough }
    }

    pub(crate) fn of(self, listener: &Listener) -> &FlowRoute {
        let ListenerFlows { routes, passthrough, .. } = &listener.flows;
        if self.passthrough { passthrough } else { routes }.at(self.position as usize)
    }

    fn number(self) -> usize {
        self.position as usize * 2 + usize::from(self.passthrough)
    }
}
