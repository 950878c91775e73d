//! The answer to a snapshot.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of a snapshot. When `problems` is not empty nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The generation that was offered.
    pub generation: u64,
    /// The generation that is live now.
    pub live: u64,
    /// SHA-256-free identity of the snapshot: FNV-1a 64 of its canonical bytes, in hexadecimal.
    pub digest: String,
    /// What each bind became.
    pub binds: Vec<Bound>,
    /// Why the snapshot was refused.
    pub problems: Vec<String>,
}

/// What one bind of a listener became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// The listener's id.
    pub listener: String,
    /// As it was asked for: `127.0.0.1:0` or `unix:/path`.
    pub asked: String,
    /// The address that is accepted on, when it is: `127.0.0.1:43671`.
    pub address: Option<String>,
    /// Why not, when it is not.
    pub refused: Option<String>,
}
