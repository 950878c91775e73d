//! Snapshot → table: everything that is looked up per request, checked and indexed once.

mod action;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bascule_contract::CONTRACT_VERSION;
use bascule_contract::flows::{Carries, FlowRoute, Flows, PoolFlows, Udp};
use bascule_contract::protection::{Limit, Protection};
use bascule_contract::proxy_protocol::Announce;
use bascule_contract::sessions::Store;
use bascule_contract::snapshot::{
    self, Bind, ClientLimits, ClientTimeouts, Connect, HalfClosed, Http2, IdleConnections, Protocol, Retries,
    RouteTimeouts, Snapshot, Spread,
};
use serde_json::{Map, Value};

use crate::balance::{Built, Key, Registration, Slot, registry};
pub use crate::edits::Edits;
pub use crate::endpoint::{Endpoint, EndpointState, States, Target};
use crate::flow::FlowRoutes;
use crate::guard::PoolState;
use crate::guard::ejection::Standing;
use crate::limit::RateLimit;
pub use crate::networks::Networks;
use crate::request::Request;
pub use crate::rewrite::Rewriter;
pub use crate::route::Routes;
use crate::sessions::key::{KeySource, hash};
use crate::sessions::pool::PoolSessions;
pub use crate::table::action::{Action, Mirror, Split};
use crate::table::action::{compile_action, compile_connect, compile_mirror};
use crate::time::Tick;

/// One generation, compiled. An exchange uses one table from its beginning to its end.
pub struct Table {
    /// The snapshot's.
    pub generation: u64,
    /// In the order of the snapshot.
    pub listeners: Vec<Listener>,
    /// In the order of the snapshot.
    pub pools: Vec<Pool>,
    /// What several balancers remember together.
    pub stores: Vec<Store>,
}

/// What belongs to one set of addresses.
pub struct Listener {
    /// Stable name.
    pub id: Arc<str>,
    /// In the order of the snapshot; [`Routes::find`] gives positions in here.
    pub routes: Vec<Route>,
    /// Finds the route of a request.
    pub index: Routes,
    /// How long clients may take.
    pub timeouts: ClientTimeouts,
    /// How much clients may send.
    pub limits: ClientLimits,
    /// What endpoints are told about the client.
    pub forwarded: ForwardedPolicy,
    /// HTTP/2 from clients.
    pub http2: Http2,
    /// What it carries.
    pub carries: Carries,
    /// Where its flows go.
    pub flows: ListenerFlows,
    /// Whose connections begin with a PROXY header; nobody's where there is none.
    pub proxies: Option<Networks>,
}

/// Where the flows of a listener go.
#[derive(Debug)]
pub struct ListenerFlows {
    /// None where HTTP is carried.
    pub routes: FlowRoutes,
    /// What is passed on still encrypted.
    pub passthrough: FlowRoutes,
    /// Silence after which the kernel asks for a peer, in milliseconds.
    pub probe_ms: Option<u64>,
    /// How datagrams become flows.
    pub udp: Udp,
}

/// What endpoints are told about the client.
pub struct ForwardedPolicy {
    /// Send `X-Forwarded-For`, `-Proto` and `-Host`.
    pub x_forwarded: bool,
    /// Send `Forwarded` (RFC 7239).
    pub rfc7239: bool,
    /// Whose own forwarded fields are kept and appended to.
    pub trusted: Networks,
}

/// The priority of what goes before everything else.
pub const HIGHEST: u32 = 9;

/// What becomes of the requests that match.
pub struct Route {
    /// Stable name, unique within the listener.
    pub id: Arc<str>,
    /// Forward, redirect or answer.
    pub action: Action,
    /// How the path changes before it is forwarded.
    pub rewrite: Option<Rewriter>,
    /// Changes to what the endpoint sees.
    pub request_edits: Edits,
    /// Changes to what the client sees.
    pub response_edits: Edits,
    /// How long the endpoint may take.
    pub timeouts: RouteTimeouts,
    /// All must let a request through.
    pub limits: Vec<RateLimit>,
    /// Who waits in a queue: higher ones go first. 0 to 9.
    pub priority: u32,
    /// Where copies go.
    pub mirror: Option<Mirror>,
    /// What becomes of CONNECT; anything but off only for a route that forwards.
    pub connect: Connect,
    /// What it means that a client of HTTP/1 sends no more while it waits.
    pub half_closed: HalfClosed,
}

/// Endpoints that can serve the same traffic.
pub struct Pool {
    /// Stable name.
    pub id: Arc<str>,
    /// Of its table.
    pub generation: u64,
    /// By [`crate::balance::Slot`].
    pub endpoints: Vec<Endpoint>,
    /// Longest time for a connect, in milliseconds.
    pub connect_ms: u64,
    /// Open connections kept for reuse.
    pub idle: IdleConnections,
    /// Tries beyond the first.
    pub retries: Retries,
    /// When fewer than this share of the endpoints is up, all are used; 0 turns this off.
    pub panic_percent: u32,
    /// Limits, queue, ejection, hedging and slow start.
    pub protection: Protection,
    /// Which of the endpoints are used first.
    pub spread: Spread,
    /// What keeps a client on one endpoint.
    pub sessions: Option<PoolSessions>,
    /// Reported load changes weights.
    pub load_reports: bool,
    /// What its endpoints speak.
    pub protocol: Protocol,
    /// How it treats flows.
    pub flows: PoolFlows,
    /// How they are told whose connection it is. Each connection is then for one request.
    pub announce: Option<Announce>,
    /// What it has learned. Shared by all tables and threads.
    pub state: Arc<PoolState>,
    /// How an endpoint is picked.
    pub algorithm: ChosenAlgorithm,
    /// Where its endpoints are to be asked how busy they are, for [`crate::pick::Picker::hear`].
    pub probe_path: Option<Arc<str>>,
    /// Whether reports in its responses ([`crate::load_report::find`]) are to be handed to [`crate::pick::Picker::hear`].
    pub reads_reports: bool,
    /// The part of a request that its algorithm goes by; see [`Pool::key`].
    pub key_by: Option<KeySource>,
}

/// An algorithm with the options that a pool gives it.
pub struct ChosenAlgorithm {
    /// Its entry in the registry.
    pub registration: &'static Registration,
    /// As in the snapshot.
    pub options: Map<String, Value>,
}

impl ChosenAlgorithm {
    /// A fresh instance, for one thread.
    pub fn build(&self, pool: &Pool) -> Built {
        (self.registration.build)(pool, &self.options)
    }
}

impl Endpoint {
    /// The verdict of its checks.
    pub fn is_up(&self) -> bool {
        self.state.up.load(Relaxed)
    }

    /// Whether it gets no new work.
    pub fn is_draining(&self) -> bool {
        self.state.draining.load(Relaxed) || self.is_in_maintenance()
    }

    /// Whether it gets nothing at all.
    pub fn is_in_maintenance(&self) -> bool {
        self.state.maintenance.load(Relaxed)
    }
}

impl Pool {
    /// Whether sessions stay on this endpoint: also while it drains, but not where nothing can be had.
    pub fn keeps_sessions(&self, slot: Slot, now: Tick) -> bool {
        let endpoint = &self.endpoints[slot.index()];
        endpoint.is_up()
            && !endpoint.is_in_maintenance()
            && endpoint.state.record.standing(now) == Standing::Good
    }

    /// What the algorithm goes by in this request; [`Key::NONE`] when that is nothing, or the request does not have it.
    pub fn key(&self, request: &Request<'_>) -> Key {
        let found = self.key_by.as_ref().and_then(|by| by.find(request));
        found.map_or(Key::NONE, |found| hash(&found))
    }

    /// Requests that an endpoint may have at a time, now; `u32::MAX` when nothing limits them.
    pub fn limit(&self, slot: Slot) -> u32 {
        let endpoint = &self.endpoints[slot.index()];
        match (endpoint.limit, &self.protection.limit) {
            (Some(limit), _) => limit,
            (None, Limit::Fixed { requests }) => *requests,
            (None, Limit::Learned {}) => {
                endpoint.state.flow.enforced_limit(&self.state.gate).unwrap_or(u32::MAX)
            }
            (None, _) => u32::MAX,
        }
    }
}

impl Table {
    /// Compiles `snapshot`, or says everything that is wrong with it. Nothing that is live changes.
    ///
    /// Endpoints that are known keep their state. After a refusal, [`States::forget_unused`] drops the others.
    pub fn compile(snapshot: &Snapshot, states: &mut States) -> Result<Self, Vec<String>> {
        let mut problems = Problems::default();
        if snapshot.contract != CONTRACT_VERSION {
            return Err(vec![format!(
                "the snapshot speaks version {} of the contract; this data plane speaks {CONTRACT_VERSION}",
                snapshot.contract
            )]);
        }
        problems.demand_unique("pool", snapshot.pools.iter().map(|pool| pool.id.as_str()));
        problems.demand_unique("store", snapshot.stores.iter().map(|store| store.id.as_str()));
        problems.demand_unique("listener", snapshot.listeners.iter().map(|listener| listener.id.as_str()));
        let pools = snapshot
            .pools
            .iter()
            .filter_map(|it| compile_pool(it, snapshot, states, &mut problems))
            .collect();
        let listeners = snapshot
            .listeners
            .iter()
            .filter_map(|it| compile_listener(it, snapshot, states, &mut problems))
            .collect();
        let stores = snapshot.stores.clone();
        problems.into_result(Self { generation: snapshot.generation, listeners, pools, stores })
    }

    /// The position of the listener of this id.
    pub fn listener(&self, id: &str) -> Option<usize> {
        self.listeners.iter().position(|listener| *listener.id == *id)
    }

    /// The position of the pool of this id.
    pub fn pool(&self, id: &str) -> Option<usize> {
        self.pools.iter().position(|pool| *pool.id == *id)
    }
}

/// Everything that is wrong, each with its place.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    /// The value, or a note of what is wrong at `place`.
    fn keep<T>(&mut self, place: &impl Display, result: Result<T, String>) -> Option<T> {
        result.map_err(|problem| self.0.push(format!("{place}: {problem}"))).ok()
    }

    fn demand(&mut self, place: &impl Display, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.0.push(format!("{place}: {}", problem()));
        }
    }

    fn demand_unique<'a>(&mut self, what: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name) {
                self.0.push(format!("{what} \"{name}\" is there twice"));
            }
        }
    }

    fn into_result<T>(self, value: T) -> Result<T, Vec<String>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}

fn compile_pool(
    pool: &snapshot::Pool,
    snapshot: &Snapshot,
    states: &mut States,
    problems: &mut Problems,
) -> Option<Pool> {
    let place = format!("pool \"{}\"", pool.id);
    problems.demand_unique(&format!("{place}: endpoint"), pool.endpoints.iter().map(|it| it.id.as_str()));
    problems.demand(&place, pool.panic_percent <= 100, || {
        format!("panic_percent {} is above 100", pool.panic_percent)
    });
    let shared = pool.protocol == Protocol::Http2 && pool.proxy_protocol.is_some();
    problems.demand(&place, !shared, || {
        "proxy_protocol names one client, and HTTP/2 connections are shared by many".to_owned()
    });
    let endpoints = pool.endpoints.iter().filter_map(|endpoint| {
        let state = states.endpoint(&pool.id, &endpoint.id);
        problems.keep(&format!("{place}, endpoint \"{}\"", endpoint.id), Endpoint::compile(endpoint, state))
    });
    let endpoints: Vec<Endpoint> = endpoints.collect();
    let sessions = pool.sessions.as_ref().and_then(|wanted| {
        let compiled = PoolSessions::compile(wanted, &pool.id, &endpoints, states);
        problems.keep(&format!("{place}, sessions"), compiled)
    });
    let registration = problems.keep(&place, registry::find(&pool.algorithm.name))?;
    let mut compiled = Pool {
        id: pool.id.as_str().into(),
        generation: snapshot.generation,
        endpoints,
        connect_ms: pool.connect_ms,
        idle: IdleConnections {
            // Who is announced shares with nobody.
            per_thread: if pool.proxy_protocol.is_some() { 0 } else { pool.idle.per_thread },
            ..pool.idle
        },
        retries: pool.retries.clone(),
        panic_percent: pool.panic_percent,
        protection: pool.protection.clone(),
        spread: pool.spread.clone(),
        sessions,
        load_reports: pool.load_reports,
        protocol: pool.protocol,
        flows: pool.flows.clone(),
        announce: pool.proxy_protocol.clone(),
        state: states.pool_state(&pool.id),
        algorithm: ChosenAlgorithm { registration, options: pool.algorithm.options.clone() },
        probe_path: None,
        reads_reports: pool.load_reports,
        key_by: None,
    };
    // Built once here so that no picker can fail later.
    let built = compiled
        .algorithm
        .build(&compiled)
        .map_err(|problem| format!("algorithm \"{}\": {problem}", registration.name));
    let built = problems.keep(&place, built)?;
    compiled.probe_path = built.probe_path().map(Into::into);
    compiled.reads_reports |= built.reads_reports();
    let key_by = built.key_by().map(KeySource::compile).transpose();
    compiled.key_by = problems.keep(&place, key_by)?;
    Some(compiled)
}

fn compile_listener(
    listener: &snapshot::Listener,
    snapshot: &Snapshot,
    states: &mut States,
    problems: &mut Problems,
) -> Option<Listener> {
    let place = format!("listener \"{}\"", listener.id);
    problems.demand_unique(&format!("{place}: route"), listener.routes.iter().map(|route| route.id.as_str()));
    let routes = listener.routes.iter().filter_map(|route| {
        let limits =
            compile_limits(&format!("{place}, route \"{}\"", route.id), listener, route, states, problems);
        compile_route(&place, route, limits?, snapshot, problems)
    });
    let routes = routes.collect();
    let trusted = problems.keep(&format!("{place}, trusted"), Networks::parse(&listener.forwarded.trusted));
    let flows = compile_flows(&place, listener, snapshot, states, problems);
    let proxies =
        listener.proxy_protocol.as_ref().map(|announced| Networks::parse(&announced.from)).transpose();
    let proxies = problems.keep(&format!("{place}, proxy_protocol"), proxies);
    let index = Routes::compile(&listener.routes, snapshot.generation)
        .map_err(|all| problems.0.extend(all.iter().map(|problem| format!("{place}, {problem}"))))
        .ok();
    Some(Listener {
        id: listener.id.as_str().into(),
        routes,
        index: index?,
        timeouts: listener.timeouts.clone(),
        limits: listener.limits.clone(),
        http2: listener.http2.clone(),
        carries: listener.carries,
        flows: flows?,
        proxies: proxies?,
        forwarded: ForwardedPolicy {
            x_forwarded: listener.forwarded.x_forwarded,
            rfc7239: listener.forwarded.rfc7239,
            trusted: trusted?,
        },
    })
}

fn compile_flows(
    place: &str,
    listener: &snapshot::Listener,
    snapshot: &Snapshot,
    states: &mut States,
    problems: &mut Problems,
) -> Option<ListenerFlows> {
    let Flows { routes, passthrough, probe_ms, udp } = &listener.flows;
    problems.demand(&place, listener.carries == Carries::Http || listener.routes.is_empty(), || {
        "it carries no HTTP, and has routes for it".into()
    });
    problems.demand(&place, listener.carries != Carries::Http || routes.is_empty(), || {
        "it carries HTTP, and has routes for flows".into()
    });
    let udp_only = |bind: &Bind| matches!(bind, Bind::Udp { .. }) == (listener.carries == Carries::Udp);
    problems.demand(&place, listener.binds.iter().all(udp_only), || {
        "UDP is carried on UDP binds, and nothing else is".into()
    });
    let pool = |id: &str| snapshot.pools.iter().position(|pool| pool.id == id);
    let mut compile = |wanted: &[FlowRoute]| {
        let limits = |route: &FlowRoute| {
            route.limits.iter().map(|limit| states.limits.limit(&listener.id, limit)).collect()
        };
        FlowRoutes::compile(wanted, pool, limits)
            .map_err(|all| problems.0.extend(all.iter().map(|problem| format!("{place}, {problem}"))))
            .ok()
    };
    let (routes, passthrough) = (compile(routes), compile(passthrough));
    Some(ListenerFlows { routes: routes?, passthrough: passthrough?, probe_ms: *probe_ms, udp: udp.clone() })
}

fn compile_limits(
    place: &str,
    listener: &snapshot::Listener,
    route: &snapshot::Route,
    states: &mut States,
    problems: &mut Problems,
) -> Option<Vec<RateLimit>> {
    let compile =
        |limit| problems.keep(&format!("{place}, rate limit"), states.limits.limit(&listener.id, limit));
    route.limits.iter().map(compile).collect()
}

fn compile_route(
    listener: &str,
    route: &snapshot::Route,
    limits: Vec<RateLimit>,
    snapshot: &Snapshot,
    problems: &mut Problems,
) -> Option<Route> {
    let place = format!("{listener}, route \"{}\"", route.id);
    let action = problems.keep(&place, compile_action(&route.action, snapshot));
    let rewrite = problems.keep(&place, route.rewrite.as_ref().map(Rewriter::compile).transpose());
    let request_edits =
        problems.keep(&format!("{place}, request headers"), Edits::compile(&route.request_headers));
    let response_edits =
        problems.keep(&format!("{place}, response headers"), Edits::compile(&route.response_headers));
    let mirror = problems.keep(
        &format!("{place}, mirror"),
        route.mirror.as_ref().map(|mirror| compile_mirror(mirror, snapshot)).transpose(),
    );
    problems.demand(&place, route.priority <= HIGHEST, || {
        format!("priority {} is above {HIGHEST}", route.priority)
    });
    let connect = problems.keep(&place, compile_connect(route, snapshot));
    Some(Route {
        limits,
        connect: connect?,
        half_closed: route.half_closed,
        priority: route.priority,
        mirror: mirror?,
        id: route.id.as_str().into(),
        action: action?,
        rewrite: rewrite?,
        request_edits: request_edits?,
        response_edits: response_edits?,
        timeouts: route.timeouts.clone(),
    })
}

#[cfg(test)]
mod tests;
