//! What may be asked of a named value: is it there, is it this, does it look like that?

use regex::bytes::Regex;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::pattern;

/// As it is written in options.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Wanted {
    // With braces: serde lets a bare variant carry unknown fields.
    Present {},
    Absent {},
    Exact { value: String },
    Regex { value: String },
}

/// A compiled test over all values of one name.
#[derive(Debug)]
pub(super) enum ValueTest {
    /// There is one.
    Present,
    /// There is none.
    Absent,
    /// One of them is this, byte by byte.
    Exact(Box<[u8]>),
    /// One of them has a match of this.
    Regex(Regex),
}

impl ValueTest {
    pub(super) fn compile(wanted: Wanted) -> Result<Self, String> {
        Ok(match wanted {
            Wanted::Present {} => Self::Present,
            Wanted::Absent {} => Self::Absent,
            Wanted::Exact { value } => Self::Exact(value.into_bytes().into()),
            Wanted::Regex { value } => Self::Regex(pattern::compile(&value)?),
        })
    }

    /// Whether the test holds for these values.
    pub(super) fn holds<V: AsRef<[u8]>>(&self, mut values: impl Iterator<Item = V>) -> bool {
        match self {
            Self::Present => values.next().is_some(),
            Self::Absent => values.next().is_none(),
            Self::Exact(wanted) => values.any(|value| value.as_ref() == wanted.as_ref()),
            Self::Regex(pattern) => values.any(|value| pattern.is_match(value.as_ref())),
        }
    }
}

/// JSON Schema of [`Wanted`].
pub(super) fn schema() -> Value {
    let bare = |kind: &str| json!({"type": "object", "properties": {"kind": {"const": kind}}, "required": ["kind"], "additionalProperties": false});
    let valued = |kind: &str| {
        json!({
            "type": "object",
            "properties": {"kind": {"const": kind}, "value": {"type": "string"}},
            "required": ["kind", "value"],
            "additionalProperties": false,
        })
    };
    json!({
        "description": "present, absent, exact (equal byte by byte) or regex (found anywhere unless anchored)",
        "oneOf": [bare("present"), bare("absent"), valued("exact"), valued("regex")],
    })
}
