//! Snapshots for tests and measurements, as the control plane would send them.

#![allow(dead_code, reason = "each test takes what it needs")]

use bascule_contract::CONTRACT_VERSION;
use bascule_contract::flows::{Carries, Flows, PoolFlows};
use bascule_contract::mark::Mark;
use bascule_contract::protection::{Protection, TryLimit};
use bascule_contract::snapshot::{
    Action, Address, Algorithm, ClientLimits, ClientTimeouts, Connect, Endpoint, Forwarded, HalfClosed,
    HeaderEdits, Http2, IdleConnections, Listener, Matcher, Pool, Protocol, Retries, Route, RouteTimeouts,
    Snapshot, Spread, usual_priority,
};
use serde_json::{Map, Value, json};

/// A snapshot of these listeners and pools.
pub(crate) fn snapshot(listeners: Vec<Listener>, pools: Vec<Pool>) -> Snapshot {
    Snapshot {
        contract: CONTRACT_VERSION,
        generation: 1,
        listeners,
        pools,
        access_log: None,
        stores: Vec::new(),
    }
}

/// A pool of one endpoint per weight, called `e0`, `e1` … Panic is off.
pub(crate) fn pool(id: &str, algorithm: &str, weights: &[u32]) -> Pool {
    let endpoint = |(number, weight): (usize, &u32)| Endpoint {
        id: format!("e{number}"),
        address: Address::Tcp { address: format!("10.0.{}.{}:8000", number / 250, number % 250) },
        weight: *weight,
        tier: 0,
        zone: None,
        limit: None,
    };
    Pool {
        id: id.into(),
        algorithm: Algorithm { name: algorithm.into(), options: ways(algorithm).remove(0) },
        endpoints: weights.iter().enumerate().map(endpoint).collect(),
        connect_ms: 5_000,
        idle: IdleConnections { per_thread: 32, timeout_ms: 4_000 },
        retries: Retries {
            attempts: 1,
            budget_percent: 20,
            budget_minimum: 3,
            statuses: Vec::new(),
            grpc_statuses: Vec::new(),
            try_limit: TryLimit::default(),
        },
        panic_percent: 0,
        protection: Protection::default(),
        sessions: None,
        spread: Spread::default(),
        load_reports: false,
        proxy_protocol: None,
        tls: None,
        protocol: Protocol::Http1,
        flows: PoolFlows::default(),
    }
}

/// Options that make an algorithm work in different ways; the usual ones come first.
pub(crate) fn ways(algorithm: &str) -> Vec<Map<String, Value>> {
    let ways = match algorithm {
        "first" => json!([{"requests": 4}]),
        "prequal" => json!([{}, {"probe": "/probe"}]),
        "hash" => json!([
            {},
            {"table": "maglev"},
            {"table": "ring", "points": 2_000},
            {"bound_percent": 125},
            {"table": "maglev", "bound_percent": 125},
        ]),
        _ => json!([{}]),
    };
    ways.as_array().expect("a list").iter().map(|way| way.as_object().expect("options").clone()).collect()
}

/// A pool whose algorithm works in one of its [`ways`].
pub(crate) fn pool_with(algorithm: &str, way: &Map<String, Value>, weights: &[u32]) -> Pool {
    let mut pool = pool("p", algorithm, weights);
    pool.algorithm.options = way.clone();
    pool
}

/// A listener with the documented defaults.
pub(crate) fn listener(id: &str, routes: Vec<Route>) -> Listener {
    Listener {
        id: id.into(),
        binds: Vec::new(),
        routes,
        timeouts: ClientTimeouts { head_ms: 10_000, body_ms: 60_000, keep_alive_ms: 75_000, send_ms: 60_000 },
        limits: ClientLimits {
            head_bytes: 16_384,
            headers: 100,
            target_bytes: 8_192,
            body_bytes: None,
            connections: None,
            requests_per_connection: None,
            connections_per_client: None,
        },
        http2: Http2::default(),
        proxy_protocol: None,
        forwarded: Forwarded { x_forwarded: true, rfc7239: false, trusted: Vec::new() },
        tls: None,
        carries: Carries::Http,
        flows: Flows::default(),
    }
}

/// A route that sends what matches to a pool.
pub(crate) fn route(id: &str, matchers: Vec<Matcher>, pool: &str) -> Route {
    Route {
        id: id.into(),
        matchers,
        action: Action::Pool { pool: pool.into() },
        rewrite: None,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        timeouts: RouteTimeouts {
            response_ms: 30_000,
            idle_ms: 60_000,
            total_ms: None,
            tunnel_ms: 3_600_000,
            deadline_header: None,
        },
        limits: Vec::new(),
        priority: usual_priority(),
        connect: Connect::Off,
        half_closed: HalfClosed::Wait,
        mirror: None,
    }
}

/// A matcher with these options, which must be an object.
pub(crate) fn matcher(name: &str, options: Value) -> Matcher {
    let Value::Object(options) = options else {
        panic!("options are an object");
    };
    Matcher { name: name.into(), options }
}

/// A mark that says nothing yet.
pub(crate) fn mark(pool: &str, endpoint: usize) -> Mark {
    Mark { pool: pool.into(), endpoint: format!("e{endpoint}"), ..Mark::default() }
}
