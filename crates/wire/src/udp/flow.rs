//! One flow: who is at its other end, what was said, and what is written down when it has ended.

use crate::access_log::FlowLine;
use crate::account::{Ending, FlowSeries};
use crate::client::session::Session;
use crate::exchange::now_ms;
use crate::leg::Held;
use crate::local::{FlowRoutePlace, LocalTable};
use crate::udp::batch::Datagram;
use crate::udp::drops::Dropped;
use crate::udp::kept::Mark;
use crate::udp::ports::PortId;
use crate::worker::Worker;
use bascule_decide::balance::Slot;
use bascule_decide::datagrams::talk::Talk;
use bascule_decide::flow::lifetime::{Lifetime, Over, Standing};
use bascule_decide::flow::{FlowRoute, Opening};
use bascule_decide::guard::{Lost, Verdict};
use bascule_decide::limit::Admission;
use bascule_decide::pick::{Ask, Taken};
use bascule_decide::table::{EndpointState, Listener, Pool, Target};
use bascule_decide::time::Tick;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A flow, and its socket. Once the flow is over the socket stays for a while, for the same client or another one.
pub(crate) struct Flow {
    pub(crate) port: PortId,
    /// Several answers came at a time.
    pub(crate) is_bulk: bool,
    pub(crate) open: Option<Open>,
}

/// What there is to know of a flow that is not over.
pub(crate) struct Open {
    pub(crate) course: Course,
    pub(crate) held: Held,
    pub(crate) talk: Talk,
    series: Arc<FlowSeries>,
    received_bytes: u64,
    sent_bytes: u64,
    /// The first datagram, in case another endpoint has to be asked.
    pub(crate) first: Mark,
    lifetime: Lifetime,
    /// The live table does not have its endpoint.
    is_gone: bool,
}

/// Where a flow goes, and where it has been.
#[derive(Debug)]
pub(crate) struct Course {
    /// Of its whole life: a reload changes neither its route nor its endpoint.
    table: Rc<LocalTable>,
    listener: usize,
    route: usize,
    client: IpAddr,
    /// The endpoint that the client's connection is with, where its datagram says so.
    known: Option<Slot>,
    began: Tick,
    tried: Vec<Slot>,
}

impl Course {
    /// The course of a new flow, if there is one for it, and it is within the limits.
    pub(crate) fn begin(
        table: Rc<LocalTable>,
        listener: usize,
        client: IpAddr,
        now: Tick,
    ) -> Result<Self, Dropped> {
        let client = client.to_canonical();
        let opening = Opening { client: Some(client), ..Opening::default() };
        let flows = &table.table().listeners[listener].flows;
        let route = flows.routes.find(&opening).ok_or(Dropped::NoRoute)?;
        let asked = opening.request();
        for limit in &flows.routes.at(route).limits {
            // A datagram does not wait for a store: this balancer counts for itself.
            if let Some(key) = limit.key(&asked)
                && let Admission::Limited(_) = limit.admit(key, now)
            {
                return Err(Dropped::RateLimited);
            }
        }
        Ok(Self { table, listener, route, client, known: None, began: now, tried: Vec::new() })
    }

    /// The datagram belongs to a connection that this endpoint of the pool has, if it still is one.
    pub(crate) fn is_known_to(&mut self, endpoint: &str) {
        let endpoints = &self.pool().endpoints;
        let at = endpoints.iter().position(|one| *one.id == *endpoint);
        self.known = at.and_then(|at| u32::try_from(at).ok()).map(Slot);
    }

    pub(crate) fn listener(&self) -> &Listener {
        &self.table.table().listeners[self.listener]
    }

    pub(crate) fn route(&self) -> &FlowRoute {
        self.listener().flows.routes.at(self.route)
    }

    fn series(&self, worker: &Worker, place: (usize, Slot)) -> Arc<FlowSeries> {
        let route = FlowRoutePlace::new(self.route, false);
        self.table.flow_series(&worker.book, self.listener, Some(route), Some(place))
    }

    fn pool(&self) -> &Pool {
        &self.table.table().pools[self.route().pool]
    }

    /// The address that the endpoint is to see, where that is the client's.
    pub(crate) fn origin(&self) -> Option<IpAddr> {
        self.pool().flows.transparent.then_some(self.client)
    }

    /// The endpoint cannot be had, which counts against it: another one is to be taken.
    ///
    /// # Errors
    /// When that has happened often enough. The endpoint is then the last.
    pub(crate) fn pass_on(&mut self, mut held: Held) -> Result<(), Held> {
        if self.tried.len() >= self.pool().retries.attempts as usize {
            return Err(held);
        }
        self.tried.push(held.place().1);
        held.endpoint().state.retried.fetch_add(1, Relaxed);
        held.counts_as(Lost::Broken);
        Ok(())
    }

    /// Takes an endpoint that has not been tried.
    pub(crate) fn take(&self, worker: &Rc<Worker>, now: Tick) -> Result<Held, Dropped> {
        let opening = Opening { client: Some(self.client), ..Opening::default() };
        let (asked, pool) = (opening.request(), self.pool());
        let session = Session::read(pool, &asked, worker);
        let stay = session.as_ref().and_then(|session| session.stay());
        let ask = Ask {
            key: pool.key(&asked),
            tried: &self.tried,
            stay: self.known.or(stay.map(|stay| stay.slot)),
            strict: stay.is_some_and(|stay| stay.strict),
            repeatable: self.tried.is_empty(),
        };
        let take = |ask: &Ask<'_>| match self.table.take(self.route().pool, ask, now) {
            Taken::Endpoint(attempt) => Ok(Held::new(worker, &self.table, self.route().pool, attempt)),
            Taken::Full => Err(Dropped::Full),
            Taken::Nothing => Err(Dropped::NoEndpoint),
        };
        let mut held = take(&ask)?;
        if let Some(session) = &session {
            if let Some(other) = session.settle(&held, &self.tried, worker) {
                held = take(&Ask { stay: Some(other), strict: false, ..ask })?;
            }
            session.count(&held, &self.tried);
        }
        Ok(held)
    }
}

impl Open {
    /// Of a flow whose first datagram goes to this endpoint.
    pub(crate) fn begin(course: Course, held: Held, worker: &Worker) -> Self {
        Self {
            series: course.series(worker, held.place()),
            talk: Talk::new(course.listener().flows.udp.responses),
            received_bytes: 0,
            sent_bytes: 0,
            first: Mark::default(),
            lifetime: Lifetime::new(course.route(), course.began),
            is_gone: false,
            held,
            course,
        }
    }

    /// Whether it may go on.
    ///
    /// # Errors
    /// How it has ended.
    pub(crate) fn look(&mut self, now: Tick) -> Result<(), Ending> {
        let pool = self.held.pool();
        // Silence is seen by the table of flows.
        let looked =
            self.lifetime.look(now, true, self.standing(), (self.course.route().idle_ms, &pool.flows));
        looked.map(drop).map_err(|over| match over {
            Over::Idle => Ending::Idle,
            Over::Total => Ending::TotalTimedOut,
            Over::Down => Ending::EndpointDown,
            Over::Drained => Ending::Drained,
        })
    }

    fn standing(&self) -> Standing {
        if self.is_gone { Standing::Gone } else { self.held.pool().flow_standing(self.held.place().1) }
    }

    /// Whether its endpoint is one of these, at the same place, and may have new flows.
    pub(crate) fn is_served(&mut self, known: &HashMap<*const EndpointState, &Target>) -> bool {
        let endpoint = self.held.endpoint();
        let target = known.get(&Arc::as_ptr(&endpoint.state));
        self.is_gone = target.is_none_or(|target| **target != endpoint.target);
        self.standing() == Standing::Serving
    }

    /// Whether its first datagram may go to another endpoint: one, and nothing was answered.
    pub(crate) fn may_go_elsewhere(&self) -> bool {
        !self.talk.is_answered()
    }

    /// The client has said something.
    pub(crate) fn ask(&mut self, datagram: Datagram<'_>) {
        self.talk.ask(datagram.count());
        let bytes = datagram.bytes.len() as u64;
        self.received_bytes += bytes;
        self.series.carry(bytes, 0);
    }

    /// The endpoint has said something.
    pub(crate) fn answer(&mut self, count: u64, bytes: u64, now: Tick, worker: &Worker) {
        if !self.talk.is_answered() {
            self.held.answered(Verdict::Worked, worker.instant(now));
        }
        self.talk.answer(count);
        self.sent_bytes += bytes;
        self.series.carry(0, bytes);
    }

    /// How it ended when nobody said anything for as long as that may be.
    pub(crate) fn silence(&self) -> Ending {
        if self.talk.is_ignored() { Ending::ResponseTimedOut } else { Ending::Idle }
    }

    /// It has ended: it is counted and written down, and its endpoint has one flow less.
    pub(crate) fn account(mut self, ending: Ending, now: Tick, worker: &Rc<Worker>) {
        self.held.counts_as(match ending {
            Ending::EndpointRefused | Ending::EndpointUnreachable => Lost::Broken,
            Ending::ResponseTimedOut => Lost::Silent,
            _ => Lost::Abandoned,
        });
        self.held.ended(worker.instant(now));
        let duration = Duration::from_micros(now.since(self.course.began));
        self.series.count(ending, duration, None);
        if worker.log_is_on() {
            self.log(ending, now, worker);
        }
    }

    fn log(&self, ending: Ending, now: Tick, worker: &Rc<Worker>) {
        let line = FlowLine {
            protocol: "UDP",
            client: &self.course.client.to_string(),
            listener: &self.course.listener().id,
            route: &self.course.route().id,
            pool: &self.held.pool().id,
            endpoint: &self.held.endpoint().id,
            server_name: "",
            received_bytes: self.received_bytes,
            sent_bytes: self.sent_bytes,
            attempts: u32::try_from(self.course.tried.len()).unwrap_or(u32::MAX).saturating_add(1),
            ending: ending.word(),
            reason: "",
            timers_us: [0, 0, now.since(self.course.began)],
            at_ms: now_ms(),
        };
        worker.log_as(|format, out| line.write(format, out));
    }
}
