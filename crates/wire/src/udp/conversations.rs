//! The flows of one socket, and what becomes of each datagram.

use crate::account::Ending;
use crate::client::accept::{Acceptor, ListenerCounters};
use crate::udp::batch::{Batch, Datagram};
use crate::udp::drops::{Dropped, Tally};
use crate::udp::flow::{Course, Flow, Open};
use crate::udp::kept::Kept;
use crate::udp::message::send_connected;
use crate::udp::ports::{Ends, PortId, Ports};
use crate::worker::Worker;
use bascule_decide::datagrams::quic::ConnectionIds;
use bascule_decide::datagrams::table::{FlowId, FlowTable, Parties, Patience};
use bascule_decide::random::Random;
use bascule_decide::table::Target;
use bascule_decide::time::Tick;
use rustix::io::Errno;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;

/// Answers that are asked for at first where there was one the last time: asking for more than there are says that there are no more.
const FIRST: usize = 2;
/// Then so many more, and so often, before it is the next flow's turn.
const MORE: usize = 16;
const TURNS: usize = 4;

/// The flows of one socket.
pub(crate) struct Conversations {
    pub(super) worker: Rc<Worker>,
    pub(super) acceptor: Rc<Acceptor>,
    pub(super) counters: Arc<ListenerCounters>,
    pub(super) flows: FlowTable<Flow>,
    /// Of them, those that are not over.
    pub(super) open: u64,
    pub(super) ports: Ports,
    /// Sockets that may have more answers.
    pub(super) ready: Vec<PortId>,
    pub(super) kept: Kept,
    pub(super) tally: Tally,
    /// Where datagrams come to that do not say so: the socket is bound to it alone.
    pub(super) local: IpAddr,
    pub(super) closing: bool,
    /// What the marks and the table were when flows were looked through for the last time, and when that was.
    pub(super) looked: (u64, Tick),
}

impl Conversations {
    pub(crate) fn new(worker: &Rc<Worker>, acceptor: &Rc<Acceptor>, local: IpAddr) -> io::Result<Self> {
        Ok(Self {
            worker: Rc::clone(worker),
            acceptor: Rc::clone(acceptor),
            counters: Arc::clone(&acceptor.counters.borrow()),
            flows: FlowTable::seeded(worker.with_random(Random::next)),
            open: 0,
            ports: Ports::new(worker)?,
            ready: Vec::new(),
            kept: Kept::default(),
            tally: Tally::default(),
            local,
            closing: false,
            looked: (0, Tick(0)),
        })
    }

    /// A datagram of a client, or a train of them.
    pub(crate) fn hear(&mut self, datagram: Datagram<'_>, now: Tick) {
        let Some(client) = datagram.from else { return };
        self.tally.received += datagram.count();
        let parties = Parties { client, local: datagram.to.unwrap_or(self.local) };
        let Some(id) = self.flows.find(&parties) else { return self.begin(parties, None, datagram, now) };
        let over = self.flows.value_mut(id).open.as_mut().map(|open| open.look(now));
        match over {
            Some(Ok(())) => self.go_on(id, datagram, now),
            Some(Err(ending)) => {
                let port = self.end(id, ending, now);
                self.begin(parties, Some(port), datagram, now);
            }
            None => {
                let Flow { port, .. } = self.flows.end(id);
                self.begin(parties, Some(port), datagram, now);
            }
        }
    }

    /// A datagram of a flow that is open.
    fn go_on(&mut self, id: FlowId, datagram: Datagram<'_>, now: Tick) {
        let port = self.flows.value(id).port;
        match send_connected(self.ports.socket(port), datagram) {
            Ok(()) => {}
            Err(error) if is_for_now(error) => return self.tally.drop(datagram.count(), Dropped::NotSent),
            // An earlier datagram has met a closed port. This one was not sent.
            Err(_) => return self.was_refused(id, Some(datagram), now),
        }
        if let Some(open) = &mut self.flows.value_mut(id).open {
            open.ask(datagram);
        }
        self.flows.hear(id, now);
        self.rest_if_complete(id, now);
    }

    /// The first datagram of a flow: it gets a route and an endpoint, or is dropped.
    fn begin(&mut self, parties: Parties, port: Option<PortId>, datagram: Datagram<'_>, now: Tick) {
        let begun = match self.course(parties, datagram, now) {
            Ok(course) => self.reach(course, port, datagram, now),
            Err(why) => {
                port.into_iter().for_each(|port| self.ports.close(port));
                Err(why)
            }
        };
        match begun {
            Ok((open, port)) => {
                self.counters.accepted.fetch_add(1, Relaxed);
                self.enter(parties, open, port, datagram, now);
            }
            Err(why) => self.tally.drop(datagram.count(), why),
        }
    }

    fn course(&self, parties: Parties, datagram: Datagram<'_>, now: Tick) -> Result<Course, Dropped> {
        if self.closing {
            return Err(Dropped::Closing);
        }
        let table = self.worker.table();
        let listener = self.acceptor.place(table.table()).ok_or(Dropped::Closing)?;
        let mut course = Course::begin(table, listener, parties.client.ip(), now)?;
        if course.listener().flows.udp.quic
            && let Some(endpoint) = self.ids().find(datagram.bytes, now)
        {
            course.is_known_to(&endpoint);
        }
        Ok(course)
    }

    /// The connections of this listener, on all threads.
    fn ids(&self) -> &ConnectionIds {
        let seed = || self.worker.with_random(Random::next);
        self.counters.datagrams.ids.get_or_init(|| ConnectionIds::seeded(seed()))
    }

    /// Sends a datagram to the first endpoint that takes it. A port that is given is used or closed.
    fn reach(
        &mut self,
        mut course: Course,
        mut port: Option<PortId>,
        datagram: Datagram<'_>,
        now: Tick,
    ) -> Result<(Open, PortId), Dropped> {
        let why = loop {
            let held = match course.take(&self.worker, now) {
                Ok(held) => held,
                Err(why) => break why,
            };
            let Target::Tcp(endpoint) = held.endpoint().target else { break Dropped::Unreachable };
            let ends = Ends { endpoint, client: course.origin() };
            match self.port_to(ends, port.take(), &course, now) {
                Ok(to) => match send_connected(self.ports.socket(to), datagram) {
                    Ok(()) => return Ok((Open::begin(course, held, &self.worker), to)),
                    Err(error) if is_for_now(error) => {
                        self.tally.drop(datagram.count(), Dropped::NotSent);
                        return Ok((Open::begin(course, held, &self.worker), to));
                    }
                    Err(_) => port = Some(to),
                },
                Err(None) => {}
                Err(Some(why)) => break why,
            }
            if let Err(held) = course.pass_on(held) {
                Open::begin(course, held, &self.worker).account(
                    Ending::EndpointUnreachable,
                    now,
                    &self.worker,
                );
                break Dropped::Unreachable;
            }
        };
        port.into_iter().for_each(|port| self.ports.close(port));
        Err(why)
    }

    /// A socket to an endpoint: the flow's own, else that of a flow that is over, else a fresh one while there may be more.
    ///
    /// # Errors
    /// Why the datagram is to be dropped; `None`: because of the endpoint.
    fn port_to(
        &mut self,
        ends: Ends,
        own: Option<PortId>,
        course: &Course,
        now: Tick,
    ) -> Result<PortId, Option<Dropped>> {
        let bulk = course.listener().flows.udp.responses.is_none();
        if let Some(own) = own {
            return if self.ports.ends(own) == ends { Ok(own) } else { self.redirect(own, ends, bulk) };
        }
        let is_full = self.flows.len() >= self.most(course);
        let spare = if is_full { self.flows.least_missed() } else { self.flows.longest_over() };
        if let Some(spare) = spare {
            let port = self.give_up(spare, now);
            return self.redirect(port, ends, bulk);
        }
        match self.ports.open(ends, bulk) {
            Ok(port) => Ok(port),
            Err(error) if is_want(&error) => {
                let spare = self.flows.least_missed().ok_or(Some(Dropped::NoDescriptor))?;
                let port = self.give_up(spare, now);
                self.redirect(port, ends, bulk)
            }
            Err(error) => Err(why_not(&error)),
        }
    }

    fn redirect(&mut self, port: PortId, ends: Ends, bulk: bool) -> Result<PortId, Option<Dropped>> {
        self.ports.redirect(port, ends, bulk).map_err(|error| why_not(&error))
    }

    /// Flows that there may be at a time, by what the listener wants and what the process can afford.
    fn most(&self, course: &Course) -> usize {
        let affordable = self.worker.shared.flow_sockets() / u64::from(self.worker.carriers.get().max(1));
        let wanted = course.listener().flows.udp.flows;
        usize::try_from(affordable.max(1)).unwrap_or(usize::MAX).min(wanted.max(1) as usize)
    }

    fn enter(
        &mut self,
        parties: Parties,
        mut open: Open,
        port: PortId,
        datagram: Datagram<'_>,
        now: Tick,
    ) -> FlowId {
        open.ask(datagram);
        if open.may_go_elsewhere() {
            open.first = self.kept.put(datagram);
        }
        let patience = Patience::Open(open.course.route().idle_ms);
        let id = self.flows.begin(parties, patience, now, Flow { port, is_bulk: false, open: Some(open) });
        self.ports.belongs_to(port, id);
        self.has_opened(1);
        self.rest_if_complete(id, now);
        id
    }

    /// Answers go to their clients. False when there are none; then the task is woken for the next.
    pub(crate) fn poll_answers(&mut self, cx: &mut Context<'_>, batch: &mut Batch, socket: &OwnedFd) -> bool {
        let mut ready = std::mem::take(&mut self.ready);
        let left = ready.len();
        let came = self.ports.poll_look(cx, &mut ready);
        if came || left > 0 {
            let now = self.worker.now();
            batch.clear();
            ready.retain(|port| self.answers_of(*port, batch, socket, now));
            self.flush(batch, socket);
        }
        self.ready = ready;
        came || left > 0
    }

    /// The answers that have come by one socket; whether there may be more.
    fn answers_of(&mut self, port: PortId, batch: &mut Batch, socket: &OwnedFd, now: Tick) -> bool {
        for turn in 0..TURNS {
            let Some(id) = self.ports.flow(port) else { return false };
            let most = if turn == 0 && !self.flows.value(id).is_bulk { FIRST } else { MORE };
            if batch.room() < most {
                self.flush(batch, socket);
            }
            match batch.receive(self.ports.socket(port), most, false) {
                Ok(places) => {
                    let came = places.len();
                    self.flows.value_mut(id).is_bulk = came >= FIRST;
                    let trains = batch.gather(places);
                    trains.iter().for_each(|place| self.answered(id, batch, *place, now));
                    batch.gathered(trains);
                    if came < most {
                        return false;
                    }
                }
                Err(Errno::AGAIN) => return false,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.was_refused(id, None, now);
                    return false;
                }
            }
        }
        true
    }

    fn answered(&mut self, id: FlowId, batch: &mut Batch, place: usize, now: Tick) {
        let came = batch.at(place).count();
        let Some(open) = &mut self.flows.value_mut(id).open else {
            return self.tally.drop(came, Dropped::Late);
        };
        let surplus = came.saturating_sub(open.talk.owed());
        if surplus > 0 {
            batch.shorten(place, came - surplus);
            self.tally.drop(surplus, Dropped::Late);
        }
        let (count, bytes) = (came - surplus, batch.at(place).bytes.len() as u64);
        open.answer(count, bytes, now, &self.worker);
        if open.course.listener().flows.udp.quic {
            let endpoint = Arc::clone(&open.held.endpoint().id);
            batch.at(place).each().for_each(|answer| self.ids().learn(answer, &endpoint, now));
        }
        let Parties { client, local } = self.flows.parties(id);
        batch.answer(place, client, self.local.is_unspecified().then_some(local));
        self.flows.hear(id, now);
        self.rest_if_complete(id, now);
    }

    fn flush(&mut self, batch: &mut Batch, socket: &OwnedFd) {
        let flushed = batch.flush(socket);
        self.tally.sent += flushed.sent;
        if flushed.lost > 0 {
            self.tally.drop(flushed.lost, Dropped::NotSent);
        }
        batch.clear();
    }

    /// The endpoint's port is closed, or there is no way to it. `unsent`: a datagram that was to go there.
    ///
    /// While nothing was answered another endpoint is asked.
    fn was_refused(&mut self, id: FlowId, unsent: Option<Datagram<'_>>, now: Tick) {
        let parties = self.flows.parties(id);
        let Flow { port, open, .. } = self.flows.end(id);
        let Some(open) = open else { return self.ports.close(port) };
        self.has_ended(1);
        let first = self.kept.find(open.first).filter(|_| open.may_go_elsewhere());
        let Some((first, segment)) = first.map(|first| (first.bytes.to_vec(), first.segment)) else {
            open.account(Ending::EndpointRefused, now, &self.worker);
            return match unsent {
                Some(unsent) => self.begin(parties, Some(port), unsent, now),
                None => self.ports.close(port),
            };
        };
        let Open { mut course, held, .. } = open;
        if let Err(held) = course.pass_on(held) {
            Open::begin(course, held, &self.worker).account(Ending::EndpointRefused, now, &self.worker);
            unsent.into_iter().for_each(|unsent| self.tally.drop(unsent.count(), Dropped::Unreachable));
            return self.ports.close(port);
        }
        let first = Datagram { segment, ..Datagram::single(&first) };
        match self.reach(course, Some(port), first, now) {
            Ok((open, port)) => {
                let id = self.enter(parties, open, port, first, now);
                unsent.into_iter().for_each(|unsent| self.go_on(id, unsent, now));
            }
            Err(why) => {
                let count = first.count() + unsent.map_or(0, |unsent| unsent.count());
                self.tally.drop(count, why);
            }
        }
    }

    pub(super) fn has_opened(&mut self, count: u32) {
        self.open += u64::from(count);
        self.counters.flows.fetch_add(count.into(), Relaxed);
        self.worker.conversations.set(self.worker.conversations.get() + count);
    }

    pub(super) fn has_ended(&mut self, count: u32) {
        self.open -= u64::from(count);
        self.counters.flows.fetch_sub(count.into(), Relaxed);
        self.worker.conversations.set(self.worker.conversations.get() - count);
    }

    /// Tells the listener what was counted since the last time.
    pub(crate) fn tell(&mut self) {
        self.tally.tell(&self.counters.datagrams);
        let counters = self.acceptor.counters.borrow();
        if !Arc::ptr_eq(&counters, &self.counters) {
            // The socket belongs to another listener now, and its flows with it.
            self.counters.flows.fetch_sub(self.open, Relaxed);
            counters.flows.fetch_add(self.open, Relaxed);
            self.counters = Arc::clone(&counters);
        }
    }
}

/// The datagram is lost, and nothing is wrong with the endpoint: there is no room in a queue, or it is too long for the way.
fn is_for_now(error: Errno) -> bool {
    matches!(error, Errno::AGAIN | Errno::NOBUFS | Errno::MSGSIZE | Errno::INTR)
}

/// Why there is no socket; `None`: because of the endpoint.
fn why_not(error: &io::Error) -> Option<Dropped> {
    match error.kind() {
        // The endpoint cannot be reached from the client's address.
        io::ErrorKind::InvalidInput => Some(Dropped::Unreachable),
        _ => is_want(error).then_some(Dropped::NoDescriptor),
    }
}

/// There are no more sockets, or ports, to be had.
fn is_want(error: &io::Error) -> bool {
    let want = [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOBUFS, Errno::NOMEM, Errno::NOSPC];
    Errno::from_io_error(error).is_some_and(|error| want.contains(&error))
}
