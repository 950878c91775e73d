//! The running data plane: starts its threads, makes snapshots live, tells what it sees, and stops.

use crate::account::{self, SeriesBook};
use crate::binds::{Binds, Sockets, discard, tell};
use crate::endpoint::transparent;
use crate::events::Events;
use crate::log_writer::LogWriter;
use crate::stats;
use crate::store::Breakers;
use crate::tls::{Secured, Tls};
use crate::worker::{Command, Worker};
use bascule_contract::CONTRACT_VERSION;
use bascule_contract::event::{Event, What};
use bascule_contract::explain::{Explanation, Question};
use bascule_contract::mark::Mark;
use bascule_contract::receipt::Receipt;
use bascule_contract::settings::Settings;
use bascule_contract::snapshot::{AccessLog, Snapshot};
use bascule_contract::stats::Stats;
use bascule_contract::tls::Material;
use bascule_decide::balance::Slot;
use bascule_decide::explain::explain;
use bascule_decide::random::Random;
use bascule_decide::table::{States, Table};
use bascule_decide::time::Tick;
use rustix::process::{Resource, getrlimit};
use std::collections::HashSet;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// A table, and a note in the event ring when the last exchange that was routed by it has ended.
pub(crate) struct Live {
    table: Table,
    secured: Secured,
    events: Arc<Events>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("generation", &self.table.generation).finish_non_exhaustive()
    }
}

impl Live {
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// What its listeners and pools speak TLS with.
    pub(crate) fn secured(&self) -> &Secured {
        &self.secured
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.events.add(What::GenerationDrained { generation: self.table.generation });
    }
}

/// What the threads see of the plane.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Which stores work.
    pub(crate) breakers: Arc<Breakers>,
    /// Where ticks are counted from.
    pub(crate) epoch: Instant,
    /// Of the live table; the one store that makes a snapshot live.
    generation: AtomicU64,
    live: Mutex<Arc<Live>>,
    pub(crate) events: Arc<Events>,
    pub(crate) log: LogWriter,
    /// Client connections of all threads now, and how many the process can afford: each may need a second
    /// descriptor for its endpoint, and the admin side must still answer.
    pub(crate) clients: AtomicU64,
    pub(crate) client_limit: u64,
    /// Threads that have not ended, and what they cut off when they did.
    running: AtomicU32,
    cut: AtomicU64,
}

impl Shared {
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }

    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&lock(&self.live))
    }

    /// Now, as decisions know it.
    pub(crate) fn now(&self) -> Tick {
        self.tick(Instant::now())
    }

    /// A moment as decisions know it.
    pub(crate) fn tick(&self, at: Instant) -> Tick {
        let since = at.saturating_duration_since(self.epoch);
        Tick(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// How many sockets one thread may have for the flows of UDP: together half of what clients may have.
    pub(crate) fn flow_sockets(&self) -> u64 {
        (self.client_limit / 2 / u64::from(self.running.load(Relaxed).max(1))).max(1)
    }

    fn thread_ended(&self, cut: u64) {
        self.cut.fetch_add(cut, Relaxed);
        if self.running.fetch_sub(1, Release) == 1 {
            self.log.flush();
            self.events.add(What::Stopped { cut: self.cut.load(Acquire) });
        }
    }
}

/// What only `apply`, `mark` and `stats` touch.
#[derive(Debug)]
struct Wanted {
    snapshot: Snapshot,
    states: States,
    tls: Tls,
    binds: Binds,
    draining: Vec<(u64, Weak<Live>)>,
    stopping: bool,
}

/// The running data plane.
#[derive(Debug)]
pub struct Plane {
    shared: Arc<Shared>,
    commands: Vec<UnboundedSender<Command>>,
    books: Vec<Arc<SeriesBook>>,
    wanted: Mutex<Wanted>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Plane {
    /// Starts the threads. They listen nowhere until a snapshot is applied.
    pub fn start(settings: &Settings) -> Result<Self, String> {
        if !(1..=1024).contains(&settings.threads) {
            return Err(format!("threads must be 1 to 1024, not {}", settings.threads));
        }
        let said = |error: io::Error| format!("cannot start the data plane: {error}");
        let events = Arc::new(Events::new().map_err(said)?);
        let seed = settings.seed.unwrap_or_else(seed_of_the_system);
        let mut states = States::seeded(seed);
        let empty = Snapshot {
            contract: CONTRACT_VERSION,
            generation: 0,
            listeners: Vec::new(),
            pools: Vec::new(),
            access_log: None,
            stores: Vec::new(),
        };
        let table = Table::compile(&empty, &mut states).map_err(|problems| problems.join("; "))?;
        let shared = Arc::new(Shared {
            breakers: Arc::default(),
            // A little in the past: tick 0 is before everything.
            epoch: Instant::now() - Duration::from_millis(1),
            generation: AtomicU64::new(0),
            live: Mutex::new(Arc::new(Live {
                table,
                secured: Secured::default(),
                events: Arc::clone(&events),
            })),
            log: LogWriter::start(Arc::clone(&events)).map_err(said)?,
            events,
            clients: AtomicU64::new(0),
            client_limit: affordable_clients(),
            running: AtomicU32::new(settings.threads),
            cut: AtomicU64::new(0),
        });
        let mut plane = Self {
            shared,
            commands: Vec::new(),
            books: Vec::new(),
            wanted: Mutex::new(Wanted::new(empty, states)),
        };
        for index in 0..settings.threads {
            plane.start_thread(index, seed.wrapping_add(u64::from(index))).map_err(said)?;
        }
        Ok(plane)
    }

    fn start_thread(&mut self, index: u32, seed: u64) -> io::Result<()> {
        let (sender, receiver) = unbounded_channel();
        let book = Arc::new(SeriesBook::default());
        let (shared, own_book) = (Arc::clone(&self.shared), Arc::clone(&book));
        thread::Builder::new().name(format!("bascule-{index}")).spawn(move || {
            let cut = run_thread(index, &shared, own_book, seed, receiver);
            shared.thread_ended(cut);
        })?;
        self.commands.push(sender);
        self.books.push(book);
        Ok(())
    }

    /// Takes certificates, keys and authorities that the next snapshot names. Those that no live snapshot names are
    /// forgotten with the next one.
    ///
    /// # Errors
    /// Says which cannot be used, and why. Nothing of a key.
    pub fn give(&self, material: Vec<Material>) -> Result<(), String> {
        lock(&self.wanted).tls.give(material)
    }

    /// Takes the listening sockets of a process before us, as [`Plane::sockets`] of that one gave them. The first snapshot
    /// serves those of its binds; the others are closed.
    pub fn inherit(&self, sockets: Sockets) {
        lock(&self.wanted).binds.inherit(sockets);
    }

    /// Copies of all listening sockets, for a process after us. They accept here, too, until we stop.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub fn sockets(&self) -> io::Result<Sockets> {
        lock(&self.wanted).binds.sockets()
    }

    /// A process after us has taken the sockets over: the files of Unix sockets stay when we stop.
    pub fn bequeath(&self) {
        lock(&self.wanted).binds.bequeath();
    }

    /// Makes `snapshot` live: compiled first, then bound, then swapped in by one store. On any problem nothing changes.
    ///
    /// # Errors
    /// The receipt says what was refused, and what is live still.
    pub fn apply(&self, snapshot: Snapshot) -> Result<Receipt, Receipt> {
        let wanted = &mut *lock(&self.wanted);
        let digest = bascule_contract::codec::digest(&bascule_contract::codec::encode(&snapshot));
        let mut receipt = Receipt {
            generation: snapshot.generation,
            live: wanted.snapshot.generation,
            digest,
            binds: Vec::new(),
            problems: Vec::new(),
        };
        if let Some(problem) = wanted.refuses(&snapshot) {
            receipt.problems.push(problem);
            return Err(receipt);
        }
        wanted.states.at(self.shared.now());
        let table = match Table::compile(&snapshot, &mut wanted.states) {
            Ok(table) => table,
            Err(problems) => {
                receipt.problems = problems;
                return Err(receipt);
            }
        };
        let secured = match wanted.tls.compile(&snapshot) {
            Ok(secured) => secured,
            Err(problems) => {
                receipt.problems = problems;
                return Err(receipt);
            }
        };
        let fresh = wanted.binds.open(&snapshot, self.commands.len(), &mut receipt);
        receipt.problems.extend(snapshot.access_log.as_ref().and_then(log_problem));
        receipt.problems.extend(transparent::problem(&snapshot));
        if !receipt.problems.is_empty() {
            discard(fresh);
            return Err(receipt);
        }
        self.go_live(wanted, snapshot, table, secured);
        wanted.binds.hand_over(&wanted.snapshot, fresh, &self.commands);
        receipt.live = receipt.generation;
        Ok(receipt)
    }

    fn go_live(&self, wanted: &mut Wanted, snapshot: Snapshot, table: Table, secured: Secured) {
        if wanted.snapshot.access_log != snapshot.access_log {
            self.shared.log.open(snapshot.access_log.clone());
        }
        let generation = snapshot.generation;
        wanted.states.keep_sessions(&table);
        let live = Arc::new(Live { table, secured, events: Arc::clone(&self.shared.events) });
        let old = std::mem::replace(&mut *lock(&self.shared.live), live);
        self.shared.generation.store(generation, Release);
        wanted.draining.push((wanted.snapshot.generation, Arc::downgrade(&old)));
        wanted.snapshot = snapshot;
        drop(old);
        tell(&self.commands, || Command::Refresh);
        wanted.states.forget_unused();
        wanted.tls.forget_unused(&wanted.snapshot);
        let known: HashSet<(&str, &str)> = wanted
            .snapshot
            .pools
            .iter()
            .flat_map(|pool| pool.endpoints.iter().map(|endpoint| (pool.id.as_str(), endpoint.id.as_str())))
            .collect();
        for book in &self.books {
            book.prune(|key| {
                key.endpoint.as_ref().is_none_or(|(pool, endpoint)| known.contains(&(&**pool, &**endpoint)))
            });
        }
    }

    /// Notes what was observed about endpoints. Holds from the next pick on, for every generation.
    pub fn mark(&self, marks: &[Mark]) {
        let states = &mut lock(&self.wanted).states;
        states.at(self.shared.now());
        if states.mark(marks) {
            tell(&self.commands, || Command::Look);
        }
    }

    /// All counters, now.
    pub fn stats(&self) -> Stats {
        let wanted = &mut *lock(&self.wanted);
        wanted.draining.retain(|(_, live)| live.strong_count() > 0);
        let live = self.shared.live();
        let now = self.shared.now();
        let pools = &live.table().pools;
        let endpoints = pools.iter().flat_map(|pool| {
            let slots = (0..).map(Slot).take(pool.endpoints.len());
            slots.map(move |slot| stats::of_endpoint(pool, slot, now))
        });
        Stats {
            generation: live.table().generation,
            draining: wanted.draining.iter().map(|(generation, _)| *generation).collect(),
            listeners: wanted.binds.stats(),
            series: account::sum(self.books.iter().map(Arc::as_ref)),
            flows: account::sum_flows(self.books.iter().map(Arc::as_ref)),
            endpoints: endpoints.collect(),
            pools: pools.iter().map(|pool| stats::of_pool(pool, now, &self.shared.events)).collect(),
            log_lines_lost: self.shared.log.lost(),
        }
    }

    /// What would become of a request now, and why. Nothing is sent, counted or taken.
    ///
    /// # Errors
    /// The question makes no sense: there is no such listener, or the client has no address.
    pub fn explain(&self, question: &Question) -> Result<Explanation, String> {
        let wanted = lock(&self.wanted);
        let (live, now) = (self.shared.live(), self.shared.now());
        explain(live.table(), &wanted.snapshot, question, (now, &mut Random::seeded(now.0)))
    }

    /// The oldest events, `limit` at most.
    pub fn events(&self, limit: usize) -> Vec<Event> {
        self.shared.events.take(limit)
    }

    /// Readable when there are events. Read it empty, then call [`Plane::events`].
    pub fn wake_fd(&self) -> RawFd {
        self.shared.events.wake_fd()
    }

    /// Opens the access log again by its name, after a rotation.
    pub fn reopen_logs(&self) {
        self.shared.log.reopen();
    }

    /// Begins to stop, and returns at once: no new connections, exchanges in flight finish within `grace` (`None`: however
    /// long they take). A later call may shorten the grace. The event `stopped` says that all has ended.
    pub fn stop(&self, grace: Option<Duration>) {
        let wanted = &mut *lock(&self.wanted);
        wanted.stopping = true;
        wanted.binds.remove_files();
        wanted.binds.let_go();
        let by = grace.map(|grace| Instant::now() + grace);
        tell(&self.commands, || Command::Stop { by });
    }
}

impl Wanted {
    fn new(snapshot: Snapshot, states: States) -> Self {
        Self {
            snapshot,
            states,
            tls: Tls::default(),
            binds: Binds::default(),
            draining: Vec::new(),
            stopping: false,
        }
    }

    fn refuses(&self, snapshot: &Snapshot) -> Option<String> {
        if self.stopping {
            return Some("the data plane is stopping".to_owned());
        }
        if snapshot.contract != CONTRACT_VERSION {
            return Some(format!(
                "the snapshot speaks contract {}, this data plane {CONTRACT_VERSION}: install matching versions",
                snapshot.contract
            ));
        }
        let live = self.snapshot.generation;
        (snapshot.generation <= live)
            .then(|| format!("generation {} is not newer than {live}, which is live", snapshot.generation))
    }
}

fn run_thread(
    index: u32,
    shared: &Arc<Shared>,
    book: Arc<SeriesBook>,
    seed: u64,
    commands: UnboundedReceiver<Command>,
) -> u64 {
    let Ok(runtime) = Builder::new_current_thread().enable_io().enable_time().build_local(Default::default())
    else {
        return 0;
    };
    let worker = Worker::new(index, Arc::clone(shared), book, seed);
    runtime.block_on(worker.run(commands))
}

fn log_problem(log: &AccessLog) -> Option<String> {
    let error = LogWriter::check(log).err()?;
    let place = log.path.as_deref().unwrap_or("on standard output");
    Some(format!("the access log {place} cannot be opened: {error}"))
}

fn affordable_clients() -> u64 {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    (descriptors.saturating_sub(64) / 2).max(1)
}

/// The standard library seeds its maps from the system: the only random number that we need.
fn seed_of_the_system() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
