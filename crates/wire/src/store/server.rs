//! One store: asks it while it works, leaves it alone while it does not, and tries it again without anybody waiting.

use crate::store::connection::{Connection, Failure};
use crate::store::{Around, Unavailable};
use bascule_contract::event::What;
use bascule_contract::sessions::Store;
use bascule_decide::sessions::key::SessionKey;
use bascule_decide::store::{Breaker, Turn};
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, cmd};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long a trial may take to connect and sign in, where no request waits.
const CONNECT: Duration = Duration::from_secs(1);

/// One store, as one thread reaches it.
pub(super) struct Server {
    pub(super) store: Store,
    /// Shared with the other threads.
    pub(super) breaker: Arc<Breaker>,
    /// Until it says that it does not.
    pub(super) knows_getex: Cell<bool>,
    /// Questions and trials that nobody waits for.
    pub(super) under_way: Cell<u32>,
    around: Rc<Around>,
    /// Held while connecting: requests that come meanwhile wait for that connection rather than make their own.
    pub(super) connection: Mutex<Option<Connection>>,
}

impl Server {
    pub(super) fn new(store: Store, around: Rc<Around>) -> Self {
        let breaker = around.breakers.of(&store);
        Self {
            store,
            breaker,
            knows_getex: Cell::new(true),
            under_way: Cell::new(0),
            around,
            connection: Mutex::default(),
        }
    }

    /// What a session is called here.
    pub(super) fn session(&self, key: SessionKey) -> String {
        format!("{}session:{key:?}", self.store.prefix)
    }

    /// The answer, if there is one within the time that a request may wait. Any other outcome, refusals among them, is a
    /// failure of the store: it is told, and nobody asks for a while.
    pub(super) async fn ask<T>(
        self: &Rc<Self>,
        question: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, Unavailable> {
        match self.breaker.turn((self.around.now)()) {
            Turn::Ask => {}
            Turn::Skip => return Err(Unavailable),
            Turn::Try => {
                tokio::task::spawn_local(try_again(UnderWay::begin(self)));
                return Err(Unavailable);
            }
        }
        let asked = async {
            let mut connection = self.connected().await?;
            question(&mut connection).await.map_err(Failure::Answer)
        };
        let failure = match timeout(self.wait(), asked).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Silent(self.store.wait_ms),
        };
        if self.breaker.failed((self.around.now)()) {
            let reason = failure.describe(&self.store);
            (self.around.tell)(What::StoreFailed { store: self.store.id.clone(), reason });
        }
        self.disconnect();
        Err(Unavailable)
    }

    /// The connection of this thread; another one when it has ended, or may have without anybody noticing.
    async fn connected(&self) -> Result<MultiplexedConnection, Failure> {
        let mut held = self.connection.lock().await;
        let failures = self.breaker.failures();
        if let Some(connection) = held.as_ref().filter(|it| it.is_open() && it.failures_before == failures) {
            return Ok(connection.multiplexed.clone());
        }
        *held = None;
        let connection = Connection::open(&self.store, failures).await?;
        Ok(held.insert(connection).multiplexed.clone())
    }

    /// Closes the connection, unless somebody is making another one just now.
    fn disconnect(&self) {
        if let Ok(mut held) = self.connection.try_lock() {
            *held = None;
        }
    }

    fn wait(&self) -> Duration {
        Duration::from_millis(self.store.wait_ms)
    }
}

/// Something that nobody waits for, counted until it ends.
pub(super) struct UnderWay(Rc<Server>);

impl UnderWay {
    pub(super) fn begin(server: &Rc<Server>) -> Self {
        server.under_way.set(server.under_way.get() + 1);
        Self(Rc::clone(server))
    }

    pub(super) fn server(&self) -> &Rc<Server> {
        &self.0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
    }
}

async fn try_again(under_way: UnderWay) {
    let server = under_way.server();
    let tried = async {
        let mut connection = timeout(CONNECT, server.connected()).await.ok()?.ok()?;
        timeout(server.wait(), cmd("PING").exec_async(&mut connection)).await.ok()?.ok()
    };
    let answered = tried.await.is_some();
    let now = (server.around.now)();
    if !answered {
        server.disconnect();
        server.breaker.trial_failed(now);
    } else if server.breaker.trial_passed(now) {
        (server.around.tell)(What::StoreRecovered { store: server.store.id.clone() });
    }
}
