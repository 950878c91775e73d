//! Endpoints, and what is known about them across snapshots.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use bascule_contract::mark::Mark;
use bascule_contract::snapshot::{self, Address};

use crate::guard::PoolState;
use crate::guard::concurrency::Flow;
use crate::guard::ejection::Record;
use crate::guard::load::Load;
use crate::guard::pace::Pace;
use crate::limit::LimitStates;
use crate::sessions::pool::PoolSessions;
use crate::sessions::table::SessionTable;
use crate::table::Table;
use crate::time::Tick;

/// One address that serves, as a table knows it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Stable name, unique within the pool.
    pub id: Arc<str>,
    /// Where to connect to.
    pub target: Target,
    /// The snapshot's weight, 1 to 65535. See [`Endpoint::weight_now`].
    pub weight: u32,
    /// 0 is used first.
    pub tier: u32,
    /// Where it is.
    pub zone: Option<Arc<str>>,
    /// Requests that it may have at a time, if that was set for it alone.
    pub limit: Option<u32>,
    /// Shared by all tables and threads.
    pub state: Arc<EndpointState>,
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// What is known and counted about one endpoint. Outlives tables; every thread reads and writes it.
///
/// Only [`States::mark`] may write `up`, `draining`, `maintenance` and the other marks: it also tells the pickers.
#[derive(Debug)]
#[repr(C, align(64))] // Whole cache lines: counting on one endpoint must not slow down its neighbours.
pub struct EndpointState {
    /// Tries now.
    pub in_flight: AtomicU32,
    /// The verdict of its checks; true without any.
    pub up: AtomicBool,
    /// Gets no new work, but that of its sessions.
    pub draining: AtomicBool,
    /// Gets nothing at all.
    pub maintenance: AtomicBool,
    /// Overrides the snapshot's weight; [`NO_MARK`] when there is none.
    pub weight_mark: AtomicU32,
    /// How loaded it says it is, in thousandths; [`NO_MARK`] when it says nothing.
    pub load_mark: AtomicU32,
    /// Exchanges that it was picked for, retries included.
    pub picked: AtomicU64,
    /// Connections opened.
    pub connects: AtomicU64,
    /// Connects that failed or timed out.
    pub connect_failures: AtomicU64,
    /// Exchanges that were tried again elsewhere because of it.
    pub retried: AtomicU64,
    /// Idle connections now.
    pub idle: AtomicU32,
    /// Whether it fails.
    pub record: Record,
    /// How fast it is.
    pub pace: Pace,
    /// How much it does at a time.
    pub flow: Flow,
    /// How loaded it says it is.
    pub load: Load,
}

/// The value of a mark that was not made.
pub const NO_MARK: u32 = u32::MAX;

/// The largest weight of an endpoint. It keeps `load * weight` far inside 64 bits.
pub const HEAVIEST: u32 = 65_535;

/// The states of all endpoints by pool and endpoint id: what survives a reload.
#[derive(Debug, Default)]
pub struct States {
    /// The buckets of rate limits.
    pub limits: LimitStates,
    seed: u64,
    now: Tick,
    pools: BTreeMap<Box<str>, PoolStates>,
}

#[derive(Debug, Default)]
struct PoolStates {
    state: Arc<PoolState>,
    sessions: Option<Arc<SessionTable>>,
    endpoints: BTreeMap<Box<str>, Arc<EndpointState>>,
}

impl Endpoint {
    /// The weight that was set: the last weight mark, or the snapshot's. 0 means no new work.
    pub fn weight_now(&self) -> u32 {
        match self.state.weight_mark.load(Relaxed) {
            NO_MARK => self.weight,
            marked => marked,
        }
    }

    /// Compiles `endpoint` with the state that is kept for it.
    pub(crate) fn compile(endpoint: &snapshot::Endpoint, state: Arc<EndpointState>) -> Result<Self, String> {
        if !(1..=HEAVIEST).contains(&endpoint.weight) {
            return Err(format!("weight {} is not between 1 and {HEAVIEST}", endpoint.weight));
        }
        if endpoint.limit == Some(0) {
            return Err("a limit of 0 requests would never let one through; use maintenance for that".into());
        }
        let target = Target::parse(&endpoint.address)?;
        Ok(Self {
            id: endpoint.id.as_str().into(),
            target,
            weight: endpoint.weight,
            tier: endpoint.tier,
            zone: endpoint.zone.as_deref().map(Into::into),
            limit: endpoint.limit,
            state,
        })
    }
}

impl Target {
    /// Reads an address. Names are refused: they are resolved before a snapshot is made.
    pub fn parse(address: &Address) -> Result<Self, String> {
        match address {
            Address::Tcp { address } => SocketAddr::from_str(address)
                .map(Self::Tcp)
                .map_err(|_| format!("\"{address}\" is not an IP address with a port")),
            Address::Unix { path } if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Address::Unix { path } => Err(format!("\"{path}\" is not an absolute path")),
        }
    }
}

impl Default for EndpointState {
    fn default() -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            up: AtomicBool::new(true),
            draining: AtomicBool::new(false),
            maintenance: AtomicBool::new(false),
            weight_mark: AtomicU32::new(NO_MARK),
            load_mark: AtomicU32::new(NO_MARK),
            picked: AtomicU64::new(0),
            connects: AtomicU64::new(0),
            connect_failures: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            idle: AtomicU32::new(0),
            record: Record::default(),
            pace: Pace::default(),
            flow: Flow::default(),
            load: Load::default(),
        }
    }
}

impl EndpointState {
    fn has_marks(&self) -> bool {
        !self.up.load(Relaxed)
            || self.draining.load(Relaxed)
            || self.maintenance.load(Relaxed)
            || self.weight_mark.load(Relaxed) != NO_MARK
    }

    /// Counts a try in, unless there are `limit` already; how many there were before it.
    pub(crate) fn enter(&self, limit: u32) -> Option<u32> {
        if limit == u32::MAX {
            return Some(self.in_flight.fetch_add(1, Relaxed));
        }
        let one_more = |now: u32| (now < limit).then_some(now + 1);
        self.in_flight.fetch_update(SeqCst, SeqCst, one_more).ok()
    }

    /// Tries now, for one that would wait if there were too many.
    ///
    /// SeqCst, as in [`EndpointState::leave`] and where waiters are counted: either who makes room sees the waiter,
    /// or the waiter sees the room.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(SeqCst)
    }

    /// Counts a try out; how many are left.
    pub(crate) fn leave(&self) -> u32 {
        self.in_flight.fetch_sub(1, SeqCst) - 1
    }

    /// Takes over what `mark` says; whether that was anything new.
    fn take(&self, mark: &Mark) -> bool {
        // What is forgotten and said anew by one mark never shows as forgotten.
        let forgotten = |value: bool| mark.forget.then_some(value);
        let mut changed = false;
        if let Some(up) = mark.up.or(forgotten(true)) {
            changed |= self.up.swap(up, Relaxed) != up;
        }
        if let Some(draining) = mark.draining.or(forgotten(false)) {
            changed |= self.draining.swap(draining, Relaxed) != draining;
        }
        if let Some(maintenance) = mark.maintenance.or(forgotten(false)) {
            changed |= self.maintenance.swap(maintenance, Relaxed) != maintenance;
        }
        let no_mark = mark.forget.then_some(NO_MARK);
        if let Some(load) = mark.load_permille.map(|load| load.min(NO_MARK - 1)).or(no_mark) {
            // Weights follow once a second, by themselves.
            if self.load_mark.swap(load, Relaxed) != load {
                self.load.is_marked();
            }
        }
        if let Some(weight) = mark.weight.map(|weight| weight.min(HEAVIEST)).or(no_mark) {
            changed |= self.weight_mark.swap(weight, Relaxed) != weight;
        }
        changed
    }
}

impl States {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing is known yet. The seed is for tables that clients can put something into, and should not be known to them.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, limits: LimitStates::seeded(seed), ..Self::default() }
    }

    /// What follows happens at this time.
    pub fn at(&mut self, now: Tick) {
        self.now = now;
    }

    /// The state of an endpoint, made when it is asked for the first time: up, not draining, no weight mark.
    pub fn endpoint(&mut self, pool: &str, endpoint: &str) -> Arc<EndpointState> {
        let now = self.now;
        let states = self.pool(pool);
        if let Some(state) = states.endpoints.get(endpoint) {
            return Arc::clone(state);
        }
        let state = states.endpoints.entry(endpoint.into()).or_default();
        state.record.begins(now);
        Arc::clone(state)
    }

    /// What `pool` has learned. Shared by all tables.
    pub fn pool_state(&mut self, pool: &str) -> Arc<PoolState> {
        Arc::clone(&self.pool(pool).state)
    }

    /// Where the sessions of `pool` are remembered, with these settings: what the live table knows is in it.
    pub(crate) fn session_table(
        &mut self,
        pool: &str,
        wanted: &bascule_contract::sessions::SessionTable,
    ) -> Result<Arc<SessionTable>, String> {
        let (now, seed) = (self.now, self.seed);
        match &self.pool(pool).sessions {
            Some(table) => table.renewed(wanted, now),
            None => Ok(Arc::new(SessionTable::compile(wanted, seed)?)),
        }
    }

    /// The sessions of `table` are those that later tables go on with: it is live.
    pub fn keep_sessions(&mut self, table: &Table) {
        for pool in &table.pools {
            if let Some(remembered) = pool.sessions.as_ref().and_then(PoolSessions::remembered) {
                self.pool(&pool.id).sessions = Some(Arc::clone(&remembered.table));
            }
        }
    }

    /// Takes over marks, in their order. Those about unknown endpoints are kept until one of that name comes. Requests
    /// that wait look whether a mark has given them room.
    ///
    /// Weights above [`HEAVIEST`] count as that. True when any of this was new.
    pub fn mark(&mut self, marks: &[Mark]) -> bool {
        let mut changed = false;
        for mark in marks {
            let state = self.endpoint(&mark.pool, &mark.endpoint);
            let served = state.up.load(Relaxed) && !state.maintenance.load(Relaxed);
            if state.take(mark) {
                changed = true;
                if !served && state.up.load(Relaxed) && !state.maintenance.load(Relaxed) {
                    state.record.begins(self.now);
                }
                let now = self.now;
                let pool = &self.pool(&mark.pool).state;
                // Release: a picker that sees the new version sees the mark as well.
                pool.version.fetch_add(1, Release);
                pool.waiting.may_have_room(now);
            }
        }
        changed
    }

    /// Drops what no table holds any more and what carries no marks. Call it when an old table has gone.
    pub fn forget_unused(&mut self) {
        self.limits.forget_unused();
        self.pools.retain(|_, pool| {
            pool.endpoints.retain(|_, state| Arc::strong_count(state) > 1 || state.has_marks());
            !pool.endpoints.is_empty() || Arc::strong_count(&pool.state) > 1
        });
    }

    fn pool(&mut self, pool: &str) -> &mut PoolStates {
        if !self.pools.contains_key(pool) {
            self.pools.insert(pool.into(), PoolStates::default());
        }
        self.pools.entry(pool.into()).or_default()
    }
}

/// The version of a pool, together with all marks that led to it.
pub(crate) fn seen(version: &AtomicU64) -> u64 {
    version.load(Acquire)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;

    use bascule_contract::mark::Mark;
    use bascule_contract::snapshot::Address;

    use super::{EndpointState, HEAVIEST, NO_MARK, States, Target, seen};
    use crate::time::Tick;

    fn mark(endpoint: &str) -> Mark {
        Mark { pool: "p".into(), endpoint: endpoint.into(), ..Mark::default() }
    }

    #[test]
    fn what_every_try_counts_has_a_cache_line_of_its_own() {
        assert_eq!(align_of::<EndpointState>(), 64);
        assert!(std::mem::offset_of!(EndpointState, idle) + size_of::<u32>() <= 64);
    }

    #[test]
    fn one_name_has_one_state() {
        let mut states = States::new();
        assert!(Arc::ptr_eq(&states.endpoint("p", "a"), &states.endpoint("p", "a")));
        assert!(!Arc::ptr_eq(&states.endpoint("p", "a"), &states.endpoint("q", "a")));
    }

    #[test]
    fn marks_for_endpoints_that_are_not_there_yet_are_remembered() {
        let mut states = States::new();
        states.mark(&[Mark { up: Some(false), ..mark("a") }, Mark { weight: Some(5), ..mark("a") }]);
        states.forget_unused();
        let state = states.endpoint("p", "a");
        assert!(!state.up.load(Relaxed));
        assert_eq!(state.weight_mark.load(Relaxed), 5);
    }

    #[test]
    fn only_marks_that_change_something_move_the_version() {
        let mut states = States::new();
        let state = states.pool_state("p");
        let version = &state.version;
        states.mark(&[Mark { up: Some(true), ..mark("a") }, mark("b")]);
        assert_eq!(seen(version), 0);
        states.mark(&[Mark { up: Some(false), ..mark("a") }, Mark { draining: Some(true), ..mark("a") }]);
        assert_eq!(seen(version), 2);
        states.mark(&[Mark { up: Some(false), draining: Some(true), ..mark("a") }]);
        assert_eq!(seen(version), 2);
    }

    #[test]
    fn marks_can_be_taken_back_so_that_what_has_left_is_forgotten() {
        let mut states = States::new();
        states.mark(&[Mark {
            weight: Some(5),
            maintenance: Some(true),
            load_permille: Some(3),
            ..mark("a")
        }]);
        states.mark(&[Mark { forget: true, draining: Some(true), ..mark("a") }]);
        let state = states.endpoint("p", "a");
        assert_eq!(state.weight_mark.load(Relaxed), NO_MARK);
        assert!(!state.maintenance.load(Relaxed) && state.draining.load(Relaxed));
        drop(state);
        states.mark(&[Mark { forget: true, ..mark("a") }]);
        states.forget_unused();
        assert!(states.pools.is_empty());
    }

    #[test]
    fn an_endpoint_that_leaves_maintenance_or_comes_up_begins_anew() {
        let mut states = States::new();
        let state = states.endpoint("p", "a");
        let mut since = |ms: u64, mark: Mark| {
            states.at(Tick(ms * 1_000));
            states.mark(&[mark]);
            state.record.since().0 / 1_000
        };
        let maintenance = |on| Mark { maintenance: Some(on), ..mark("a") };
        let up = |up| Mark { up: Some(up), ..mark("a") };
        assert_eq!((since(1, maintenance(true)), since(2, maintenance(false))), (0, 2));
        assert_eq!((since(3, up(false)), since(4, up(true))), (2, 4));
        assert_eq!(since(5, Mark { draining: Some(true), ..mark("a") }), 4);
        assert_eq!(since(6, Mark { draining: Some(false), ..mark("a") }), 4, "it was warm all the time");
    }

    #[test]
    fn a_weight_mark_never_means_no_mark() {
        let mut states = States::new();
        states.mark(&[Mark { weight: Some(NO_MARK), ..mark("a") }]);
        assert_eq!(states.endpoint("p", "a").weight_mark.load(Relaxed), HEAVIEST);
    }

    #[test]
    fn what_is_held_or_marked_is_not_forgotten() {
        let mut states = States::new();
        let held = states.endpoint("p", "held");
        held.in_flight.store(7, Relaxed);
        states.endpoint("p", "unused").in_flight.store(7, Relaxed);
        states.mark(&[Mark { draining: Some(true), ..mark("marked") }]);
        let state = states.pool_state("p");
        states.forget_unused();
        assert_eq!(states.endpoint("p", "held").in_flight.load(Relaxed), 7);
        assert_eq!(states.endpoint("p", "unused").in_flight.load(Relaxed), 0);
        assert!(states.endpoint("p", "marked").draining.load(Relaxed));
        assert!(Arc::ptr_eq(&state, &states.pool_state("p")));
    }

    #[test]
    fn a_target_is_an_address_and_never_a_name() {
        let tcp = |address: &str| Target::parse(&Address::Tcp { address: address.into() });
        assert_eq!(tcp("[::1]:80").unwrap(), Target::Tcp("[::1]:80".parse().unwrap()));
        assert!(tcp("localhost:80").unwrap_err().contains("\"localhost:80\" is not an IP address"));
        assert!(tcp("10.0.0.1").unwrap_err().contains("with a port"));
        let unix = |path: &str| Target::parse(&Address::Unix { path: path.into() });
        assert_eq!(unix("/run/app.sock").unwrap(), Target::Unix("/run/app.sock".into()));
        assert!(unix("app.sock").unwrap_err().contains("absolute"));
    }
}
