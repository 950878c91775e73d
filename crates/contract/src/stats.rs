//! Counters and histograms, all monotonic unless they say "now".

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that is counted, pulled whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stats {
    /// The generation that is live now.
    pub generation: u64,
    /// Older generations that still have exchanges in flight now.
    pub draining: Vec<u64>,
    /// Per listener.
    pub listeners: Vec<ListenerStats>,
    /// Per route and endpoint that have seen traffic.
    pub series: Vec<Series>,
    /// Per endpoint of the live snapshot.
    pub endpoints: Vec<EndpointStats>,
    /// Access log lines dropped because the writer could not keep up.
    pub log_lines_lost: u64,
    /// Per pool of the live snapshot.
    #[serde(default)]
    pub pools: Vec<PoolStats>,
    /// Per route and endpoint that have seen flows.
    #[serde(default)]
    pub flows: Vec<FlowSeries>,
}

/// What one listener has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerStats {
    /// Its id.
    pub listener: String,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open now.
    pub open: u64,
    /// Requests whose head was read (well-formed or not).
    pub requests: u64,
    /// Requests in flight now.
    pub in_flight: u64,
    /// Connections closed at once because their client had as many as it may have.
    #[serde(default)]
    pub turned_away: u64,
    /// Upgraded connections open now; they are among the requests in flight.
    #[serde(default)]
    pub tunnels: u64,
    /// TLS handshakes that succeeded.
    #[serde(default)]
    pub handshakes: u64,
    /// Those of them that resumed a session.
    #[serde(default)]
    pub resumed: u64,
    /// TLS handshakes that failed, by why.
    #[serde(default)]
    pub failed_handshakes: Vec<FailedHandshakes>,
    /// Connections closed because the PROXY header that they have to begin with was wrong, late or not there.
    #[serde(default)]
    pub refused_proxy_headers: u64,
    /// Flows open now.
    #[serde(default)]
    pub flows: u64,
    /// Of a listener that carries UDP.
    #[serde(default)]
    pub datagrams: Datagrams,
}

/// What became of datagrams.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Datagrams {
    /// From clients.
    pub received: u64,
    /// Answers of endpoints that were sent to clients.
    pub sent: u64,
    /// From either side, and not passed on, by why.
    pub dropped: Vec<DroppedDatagrams>,
}

/// Datagrams that were not passed on for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DroppedDatagrams {
    /// A word: `no_endpoint`, `rate_limited`, `late` …
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// TLS handshakes that failed for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FailedHandshakes {
    /// A word: `unknown_name`, `plain_http`, `timed_out` …
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// What one (listener, route, endpoint) has seen. `pool` and `endpoint` are `None` when none was picked; `route` is empty when none matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// Listener id.
    pub listener: String,
    /// Route id.
    pub route: String,
    /// Pool id.
    pub pool: Option<String>,
    /// Endpoint id.
    pub endpoint: Option<String>,
    /// Exchanges by status code sent to the client; 0 when no status was sent.
    pub codes: Vec<CodeCount>,
    /// Exchanges by worded ending.
    pub endings: Vec<EndingCount>,
    /// Bytes read from clients, heads included.
    pub received_bytes: u64,
    /// Bytes written to clients, heads included.
    pub sent_bytes: u64,
    /// First byte of the request to the last byte of the response.
    pub duration: Histogram,
    /// Request forwarded to head of the response, where an endpoint answered.
    pub response: Histogram,
    /// Calls of gRPC by their status, where it is known; they are among the exchanges.
    #[serde(default)]
    pub grpc_codes: Vec<CodeCount>,
}

/// What the flows of one (listener, route, endpoint) have seen. `pool` and `endpoint` are `None` when none was picked; `route` is empty when none matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowSeries {
    /// Listener id.
    pub listener: String,
    /// Route id.
    pub route: String,
    /// Pool id.
    pub pool: Option<String>,
    /// Endpoint id.
    pub endpoint: Option<String>,
    /// Flows that have ended, by worded ending.
    pub endings: Vec<EndingCount>,
    /// Bytes from clients that endpoints have taken, of open flows as well.
    pub received_bytes: u64,
    /// Bytes from endpoints that clients have taken, of open flows as well.
    pub sent_bytes: u64,
    /// From the client's connection, or first datagram, to the end.
    pub duration: Histogram,
    /// What it took to have a connection to the endpoint, where there was one.
    pub connect: Histogram,
}

/// How many exchanges ended with a status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeCount {
    /// The status; 0 when none was sent, 999 for codes beyond the first 16 distinct ones.
    pub code: u16,
    /// How many.
    pub count: u64,
}

/// How many exchanges ended for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndingCount {
    /// For example `ok`, `endpoint_refused`.
    pub ending: String,
    /// How many.
    pub count: u64,
}

/// Durations in microseconds. Bucket `i` counts what lies below `upper_us` and not below the bucket before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub sum_us: u64,
    /// The buckets that are not empty, in ascending order; log-linear, four per power of two.
    pub buckets: Vec<Bucket>,
}

/// One bucket of a histogram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Exclusive upper bound.
    pub upper_us: u64,
    /// How many are in this bucket alone.
    pub count: u64,
}

/// What one endpoint does now, and what happened to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointStats {
    /// Pool id.
    pub pool: String,
    /// Endpoint id.
    pub endpoint: String,
    /// The last mark, or true.
    pub up: bool,
    /// The last mark, or false.
    pub draining: bool,
    /// In force now.
    pub weight: u32,
    /// Exchanges now.
    pub in_flight: u64,
    /// Exchanges that it was picked for, retries included.
    pub picked: u64,
    /// Connections opened.
    pub connects: u64,
    /// Connects that failed or timed out.
    pub connect_failures: u64,
    /// Exchanges that were tried again elsewhere because of it.
    pub retried: u64,
    /// Idle connections now.
    pub idle: u64,
    /// The last mark, or false.
    #[serde(default)]
    pub maintenance: bool,
    /// Traffic showed that it fails: it gets none now.
    #[serde(default)]
    pub ejected: bool,
    /// Times that it was ejected.
    #[serde(default)]
    pub ejections: u64,
    /// Answers and tries that counted as failures.
    #[serde(default)]
    pub failures: u64,
    /// Requests that it may have at a time, now; `None`: as many as come.
    #[serde(default)]
    pub limit: Option<u64>,
    /// What the limit would be while the pool is overloaded, as learned so far.
    #[serde(default)]
    pub learned_limit: Option<u64>,
    /// How long it takes to begin an answer, as learned; `None`: not known yet.
    #[serde(default)]
    pub pace_us: Option<u64>,
}

/// What one pool does now, and what happened in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolStats {
    /// Its id.
    pub pool: String,
    /// Requests that wait for an endpoint now.
    pub waiting: u64,
    /// Requests that had to wait.
    pub queued: u64,
    /// Requests that were shed: the queue was full, or the wait too long.
    pub shed: u64,
    /// Whether it is overloaded now: learned limits are enforced.
    pub overloaded: bool,
    /// Requests that were sent a second time because the first took long.
    pub hedged: u64,
    /// How many of them were answered by the second.
    pub hedges_won: u64,
    /// Retries that the budget did not allow.
    pub retries_denied: u64,
    /// Requests of sessions that stayed with their endpoint.
    pub sessions_kept: u64,
    /// Sessions that moved because their endpoint was gone.
    pub sessions_moved: u64,
    /// Session cookies that were not ours, or altered, or expired: ignored.
    pub sessions_refused: u64,
    /// Sessions remembered now.
    pub sessions_remembered: u64,
    /// Copies sent to this pool as a mirror.
    pub mirrored: u64,
}
