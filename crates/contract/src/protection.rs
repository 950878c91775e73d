//! What protects endpoints from too much work, and requests from failing endpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sessions::KeyBy;

/// How a pool is protected. The default is: not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Protection {
    /// How many requests one endpoint may have at a time.
    pub limit: Limit,
    /// Where requests wait while every endpoint is at its limit; `None`: they are shed at once.
    pub queue: Option<Queue>,
    /// When traffic shows that an endpoint fails; `None`: never mind.
    pub ejection: Option<Ejection>,
    /// A second copy for requests that take unusually long.
    pub hedge: Option<Hedge>,
    /// How long an endpoint that is new or back takes to its full share.
    pub slow_start_ms: Option<u64>,
}

/// How many requests one endpoint may have at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Limit {
    /// As many as come.
    Off {},
    /// What each endpoint turns out to take; enforced only while the pool is overloaded.
    Learned {},
    /// This many, always. An endpoint's own limit goes before.
    Fixed {
        /// 1 or more.
        requests: u32,
    },
}

impl Default for Limit {
    fn default() -> Self {
        Self::Off {}
    }
}

/// Where requests wait while every endpoint is at its limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Requests that may wait, over all threads; beyond that they are shed.
    pub length: u32,
    /// Longest wait; then the request is shed.
    pub wait_ms: u64,
    /// Within this time clients want their answers; those who waited for half of it are shed. `None`: learned.
    pub service_level_ms: Option<u64>,
}

/// When traffic shows that an endpoint fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ejection {
    /// Failures in a row that eject.
    pub failures: u32,
    /// Share of failures among the recent requests, in percent, that ejects; `None`: no share does.
    pub failure_percent: Option<u32>,
    /// Times slower than the pool's median that ejects, in percent (500 is five times); `None`: slowness does not.
    pub slowness_percent: Option<u32>,
    /// Time of the first ejection; each further one in a row takes twice as long.
    pub time_ms: u64,
    /// Longest time.
    pub longest_ms: u64,
    /// Share of the pool that may be ejected at one time. The last endpoint never is.
    pub most_percent: u32,
}

/// A second copy for requests that take unusually long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hedge {
    /// Share of the requests that may be sent twice, in thousandths.
    pub budget_permille: u32,
    /// Send the copy after this long; `None`: learned from what most requests take.
    pub after_ms: Option<u64>,
}

/// How long one try may take to the head of its response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TryLimit {
    /// As long as the route allows.
    Off {},
    /// Far longer than what requests of this pool take, so that a silent endpoint costs no fixed second.
    Learned {},
    /// This long.
    Fixed {
        /// 1 or more.
        ms: u64,
    },
}

impl Default for TryLimit {
    fn default() -> Self {
        Self::Off {}
    }
}

/// How many requests of one key are let through in a time; the others get 429.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Stable name, unique within the listener: buckets are kept by it.
    pub id: String,
    /// Whose requests are counted together; `None`: all of the route.
    pub by: Option<KeyBy>,
    /// Requests …
    pub requests: u64,
    /// … in this time, on average.
    pub per_ms: u64,
    /// Requests that may come at once.
    pub burst: u64,
    /// The shared store (its id) that counts for several balancers; `None`: each counts for itself.
    pub store: Option<String>,
}
