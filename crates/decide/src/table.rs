//! Snapshot → table: everything that is looked up per request, checked and indexed once.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bascule_contract::CONTRACT_VERSION;
use bascule_contract::protection::{Limit, Protection};
use bascule_contract::sessions::Store;
use bascule_contract::snapshot::{
    self, ClientLimits, ClientTimeouts, Http2, IdleConnections, Protocol, Retries, RouteTimeouts, Snapshot,
    Spread,
};
use serde_json::{Map, Value};

use crate::balance::{Built, Key, Registration, Slot, registry};
pub use crate::edits::Edits;
pub use crate::endpoint::{Endpoint, EndpointState, States, Target};
use crate::guard::PoolState;
use crate::guard::ejection::Standing;
use crate::limit::RateLimit;
pub use crate::networks::Networks;
use crate::random::Random;
use crate::request::Request;
pub use crate::rewrite::Rewriter;
pub use crate::route::Routes;
use crate::sessions::key::{KeySource, hash};
use crate::sessions::pool::PoolSessions;
use crate::template::{Template, may_stand_in_a_value};
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
}

/// What a route does.
pub enum Action {
    /// Forward to an endpoint of this pool of the table.
    Pool(usize),
    /// Forward to an endpoint of one of several pools.
    Split(Split),
    /// Answer with a `Location`.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The value of the field.
        location: Template,
    },
    /// Answer as written.
    Respond {
        /// 200 to 599.
        status: u16,
        /// None of them frames the message.
        headers: Vec<(String, String)>,
        /// Empty where the status allows no body.
        body: Arc<[u8]>,
    },
}

/// Several pools of a table that share the traffic of a route.
#[derive(Clone, Debug)]
pub struct Split {
    /// Each pool with the sum of the weights up to and including its own.
    shares: Vec<(usize, u64)>,
}

impl Split {
    /// One of the pools, each as often as its weight says.
    pub fn pick(&self, random: &mut Random) -> usize {
        let total = self.shares.last().map_or(0, |(_, end)| *end);
        let drawn = random.below(usize::try_from(total.max(1)).unwrap_or(usize::MAX)) as u64;
        let at = self.shares.partition_point(|(_, end)| *end <= drawn);
        self.shares[at.min(self.shares.len() - 1)].0
    }
}

/// Where copies of requests go.
#[derive(Clone, Copy, Debug)]
pub struct Mirror {
    /// A pool of the table.
    pub pool: usize,
    /// Share of the requests, in thousandths.
    pub permille: u32,
}

/// Endpoints that can serve the same traffic.
pub struct Pool {
    /// Stable name.
    pub id: Arc<str>,
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
        let pools =
            snapshot.pools.iter().filter_map(|pool| compile_pool(pool, states, &mut problems)).collect();
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

fn compile_pool(pool: &snapshot::Pool, states: &mut States, problems: &mut Problems) -> Option<Pool> {
    let place = format!("pool \"{}\"", pool.id);
    problems.demand_unique(&format!("{place}: endpoint"), pool.endpoints.iter().map(|it| it.id.as_str()));
    problems.demand(&place, pool.panic_percent <= 100, || {
        format!("panic_percent {} is above 100", pool.panic_percent)
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
        endpoints,
        connect_ms: pool.connect_ms,
        idle: pool.idle.clone(),
        retries: pool.retries.clone(),
        panic_percent: pool.panic_percent,
        protection: pool.protection.clone(),
        spread: pool.spread.clone(),
        sessions,
        load_reports: pool.load_reports,
        protocol: pool.protocol,
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
        forwarded: ForwardedPolicy {
            x_forwarded: listener.forwarded.x_forwarded,
            rfc7239: listener.forwarded.rfc7239,
            trusted: trusted?,
        },
    })
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
    Some(Route {
        limits,
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

fn pool_position(pool: &str, snapshot: &Snapshot) -> Result<usize, String> {
    let position = snapshot.pools.iter().position(|it| it.id == pool);
    position.ok_or_else(|| format!("there is no pool \"{pool}\""))
}

fn compile_mirror(mirror: &snapshot::Mirror, snapshot: &Snapshot) -> Result<Mirror, String> {
    if mirror.permille > 1000 {
        return Err(format!("{} thousandths are more than all", mirror.permille));
    }
    Ok(Mirror { pool: pool_position(&mirror.pool, snapshot)?, permille: mirror.permille })
}

fn compile_split(shares: &[snapshot::Share], snapshot: &Snapshot) -> Result<Split, String> {
    let mut end = 0;
    let mut compiled = Vec::with_capacity(shares.len());
    for share in shares {
        end += u64::from(share.weight);
        compiled.push((pool_position(&share.pool, snapshot)?, end));
    }
    if end == 0 {
        return Err("the weights of a split are all 0".into());
    }
    Ok(Split { shares: compiled })
}

fn compile_action(action: &snapshot::Action, snapshot: &Snapshot) -> Result<Action, String> {
    match action {
        snapshot::Action::Pool { pool } => pool_position(pool, snapshot).map(Action::Pool),
        snapshot::Action::Split { shares } => compile_split(shares, snapshot).map(Action::Split),
        snapshot::Action::Redirect { status, location } => {
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return Err(format!(
                    "{status} is not the status of a redirect; use 301, 302, 303, 307 or 308"
                ));
            }
            let location = Template::parse(location).map_err(|problem| format!("location: {problem}"))?;
            Ok(Action::Redirect { status: *status, location })
        }
        snapshot::Action::Respond { status, headers, body } => compile_response(*status, headers, body),
    }
}

fn compile_response(status: u16, headers: &[snapshot::HeaderValue], body: &str) -> Result<Action, String> {
    if !(200..600).contains(&status) {
        return Err(format!("status {status} is not between 200 and 599"));
    }
    if matches!(status, 204 | 304) && !body.is_empty() {
        return Err(format!("an answer with status {status} has no body (RFC 9110, 6.4.1)"));
    }
    for header in headers {
        crate::edits::editable(&header.name)?;
        if !header.value.bytes().all(may_stand_in_a_value) {
            return Err(format!("field \"{}\" has a character that no header value may have", header.name));
        }
    }
    let headers = headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect();
    Ok(Action::Respond { status, headers, body: body.as_bytes().into() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;

    use bascule_contract::mark::Mark;
    use bascule_contract::snapshot::{self, HeaderValue};
    use serde_json::json;

    use super::{Action, States, Table};
    use crate::samples::{listener, mark, matcher, pool, route, snapshot};

    fn problems(snapshot: &snapshot::Snapshot) -> Vec<String> {
        Table::compile(snapshot, &mut States::new()).err().unwrap()
    }

    #[test]
    fn routes_point_at_their_pools_and_are_found_through_the_index() {
        let host = matcher("host", json!({"hosts": ["b"]}));
        let listeners = vec![listener("web", vec![route("r", vec![host], "two")])];
        let table = Table::compile(
            &snapshot(listeners, vec![pool("one", "random", &[1]), pool("two", "random", &[1])]),
            &mut States::new(),
        )
        .unwrap();
        assert_eq!((table.listener("web"), table.listener("other")), (Some(0), None));
        assert_eq!(table.pool("two"), Some(1));
        assert!(matches!(table.listeners[0].routes[0].action, Action::Pool(1)));
    }

    #[test]
    fn marks_and_counters_outlive_the_table() {
        let mut states = States::new();
        let first =
            Table::compile(&snapshot(vec![], vec![pool("p", "random", &[1, 1])]), &mut states).unwrap();
        states.mark(&[Mark { up: Some(false), weight: Some(7), ..mark("p", 1) }]);
        first.pools[0].endpoints[1].state.picked.store(42, Relaxed);
        let second =
            Table::compile(&snapshot(vec![], vec![pool("p", "two_choices", &[1, 3, 1])]), &mut states)
                .unwrap();
        drop(first);
        states.forget_unused();
        let endpoint = &second.pools[0].endpoints[1];
        assert!(!endpoint.is_up());
        assert_eq!((endpoint.weight, endpoint.weight_now()), (3, 7));
        assert_eq!(endpoint.state.picked.load(Relaxed), 42);
        assert!(Arc::ptr_eq(&endpoint.state, &states.endpoint("p", "e1")));
        assert_eq!(second.pools[0].endpoints[2].weight_now(), 1);
    }

    #[test]
    fn everything_wrong_is_said_at_once_with_its_place() {
        let mut broken = pool("p", "least_buzy", &[1, 0]);
        broken.panic_percent = 101;
        let mut twice = pool("q", "random", &[1, 1]);
        twice.endpoints[1].id = "e0".into();
        twice.endpoints[0].address = snapshot::Address::Tcp { address: "localhost:80".into() };
        let mut lost = route("lost", vec![], "nowhere");
        lost.rewrite = Some(snapshot::Rewrite::Set { path: "x".into() });
        lost.response_headers.remove.push("content-length".into());
        let mut web =
            listener("web", vec![lost, route("r", vec![matcher("host", json!({"hosts": ["a:1"]}))], "p")]);
        web.forwarded.trusted.push("10.0.0.0/99".into());
        let found = problems(&snapshot(vec![web], vec![broken, twice]));
        let expected = [
            "pool \"p\": panic_percent 101 is above 100",
            "pool \"p\", endpoint \"e1\": weight 0 is not between 1 and 65535",
            "pool \"p\": unknown algorithm \"least_buzy\"; there are fastest, least_busy, two_choices, round_robin, weighted_round_robin, random, prequal, hash, first",
            "pool \"q\": endpoint \"e0\" is there twice",
            "pool \"q\", endpoint \"e0\": \"localhost:80\" is not an IP address with a port",
            "listener \"web\", route \"lost\": there is no pool \"nowhere\"",
            "listener \"web\", route \"lost\": \"x\" cannot be a path: the path does not begin with a slash",
            "listener \"web\", route \"lost\", response headers: \"content-length\" frames the message or its connection and cannot be changed",
            "listener \"web\", trusted: \"10.0.0.0/99\" is not a network; write it like 10.0.0.0/8 or 2001:db8::/32",
            "listener \"web\", route \"r\": matcher \"host\": \"a:1\": write the host without a port, and an IPv6 address in brackets",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn names_are_unique_where_they_must_be() {
        let web = || listener("web", vec![route("r", vec![], "p"), route("r", vec![], "p")]);
        let found = problems(&snapshot(
            vec![web(), web()],
            vec![pool("p", "random", &[1]), pool("p", "random", &[1])],
        ));
        assert_eq!(
            found,
            [
                "pool \"p\" is there twice",
                "listener \"web\" is there twice",
                "listener \"web\": route \"r\" is there twice",
                "listener \"web\": route \"r\" is there twice",
            ]
        );
    }

    #[test]
    fn another_contract_is_refused_before_anything_else() {
        let mut other = snapshot(vec![], vec![pool("p", "nonsense", &[1])]);
        other.contract = 99;
        assert_eq!(
            problems(&other),
            ["the snapshot speaks version 99 of the contract; this data plane speaks 1"]
        );
    }

    #[test]
    fn options_that_an_algorithm_does_not_know_are_refused() {
        for algorithm in crate::balance::registry::ALGORITHMS {
            let mut pool = pool("p", algorithm.name, &[1]);
            pool.algorithm.options.insert("speed".into(), json!(9));
            let expected =
                format!("pool \"p\": algorithm \"{}\": unknown option \"speed\"; there ", algorithm.name);
            let found = problems(&snapshot(vec![], vec![pool]));
            assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
        }
    }

    #[test]
    fn redirects_and_fixed_answers_must_be_sendable() {
        let field = |name: &str, value: &str| HeaderValue { name: name.into(), value: value.into() };
        let respond =
            |status, headers, body: &str| snapshot::Action::Respond { status, headers, body: body.into() };
        let redirect =
            |status, location: &str| snapshot::Action::Redirect { status, location: location.into() };
        for (action, problem) in [
            (redirect(302, "https://{host}{uri}"), None),
            (redirect(200, "/"), Some("200 is not the status of a redirect")),
            (redirect(301, "/{pth}"), Some("location: unknown placeholder")),
            (respond(503, vec![field("Retry-After", "5")], "later"), None),
            (respond(204, vec![], ""), None),
            (respond(204, vec![], "x"), Some("has no body")),
            (respond(100, vec![], ""), Some("not between 200 and 599")),
            (respond(200, vec![field("Content-Length", "5")], "x"), Some("cannot be changed")),
            (respond(200, vec![field("A", "b\r\nc: d")], "x"), Some("no header value may have")),
        ] {
            let mut route = route("r", vec![], "p");
            route.action = action;
            let result =
                Table::compile(&snapshot(vec![listener("web", vec![route])], vec![]), &mut States::new());
            match (result, problem) {
                (Ok(_), None) => {}
                (Err(problems), Some(expected)) => {
                    assert!(problems[0].contains(expected), "{problems:?}")
                }
                (result, expected) => panic!("expected {expected:?}, got {:?}", result.err()),
            }
        }
    }
}
