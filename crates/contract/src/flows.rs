//! Layer 4: connections and datagrams that are carried as they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::protection::RateLimit;

/// What a listener carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Carries {
    /// HTTP, by the listener's `routes`.
    #[default]
    Http,
    /// TCP connections as they are, by its `flows`.
    Tcp,
    /// UDP datagrams as they are, by its `flows`.
    Udp,
}

/// Where the flows of a listener go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Flows {
    /// First match wins. None where HTTP is carried.
    pub routes: Vec<FlowRoute>,
    /// Of a listener with TLS: what is passed on as it came, still encrypted. First match wins; what matches none is decrypted.
    pub passthrough: Vec<FlowRoute>,
    /// Silence after which the kernel asks whether a peer is still there (TCP keep-alive), on both sides; `None`: never.
    pub probe_ms: Option<u64>,
    /// Of a listener that carries UDP.
    pub udp: Udp,
}

/// A rule that sends flows somewhere. All conditions must hold; an empty one holds for everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowRoute {
    /// Stable name, unique within the listener.
    pub id: String,
    /// The name that the client asks for in its TLS hello is one of these: exact, or `*.example.com` for any name below.
    pub server_names: Vec<String>,
    /// The client offers one of these protocols in its TLS hello.
    pub alpn: Vec<String>,
    /// Networks (CIDR) that the client's address is in.
    pub clients: Vec<String>,
    /// Where it goes.
    pub pool: String,
    /// All must let a new flow through.
    pub limits: Vec<RateLimit>,
    /// Who waits in a queue: higher ones go first. 0 to 9; 5 is usual.
    pub priority: u32,
    /// Silence in both directions after which a flow is closed.
    pub idle_ms: u64,
    /// The whole of a flow.
    pub total_ms: Option<u64>,
}

/// How datagrams become flows. A flow is what one client address says to one address of the listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Udp {
    /// After so many answers a flow has ended; `None`: only silence ends it. 0 expects no answer.
    pub responses: Option<u32>,
    /// Flows at a time, per thread; at the limit the one that was silent for longest is given up.
    pub flows: u32,
    /// They carry QUIC: flows are known by connection id, and stay when the client's address changes.
    pub quic: bool,
}

impl Default for Udp {
    fn default() -> Self {
        Self { responses: None, flows: 65_536, quic: false }
    }
}

/// How a pool treats flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolFlows {
    /// How long a new connection waits for an endpoint while there is none that may be used.
    pub hold_ms: u64,
    /// What becomes of the flows of an endpoint that is down or gone.
    pub on_down: OnDown,
    /// How long the flows of an endpoint that drains, or is gone from the configuration, may go on; `None`: to their end.
    pub drain_ms: Option<u64>,
    /// Connect to endpoints from the client's address (`IP_TRANSPARENT`).
    pub transparent: bool,
}

/// What becomes of the flows of an endpoint that is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDown {
    /// They go on.
    #[default]
    Keep,
    /// They are closed at once.
    Close,
}
