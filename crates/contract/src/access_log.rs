//! What is written down of each exchange and flow.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where each exchange is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    /// One line per exchange.
    pub format: AccessLogFormat,
    /// Absolute path; `None` is standard output.
    pub path: Option<String>,
}

/// The shape of an access log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessLogFormat {
    /// One JSON object a line.
    Json,
    /// Apache's and nginx's combined format.
    Combined,
}
