//! The life of one TCP flow, from the accepted connection to its end.
//!
//! Read this file first. A flow is opened by a task that knows everything, and then carried by one that knows little:
//! ten thousand idle flows are ten thousand times [`Flow`].
//!
//! | stage | file | decides in |
//! |---|---|---|
//! | 1 who it is: a PROXY header, TLS, or what the client's hello says | `whose.rs`, `hello.rs`, `client/secure.rs` | `decide/client_hello.rs` |
//! | 2 route and limits | here | `decide/flow.rs`, `decide/limit.rs` |
//! | 3 an endpoint: pick, wait, hold, connect, another one | `reach.rs`, `wait.rs` | `decide/pick.rs`, `decide/retry.rs` |
//! | 4 both directions | `relay.rs` | – |
//! | 5 how long it may go on | here, `book.rs` | `decide/flow/lifetime.rs` |
//! | 6 account | `told.rs` | – |

pub(crate) mod book;
mod hello;
mod reach;
pub(crate) mod relay;
mod told;
mod whose;

use crate::account::{Ending, FlowSeries};
use crate::client::accept::Acceptor;
use crate::client::connection::{Arrival, Connection, Peer};
use crate::client::secure;
use crate::deadline::Deadline;
use crate::flow::book::Place;
use crate::flow::hello::{Hello, Seen, look};
use crate::flow::reach::{Reached, Unreached, reach};
use crate::flow::relay::{Early, End, Peer as Side, Relay};
use crate::flow::told::{Ended, Told};
use crate::leg::Held;
use crate::local::{FlowRoutePlace, LocalTable};
use crate::socket::Socket;
use crate::stream::Watch;
use crate::tls::server::ServerTls;
use crate::worker::Worker;
use bascule_contract::event::What;
use bascule_contract::flows::Carries;
use bascule_decide::balance::Slot;
use bascule_decide::flow::lifetime::{Lifetime, Over};
use bascule_decide::flow::{FlowRoute, Opening};
use bascule_decide::limit::Admission;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// While there is no endpoint, one is looked for so often, also when nobody says that there may be one.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Flows that end sooner than this need no keep-alive probes.
const SHORT_MS: u64 = 1_000;

/// A client that has come and has no endpoint yet.
struct Guest {
    worker: Rc<Worker>,
    acceptor: Rc<Acceptor>,
    socket: Socket,
    peer: Peer,
    arrival: Arrival,
    told: Told,
    early: Early,
    /// Tells the clients of its thread apart.
    serial: u64,
    /// Where it was last.
    endpoint: Option<(usize, Slot)>,
    /// What it goes by now.
    table: Option<Rc<LocalTable>>,
    /// It is passed on still encrypted.
    passes: bool,
    /// Why the last try failed, where there is more to say.
    reason: &'static str,
}

/// A flow that has both its sides.
struct Flow {
    relay: Relay,
    held: Held,
    lifetime: Lifetime,
    place: Place,
    series: Arc<FlowSeries>,
    arrival: Arrival,
    told: Told,
    /// Something was counted since the flow was last looked at.
    moved: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To be looked at for the first time.
    New,
    /// It may be over before anything has to be prepared for a long life.
    Short,
    Long,
    Accounted,
}

/// Gives a connection to a task of its own.
pub(crate) fn welcome(
    worker: Rc<Worker>,
    acceptor: Rc<Acceptor>,
    socket: Socket,
    peer: Peer,
    arrival: Arrival,
) {
    let (told, early) = (Told::new(peer.ip, worker.now()), Early::default());
    let guest = Guest {
        serial: worker.next_serial(),
        worker,
        acceptor,
        socket,
        peer,
        arrival,
        told,
        early,
        endpoint: None,
        table: None,
        passes: false,
        reason: "",
    };
    tokio::task::spawn_local(Life::Opening(Box::pin(guest.open())));
}

/// The task of a flow.
enum Life {
    Opening(Pin<Box<dyn Future<Output = Option<Box<Flow>>>>>),
    Open(Box<Flow>),
}

impl Future for Life {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Opening(opening) = &mut *self {
            let Some(flow) = ready!(opening.as_mut().poll(cx)) else { return Poll::Ready(()) };
            *self = Self::Open(flow);
        }
        match &mut *self {
            Self::Open(flow) => flow.poll(cx),
            Self::Opening(_) => Poll::Pending,
        }
    }
}

/// What a guest turns out to be.
enum Met {
    /// A flow that asks for this.
    Flow(Hello),
    /// It speaks HTTP, or will once its handshake is over.
    Http,
    /// A flow that is over already.
    Over(Ending),
    /// Nobody: its handshake failed, or it came to a listener that is gone.
    NotTaken,
}

impl Guest {
    /// Routes, and finds an endpoint. `None`: the flow is over, and accounted for.
    async fn open(mut self) -> Option<Box<Flow>> {
        let hello = match self.meet().await {
            Met::Flow(hello) => hello,
            Met::Over(ending) => return self.end(ending),
            Met::NotTaken => return None,
            Met::Http => {
                let Self { worker, acceptor, socket, peer, arrival, .. } = self;
                Box::pin(async { Connection::new(worker, acceptor, socket, peer, arrival).serve().await })
                    .await;
                return None;
            }
        };
        match self.find_endpoint(&hello).await {
            Ok(reached) => Some(Flow::begin(self, reached)),
            Err(ending) => self.end(ending),
        }
    }

    /// Stage 1: what it asks for, in the clear or not; whether it is passed on as it is.
    async fn meet(&mut self) -> Met {
        let table = self.worker.table();
        let Some(place) = self.acceptor.place(table.table()) else { return Met::NotTaken };
        self.told.is_at(place);
        self.table = Some(Rc::clone(&table));
        let listener = &table.table().listeners[place];
        let until = self.worker.instant(self.told.began().after_ms(listener.timeouts.head_ms));
        if self.peer.announces(listener) && !self.hear_whose(until).await {
            return Met::NotTaken;
        }
        let (flows, tls) = (&listener.flows, table.secured().listener(place));
        let mut hello = Hello::default();
        if flows.routes.read_hello() || !flows.passthrough.is_empty() {
            match look(&self.socket, until).await {
                Ok(Seen::Hello(seen)) => hello = seen,
                Ok(Seen::Nothing) => {}
                Ok(Seen::Refused(why)) if tls.is_none() => {
                    self.reason = why;
                    return Met::Over(Ending::BadRequest);
                }
                // We are the only reader.
                Ok(Seen::Refused(_)) => {}
                Err(ending) => return Met::Over(ending),
            }
        }
        let opening = Opening { server_name: hello.server_name(), alpn: &hello.alpn(), client: self.peer.ip };
        self.passes = flows.passthrough.find(&opening).is_some();
        match tls {
            Some(tls) if !self.passes && listener.carries == Carries::Tcp => {
                let tls = Arc::clone(tls);
                drop(table);
                if !self.shake_hands(&tls, until).await {
                    return Met::NotTaken;
                }
                hello.has_shaken_hands(&self.socket);
            }
            _ if !self.passes && listener.carries == Carries::Http => return Met::Http,
            _ => {}
        }
        if let Some(name) = hello.server_name() {
            self.told.asks_for(name);
        }
        Met::Flow(hello)
    }

    /// False: there is no more to be said.
    async fn shake_hands(&mut self, tls: &ServerTls, until: Instant) -> bool {
        let mut deadline = Deadline::default();
        deadline.set(until);
        if let Err(error) = secure::shake_hands(&mut self.socket, tls, &mut deadline).await {
            let client = (&self.socket, &*self.peer.text);
            secure::count_failure(&self.worker, &self.acceptor, client, error.as_ref());
            return false;
        }
        secure::count_success(&self.acceptor, &self.socket);
        !secure::is_a_challenge(&self.socket)
    }

    /// An endpoint; while there is none, and the pool holds flows, it is waited for.
    async fn find_endpoint(&mut self, hello: &Hello) -> Result<Reached, Ending> {
        let (mut hold, mut admitted) = (None, false);
        let alpn = hello.alpn();
        let opening = Opening { server_name: hello.server_name(), alpn: &alpn, client: self.peer.ip };
        loop {
            let seen = self.worker.flows.changes();
            // A flow that waits goes by the table that is live when it goes on.
            let table = self.worker.table();
            let listener = self.acceptor.place(table.table()).ok_or(Ending::NoRoute)?;
            self.told.is_at(listener);
            self.table = Some(Rc::clone(&table));
            let flows = &table.table().listeners[listener].flows;
            let routes = if self.passes { &flows.passthrough } else { &flows.routes };
            let position = routes.find(&opening).ok_or(Ending::NoRoute)?;
            let place = FlowRoutePlace::new(position, self.passes);
            self.told.takes(place);
            let route = place.of(&table.table().listeners[listener]);
            if !std::mem::replace(&mut admitted, true) && self.is_over_limit(route, &opening).await {
                return Err(Ending::RateLimited);
            }
            let Unreached { ending, may_wait } = match reach(self, &table, place, hello).await {
                Ok(reached) => return Ok(reached),
                Err(unreached) => unreached,
            };
            let hold_ms = table.table().pools[route.pool].flows.hold_ms;
            let until = *hold.get_or_insert_with(|| Instant::now() + Duration::from_millis(hold_ms));
            if !may_wait || Instant::now() >= until {
                return Err(ending);
            }
            self.hold(until, seen).await?;
        }
    }

    async fn is_over_limit(&self, route: &FlowRoute, opening: &Opening<'_>) -> bool {
        for limit in &route.limits {
            let Some(key) = limit.key(&opening.request()) else { continue };
            let admission = match &limit.store {
                // While the store is down this balancer counts for itself.
                Some(_) => self.worker.stores.admit(limit, key).await.ok(),
                None => None,
            };
            let admission = admission.unwrap_or_else(|| limit.admit(key, self.worker.now()));
            if matches!(admission, Admission::Limited(_)) {
                return true;
            }
        }
        false
    }

    /// Waits until there may be an endpoint, for as long as the client is there.
    /// `seen`: the changes that were known when there was none.
    async fn hold(&mut self, until: Instant, seen: u64) -> Result<(), Ending> {
        let (began, mut watch) = (Instant::now(), Watch::Reset);
        self.socket.register().map_err(|_| Ending::ClientAborted)?;
        let (worker, client) = (&self.worker, &self.socket);
        let mut alarm = pin!(sleep_until(until.min(began + LOOK_AGAIN)));
        let mut waiting = None;
        let held = poll_fn(|cx| {
            if client.poll_gone(cx, &mut watch).is_ready() {
                return Poll::Ready(Err(Ending::ClientAborted));
            }
            if worker.flows.changes() != seen {
                return Poll::Ready(Ok(()));
            }
            waiting.get_or_insert_with(|| worker.flows.wait(cx));
            alarm.as_mut().poll(cx).map(Ok)
        })
        .await;
        self.told.has_waited(began.elapsed());
        held
    }

    /// The flow is over before it began.
    fn end(self, ending: Ending) -> Option<Box<Flow>> {
        let ended =
            Ended { ending, endpoint: self.endpoint, reason: self.reason, received_bytes: 0, sent_bytes: 0 };
        // Where the listener is gone there is nothing to count it by.
        if let Some(table) = &self.table {
            self.told.account(&self.worker, table, &ended);
        }
        None
    }
}

impl Flow {
    fn begin(guest: Guest, Reached { socket, held, route }: Reached) -> Box<Self> {
        let Guest { worker, socket: client, arrival, told, early, .. } = guest;
        let table = Rc::clone(held.table());
        let (pool, slot) = held.place();
        let lifetime = Lifetime::new(route.of(&table.table().listeners[told.listener()]), worker.now());
        arrival.counters.flows.fetch_add(1, Relaxed);
        let place = worker.flows.enter(&table, pool, slot);
        let live = worker.table();
        if live.generation() != table.generation() {
            // Another table has come while the connection was made.
            worker.flows.look(live.table());
        }
        Box::new(Self {
            relay: Relay::new(client, socket, early),
            stage: Stage::New,
            series: told.series(&worker, &table, Some((pool, slot))),
            moved: false,
            lifetime,
            place,
            held,
            arrival,
            told,
        })
    }

    /// Carries what there is to carry. Ready when the flow is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let before = if self.stage == Stage::New { (0, 0) } else { self.relay.carried() };
        let ended = self.held.worker().with_hot(|hot| self.relay.poll(cx, hot));
        let (up, down) = self.relay.carried();
        if (up, down) != before {
            self.series.carry(up - before.0, down - before.1);
            self.moved = true;
        }
        if let Poll::Ready(end) = ended {
            self.end(end);
            return Poll::Ready(());
        }
        if let Some(over) = self.look(cx) {
            self.cut(over);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Looks whether the flow may go on, if it is time for that.
    fn look(&mut self, cx: &Context<'_>) -> Option<Over> {
        let (now, standing) = match (self.stage, self.place.is_due()) {
            (Stage::New, _) => (self.lifetime.moved(), self.place.standing()),
            (_, true) => (self.held.worker().now(), self.place.standing()),
            (_, false) => return None,
        };
        let moved = std::mem::take(&mut self.moved);
        let idle_ms = self.told.route(self.held.table()).map_or(u64::MAX, |route| route.idle_ms);
        let mut next = match self.lifetime.look(now, moved, standing, (idle_ms, &self.held.pool().flows)) {
            Ok(next) => next,
            Err(over) => return Some(over),
        };
        match self.stage {
            Stage::New => {
                next = next.min(now.after_ms(SHORT_MS));
                self.stage = Stage::Short;
            }
            Stage::Short => {
                self.have_probed();
                self.stage = Stage::Long;
            }
            Stage::Long | Stage::Accounted => {}
        }
        self.place.look_at(next, cx);
        None
    }

    /// Has the kernel find out when a peer is gone that says nothing. Connections that serve one request need none of it.
    fn have_probed(&self) {
        let listener = &self.held.table().table().listeners[self.told.listener()];
        if let Some(ms) = listener.flows.probe_ms {
            let silence = Duration::from_millis(ms);
            self.relay.client.probe_after(silence);
            self.relay.endpoint.probe_after(silence);
        }
    }

    /// Both sides have ended it, or one has broken it off, which the other one is told.
    fn end(&mut self, end: End) {
        let ending = match end {
            End::Whole => Ending::Ok,
            End::Broken(Side::Client) => {
                self.relay.endpoint.reset();
                Ending::ClientAborted
            }
            End::Broken(Side::Endpoint) => {
                self.relay.client.reset();
                Ending::EndpointReset
            }
        };
        self.account(ending);
    }

    /// We end it. Neither side is to take what it has for the whole.
    fn cut(&mut self, over: Over) {
        self.relay.client.reset();
        self.relay.endpoint.reset();
        self.account(match over {
            Over::Idle => Ending::Idle,
            Over::Total => Ending::TotalTimedOut,
            Over::Down => Ending::EndpointDown,
            Over::Drained => Ending::Drained,
        });
    }

    fn account(&mut self, ending: Ending) {
        self.stage = Stage::Accounted;
        self.arrival.counters.flows.fetch_sub(1, Relaxed);
        let (received_bytes, sent_bytes) = self.relay.carried();
        let ended =
            Ended { ending, endpoint: Some(self.held.place()), reason: "", received_bytes, sent_bytes };
        self.told.account(self.held.worker(), self.held.table(), &ended);
    }
}

/// A flow that is dropped on its way is accounted for as well: the thread stops, or has failed.
impl Drop for Flow {
    fn drop(&mut self) {
        if self.stage != Stage::Accounted {
            self.relay.client.reset();
            self.relay.endpoint.reset();
            let panics = std::thread::panicking();
            self.account(if panics { Ending::InternalError } else { Ending::CutByStop });
            if panics {
                let worker = self.held.worker();
                let message = format!("carrying a flow of {}", self.told.client());
                worker.event(What::TaskPanicked { thread: worker.index, message });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_flow_is_small() {
        // With its two sockets in the runtime (256 bytes each), its task (128), and its places in the lists of its thread.
        assert!(size_of::<Flow>() <= 384, "{}", size_of::<Flow>());
        assert!(size_of::<Life>() <= 16, "{}", size_of::<Life>());
    }
}
