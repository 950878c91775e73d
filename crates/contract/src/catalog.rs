//! What the data plane can do, described by itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Algorithms and matchers with their options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// In the order of their registry.
    pub algorithms: Vec<Entry>,
    /// In the order of their registry.
    pub matchers: Vec<Entry>,
}

/// One algorithm or matcher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// As it is written in configurations.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// When to use it and when not, in a few sentences.
    pub advice: String,
    /// JSON Schema of its options object.
    pub options: serde_json::Value,
}
