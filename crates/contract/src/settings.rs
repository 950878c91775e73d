//! What is fixed for the life of the process.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Given once, when the plane starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Data-plane threads, 1 to 1024.
    pub threads: u32,
    /// Seed of every random choice; `None` takes one from the system.
    pub seed: Option<u64>,
}
