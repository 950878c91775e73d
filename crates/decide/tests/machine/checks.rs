//! What holds whatever has happened.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bascule_decide::balance::Slot;
use bascule_decide::endpoint::EndpointState;
use bascule_decide::guard::ejection::Standing;
use bascule_decide::table::Pool;

use super::{FOUND_US, Machine, Request, Stage};

impl Machine {
    /// What must hold after every step.
    pub(crate) fn check(&mut self) {
        for (id, (state, ours)) in &self.endpoints {
            let theirs = state.in_flight.load(Relaxed);
            assert_eq!(theirs, *ours, "tries at {id}");
        }
        let in_line = self.requests.iter().filter(|it| it.ticket.is_some()).count();
        let counted = self.pool(0).state.waiting.count() as usize;
        assert!(counted <= in_line, "{counted} wait, and only {in_line} have a ticket");
        self.check_waiters();
    }

    /// Whoever waits for room that there is learns of it.
    fn check_waiters(&mut self) {
        let goes_anywhere = |it: &Request| it.strict.is_none() && it.tried.is_empty();
        // Of older tables some go on to wait behind others of theirs, for room that only theirs has.
        let is_latest = |it: &Request| it.generation == self.latest();
        let waits = |it: &&Request| matches!(it.stage, Stage::Waits) && goes_anywhere(it) && is_latest(it);
        let waiters: Vec<&Request> = self.requests.iter().filter(waits).collect();
        let is_called = |it: &usize| matches!(self.requests[*it].stage, Stage::Waits);
        let looks = |it: &Request| {
            matches!(it.stage, Stage::MayGo | Stage::Took(_) | Stage::FoundNone | Stage::FoundNothing)
        };
        let on_its_way = self.rung.wait(|rung| rung.iter().any(is_called)) || self.requests.iter().any(looks);
        if waiters.is_empty() || on_its_way || !waiters.iter().all(|it| self.has_room_for(it)) {
            self.unserved = None;
            return;
        }
        assert!(!self.is_calm, "room was made, and nobody was told");
        let since = *self.unserved.get_or_insert(self.now);
        assert!(self.now.since(since) < FOUND_US, "there is room since {}, and nobody goes", since.0);
    }

    fn has_room_for(&self, request: &Request) -> bool {
        let pool = self.pool(request.generation);
        (0..pool.endpoints.len() as u32).map(Slot).any(|slot| {
            let in_flight = pool.endpoints[slot.index()].state.in_flight.load(Relaxed);
            self.serves(pool, slot) && in_flight < pool.limit(slot) && !request.tried.contains(&slot)
        })
    }

    /// An endpoint was ejected: the pool can do without.
    pub(crate) fn check_ejection(&self, generation: usize, ejected: Slot) {
        let pool = self.pool(generation);
        let out = |endpoint: &Arc<EndpointState>| endpoint.record.standing(self.now) != Standing::Good;
        let count = pool.endpoints.iter().filter(|it| out(&it.state)).count();
        let percent = pool.protection.ejection.as_ref().map_or(0, |it| it.most_percent) as usize;
        let most = (pool.endpoints.len() * percent / 100).max(1);
        assert!(count <= most, "{count} of {} are ejected, more than {most}", pool.endpoints.len());
        let mut others = pool.endpoints.iter().enumerate().filter(|(slot, _)| *slot != ejected.index());
        let serves = |(slot, _): (usize, _)| self.serves(pool, Slot(slot as u32));
        assert!(others.any(serves), "the last endpoint was ejected");
    }

    fn serves(&self, pool: &Pool, slot: Slot) -> bool {
        let endpoint = &pool.endpoints[slot.index()];
        endpoint.is_up()
            && !endpoint.is_draining()
            && endpoint.weight_now() > 0
            && endpoint.state.record.standing(self.now) == Standing::Good
    }
}
