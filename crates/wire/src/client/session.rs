//! The session of a request: where it is, whether it may move, and how the client or the table is told.

use crate::leg::Held;
use crate::local::LocalTable;
use crate::worker::Worker;
use bascule_decide::balance::Slot;
use bascule_decide::http1::Field;
use bascule_decide::request::Request as Routed;
use bascule_decide::sessions::cookie::Claim;
use bascule_decide::sessions::key::SessionKey;
use bascule_decide::sessions::pool::{KnownBy, NamedBy, PoolSessions, Remembered, Said};
use bascule_decide::sessions::syntax::learned_cookie;
use bascule_decide::table::Pool;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

/// The session of a request to a pool that keeps sessions.
#[derive(Debug, Default)]
pub(crate) struct Session {
    said: Said,
    strict: bool,
    in_store: bool,
    stay: Cell<Option<Slot>>,
    /// The endpoint that was remembered, which the pool may not have any more.
    found: RefCell<Option<Arc<str>>>,
}

/// Where a session is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stay {
    pub(crate) slot: Slot,
    /// It waits rather than moves while the endpoint is full.
    pub(crate) strict: bool,
}

impl Session {
    /// What the request says; on the heap, because most pools keep no sessions.
    pub(crate) fn read(pool: &Pool, asked: &Routed<'_>, worker: &Worker) -> Option<Box<Self>> {
        let sessions = pool.sessions.as_ref()?;
        let said = sessions.read(asked, &pool.id, now_s());
        let in_store = matches!(said, Said::Name(_))
            && sessions.remembered().is_some_and(|remembered| remembered.store.is_some());
        let session = Self { said, in_store, strict: sessions.strict, ..Self::default() };
        session.look_up(pool, sessions, worker);
        Some(Box::new(session))
    }

    fn look_up(&self, pool: &Pool, sessions: &PoolSessions, worker: &Worker) {
        match (&self.said, &sessions.by) {
            (Said::Cookie(Claim::Endpoint { tag, .. }), KnownBy::Issued { tags, .. }) => {
                self.stay.set(tags.slot(*tag));
                if self.stay.get().is_none() {
                    pool.state.counted.sessions_moved.fetch_add(1, Relaxed);
                }
            }
            (Said::Cookie(Claim::Refused), _) => {
                pool.state.counted.sessions_refused.fetch_add(1, Relaxed);
            }
            (Said::Name(key), KnownBy::Remembered(remembered)) => {
                if let Some(endpoint) = remembered.table.find(*key, worker.now()) {
                    self.is_on(remembered, endpoint);
                }
            }
            _ => {}
        }
    }

    /// Whether a shared store may know more of it than we do.
    pub(crate) fn is_in_store(&self) -> bool {
        self.in_store
    }

    /// Asks the store where the session is, unless its endpoint is known here and can still be had.
    pub(crate) async fn look_up_in_store(&self, pool: &Pool, worker: &Worker) {
        let Said::Name(key) = &self.said else { return };
        let Some(remembered) = pool.sessions.as_ref().and_then(PoolSessions::remembered) else { return };
        let Some(store) = &remembered.store else { return };
        if self.stay.get().is_some_and(|stay| pool.keeps_sessions(stay, worker.now())) {
            return worker.stores.touch_session(store, *key, remembered.expiry_ms);
        }
        if let Ok(Some(endpoint)) = worker.stores.session(store, *key, remembered.expiry_ms).await {
            let endpoint: Arc<str> = endpoint.into();
            remembered.table.remember(*key, &endpoint, worker.now());
            self.is_on(remembered, endpoint);
        }
    }

    fn is_on(&self, remembered: &Remembered, endpoint: Arc<str>) {
        self.stay.set(remembered.slot(&endpoint));
        *self.found.borrow_mut() = Some(endpoint);
    }

    /// Where it is, if it is anywhere.
    pub(crate) fn stay(&self) -> Option<Stay> {
        self.stay.get().map(|slot| Stay { slot, strict: self.strict })
    }

    /// Whether the session goes where this try is. It does not when its own endpoint was full, or only slow: it is there
    /// that its data are.
    fn settles(&self, held: &Held, tried: &[Slot]) -> bool {
        let slot = held.place().1;
        self.stay
            .get()
            .is_none_or(|stay| slot != stay && (tried.contains(&stay) || !held.keeps_sessions(stay)))
    }

    /// Another endpoint, if a request of the same session that came at the same time was there first.
    pub(crate) fn settle(&self, held: &Held, tried: &[Slot], worker: &Worker) -> Option<Slot> {
        let Said::Name(key) = &self.said else { return None };
        // A cookie that the application has not issued yet names nothing.
        let is_known = |by: &NamedBy| matches!(by, NamedBy::Part(_)) || self.found.borrow().is_some();
        let remembered = held.remembered().filter(|it| is_known(&it.named_by))?;
        if !self.settles(held, tried) {
            return None;
        }
        let endpoint = &held.endpoint().id;
        let found = self.found.borrow().clone();
        let on = remembered.table.settle(*key, found.as_deref(), endpoint, worker.now());
        if on == *endpoint {
            if found.as_deref() != Some(&**endpoint) {
                remember_in_store(remembered, *key, endpoint, worker);
            }
            return None;
        }
        remembered.slot(&on).filter(|slot| !tried.contains(slot))
    }

    /// The answer of this try goes to the client: counts what became of the session.
    pub(crate) fn count(&self, held: &Held, tried: &[Slot]) {
        let Some(stay) = self.stay.get() else { return };
        let counted = &held.pool().state.counted;
        if held.place().1 == stay {
            counted.sessions_kept.fetch_add(1, Relaxed);
        } else if self.settles(held, tried) {
            counted.sessions_moved.fetch_add(1, Relaxed);
        }
    }

    /// The field that tells the client where its session is from now on, with its line end; nothing when it knows.
    pub(crate) fn write_cookie(&self, held: &Held, tried: &[Slot], worker: &Worker, out: &mut Vec<u8>) {
        let Some(PoolSessions { by: KnownBy::Issued { cookies, tags }, .. }) = &held.pool().sessions else {
            return;
        };
        let renew = matches!(self.said, Said::Cookie(Claim::Endpoint { renew: true, .. }));
        let slot = held.place().1;
        let stays = self.stay.get() == Some(slot);
        if (stays && !renew) || (!stays && !self.settles(held, tried)) {
            return;
        }
        out.extend_from_slice(b"Set-Cookie: ");
        worker.with_random(|random| cookies.issue(tags.tag(slot), now_s(), random, out));
        out.extend_from_slice(b"\r\n");
    }

    /// The response issues the application's cookie: its endpoint is remembered.
    pub(crate) fn learn(held: &Held, fields: &[Field<'_>], worker: &Worker) {
        let Some(remembered) = held.remembered() else { return };
        let NamedBy::Cookie(name) = &remembered.named_by else { return };
        for field in fields.iter().filter(|field| field.name.eq_ignore_ascii_case("set-cookie")) {
            if let Some(value) = learned_cookie(field.value, name) {
                let key = SessionKey::of(&held.pool().id, value);
                remembered.table.remember(key, &held.endpoint().id, worker.now());
                remember_in_store(remembered, key, &held.endpoint().id, worker);
            }
        }
    }
}

fn remember_in_store(remembered: &Remembered, key: SessionKey, endpoint: &str, worker: &Worker) {
    if let Some(store) = &remembered.store {
        worker.stores.remember_session(store, key, endpoint, remembered.expiry_ms);
    }
}

impl LocalTable {
    /// Sessions that a pool remembers now.
    pub(crate) fn sessions_of(pool: &Pool, now: bascule_decide::time::Tick) -> u64 {
        match &pool.sessions {
            Some(PoolSessions { by: KnownBy::Remembered(remembered), .. }) => {
                remembered.table.len(now) as u64
            }
            _ => 0,
        }
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
