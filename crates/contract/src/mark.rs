//! What was observed about an endpoint, or decided about it by an operator.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One observation. Fields that are `None` stay as they were. Marks survive snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Give it nothing at all, not even its sessions.
    #[serde(default)]
    pub maintenance: Option<bool>,
    /// How loaded it says it is, in thousandths of what it can do; changes its weight while `load_reports` is on.
    #[serde(default)]
    pub load_permille: Option<u32>,
    /// Before all of that: whatever was marked about it counts no more.
    #[serde(default)]
    pub forget: bool,
}

/// A batch of marks, in the order in which they were made.
pub type Marks = Vec<Mark>;
