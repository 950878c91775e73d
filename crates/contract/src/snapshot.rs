//! What should be true: the whole of it, in one message.
//!
//! Integers carry their unit in their name. `None` means "no limit", "not set" or "not there";
//! there are no magic zeros. Lists keep the order in which they are tried.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::access_log::{AccessLog, AccessLogFormat};
use crate::flows::{Carries, Flows, PoolFlows};
use crate::protection::{Protection, RateLimit, TryLimit};
use crate::proxy_protocol::{Announce, Announced};
use crate::sessions::{Sessions, Store};
use crate::tls::{ListenerTls, PoolTls};

/// All that the data plane needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// [`crate::CONTRACT_VERSION`] of the sender.
    pub contract: u32,
    /// Grows with every snapshot that is sent.
    pub generation: u64,
    /// Where traffic is accepted.
    pub listeners: Vec<Listener>,
    /// Endpoints that can serve the same traffic.
    pub pools: Vec<Pool>,
    /// Where each exchange is written down; `None` turns the access log off.
    pub access_log: Option<AccessLog>,
    /// What several balancers remember together.
    #[serde(default)]
    pub stores: Vec<Store>,
}

/// One set of addresses that share routes, limits and time limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Stable name; a listener keeps its sockets across snapshots by its binds.
    pub id: String,
    /// The addresses it accepts on.
    pub binds: Vec<Bind>,
    /// First match wins.
    pub routes: Vec<Route>,
    /// How long clients may take.
    pub timeouts: ClientTimeouts,
    /// How much clients may send.
    pub limits: ClientLimits,
    /// What endpoints are told about the client.
    pub forwarded: Forwarded,
    /// How it speaks TLS; `None`: it does not.
    #[serde(default)]
    pub tls: Option<ListenerTls>,
    /// HTTP/2 from clients.
    #[serde(default)]
    pub http2: Http2,
    /// What it carries.
    #[serde(default)]
    pub carries: Carries,
    /// Where flows go.
    #[serde(default)]
    pub flows: Flows,
    /// Who passes connections on; `None`: nobody.
    #[serde(default)]
    pub proxy_protocol: Option<Announced>,
}

/// HTTP/2 from clients: offered by TLS, and spoken with prior knowledge without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http2 {
    /// Otherwise a client that speaks it anyway is told that its version is not supported.
    pub enabled: bool,
    /// Streams that may be open at a time, per connection; at least 1.
    pub streams: u32,
    /// What a stream may send ahead of its endpoint, 65536 to 1073741824. A connection may send as much for each of its streams.
    pub window_bytes: u32,
}

impl Default for Http2 {
    fn default() -> Self {
        Self { enabled: true, streams: 100, window_bytes: 65_536 }
    }
}

/// An address to accept on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Bind {
    /// `ip:port`, IPv6 in brackets. Port 0 lets the system choose; the receipt tells.
    Tcp {
        /// For example `127.0.0.1:8080` or `[::]:80`.
        address: String,
    },
    /// UDP datagrams; otherwise like TCP.
    Udp {
        /// For example `127.0.0.1:53`.
        address: String,
    },
    /// A Unix socket.
    Unix {
        /// Absolute path.
        path: String,
        /// Permission bits of the socket file, for example 0o660 as 432.
        mode: u32,
    },
}

/// How long a client may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientTimeouts {
    /// From the first byte of a request (or the connect) to the end of its head; then 408.
    pub head_ms: u64,
    /// Between two reads of a request body; then 408.
    pub body_ms: u64,
    /// Idle between two requests; then the connection is closed.
    pub keep_alive_ms: u64,
    /// Between two successful writes to the client; then the connection is closed.
    pub send_ms: u64,
}

/// How much a client may send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientLimits {
    /// Request line and fields together; then 431 (or 414 when the request line alone is too long).
    pub head_bytes: u32,
    /// Number of header fields; then 431.
    pub headers: u32,
    /// Length of the request target; then 414.
    pub target_bytes: u32,
    /// Length of the request body; then 413.
    pub body_bytes: Option<u64>,
    /// Open client connections of this listener over all threads; accepting pauses at the limit.
    pub connections: Option<u32>,
    /// Requests on one connection; the last answer says `Connection: close`.
    pub requests_per_connection: Option<u64>,
    /// Open connections of one client address over all threads; more are closed at once.
    #[serde(default)]
    pub connections_per_client: Option<u32>,
}

/// What endpoints are told about the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Forwarded {
    /// Send `X-Forwarded-For`, `-Proto` and `-Host`.
    pub x_forwarded: bool,
    /// Send `Forwarded` (RFC 7239).
    pub rfc7239: bool,
    /// Networks (CIDR) whose own forwarded fields are kept and appended to; from all others they are dropped.
    pub trusted: Vec<String>,
}

/// A rule that sends matching traffic somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Stable name, unique within the listener.
    pub id: String,
    /// All must hold; none means "everything".
    pub matchers: Vec<Matcher>,
    /// What happens to what matches.
    pub action: Action,
    /// How the path changes before it is forwarded.
    pub rewrite: Option<Rewrite>,
    /// Changes to the fields that the endpoint sees.
    pub request_headers: HeaderEdits,
    /// Changes to the fields that the client sees.
    pub response_headers: HeaderEdits,
    /// How long the endpoint may take.
    pub timeouts: RouteTimeouts,
    /// All must let the request through.
    #[serde(default)]
    pub limits: Vec<RateLimit>,
    /// Who waits in a queue: higher ones go first. 0 to 9; 5 is usual.
    #[serde(default = "usual_priority")]
    pub priority: u32,
    /// Where copies go.
    #[serde(default)]
    pub mirror: Option<Mirror>,
    /// What becomes of CONNECT.
    #[serde(default)]
    pub connect: Connect,
    /// What it means that a client of HTTP/1 sends no more while it waits.
    #[serde(default)]
    pub half_closed: HalfClosed,
}

/// What it means that a client sends no more, while it waits for its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HalfClosed {
    /// It still reads: it gets its answer.
    #[default]
    Wait,
    /// It has gone: its exchange ends, and the endpoint is free.
    Abort,
}

/// What a route does with a request for a tunnel (CONNECT). The pool chooses where it goes, never the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Connect {
    /// It is refused.
    #[default]
    Off,
    /// Whatever the client says goes to an endpoint of the pool as it is.
    Tunnel,
    /// An endpoint of the pool is asked for it: a proxy.
    Forward,
}

/// The priority of routes that say nothing.
pub fn usual_priority() -> u32 {
    5
}

/// A second pool that gets copies of requests; what it answers is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Its id.
    pub pool: String,
    /// Share of the requests, in thousandths.
    pub permille: u32,
}

/// One condition, by its name in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matcher {
    /// `host`, `path`, `method`, `header`, `query`, `client` …
    pub name: String,
    /// As the catalogue's schema for that matcher says.
    pub options: serde_json::Map<String, serde_json::Value>,
}

/// What a route does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Forward to an endpoint of a pool.
    Pool {
        /// Its id.
        pool: String,
    },
    /// Forward to one of several pools, by weight.
    Split {
        /// At least one.
        shares: Vec<Share>,
    },
    /// Answer with a `Location`.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Template: `{scheme}`, `{host}`, `{path}`, `{query}`, `{uri}` (path with query) are filled in.
        location: String,
    },
    /// Answer as written here.
    Respond {
        /// 200 to 599.
        status: u16,
        /// Sent as they are.
        headers: Vec<HeaderValue>,
        /// Sent as it is, with its length.
        body: String,
    },
}

/// A pool's part of the traffic of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Its id.
    pub pool: String,
    /// Relative to the others; 0 gets nothing.
    pub weight: u32,
}

/// How a path changes before it is forwarded. The query stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Rewrite {
    /// The whole path becomes this.
    Set {
        /// Begins with `/`.
        path: String,
    },
    /// A leading prefix (by segment) becomes another; other paths stay.
    Prefix {
        /// Begins with `/`.
        from: String,
        /// Begins with `/`.
        to: String,
    },
    /// All of what the pattern matches is replaced; `$1`, `${name}` are its groups.
    Regex {
        /// Syntax of the `regex` crate: linear time, no look-around.
        pattern: String,
        /// The replacement.
        with: String,
    },
}

/// Changes to header fields: first remove, then set, then add.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderEdits {
    /// Fields to drop.
    pub remove: Vec<String>,
    /// Fields that replace all of the same name.
    pub set: Vec<HeaderValue>,
    /// Fields added beside those of the same name.
    pub add: Vec<HeaderValue>,
}

/// A header field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderValue {
    /// A token (RFC 9110, 5.1).
    pub name: String,
    /// Visible characters, space and tab. In edits `{client}`, `{host}`, `{scheme}`, `{path}`, `{query}`, `{uri}`, `{listener}` and `{route}` are filled in.
    pub value: String,
}

/// How long an endpoint may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteTimeouts {
    /// From the request's last byte sent (or progress on it) to the head of the response; then 504.
    pub response_ms: u64,
    /// Between two reads of a response body, or two writes of a request body; then the exchange is cut.
    pub idle_ms: u64,
    /// The whole exchange.
    pub total_ms: Option<u64>,
    /// Idle time of an upgraded connection, both directions.
    pub tunnel_ms: u64,
    /// A request header that tells the endpoint how many milliseconds are left; a trusted client's own shortens the time.
    #[serde(default)]
    pub deadline_header: Option<String>,
}

/// Endpoints that can serve the same traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Stable name.
    pub id: String,
    /// How an endpoint is picked.
    pub algorithm: Algorithm,
    /// May be empty: requests are then answered with 503.
    pub endpoints: Vec<Endpoint>,
    /// From the start of a connect to its success; then the next endpoint is tried, or 504.
    pub connect_ms: u64,
    /// Open connections kept for reuse.
    pub idle: IdleConnections,
    /// Tries beyond the first.
    pub retries: Retries,
    /// When fewer than this share of the endpoints is up, all are used (0 turns this off).
    pub panic_percent: u32,
    /// Limits, queue, ejection, hedging and slow start.
    #[serde(default)]
    pub protection: Protection,
    /// What keeps a client on one endpoint.
    #[serde(default)]
    pub sessions: Option<Sessions>,
    /// Which of the endpoints are used first.
    #[serde(default)]
    pub spread: Spread,
    /// Endpoints report their load in the field `endpoint-load-metrics` (ORCA), which changes their weights.
    #[serde(default)]
    pub load_reports: bool,
    /// How TLS is spoken to them; `None`: it is not.
    #[serde(default)]
    pub tls: Option<PoolTls>,
    /// What its endpoints speak.
    #[serde(default)]
    pub protocol: Protocol,
    /// How it treats flows.
    #[serde(default)]
    pub flows: PoolFlows,
    /// How they are told whose connection it is, before all else; `None`: they are not. Each connection is then for one
    /// request.
    #[serde(default)]
    pub proxy_protocol: Option<Announce>,
}

/// A version of HTTP that endpoints speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1: a connection for each request at a time.
    #[default]
    Http1,
    /// HTTP/2, known to be spoken: many requests at a time on few connections.
    Http2,
}

/// Which of the endpoints are used first. The default is: all alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Spread {
    /// Where this balancer is: endpoints of this zone go first as long as enough of them are healthy.
    pub zone: Option<String>,
    /// Of very many endpoints this balancer uses a part.
    pub subset: Option<Subset>,
}

/// A part of a large pool (deterministic subsetting: Site Reliability Engineering, chapter 20).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subset {
    /// Endpoints in it; all when the pool has no more.
    pub size: u32,
    /// Which balancer this is, counted from 0: neighbours have different parts.
    pub balancer: u32,
}

/// A balancing method, by its name in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Algorithm {
    /// For example `least_busy`.
    pub name: String,
    /// As the catalogue's schema for that algorithm says.
    pub options: serde_json::Map<String, serde_json::Value>,
}

/// One address that serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Stable name, unique within the pool: marks, counters and state are kept by it.
    pub id: String,
    /// Where it is.
    pub address: Address,
    /// Share relative to the others, 1 to 65535.
    pub weight: u32,
    /// 0 is used first; higher ones only as the lower ones fail.
    #[serde(default)]
    pub tier: u32,
    /// Where it is.
    #[serde(default)]
    pub zone: Option<String>,
    /// Requests that it may have at a time; `None`: as the pool says.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Address {
    /// `ip:port`, IPv6 in brackets; names are resolved before a snapshot is made.
    Tcp {
        /// For example `10.0.0.1:8000`.
        address: String,
    },
    /// A Unix socket.
    Unix {
        /// Absolute path.
        path: String,
    },
}

/// Open connections kept for reuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdleConnections {
    /// Per endpoint and thread; 0 closes each connection after its exchange.
    pub per_thread: u32,
    /// Idle time after which they are closed.
    pub timeout_ms: u64,
}

/// Tries beyond the first. FIELD rule: never after a response byte, never twice for what is not idempotent once it may have been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retries {
    /// On other endpoints, per request.
    pub attempts: u32,
    /// Share of the requests in flight that may be retries at one time.
    pub budget_percent: u32,
    /// Retries in flight that are always allowed, per thread.
    pub budget_minimum: u32,
    /// Answers that count as failed tries: what is idempotent and has no body is tried again.
    #[serde(default)]
    pub statuses: Vec<u16>,
    /// Codes of gRPC that count as failed tries of calls, when no message came: what was sent of the call is sent again.
    #[serde(default)]
    pub grpc_statuses: Vec<u16>,
    /// How long one try may take.
    #[serde(default)]
    pub try_limit: TryLimit,
}
