//! What can be set for `prequal`, and how it is read.

use serde_json::{Map, Value, json};

/// Probes per request: three, as published.
const USUAL_PROBES_PERCENT: u64 = 300;
const MOST_PROBES_PERCENT: u64 = 1_000;
/// Of the endpoints seen of late this share is cold (2^-0.25, as published).
const USUAL_HOT_PERCENT: u64 = 84;

/// What is set.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) probe: Option<String>,
    pub(super) probes_percent: u64,
    pub(super) hot_percent: u64,
}

/// The schema for the catalogue.
pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "probe": {
                "description": "The path at which endpoints are asked how busy they are, like /probe: they answer GET with 200 and a load report, in the field endpoint-load-metrics or as the body, for example TEXT rif=3, latency_ms=21. Without it nobody is asked, and what this balancer sees itself counts.",
                "anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}],
            },
            "probes_percent": {
                "description": "Probes per hundred requests: 300 by default; below 100 the longest waits grow.",
                "type": "integer", "minimum": 1, "maximum": MOST_PROBES_PERCENT,
            },
            "hot_percent": {
                "description": "Endpoints with more requests than this share of the others had of late are hot: speed no longer counts for them. 84 by default; less goes more by load, 100 by speed alone.",
                "type": "integer", "minimum": 1, "maximum": 100,
            },
        },
        "additionalProperties": false,
    })
}

impl Options {
    /// Reads `options`, or says what is wrong with them.
    pub(super) fn read(options: &Map<String, Value>) -> Result<Self, String> {
        let mut read =
            Self { probe: None, probes_percent: USUAL_PROBES_PERCENT, hot_percent: USUAL_HOT_PERCENT };
        for (name, value) in options {
            match name.as_str() {
                "probe" => read.probe = read_path(value)?,
                "probes_percent" => read.probes_percent = read_number(name, value, MOST_PROBES_PERCENT)?,
                "hot_percent" => read.hot_percent = read_number(name, value, 100)?,
                _ => {
                    return Err(format!(
                        "unknown option \"{name}\"; there are probe, probes_percent, hot_percent"
                    ));
                }
            }
        }
        Ok(read)
    }
}

fn read_path(value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(path)
            if path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') =>
        {
            Ok(Some(path.clone()))
        }
        other => Err(format!("probe is a path like \"/probe\", not {other}")),
    }
}

fn read_number(name: &str, value: &Value, most: u64) -> Result<u64, String> {
    let number = value.as_u64().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("{name} is a whole number from 1 to {most}, not {value}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Options;

    fn read(options: Value) -> Result<Options, String> {
        let Value::Object(options) = options else { panic!("options are an object") };
        Options::read(&options)
    }

    #[test]
    fn what_is_not_said_is_as_published() {
        let published = Options { probe: None, probes_percent: 300, hot_percent: 84 };
        assert_eq!(read(json!({})), Ok(published));
        assert_eq!(read(json!({"probe": "/p?a=1"})).unwrap().probe.as_deref(), Some("/p?a=1"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        for (options, problem) in [
            (json!({"probe": "probe"}), "probe is a path like \"/probe\", not \"probe\""),
            (json!({"probe": "/a b"}), "probe is a path like \"/probe\", not \"/a b\""),
            (json!({"probes_percent": 0}), "probes_percent is a whole number from 1 to 1000, not 0"),
            (json!({"hot_percent": 101}), "hot_percent is a whole number from 1 to 100, not 101"),
            (json!({"speed": 9}), "unknown option \"speed\"; there are probe, probes_percent, hot_percent"),
        ] {
            assert_eq!(read(options).unwrap_err(), problem);
        }
    }
}
