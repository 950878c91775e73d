//! One data-plane thread: its runtime, its listeners, its idle connections and its counters.

use crate::access_log::Line;
use crate::account::SeriesBook;
use crate::buffers::Buffers;
use crate::client::accept::{Acceptor, ListenerCounters, accept};
use crate::client::bind::{Bound, Held};
use crate::flow::book::Book;
use crate::flow::relay::HOT_BYTES;
use crate::local::{IdleByEndpoint, LocalTable};
use crate::log_writer::LogId;
use crate::plane::Shared;
use crate::store::Stores;
use crate::tunnel::Tunnels;
use crate::udp::{self, batch::Batch};
use bascule_contract::event::What;
use bascule_contract::snapshot::AccessLogFormat;
use bascule_decide::guard::Lost;
use bascule_decide::random::Random;
use bascule_decide::table::Split;
use bascule_decide::time::Tick;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

/// A tunnel ends in the first turn, its stream in the next, and what that has to say leaves with its connection's.
const LAST_TURNS: u32 = 4;

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(1);
/// Of what may happen all the time, so many are told between two sweeps.
const TOLD_OF_MANY: u32 = 10;
/// Log lines are handed to the writer in batches of this many bytes, or after [`LOG_DELAY`].
const LOG_BATCH: usize = 16 * 1024;
const LOG_DELAY: Duration = Duration::from_millis(100);

/// What the plane tells its threads.
#[derive(Debug)]
pub(crate) enum Command {
    /// Accept on this bind for this listener.
    Listen {
        bind: Arc<str>,
        listener: Arc<str>,
        counters: Arc<ListenerCounters>,
        bound: Bound,
        held: Arc<Held>,
    },
    /// The bind belongs to this listener from now on.
    Rename { bind: Arc<str>, listener: Arc<str>, counters: Arc<ListenerCounters> },
    /// Accept no longer, and end the connections that came this way.
    Unlisten { bind: Arc<str> },
    /// There is another table; let go of the old one also when no request comes.
    Refresh,
    /// Marks were made: flows may have to end, or can begin.
    Look,
    /// Finish what is in flight, by this moment at the latest.
    Stop { by: Option<Instant> },
}

/// What all tasks of a thread share.
pub(crate) struct Worker {
    pub(crate) index: u32,
    pub(crate) shared: Arc<Shared>,
    pub(crate) buffers: Rc<Buffers>,
    /// Tells threads apart, also of other processes and machines.
    pub(crate) name: String,
    /// Client connections so far.
    serial: Cell<u64>,
    random: RefCell<Random>,
    /// What a try counts as when nobody says otherwise. Never set.
    pub(crate) abandoned: Rc<Cell<Lost>>,
    pub(crate) book: Arc<SeriesBook>,
    /// No connection may wait for another request.
    pub(crate) stopping: Cell<bool>,
    /// The stores that several balancers share.
    pub(crate) stores: Stores,
    /// Where datagrams are received, for the time of one poll.
    pub(crate) batch: Cell<Option<Box<Batch>>>,
    /// UDP sockets of this thread, and their open flows.
    pub(crate) carriers: Cell<u32>,
    pub(crate) conversations: Cell<u32>,
    /// Exchanges of this thread now, and how many of them are at a retry.
    pub(crate) in_flight: Cell<u32>,
    pub(crate) retrying: Cell<u32>,
    /// Copies for mirrors under way, and probes.
    pub(crate) mirrored: Cell<u32>,
    pub(crate) probing: Cell<u32>,
    /// Events of [`Worker::event_of_many`] since the last sweep.
    told: Cell<u32>,
    table: RefCell<Rc<LocalTable>>,
    idle: RefCell<IdleByEndpoint>,
    /// By the name of their bind; several where a process before us had more threads.
    acceptors: RefCell<HashMap<Arc<str>, Vec<Rc<Acceptor>>>>,
    connections: RefCell<Slab<Option<Waker>>>,
    pub(crate) tunnels: Tunnels,
    /// Tasks that accept, or still take what waits in a backlog.
    accepting: Cell<u32>,
    /// Waits in [`Worker::finish`] for the last connection.
    finishing: RefCell<Option<Waker>>,
    log: RefCell<LogBatch>,
    /// Where heads are composed.
    pub(crate) scratch: RefCell<Vec<u8>>,
    pub(crate) flows: Rc<Book>,
    /// What flows read into; made for the first of them.
    hot: RefCell<Box<[u8]>>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("index", &self.index).finish_non_exhaustive()
    }
}

impl Worker {
    pub(crate) fn new(index: u32, shared: Arc<Shared>, book: Arc<SeriesBook>, seed: u64) -> Rc<Self> {
        let mut random = Random::seeded(seed);
        let name = format!("{:x}", Random::seeded(!seed).below(usize::MAX));
        let mut idle = IdleByEndpoint::new();
        let table = LocalTable::new(shared.live(), &mut idle, &mut random);
        let epoch = shared.epoch;
        let (clock, events) = (Arc::clone(&shared), Arc::clone(&shared.events));
        let stores =
            Stores::new(Arc::clone(&shared.breakers), move || clock.now(), move |what| events.add(what));
        stores.update(&table.table().stores);
        Rc::new(Self {
            index,
            shared,
            buffers: Rc::default(),
            name,
            serial: Cell::new(0),
            random: RefCell::new(random),
            abandoned: Rc::new(Cell::new(Lost::Abandoned)),
            book,
            stopping: Cell::new(false),
            stores,
            batch: Cell::default(),
            carriers: Cell::new(0),
            conversations: Cell::new(0),
            in_flight: Cell::new(0),
            retrying: Cell::new(0),
            mirrored: Cell::new(0),
            probing: Cell::new(0),
            told: Cell::new(0),
            table: RefCell::new(Rc::new(table)),
            idle: RefCell::new(idle),
            acceptors: RefCell::default(),
            connections: RefCell::default(),
            tunnels: Tunnels::default(),
            accepting: Cell::new(0),
            finishing: RefCell::default(),
            log: RefCell::default(),
            scratch: RefCell::default(),
            flows: Rc::new(Book::new(epoch)),
            hot: RefCell::default(),
        })
    }

    /// Does what it is told until it is told to stop. Returns how many exchanges (tunnels among them) are cut off then.
    pub(crate) async fn run(self: Rc<Self>, mut commands: UnboundedReceiver<Command>) -> u64 {
        tokio::task::spawn_local(Rc::clone(&self).sweep());
        tokio::task::spawn_local(Rc::clone(&self.flows).run());
        loop {
            match commands.recv().await {
                Some(Command::Stop { by }) => return self.finish(commands, by).await,
                Some(command) => self.obey(command),
                None => return self.finish(commands, Some(Instant::now())).await,
            }
        }
    }

    fn obey(self: &Rc<Self>, command: Command) {
        match command {
            Command::Listen { bind, listener, counters, bound, held } => {
                let acceptor = Rc::new(Acceptor::new(listener, counters));
                self.acceptors.borrow_mut().entry(bind).or_default().push(Rc::clone(&acceptor));
                self.accepting.set(self.accepting.get() + 1);
                let worker = Rc::clone(self);
                tokio::task::spawn_local(async move {
                    match bound {
                        Bound::Udp(socket) => udp::carry(&worker, acceptor, socket, held).await,
                        bound => accept(Rc::clone(&worker), acceptor, bound, held).await,
                    }
                    worker.accepting.set(worker.accepting.get() - 1);
                    worker.wake_finishing();
                });
            }
            Command::Rename { bind, listener, counters } => {
                for acceptor in self.acceptors.borrow().get(&bind).into_iter().flatten() {
                    acceptor.rename(Arc::clone(&listener), Arc::clone(&counters));
                }
            }
            Command::Unlisten { bind } => {
                let acceptors = self.acceptors.borrow_mut().remove(&bind);
                acceptors.iter().flatten().for_each(|acceptor| acceptor.close());
                self.wake_connections();
            }
            Command::Refresh | Command::Look => self.flows.look(self.table().table()),
            Command::Stop { .. } => {}
        }
    }

    /// Waits until the last connection has ended, or the moment has come.
    async fn finish(
        self: Rc<Self>,
        mut commands: UnboundedReceiver<Command>,
        mut by: Option<Instant>,
    ) -> u64 {
        self.stopping.set(true);
        self.acceptors.borrow_mut().drain().flat_map(|(_, all)| all).for_each(|acceptor| acceptor.close());
        self.wake_connections();
        loop {
            let far = Instant::now() + Duration::from_secs(86_400 * 365);
            let mut alarm = pin!(sleep_until(by.unwrap_or(far)));
            let hurried = poll_fn(|cx| {
                // Those that wait in a backlog are still to be served.
                if self.connections.borrow().is_empty() && self.accepting.get() == 0 {
                    return Poll::Ready(None);
                }
                *self.finishing.borrow_mut() = Some(cx.waker().clone());
                while let Poll::Ready(Some(command)) = commands.poll_recv(cx) {
                    match command {
                        Command::Stop { by } => return Poll::Ready(Some(by)),
                        Command::Look => self.flows.look(self.table().table()),
                        _ => {}
                    }
                }
                alarm.as_mut().poll(cx).map(|()| None)
            })
            .await;
            match hurried {
                // `None` is the longest grace of all.
                Some(other) => by = by.into_iter().chain(other).min(),
                None => {
                    let cut = self.in_flight.get();
                    self.cut_tunnels().await;
                    self.flush_log();
                    return u64::from(cut) + u64::from(self.conversations.get()) + self.flows.len() as u64;
                }
            }
        }
    }

    /// Ends the tunnels, and lets the connections of HTTP/2 say so on their streams if the peer takes it at once.
    async fn cut_tunnels(&self) {
        self.tunnels.cut();
        for _ in 0..LAST_TURNS {
            tokio::task::yield_now().await;
        }
    }

    /// The live table. One store in [`Shared`] makes another one live for every thread at once.
    pub(crate) fn table(&self) -> Rc<LocalTable> {
        let table = Rc::clone(&self.table.borrow());
        if table.generation() == self.shared.generation() {
            return table;
        }
        let table = Rc::new(LocalTable::new(
            self.shared.live(),
            &mut self.idle.borrow_mut(),
            &mut self.random.borrow_mut(),
        ));
        self.stores.update(&table.table().stores);
        *self.table.borrow_mut() = Rc::clone(&table);
        table
    }

    /// The pool that a request of a split route gets.
    pub(crate) fn split(&self, split: &Split) -> usize {
        split.pick(&mut self.random.borrow_mut())
    }

    /// Lends what flows read into, for the time of one poll.
    pub(crate) fn with_hot<T>(&self, act: impl FnOnce(&mut [u8]) -> T) -> T {
        let mut hot = self.hot.borrow_mut();
        if hot.is_empty() {
            *hot = vec![0; HOT_BYTES].into();
        }
        act(&mut hot)
    }

    /// Draws what a cookie needs.
    pub(crate) fn with_random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.borrow_mut())
    }

    /// True for this share of the calls, in thousandths.
    pub(crate) fn draws(&self, permille: u32) -> bool {
        permille >= 1000 || (self.random.borrow_mut().below(1000) as u32) < permille
    }

    /// Now, as decisions know it.
    pub(crate) fn now(&self) -> Tick {
        self.tick(Instant::now())
    }

    /// A moment as decisions know it.
    pub(crate) fn tick(&self, at: Instant) -> Tick {
        self.shared.tick(at)
    }

    /// The moment that decisions know as `at`.
    pub(crate) fn instant(&self, at: Tick) -> Instant {
        self.shared.epoch + Duration::from_micros(at.0)
    }

    async fn sweep(self: Rc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.told.set(0);
            self.table().sweep(Instant::now());
        }
    }

    /// Why there may be no more connections now: the listener's limit, or the descriptors of the process.
    pub(crate) fn is_full(&self, acceptor: &Acceptor) -> Option<&'static str> {
        if self.listener_load(acceptor).is_some_and(|(open, limit)| open >= limit) {
            return Some("limits.connections of the listener is reached");
        }
        (self.shared.clients.load(Relaxed) >= self.shared.client_limit)
            .then_some("half of the process's file descriptors are clients, the rest is for endpoints; raise its open-files limit")
    }

    /// Whether so many have left that being full is no longer to be feared.
    pub(crate) fn has_room(&self, acceptor: &Acceptor) -> bool {
        let few = |open: u64, limit: u64| open <= limit * 9 / 10;
        few(self.shared.clients.load(Relaxed), self.shared.client_limit)
            && self.listener_load(acceptor).is_none_or(|(open, limit)| few(open, limit))
    }

    /// Open connections of a listener that has a limit, and the limit.
    fn listener_load(&self, acceptor: &Acceptor) -> Option<(u64, u64)> {
        let table = self.table();
        let place = acceptor.place(table.table())?;
        let limit = table.table().listeners[place].limits.connections?;
        Some((acceptor.counters.borrow().open.load(Relaxed), limit.into()))
    }

    /// Counts a client connection.
    pub(crate) fn next_serial(&self) -> u64 {
        self.serial.set(self.serial.get() + 1);
        self.serial.get()
    }

    pub(crate) fn register(&self) -> usize {
        self.shared.clients.fetch_add(1, Relaxed);
        self.connections.borrow_mut().insert(None)
    }

    /// Wakes the connection's task when it may not wait for another request any more.
    pub(crate) fn wake_when_closing(&self, registration: usize, cx: &Context<'_>) {
        let mut connections = self.connections.borrow_mut();
        let waker = &mut connections[registration];
        if waker.is_none() {
            *waker = Some(cx.waker().clone());
        }
    }

    pub(crate) fn farewell(&self, registration: usize) {
        self.shared.clients.fetch_sub(1, Relaxed);
        let mut connections = self.connections.borrow_mut();
        connections.remove(registration);
        if connections.is_empty() {
            self.wake_finishing();
        }
    }

    fn wake_finishing(&self) {
        if let Some(waker) = self.finishing.borrow_mut().take() {
            waker.wake();
        }
    }

    fn wake_connections(&self) {
        self.connections.borrow().iter().filter_map(|(_, waker)| waker.as_ref()).for_each(Waker::wake_by_ref);
    }

    pub(crate) fn event(&self, what: What) {
        self.shared.events.add(what);
    }

    /// The same for what may happen so often that it would push everything else out: a few each second are told.
    pub(crate) fn event_of_many(&self, what: impl FnOnce() -> What) {
        let told = self.told.get();
        if told < TOLD_OF_MANY {
            self.told.set(told + 1);
            self.event(what());
        }
    }

    pub(crate) fn log_is_on(&self) -> bool {
        self.shared.log.current().format().is_some()
    }

    /// Writes one line of the access log, if it is on.
    pub(crate) fn log(self: &Rc<Self>, line: &Line<'_>) {
        self.log_as(|format, out| line.write(format, out));
    }

    /// The same for a line of any kind.
    pub(crate) fn log_as(self: &Rc<Self>, write: impl FnOnce(AccessLogFormat, &mut Vec<u8>)) {
        let current = self.shared.log.current();
        let Some(format) = current.format() else { return };
        if self.log.borrow().id != current {
            self.flush_log();
        }
        let mut log = self.log.borrow_mut();
        let first = log.lines.is_empty();
        write(format, &mut log.lines);
        log.count += 1;
        log.id = current;
        let full = log.lines.len() >= LOG_BATCH;
        drop(log);
        if full || self.stopping.get() {
            self.flush_log();
        } else if first {
            let worker = Rc::clone(self);
            tokio::task::spawn_local(async move {
                tokio::time::sleep(LOG_DELAY).await;
                worker.flush_log();
            });
        }
    }

    fn flush_log(&self) {
        let LogBatch { lines, count, id } = std::mem::take(&mut *self.log.borrow_mut());
        if count > 0 {
            self.shared.log.lines(lines, count, id);
        }
    }
}

/// Lines that the writer has not been given yet.
#[derive(Debug, Default)]
struct LogBatch {
    lines: Vec<u8>,
    count: u64,
    id: LogId,
}
