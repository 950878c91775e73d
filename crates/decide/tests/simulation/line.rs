//! Requests wait in the real line of the pool.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::task::{Wake, Waker};

use bascule_decide::guard::queue::{self, Ticket, Wish};
use bascule_decide::shared::Shared;
use bascule_decide::table::Pool;
use bascule_decide::time::Tick;

use super::waiting::{Turn, Waiters};

/// The priority of all requests.
const USUAL: u32 = 5;

/// Those who wait at the first balancer.
#[derive(Default)]
pub struct InLine {
    tickets: BTreeMap<usize, (Ticket, Waker)>,
    timers: BinaryHeap<Reverse<(Tick, usize)>>,
    rung: Arc<Shared<Vec<usize>>>,
    /// The most that ever waited.
    pub longest: usize,
}

struct Rings {
    request: usize,
    rung: Arc<Shared<Vec<usize>>>,
}

impl Wake for Rings {
    fn wake(self: Arc<Self>) {
        self.rung.wait(|rung| rung.push(self.request));
    }
}

impl InLine {
    fn ask(&mut self, pool: &Pool, request: usize, now: Tick, turns: &mut Vec<Turn>) {
        let waiting = &pool.state.waiting;
        let Some((ticket, waker)) = self.tickets.get(&request) else { return };
        match waiting.turn(ticket, waker, now) {
            queue::Turn::Wait { until } => self.timers.push(Reverse((until, request))),
            queue::Turn::Go if turns.contains(&Turn::Go(request)) => {}
            queue::Turn::Go => turns.push(Turn::Go(request)),
            queue::Turn::Shed(_) => {
                self.tickets.remove(&request);
                turns.push(Turn::Shed(request));
            }
        }
    }
}

impl Waiters for InLine {
    fn must_queue(&mut self, pool: &Pool, _request: usize, _now: Tick) -> bool {
        pool.state.waiting.must_queue(USUAL)
    }

    fn enter(&mut self, pool: &Pool, request: usize, now: Tick) -> bool {
        let waiting = &pool.state.waiting;
        self.rung.wait(|rung| rung.push(request));
        if let Some((ticket, _)) = self.tickets.get(&request) {
            waiting.again(ticket, now);
            return true;
        }
        let waker = Waker::from(Arc::new(Rings { request, rung: Arc::clone(&self.rung) }));
        let Some(terms) = pool.terms() else { return false };
        let Ok(ticket) = waiting.enter(terms, (USUAL, Wish::Any), now, waker.clone()) else { return false };
        self.tickets.insert(request, (ticket, waker));
        self.longest = self.longest.max(self.tickets.len());
        true
    }

    fn leave(&mut self, pool: &Pool, request: usize, now: Tick) {
        if let Some((ticket, _)) = self.tickets.remove(&request) {
            pool.state.waiting.went(ticket, now);
        }
    }

    fn due(&mut self, pool: &Pool, now: Tick, turns: &mut Vec<Turn>) -> Option<Tick> {
        for request in self.rung.wait(std::mem::take) {
            self.ask(pool, request, now, turns);
        }
        while let Some(Reverse((at, request))) = self.timers.peek().copied() {
            if at > now {
                return Some(at);
            }
            self.timers.pop();
            self.ask(pool, request, now, turns);
        }
        None
    }
}
