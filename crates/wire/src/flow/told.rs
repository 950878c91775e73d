//! What there is to tell about a flow: counted when it ends, and written to the access log.

use crate::access_log::FlowLine;
use crate::account::{Ending, FlowSeries};
use crate::local::{FlowRoutePlace, LocalTable};
use crate::worker::Worker;
use bascule_decide::balance::Slot;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

const NOWHERE: u32 = u32::MAX;

/// Facts about a flow, as small as they can be: an idle flow consists of little else.
pub(crate) struct Told {
    began: Instant,
    client: Rc<str>,
    server_name: Option<Box<str>>,
    /// More than the ending says, where there is more.
    pub(crate) reason: &'static str,
    table: Option<Rc<LocalTable>>,
    listener: u32,
    route: Option<FlowRoutePlace>,
    pool: u32,
    slot: u32,
    attempts: u32,
    queued_us: u32,
    connect_us: u32,
}

impl Told {
    pub(crate) fn new(client: Rc<str>) -> Self {
        Self {
            began: Instant::now(),
            client,
            server_name: None,
            reason: "",
            table: None,
            listener: NOWHERE,
            route: None,
            pool: NOWHERE,
            slot: NOWHERE,
            attempts: 0,
            queued_us: 0,
            connect_us: NOWHERE,
        }
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    pub(crate) fn client(&self) -> &str {
        if self.client.is_empty() { "a Unix socket" } else { &self.client }
    }

    /// The client asks for this name.
    pub(crate) fn asks_for(&mut self, server_name: &str) {
        self.server_name = Some(server_name.into());
    }

    /// It goes by this table from now on, and belongs to this listener there.
    pub(crate) fn is_at(&mut self, table: &Rc<LocalTable>, listener: usize) {
        self.table = Some(Rc::clone(table));
        self.listener = small(listener);
        (self.route, self.pool, self.slot) = (None, NOWHERE, NOWHERE);
    }

    /// The position of its listener, once [`Told::is_at`] has been said.
    pub(crate) fn listener(&self) -> usize {
        self.listener as usize
    }

    pub(crate) fn takes(&mut self, route: FlowRoutePlace) {
        self.route = Some(route);
    }

    pub(crate) fn tries(&mut self, (pool, slot): (usize, Slot)) {
        self.attempts += 1;
        (self.pool, self.slot) = (small(pool), slot.0);
    }

    pub(crate) fn has_waited(&mut self, time: Duration) {
        self.queued_us = self.queued_us.saturating_add(micros(time));
    }

    pub(crate) fn has_connected(&mut self, took: Duration) {
        self.connect_us = micros(took);
    }

    fn endpoint(&self) -> Option<(usize, Slot)> {
        (self.pool != NOWHERE).then_some((self.pool as usize, Slot(self.slot)))
    }

    /// Where it is counted; `None` where it has no listener any more.
    pub(crate) fn series(&self, worker: &Worker) -> Option<Arc<FlowSeries>> {
        let table = self.table.as_ref()?;
        Some(table.flow_series(&worker.book, self.listener(), self.route, self.endpoint()))
    }

    /// Counts the end, and writes the access log if it is on. `carried`: to the endpoint, and to the client.
    pub(crate) fn account(&self, worker: &Rc<Worker>, ending: Ending, carried: (u64, u64)) {
        let duration = self.began.elapsed();
        let connect = (self.connect_us != NOWHERE).then(|| Duration::from_micros(self.connect_us.into()));
        if let Some(series) = self.series(worker) {
            series.count(ending, duration, connect);
        }
        if worker.log_is_on() {
            self.log(worker, ending, carried, duration);
        }
    }

    fn log(&self, worker: &Rc<Worker>, ending: Ending, carried: (u64, u64), duration: Duration) {
        let Some(table) = &self.table else { return };
        let listener = &table.table().listeners[self.listener()];
        let pool = self.endpoint().map(|(pool, _)| &table.table().pools[pool]);
        let endpoint = self.endpoint().map(|(pool, slot)| &table.table().pools[pool].endpoints[slot.index()]);
        let connect = if self.connect_us == NOWHERE { 0 } else { self.connect_us };
        let line = FlowLine {
            protocol: "TCP",
            client: &self.client,
            listener: &listener.id,
            route: self.route.map_or("", |route| &route.of(listener).id),
            pool: pool.map_or("", |pool| &pool.id),
            endpoint: endpoint.map_or("", |endpoint| &endpoint.id),
            server_name: self.server_name.as_deref().unwrap_or(""),
            received_bytes: carried.0,
            sent_bytes: carried.1,
            attempts: self.attempts,
            ending: ending.word(),
            reason: self.reason,
            timers_us: [self.queued_us.into(), connect.into(), whole_micros(duration)],
            at_ms: now_ms(),
        };
        worker.log_as(|format, out| line.write(format, out));
    }
}

fn small(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(NOWHERE)
}

fn whole_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(NOWHERE - 1)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
