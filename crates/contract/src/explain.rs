//! What would become of a request, and why; nothing is sent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request to be thought through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The listener that it would come to.
    pub listener: String,
    /// As it would be sent: request line and fields of HTTP/1.1, and the empty line.
    pub head: String,
    /// The client's address; `None`: it comes over a Unix socket.
    pub client: Option<String>,
    /// Now, in seconds since 1970: what cookies are judged by.
    pub now_s: u64,
}

/// What would become of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    /// Why it is refused before it is routed, and with which status.
    pub refused: Option<Refusal>,
    /// The host, client and path that routes see.
    pub seen: Option<Seen>,
    /// The routes that were looked at, in order, up to the one that takes it.
    pub routes: Vec<RouteSeen>,
    /// What the route that takes it does; `None`: none takes it.
    pub deed: Option<Deed>,
    /// The pools that it may go to: one, or those of a split.
    pub pools: Vec<PoolSeen>,
}

/// A request that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// 400 to 505.
    pub status: u16,
    /// In words.
    pub reason: String,
}

/// A request as routes see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Lower case, without port.
    pub host: String,
    /// Normalised.
    pub path: String,
    /// The client's address, as the listener's trusted networks tell it.
    pub client: Option<String>,
}

/// A route that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteSeen {
    /// Its id.
    pub route: String,
    /// The conditions that do not hold; none: it takes the request.
    pub missed: Vec<String>,
}

/// What a route does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Deed {
    /// It is forwarded: see the pools.
    Forward {},
    /// It is answered with a `Location`.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Filled in.
        location: String,
    },
    /// It is answered as the route says.
    Respond {
        /// 200 to 599.
        status: u16,
    },
}

/// A pool that it may go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolSeen {
    /// Its id.
    pub pool: String,
    /// Its part of the route's traffic, in thousandths.
    pub permille: u32,
    /// The name of its algorithm.
    pub algorithm: String,
    /// What the request says of its session, in words; `None`: the pool keeps none.
    pub session: Option<String>,
    /// In the order of the snapshot.
    pub endpoints: Vec<EndpointSeen>,
    /// Where it would go now, and then if that fails, and so on: as many as there are, four at most.
    pub order: Vec<String>,
    /// Why there, in words.
    pub why: String,
}

/// An endpoint that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointSeen {
    /// Its id.
    pub endpoint: String,
    /// Why it is not a candidate, in words; `None`: it is one.
    pub excluded: Option<String>,
    /// Its weight in force, in hundredths.
    pub weight: u32,
    /// Requests in flight there now.
    pub in_flight: u64,
    /// Requests that it may have at a time; `None`: as many as come.
    pub limit: Option<u64>,
    /// What the algorithm makes of it, in words; `None`: it compares nothing.
    pub score: Option<String>,
}
