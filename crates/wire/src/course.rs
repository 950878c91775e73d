//! Where a request has been, and what it may still do: the tries that it has left, and what pays for them.

use crate::account::Ending;
use crate::head::{Head, Kind};
use crate::leg::Held;
use crate::upload::Body;
use crate::worker::Worker;
use bascule_decide::balance::Slot;
use bascule_decide::retry::{Budget, Tries};
use bascule_decide::table::Pool;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

/// The way of one request. Shared by its legs.
pub(crate) struct Course {
    pub(crate) pool: usize,
    pub(crate) tried: Vec<Slot>,
    /// How the last try failed.
    pub(crate) failed: Option<Ending>,
    /// What was taken of the request's body, if it has one. Away while it is being sent.
    pub(crate) body: Cell<Option<Box<Body>>>,
    tries: Cell<Tries>,
    retrying: RefCell<Option<Retrying>>,
}

impl Course {
    pub(crate) fn begin(pool: usize) -> Self {
        Self {
            pool,
            tried: Vec::new(),
            failed: None,
            body: Cell::default(),
            tries: Cell::default(),
            retrying: RefCell::default(),
        }
    }

    /// Whether an answer counts as a failed try, and there may be another somewhere else; the decision is counted. Only
    /// for what may be sent twice.
    pub(crate) fn asks_elsewhere(&self, held: &Held, answer: &Head, worker: &Rc<Worker>) -> bool {
        answer.kind == Kind::Final
            && held.pool().retries.statuses.contains(&answer.status)
            && self.leads_elsewhere(held, worker)
    }

    /// The same for the answer to a call, which is sent again when the operator says that calls may be. A status in the
    /// head stands in the place of all messages: the caller has got none.
    pub(crate) fn calls_elsewhere(&self, held: &Held, answer: &Head, worker: &Rc<Worker>) -> bool {
        let statuses = &held.pool().retries.grpc_statuses;
        answer.grpc_status.is_some_and(|status| statuses.contains(&u16::from(status.number())))
            && self.leads_elsewhere(held, worker)
    }

    fn leads_elsewhere(&self, held: &Held, worker: &Rc<Worker>) -> bool {
        held.has_other(&self.tried) && self.has_another(held.pool(), worker, false)
    }

    /// Whether all that was sent of the request's body, if it has one, can be sent again.
    pub(crate) fn has_body_at_hand(&self) -> bool {
        let body = self.body.take();
        let is_at_hand = body.as_ref().is_none_or(|body| body.is_at_hand());
        self.body.set(body);
        is_at_hand
    }

    /// Notes a failed try and says whether there may be another. `refused`: it cost nobody anything.
    pub(crate) fn has_another(&self, pool: &Pool, worker: &Rc<Worker>, refused: bool) -> bool {
        let is_retrying = self.retrying.borrow().is_some();
        let mut tries = self.tries.get();
        let within = || is_retrying || within_budget(pool, worker);
        let allowed = tries.another(refused, pool.retries.attempts, within);
        self.tries.set(tries);
        if allowed && !refused {
            self.retrying.borrow_mut().get_or_insert_with(|| Retrying::begin(worker));
        }
        allowed
    }
}

pub(crate) fn within_budget(pool: &Pool, worker: &Worker) -> bool {
    let budget = Budget { percent: pool.retries.budget_percent, minimum: pool.retries.budget_minimum };
    let allowed = budget.allows(worker.retrying.get(), worker.in_flight.get());
    if !allowed {
        pool.state.counted.retries_denied.fetch_add(1, Relaxed);
    }
    allowed
}

/// A thread's count of exchanges that are at a retry, for as long as this lives.
pub(crate) struct Retrying(Rc<Worker>);

impl Retrying {
    pub(crate) fn begin(worker: &Rc<Worker>) -> Self {
        worker.retrying.set(worker.retrying.get() + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Retrying {
    fn drop(&mut self) {
        self.0.retrying.set(self.0.retrying.get() - 1);
    }
}
