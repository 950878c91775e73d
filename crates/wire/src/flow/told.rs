//! What there is to tell about a flow: counted when it ends, and written to the access log.

use crate::access_log::FlowLine;
use crate::account::{Ending, FlowSeries};
use crate::local::{FlowRoutePlace, LocalTable};
use crate::worker::Worker;
use bascule_decide::balance::Slot;
use bascule_decide::flow::FlowRoute;
use bascule_decide::time::Tick;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NOWHERE: u32 = u32::MAX;

/// How a flow has ended.
pub(crate) struct Ended {
    pub(crate) ending: Ending,
    /// Pool and endpoint, where it came to one.
    pub(crate) endpoint: Option<(usize, Slot)>,
    /// More than the ending says, where there is more.
    pub(crate) reason: &'static str,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
}

/// Facts about a flow, as small as they can be: an idle flow consists of little else.
pub(crate) struct Told {
    began: Tick,
    client: Option<IpAddr>,
    server_name: Option<Box<str>>,
    listener: u32,
    route: Option<FlowRoutePlace>,
    attempts: u32,
    queued_us: u32,
    connect_us: u32,
}

impl Told {
    pub(crate) fn new(client: Option<IpAddr>, began: Tick) -> Self {
        Self {
            began,
            client,
            server_name: None,
            listener: NOWHERE,
            route: None,
            attempts: 0,
            queued_us: 0,
            connect_us: NOWHERE,
        }
    }

    pub(crate) fn began(&self) -> Tick {
        self.began
    }

    pub(crate) fn client(&self) -> String {
        self.client.map_or_else(|| "a Unix socket".to_owned(), |client| client.to_string())
    }

    /// It is this client whose flow it is.
    pub(crate) fn is_of(&mut self, client: Option<IpAddr>) {
        self.client = client;
    }

    /// The client asks for this name.
    pub(crate) fn asks_for(&mut self, server_name: &str) {
        self.server_name = Some(server_name.into());
    }

    /// It belongs to this listener of the table that it goes by from now on.
    pub(crate) fn is_at(&mut self, listener: usize) {
        self.listener = small(listener);
        self.route = None;
    }

    /// The position of its listener, once [`Told::is_at`] has been said.
    pub(crate) fn listener(&self) -> usize {
        self.listener as usize
    }

    /// What it is allowed.
    pub(crate) fn route<'a>(&self, table: &'a LocalTable) -> Option<&'a FlowRoute> {
        Some(self.route?.of(&table.table().listeners[self.listener()]))
    }

    pub(crate) fn takes(&mut self, route: FlowRoutePlace) {
        self.route = Some(route);
    }

    pub(crate) fn tries(&mut self) {
        self.attempts += 1;
    }

    pub(crate) fn has_waited(&mut self, time: Duration) {
        self.queued_us = self.queued_us.saturating_add(micros(time));
    }

    pub(crate) fn has_connected(&mut self, took: Duration) {
        self.connect_us = micros(took);
    }

    /// Where it is counted.
    pub(crate) fn series(
        &self,
        worker: &Worker,
        table: &LocalTable,
        endpoint: Option<(usize, Slot)>,
    ) -> Arc<FlowSeries> {
        table.flow_series(&worker.book, self.listener(), self.route, endpoint)
    }

    /// Counts the end, and writes the access log if it is on. `table`: the one that the flow goes by.
    pub(crate) fn account(&self, worker: &Rc<Worker>, table: &LocalTable, ended: &Ended) {
        let duration_us = worker.now().since(self.began);
        let connect = (self.connect_us != NOWHERE).then(|| Duration::from_micros(self.connect_us.into()));
        let series = self.series(worker, table, ended.endpoint);
        series.count(ended.ending, Duration::from_micros(duration_us), connect);
        if worker.log_is_on() {
            self.log(worker, table, ended, duration_us);
        }
    }

    fn log(&self, worker: &Rc<Worker>, table: &LocalTable, ended: &Ended, duration_us: u64) {
        let listener = &table.table().listeners[self.listener()];
        let pool = ended.endpoint.map(|(pool, _)| &table.table().pools[pool]);
        let endpoint = ended.endpoint.map(|(pool, slot)| &table.table().pools[pool].endpoints[slot.index()]);
        let connect = if self.connect_us == NOWHERE { 0 } else { self.connect_us };
        let client = self.client.map(|client| client.to_string()).unwrap_or_default();
        let line = FlowLine {
            protocol: "TCP",
            client: &client,
            listener: &listener.id,
            route: self.route.map_or("", |route| &route.of(listener).id),
            pool: pool.map_or("", |pool| &pool.id),
            endpoint: endpoint.map_or("", |endpoint| &endpoint.id),
            server_name: self.server_name.as_deref().unwrap_or(""),
            received_bytes: ended.received_bytes,
            sent_bytes: ended.sent_bytes,
            attempts: self.attempts,
            ending: ended.ending.word(),
            reason: ended.reason,
            timers_us: [self.queued_us.into(), connect.into(), duration_us],
            at_ms: now_ms(),
        };
        worker.log_as(|format, out| line.write(format, out));
    }
}

fn small(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(NOWHERE)
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(NOWHERE - 1)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
