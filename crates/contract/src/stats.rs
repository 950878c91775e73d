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
}
