//! The flows of one thread: who is to be looked at when, without a timer for each of them.

use crate::local::LocalTable;
use bascule_decide::balance::Slot;
use bascule_decide::flow::lifetime::Standing;
use bascule_decide::table::{EndpointState, Table, Target};
use bascule_decide::time::Tick;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Looks are taken together that fall into the same grain of time.
const GRAIN_US: u64 = 20_000;
const NO_GRAIN: u64 = u64::MAX;

/// All open flows of a thread, and who waits for an endpoint.
#[derive(Debug)]
pub(crate) struct Book {
    epoch: Instant,
    flows: RefCell<Slab<Entry>>,
    /// Who is looked at in which grain of time.
    looks: RefCell<BTreeMap<u64, Vec<usize>>>,
    /// The grain that [`Book::run`] sleeps for.
    next: Cell<u64>,
    runner: RefCell<Option<Waker>>,
    waiting: RefCell<Slab<Waker>>,
    changes: Cell<u64>,
}

#[derive(Debug)]
struct Entry {
    table: Rc<LocalTable>,
    waker: Option<Waker>,
    /// Where it stands in `looks`.
    grain: u64,
    position: u32,
    pool: u32,
    slot: Slot,
    /// It is to look at itself.
    is_due: bool,
    /// The live table does not have its endpoint.
    is_gone: bool,
}

/// A flow's entry, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Place {
    book: Rc<Book>,
    key: usize,
}

impl Book {
    /// `epoch`: where ticks are counted from.
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            flows: RefCell::default(),
            looks: RefCell::default(),
            next: Cell::new(NO_GRAIN),
            runner: RefCell::default(),
            waiting: RefCell::default(),
            changes: Cell::new(0),
        }
    }

    /// Open flows now.
    pub(crate) fn len(&self) -> usize {
        self.flows.borrow().len()
    }

    /// A flow is open that goes to this endpoint.
    pub(crate) fn enter(self: &Rc<Self>, table: &Rc<LocalTable>, pool: usize, slot: Slot) -> Place {
        let entry = Entry {
            table: Rc::clone(table),
            waker: None,
            grain: NO_GRAIN,
            position: 0,
            pool: u32::try_from(pool).unwrap_or(u32::MAX),
            slot,
            is_due: false,
            is_gone: false,
        };
        Place { key: self.flows.borrow_mut().insert(entry), book: Rc::clone(self) }
    }

    /// Wakes flows when their time comes. Never ends.
    pub(crate) async fn run(self: Rc<Self>) {
        let mut alarm = pin!(sleep_until(self.epoch));
        poll_fn(|cx| {
            loop {
                let next = self.looks.borrow().first_key_value().map_or(NO_GRAIN, |(grain, _)| *grain);
                self.next.set(next);
                if next == NO_GRAIN {
                    break;
                }
                alarm.as_mut().reset(self.epoch + Duration::from_micros(next * GRAIN_US));
                if alarm.as_mut().poll(cx).is_pending() {
                    break;
                }
                let due = self.looks.borrow_mut().remove(&next).unwrap_or_default();
                let mut flows = self.flows.borrow_mut();
                for key in due {
                    flows[key].grain = NO_GRAIN;
                    flows[key].wake();
                }
            }
            *self.runner.borrow_mut() = Some(cx.waker().clone());
            Poll::<()>::Pending
        })
        .await;
    }

    /// Marks were made, or another table is live: has the flows look whose endpoint is not as it should be, and those who
    /// wait for one.
    pub(crate) fn look(&self, live: &Table) {
        let known = known(live);
        for (_, entry) in self.flows.borrow_mut().iter_mut() {
            let pool = &entry.table.table().pools[entry.pool as usize];
            let endpoint = &pool.endpoints[entry.slot.index()];
            let was_gone = entry.is_gone;
            entry.is_gone =
                known.get(&Arc::as_ptr(&endpoint.state)).is_none_or(|target| **target != endpoint.target);
            if entry.is_gone != was_gone || pool.flow_standing(entry.slot) != Standing::Serving {
                entry.wake();
            }
        }
        self.changes.set(self.changes.get() + 1);
        self.waiting.borrow().iter().for_each(|(_, waker)| waker.wake_by_ref());
    }

    /// How often [`Book::look`] was called.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// Until this is dropped, [`Book::look`] wakes the task.
    pub(crate) fn wait(self: &Rc<Self>, cx: &Context<'_>) -> Waiting {
        Waiting { key: self.waiting.borrow_mut().insert(cx.waker().clone()), book: Rc::clone(self) }
    }

    fn unlist(&self, flows: &mut Slab<Entry>, key: usize) {
        let (grain, position) = (flows[key].grain, flows[key].position as usize);
        let mut looks = self.looks.borrow_mut();
        let Some(list) = looks.get_mut(&grain) else { return };
        list.swap_remove(position);
        match list.get(position) {
            Some(moved) => flows[*moved].position = flows[key].position,
            None if list.is_empty() => drop(looks.remove(&grain)),
            None => {}
        }
        flows[key].grain = NO_GRAIN;
    }
}

/// The endpoints of a table, and where they are.
pub(crate) fn known(live: &Table) -> HashMap<*const EndpointState, &Target> {
    let endpoints = live.pools.iter().flat_map(|pool| &pool.endpoints);
    endpoints.map(|endpoint| (Arc::as_ptr(&endpoint.state), &endpoint.target)).collect()
}

impl Entry {
    fn wake(&mut self) {
        self.is_due = true;
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

impl Place {
    /// Whether the flow is to look at itself now. Says so once.
    pub(crate) fn is_due(&self) -> bool {
        std::mem::take(&mut self.book.flows.borrow_mut()[self.key].is_due)
    }

    /// How the flow's endpoint stands.
    pub(crate) fn standing(&self) -> Standing {
        let entry = &self.book.flows.borrow()[self.key];
        let pool = &entry.table.table().pools[entry.pool as usize];
        if entry.is_gone { Standing::Gone } else { pool.flow_standing(entry.slot) }
    }

    /// The flow looks at itself at this time, and whenever its endpoint is not as it should be.
    pub(crate) fn look_at(&self, at: Tick, cx: &Context<'_>) {
        let flows = &mut *self.book.flows.borrow_mut();
        self.book.unlist(flows, self.key);
        let grain = at.0.div_ceil(GRAIN_US);
        let mut looks = self.book.looks.borrow_mut();
        let list = looks.entry(grain).or_default();
        let entry = &mut flows[self.key];
        entry.waker.get_or_insert_with(|| cx.waker().clone());
        (entry.grain, entry.position) = (grain, u32::try_from(list.len()).unwrap_or(u32::MAX));
        list.push(self.key);
        if grain < self.book.next.get()
            && let Some(runner) = self.book.runner.borrow_mut().take()
        {
            runner.wake();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let flows = &mut *self.book.flows.borrow_mut();
        self.book.unlist(flows, self.key);
        flows.remove(self.key);
    }
}

/// Somebody who waits for an endpoint.
#[derive(Debug)]
pub(crate) struct Waiting {
    book: Rc<Book>,
    key: usize,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.book.waiting.borrow_mut().remove(self.key);
    }
}
