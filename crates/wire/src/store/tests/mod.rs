//! Shared stores against a real redis-server: down at the start, killed, frozen, and back again.

mod counting;
mod failing;
mod program;
mod remembering;

use crate::store::tests::program::{PATIENCE, Program};
use crate::store::{Breakers, Stores};
use bascule_contract::event::What;
use bascule_contract::sessions::Store;
use bascule_decide::time::Tick;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::{Instant, timeout};

/// The stores of one thread, a clock that stands still, and what was told.
struct Thread {
    stores: Rc<Stores>,
    now: Rc<Cell<Tick>>,
    told: Rc<RefCell<Vec<String>>>,
}

impl Thread {
    /// A thread of a process of its own.
    fn new(store: &Store) -> Self {
        Self::of(&Arc::default(), store)
    }

    /// A thread of the process that `breakers` stand for.
    fn of(breakers: &Arc<Breakers>, store: &Store) -> Self {
        let now = Rc::new(Cell::new(Tick(1_000)));
        let told = Rc::new(RefCell::new(Vec::new()));
        let (clock, book) = (Rc::clone(&now), Rc::clone(&told));
        let note = move |what| {
            book.borrow_mut().push(match what {
                What::StoreFailed { store, reason } => format!("{store} failed: {reason}"),
                What::StoreRecovered { store } => format!("{store} recovered"),
                other => format!("{other:?}"),
            });
        };
        let stores = Rc::new(Stores::new(Arc::clone(breakers), move || clock.get(), note));
        stores.update(std::slice::from_ref(store));
        Self { stores, now, told }
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.borrow_mut())
    }

    fn later(&self, ms: u64) {
        self.now.set(self.now.get().after_ms(ms));
    }
}

/// Runs as the data plane's threads do.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .expect("a runtime");
    runtime.block_on(async { timeout(PATIENCE * 3, test).await.expect("the test hangs") });
}

/// Lets other tasks run until it holds.
async fn until(holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "it never holds");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}
