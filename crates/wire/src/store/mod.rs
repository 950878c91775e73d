//! The Redis or Valkey servers that several balancers share: sessions and rate limits that all of them know.
//!
//! A store that is down costs nobody anything. No request waits longer than the store's `wait_ms`; whoever is not
//! answered goes on with what this process knows, and so do all others until the store has answered a trial that no
//! request waits for (`decide/store.rs` says when that is).

mod connection;
mod server;

use crate::store::server::{Server, UnderWay};
use bascule_contract::event::What;
use bascule_contract::sessions::Store;
use bascule_decide::limit::{Admission, LimitKey, Limited, RateLimit};
use bascule_decide::sessions::key::SessionKey;
use bascule_decide::store::Breaker;
use bascule_decide::time::Tick;
use redis::{Cmd, ErrorKind, RedisResult, Script, cmd, pipe};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What nobody waits for: so much of it may be under way for one store and thread; what is more is left out.
const MOST_UNDER_WAY: u32 = 1_000;

/// The stores, as one thread reaches them: one connection to each, made when it is first needed.
pub(crate) struct Stores {
    around: Rc<Around>,
    by_id: RefCell<HashMap<String, Rc<Server>>>,
    script: Script,
}

/// What the threads know together: which stores work. One for the process.
#[derive(Debug, Default)]
pub(crate) struct Breakers(Mutex<Vec<(Store, Weak<Breaker>)>>);

/// The store has not answered, or is not asked at present, or there is none of that name: go on without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unavailable;

/// What a store needs to know of the thread it is used by.
struct Around {
    breakers: Arc<Breakers>,
    now: Box<dyn Fn() -> Tick>,
    tell: Box<dyn Fn(What)>,
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}

impl Stores {
    /// No stores yet: [`Stores::update`]. `now` is the time that all threads agree on; `tell` gets `StoreFailed` and
    /// `StoreRecovered`, once for each change, from whichever thread sees it first.
    pub(crate) fn new(
        breakers: Arc<Breakers>,
        now: impl Fn() -> Tick + 'static,
        tell: impl Fn(What) + 'static,
    ) -> Self {
        let around = Rc::new(Around { breakers, now: Box::new(now), tell: Box::new(tell) });
        Self { around, by_id: RefCell::default(), script: Script::new(include_str!("limit.lua")) }
    }

    /// The stores that a new table has. Those that are as they were keep their connections; those that are gone finish
    /// what they are at.
    pub(crate) fn update(&self, wanted: &[Store]) {
        let mut by_id = self.by_id.borrow_mut();
        by_id.retain(|_, server| wanted.contains(&server.store));
        for store in wanted {
            by_id
                .entry(store.id.clone())
                .or_insert_with(|| Rc::new(Server::new(store.clone(), Rc::clone(&self.around))));
        }
    }

    /// The id of the endpoint that the session is on; its time begins anew. `Ok(None)`: the store does not know it.
    pub(crate) async fn session(
        &self,
        store: &str,
        key: SessionKey,
        expiry_ms: u64,
    ) -> Result<Option<String>, Unavailable> {
        let server = self.server(store)?;
        let name = server.session(key);
        if server.knows_getex.get() {
            let command = cmd("GETEX").arg(&name).arg("PX").arg(expiry_ms).take();
            match server.ask(async |connection| unless_unknown(command.query_async(connection).await)).await?
            {
                Some(found) => return Ok(as_text(found)),
                None => server.knows_getex.set(false),
            }
        }
        let mut both = pipe();
        both.get(&name).cmd("PEXPIRE").arg(&name).arg(expiry_ms).ignore();
        server.ask(async |connection| both.query_async(connection).await).await.map(|(found,)| as_text(found))
    }

    /// Puts the session on this endpoint, wherever it was. Nobody waits for that, and a store that does not answer forgets it.
    pub(crate) fn remember_session(&self, store: &str, key: SessionKey, endpoint: &str, expiry_ms: u64) {
        self.send(store, |server| {
            cmd("SET").arg(server.session(key)).arg(endpoint).arg("PX").arg(expiry_ms).take()
        });
    }

    /// The session's time begins anew, for one whose endpoint is known without the store. Nobody waits for that.
    pub(crate) fn touch_session(&self, store: &str, key: SessionKey, expiry_ms: u64) {
        self.send(store, |server| cmd("PEXPIRE").arg(server.session(key)).arg(expiry_ms).take());
    }

    /// Counts a request of `key`, together with all balancers that use the store, or says when it may come again. By the
    /// store's clock. `Unavailable`, too, when the limit has no store: [`RateLimit::admit`] counts here.
    pub(crate) async fn admit(&self, limit: &RateLimit, key: LimitKey) -> Result<Admission, Unavailable> {
        let server = self.server(limit.store.as_deref().ok_or(Unavailable)?)?;
        let rate = limit.rate;
        let mut call = self.script.key(format!("{}{}", server.store.prefix, limit.name_in_store(key)));
        call.arg(rate.requests).arg(rate.per_us).arg(rate.burst);
        let (admitted, remaining, retry_after_ms, reset_ms) = server
            .ask(async |connection| call.invoke_async::<(bool, u64, u64, u64)>(connection).await)
            .await?;
        Ok(match admitted {
            true => Admission::Admitted { limit: rate.burst, remaining, reset_ms },
            false => Admission::Limited(Limited { limit: rate.burst, retry_after_ms, reset_ms }),
        })
    }

    fn server(&self, store: &str) -> Result<Rc<Server>, Unavailable> {
        self.by_id.borrow().get(store).map(Rc::clone).ok_or(Unavailable)
    }

    fn send(&self, store: &str, compose: impl FnOnce(&Server) -> Cmd) {
        let Ok(server) = self.server(store) else { return };
        if server.under_way.get() >= MOST_UNDER_WAY {
            return;
        }
        let (command, under_way) = (compose(&server), UnderWay::begin(&server));
        tokio::task::spawn_local(async move {
            let _ = under_way.server().ask(async |connection| command.exec_async(connection).await).await;
        });
    }
}

impl Breakers {
    /// The one for this store and these settings: with other settings it is another store.
    fn of(&self, store: &Store) -> Arc<Breaker> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, breaker)| breaker.strong_count() > 0);
        let found = known.iter().find(|(other, _)| other == store).and_then(|(_, breaker)| breaker.upgrade());
        found.unwrap_or_else(|| {
            let breaker = Arc::default();
            known.push((store.clone(), Arc::downgrade(&breaker)));
            breaker
        })
    }
}

/// What is no text is not ours, and names no endpoint.
fn as_text(found: Option<Vec<u8>>) -> Option<String> {
    found.and_then(|bytes| String::from_utf8(bytes).ok())
}

/// `None` when the server is too old to know the command (GETEX came with Redis 6.2), or has it turned off.
fn unless_unknown<T>(answer: RedisResult<T>) -> RedisResult<Option<T>> {
    match answer {
        Err(error)
            if matches!(error.kind(), ErrorKind::Server(_))
                && error.detail().is_some_and(|detail| detail.contains("unknown command")) =>
        {
            Ok(None)
        }
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests;
