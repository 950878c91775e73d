//! What was observed about an endpoint, or decided about it by an operator.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One observation. Fields that are `None` stay as they were. Marks survive snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The pool's id.
    pub pool: String,
    /// The endpoint's id within it.
    pub endpoint: String,
    /// The verdict of its checks. Endpoints without a mark are up.
    pub up: Option<bool>,
    /// Give it no new work, let the old finish.
    pub draining: Option<bool>,
    /// Overrides the snapshot's weight.
    pub weight: Option<u32>,
}

/// A batch of marks, in the order in which they were made.
pub type Marks = Vec<Mark>;
