//! How flows end: with their last answer, in silence, with their endpoint, for another flow, or with their listener.

use crate::account::Ending;
use crate::flow::book::known;
use crate::udp::conversations::Conversations;
use crate::udp::flow::{Flow, Open};
use crate::udp::ports::PortId;
use bascule_decide::datagrams::table::{FlowId, Patience};
use bascule_decide::time::Tick;
use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;

/// How long the socket of a flow that is over stays at hand.
const OVER_MS: u64 = 1_000;
/// While the balancer stops, a flow that is silent for as long has ended.
const LAST_MS: u64 = 1_000;

impl Conversations {
    /// A flow that has all its answers is over. Its socket waits for a flow that can use it.
    pub(super) fn rest_if_complete(&mut self, id: FlowId, now: Tick) {
        let flow = self.flows.value_mut(id);
        let Some(open) = flow.open.take_if(|open| open.talk.is_complete()) else { return };
        open.account(Ending::Ok, now, &self.worker);
        self.flows.change(id, Patience::Over(OVER_MS), now);
        self.has_ended(1);
    }

    /// Ends a flow; its socket may be used again.
    pub(super) fn end(&mut self, id: FlowId, ending: Ending, now: Tick) -> PortId {
        let Flow { port, open, .. } = self.flows.end(id);
        if let Some(open) = open {
            open.account(ending, now, &self.worker);
            self.has_ended(1);
        }
        port
    }

    /// Ends a flow that another one needs the socket of.
    pub(super) fn give_up(&mut self, id: FlowId, now: Tick) -> PortId {
        self.end(id, Ending::Evicted, now)
    }

    pub(super) fn end_and_close(&mut self, id: FlowId, ending: Ending, now: Tick) {
        let port = self.end(id, ending, now);
        self.ports.close(port);
    }

    /// Ends up to `most` flows that have been silent for too long; whether there are more. Then, when it is time, looks
    /// through the others.
    pub(crate) fn expire(&mut self, most: usize, every: Duration, now: Tick) -> bool {
        for _ in 0..most {
            let Some(id) = self.flows.expired(now) else {
                if now.since(self.looked.1) >= as_us(every) {
                    self.look_through(now);
                }
                return false;
            };
            let silence = self.flows.value(id).open.as_ref().map_or(Ending::Ok, Open::silence);
            self.end_and_close(id, silence, now);
        }
        true
    }

    /// When to call [`Conversations::expire`] next.
    pub(crate) fn next_look(&self, every: Duration) -> Option<Tick> {
        let look = Tick(self.looked.1.0 + as_us(every));
        (self.open > 0).then_some(look).into_iter().chain(self.flows.next_expiry()).min()
    }

    /// Ends flows whose endpoint is to be left, when a mark or a reload may have said so.
    fn look_through(&mut self, now: Tick) {
        let table = self.worker.table();
        let table = table.table();
        let versions = table.pools.iter().map(|pool| pool.state.version.load(Acquire));
        let seen = versions.fold(table.generation, u64::wrapping_add);
        if self.looked.0 == seen {
            self.looked.1 = now;
            return;
        }
        let (known, mut all_serve) = (known(table), true);
        let mut over = Vec::new();
        for id in self.flows.ids().collect::<Vec<_>>() {
            let Some(open) = &mut self.flows.value_mut(id).open else { continue };
            all_serve &= open.is_served(&known);
            if let Err(ending) = open.look(now) {
                over.push((id, ending));
            }
        }
        over.into_iter().for_each(|(id, ending)| self.end_and_close(id, ending, now));
        // A drain goes on: it has to be looked at again.
        self.looked = (if all_serve { seen } else { seen.wrapping_sub(1) }, now);
    }

    /// No new flows from now on. Those that there are end when they fall silent, or at once where only this socket is not
    /// wanted any more.
    pub(crate) fn close(&mut self) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        if !self.worker.stopping.get() {
            return self.end_all(Ending::Unlistened);
        }
        let now = self.worker.now();
        for id in self.flows.ids().collect::<Vec<_>>() {
            match &self.flows.value(id).open {
                Some(open) => {
                    let ms = open.course.route().idle_ms.min(LAST_MS);
                    self.flows.change(id, Patience::Open(ms), now);
                }
                None => self.end_and_close(id, Ending::Ok, now),
            }
        }
    }

    /// Whether there is nothing left to do.
    pub(crate) fn has_closed(&self) -> bool {
        self.closing && self.open == 0
    }

    pub(crate) fn end_all(&mut self, ending: Ending) {
        let now = self.worker.now();
        for id in self.flows.ids().collect::<Vec<_>>() {
            self.end_and_close(id, ending, now);
        }
        self.tell();
    }
}

fn as_us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
