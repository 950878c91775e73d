//! Things that happened, one small record each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that happened on the data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What it was.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// Accepting stopped for a while (no file descriptors, or the connection limit).
    AcceptPaused {
        /// The listener's id.
        listener: String,
        /// In words.
        reason: String,
    },
    /// Accepting went on.
    AcceptResumed {
        /// The listener's id.
        listener: String,
    },
    /// The last exchange of an old generation has ended.
    GenerationDrained {
        /// Which.
        generation: u64,
    },
    /// A task of a data-plane thread failed; its connection was closed, all others go on.
    TaskPanicked {
        /// Index of the thread.
        thread: u32,
        /// The panic's message.
        message: String,
    },
    /// The access log could not be written.
    LogFailed {
        /// In words.
        reason: String,
    },
    /// Traffic showed that an endpoint fails: it gets none for a while.
    Ejected {
        /// The pool's id.
        pool: String,
        /// The endpoint's id within it.
        endpoint: String,
        /// In words.
        reason: String,
        /// For how long.
        for_ms: u64,
    },
    /// An endpoint that was ejected has proved itself.
    Restored {
        /// The pool's id.
        pool: String,
        /// The endpoint's id within it.
        endpoint: String,
    },
    /// A pool is offered more than its endpoints can do: limits are enforced, requests wait or are shed.
    OverloadBegan {
        /// The pool's id.
        pool: String,
    },
    /// The pool keeps up again.
    OverloadEnded {
        /// The pool's id.
        pool: String,
    },
    /// A shared store does not answer; requests go on without it.
    StoreFailed {
        /// The store's id.
        store: String,
        /// In words.
        reason: String,
    },
    /// A shared store answers again.
    StoreRecovered {
        /// The store's id.
        store: String,
    },
    /// A TLS handshake with a client failed. A few of many are told; all are counted.
    HandshakeFailed {
        /// The listener's id.
        listener: String,
        /// Its address; empty for Unix sockets.
        client: String,
        /// In words.
        reason: String,
    },
    /// A connection that has to begin with a PROXY header was closed: it did not. A few of many are told; all are counted.
    ProxyHeaderRefused {
        /// The listener's id.
        listener: String,
        /// The address of who passes it on; empty for Unix sockets.
        client: String,
        /// In words.
        reason: String,
    },
    /// A TLS handshake with an endpoint failed. A few of many are told.
    EndpointTlsFailed {
        /// The pool's id.
        pool: String,
        /// The endpoint's id within it.
        endpoint: String,
        /// In words.
        reason: String,
    },
    /// All work has ended after `stop`.
    Stopped {
        /// Exchanges and tunnels that were cut because the grace time ended.
        cut: u64,
    },
    /// The ring was full; this many events before this one were lost.
    EventsLost {
        /// How many.
        count: u64,
    },
}
