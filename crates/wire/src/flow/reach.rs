//! Stage 3: an endpoint for a flow. It is picked, waited for if all are full, connected to; and if that fails, another one.

use crate::account::Ending;
use crate::client::session::Session;
use crate::course::Course;
use crate::deadline::Deadline;
use crate::endpoint::connect::{NotConnected, begin, finish};
use crate::flow::Guest;
use crate::flow::hello::Hello;
use crate::leg::Held;
use crate::local::{FlowRoutePlace, LocalTable};
use crate::socket::Socket;
use crate::stream::Watch;
use crate::tries::settled;
use crate::wait::{NoRoom, Wait, wait_for_room};
use bascule_decide::balance::Key;
use bascule_decide::flow::{FlowRoute, Opening};
use bascule_decide::pick::{Ask, Taken};
use bascule_decide::table::{Pool, Target};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// A connection to an endpoint, and the route that led there.
pub(crate) struct Reached {
    pub(crate) socket: Socket,
    pub(crate) held: Held,
    pub(crate) route: FlowRoutePlace,
}

/// Why there is none.
pub(crate) struct Unreached {
    pub(crate) ending: Ending,
    /// There may be an endpoint a little later.
    pub(crate) may_wait: bool,
}

impl Unreached {
    fn for_good(ending: Ending) -> Self {
        Self { ending, may_wait: false }
    }

    fn for_now(ending: Ending) -> Self {
        Self { ending, may_wait: true }
    }
}

/// What is looked for.
struct Search<'a> {
    table: &'a Rc<LocalTable>,
    route: &'a FlowRoute,
    pool: &'a Pool,
    key: Key,
    session: Option<Box<Session>>,
    until: Option<Instant>,
    hello: &'a Hello,
}

/// A connection to an endpoint of the route's pool.
pub(crate) async fn reach(
    guest: &mut Guest,
    table: &Rc<LocalTable>,
    place: FlowRoutePlace,
    hello: &Hello,
) -> Result<Reached, Unreached> {
    let alpn = hello.alpn();
    let opening = Opening { server_name: hello.server_name(), alpn: &alpn, client: guest.peer.ip };
    let route = place.of(&table.table().listeners[guest.told.listener()]);
    let (pool, asked) = (&table.table().pools[route.pool], opening.request());
    let (key, session) = (pool.key(&asked), Session::read(pool, &asked, &guest.worker));
    if let Some(session) = session.as_ref().filter(|session| session.is_in_store()) {
        session.look_up_in_store(pool, &guest.worker).await;
    }
    let until = route.total_ms.map(|ms| guest.worker.instant(guest.told.began().after_ms(ms)));
    let search = Search { table, route, pool, key, session, until, hello };
    let mut course = Course::begin(route.pool);
    let mut failed = None;
    loop {
        let mut held = search.take(guest, &course).await.map_err(|mut unreached| {
            unreached.ending = failed.unwrap_or(unreached.ending);
            unreached
        })?;
        guest.told.tries();
        guest.endpoint = Some(held.place());
        match search.connect(guest, &mut held).await {
            Ok(socket) => {
                if let Some(session) = &search.session {
                    session.count(&held, &course.tried);
                }
                return Ok(Reached { socket, held, route: place });
            }
            Err(mut why) => {
                if !why.is_ours {
                    held.was_not_connected(&mut why);
                }
                guest.reason = why.reason;
                let slot = held.place().1;
                drop(held);
                let refused = why.ending != Ending::ConnectTimedOut;
                if !course.has_another(pool, &guest.worker, refused) {
                    return Err(Unreached::for_now(why.ending));
                }
                failed = Some(why.ending);
                pool.endpoints[slot.index()].state.retried.fetch_add(1, Relaxed);
                if !course.tried.contains(&slot) {
                    course.tried.push(slot);
                }
            }
        }
    }
}

impl Search<'_> {
    fn ask<'b>(&self, course: &'b Course) -> Ask<'b> {
        let stay = self.session.as_ref().and_then(|session| session.stay());
        Ask {
            key: self.key,
            tried: &course.tried,
            stay: stay.map(|stay| stay.slot),
            strict: stay.is_some_and(|stay| stay.strict),
            // If this one does not connect, another one will.
            repeatable: self.pool.retries.attempts > 0,
        }
    }

    /// An endpoint with room, after a wait if need be.
    async fn take(&self, guest: &mut Guest, course: &Course) -> Result<Held, Unreached> {
        let (worker, ask) = (Rc::clone(&guest.worker), self.ask(course));
        if !self.pool.state.waiting.must_queue(self.route.priority) {
            match self.table.take(course.pool, &ask, worker.now()) {
                Taken::Endpoint(attempt) => {
                    return Ok(self.settled(Held::new(&worker, self.table, course.pool, attempt), &ask));
                }
                Taken::Nothing => return Err(Unreached::for_now(Ending::NoEndpoint)),
                Taken::Full => {}
            }
        }
        let (began, mut watch) = (Instant::now(), Watch::Reset);
        // Only a client that the runtime knows is seen to leave.
        guest.socket.register().map_err(|_| Unreached::for_good(Ending::ClientAborted))?;
        let (table, pool, priority, until) = (self.table, course.pool, self.route.priority, self.until);
        let wait = Wait { worker: &worker, table, pool, ask, priority, until };
        let client = &guest.socket;
        let waited = Box::pin(wait_for_room(&wait, |cx| client.poll_gone(cx, &mut watch))).await;
        guest.told.has_waited(began.elapsed());
        match waited {
            Ok(held) => Ok(self.settled(held, &ask)),
            Err(NoRoom::Nothing) => Err(Unreached::for_now(Ending::NoEndpoint)),
            Err(NoRoom::ClientGone) => Err(Unreached::for_good(Ending::ClientAborted)),
            Err(NoRoom::Shed) => Err(Unreached::for_good(Ending::Shed)),
            Err(NoRoom::TimedOut) => Err(Unreached::for_good(Ending::TotalTimedOut)),
        }
    }

    fn settled(&self, held: Held, ask: &Ask<'_>) -> Held {
        match &self.session {
            Some(session) => settled(session, held, self.table, ask),
            None => held,
        }
    }

    /// A connection to the endpoint, in the time that the pool gives for it.
    async fn connect(&self, guest: &mut Guest, held: &mut Held) -> Result<Socket, NotConnected> {
        let began = Instant::now();
        let connected = self.open(guest, held).await;
        let state = &held.endpoint().state;
        let counter = if connected.is_ok() { &state.connects } else { &state.connect_failures };
        counter.fetch_add(1, Relaxed);
        if connected.is_ok() {
            let now = Instant::now();
            guest.told.has_connected(now - began);
            held.connected(now);
        }
        connected
    }

    async fn open(&self, guest: &mut Guest, held: &Held) -> Result<Socket, NotConnected> {
        let target = &held.endpoint().target;
        let tls = self.table.secured().pool(held.place().0);
        let announced = self.pool.announce.as_ref().map(|announce| guest.announcement(announce, self.hello));
        let origin = if self.pool.flows.transparent { guest.origin(target)? } else { None };
        let begun = match tls {
            Some(_) => begin(target, origin, false),
            None if announced.is_some() => begin(target, origin, false),
            None => {
                if guest.early.rest.bytes().is_empty() && guest.socket.is_fresh() {
                    // What has just come may be about to speak.
                    tokio::task::yield_now().await;
                }
                poll_fn(|cx| Poll::Ready(guest.begin(cx, target, origin))).await
            }
        };
        let (socket, connected) = begun.map_err(|error| NotConnected::of(&error))?;
        let limit = Duration::from_millis(self.pool.connect_ms);
        let mut deadline = Deadline::default();
        let tls = tls.map(|tls| &**tls);
        // Within TLS a hello follows at once. In the clear the endpoint may be the one that speaks first.
        let first = announced.as_deref().filter(|_| tls.is_some());
        let socket = finish((socket, connected), target, (tls, first), &mut deadline, limit).await?;
        if let (None, Some(header)) = (tls, &announced) {
            // What the client has said follows, and is not to wait for an answer to this.
            socket.hurry();
            socket.send_first(header, false).map_err(|error| NotConnected::of(&error))?;
        }
        Ok(socket)
    }
}

impl Guest {
    /// Begins to connect, and sends what the client has said already, as far as that is possible at once. Where it is, there
    /// is a connection: on one machine, or in one rack, that saves waiting to be told so.
    fn begin(
        &mut self,
        cx: &mut Context<'_>,
        target: &Target,
        origin: Option<IpAddr>,
    ) -> io::Result<(Socket, bool)> {
        let Self { socket: client, early, worker, .. } = self;
        worker.with_hot(|hot| {
            if early.rest.bytes().is_empty() {
                match client.poll_read(cx, hot) {
                    Poll::Ready(Ok(count @ 1..)) => early.rest.keep(&hot[..count]),
                    // Nothing yet; or an end, which is found again by whoever carries the flow.
                    _ => return begin(target, origin, false),
                }
            }
            let (socket, connected) = begin(target, origin, true)?;
            match socket.poll_write(cx, &[IoSlice::new(early.rest.bytes())]) {
                Poll::Ready(Ok(taken)) => {
                    early.sent += taken as u64;
                    early.rest.consume(taken);
                    Ok((socket, true))
                }
                Poll::Ready(Err(error)) => Err(error),
                Poll::Pending => Ok((socket, connected)),
            }
        })
    }
}
