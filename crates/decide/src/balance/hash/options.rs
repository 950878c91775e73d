//! What can be set for `hash`, and how it is read.

use bascule_contract::sessions::KeyBy;
use serde_json::{Map, Value, json};

use super::places::Kind;

/// Points of a ring for an endpoint of average weight: shares are then within about a fourth of their weights.
const USUAL_POINTS: u64 = 160;
const MOST_POINTS: u64 = 10_000;
const LEAST_PERCENT: u64 = 101;
const MOST_PERCENT: u64 = 1_000;

/// What is set.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) by: KeyBy,
    pub(super) kind: Kind,
    pub(super) bound_percent: Option<u64>,
}

/// The schema for the catalogue.
pub(super) fn schema() -> Value {
    let name = json!({"type": "string", "minLength": 1});
    json!({
        "type": "object",
        "properties": {
            "by": {
                "description": "What keeps requests together: client (the default), host, path, uri, {header: name}, {cookie: name} or {query: name}. Requests without it go to the least busy endpoint.",
                "anyOf": [
                    {"enum": ["client", "host", "path", "uri"]},
                    {"type": "object", "properties": {"header": name}, "required": ["header"], "additionalProperties": false},
                    {"type": "object", "properties": {"cookie": name}, "required": ["cookie"], "additionalProperties": false},
                    {"type": "object", "properties": {"query": name}, "required": ["query"], "additionalProperties": false},
                    {
                        "type": "object",
                        "properties": {
                            "kind": {"enum": ["client", "host", "path", "uri", "header", "cookie", "query"]},
                            "name": name,
                        },
                        "required": ["kind"],
                        "additionalProperties": false,
                    },
                ],
            },
            "table": {
                "description": "How it is found where a key belongs: rendezvous (the default; moves no key without need, and costs more with more endpoints), maglev (the most even, costs the same for any number) or ring (as other balancers have it).",
                "enum": ["rendezvous", "maglev", "ring"],
            },
            "bound_percent": {
                "description": "No endpoint gets more than this much of its share of the requests in flight; what is too much goes to the next in the key's own order. 125 is usual where some keys are far more popular than others. Without it, a key stays whatever happens.",
                "anyOf": [{"type": "integer", "minimum": LEAST_PERCENT, "maximum": MOST_PERCENT}, {"type": "null"}],
            },
            "points": {
                "description": "Points on the ring for an endpoint of average weight, 160 by default: four times as many make shares twice as even.",
                "type": "integer", "minimum": 1, "maximum": MOST_POINTS,
            },
        },
        "additionalProperties": false,
    })
}

impl Options {
    /// Reads `options`, or says what is wrong with them.
    pub(super) fn read(options: &Map<String, Value>) -> Result<Self, String> {
        let mut read = Self { by: KeyBy::Client {}, kind: Kind::Rendezvous, bound_percent: None };
        let mut points = None;
        let mut table = "rendezvous";
        for (name, value) in options {
            match (name.as_str(), value) {
                ("by", value) => read.by = read_by(value)?,
                ("table", Value::String(name)) => table = name,
                ("bound_percent", Value::Null) => read.bound_percent = None,
                ("bound_percent", value) => {
                    read.bound_percent = Some(read_number(name, value, LEAST_PERCENT, MOST_PERCENT)?);
                }
                ("points", value) => points = Some(read_number(name, value, 1, MOST_POINTS)?),
                ("table", _) => return Err("table is a name: rendezvous, maglev or ring".into()),
                _ => {
                    return Err(format!(
                        "unknown option \"{name}\"; there are by, table, bound_percent, points"
                    ));
                }
            }
        }
        read.kind = match (table, points) {
            ("ring", points) => Kind::Ring { points: points.unwrap_or(USUAL_POINTS) as u32 },
            (_, Some(_)) => return Err("only a ring has points: say table: ring, or leave points out".into()),
            ("rendezvous", None) => Kind::Rendezvous,
            ("maglev", None) => Kind::Maglev,
            (other, None) => {
                return Err(format!("unknown table \"{other}\"; there are rendezvous, maglev, ring"));
            }
        };
        Ok(read)
    }
}

fn read_number(name: &str, value: &Value, least: u64, most: u64) -> Result<u64, String> {
    value
        .as_u64()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("{name} is a whole number from {least} to {most}, not {value}"))
}

/// A key as configurations have it, or as the contract has it.
fn read_by(value: &Value) -> Result<KeyBy, String> {
    let wrong = || {
        format!(
            "by is client, host, path, uri, {{header: name}}, {{cookie: name}} or {{query: name}}, not {value}"
        )
    };
    let written = match value {
        Value::String(kind) => json!({"kind": kind}),
        Value::Object(fields) if !fields.contains_key("kind") => match fields.iter().next() {
            Some((kind, name)) if fields.len() == 1 => json!({"kind": kind, "name": name}),
            _ => return Err(wrong()),
        },
        other => other.clone(),
    };
    serde_json::from_value(written).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use bascule_contract::sessions::KeyBy;
    use serde_json::{Value, json};

    use super::{Kind, Options};

    fn read(options: Value) -> Result<Options, String> {
        let Value::Object(options) = options else { panic!("options are an object") };
        Options::read(&options)
    }

    #[test]
    fn a_key_is_read_as_configurations_and_as_the_contract_write_it() {
        let by = |by: Value| read(json!({"by": by})).map(|options| options.by);
        let header = || KeyBy::Header { name: "X-User".into() };
        assert_eq!(by(json!("uri")), Ok(KeyBy::Uri {}));
        assert_eq!(by(json!({"header": "X-User"})), Ok(header()));
        assert_eq!(by(json!({"kind": "header", "name": "X-User"})), Ok(header()));
        assert_eq!(by(json!({"kind": "client"})), Ok(KeyBy::Client {}));
        for wrong in
            [json!("header"), json!({"header": 1}), json!({"header": "a", "query": "b"}), json!({}), json!(1)]
        {
            assert!(by(wrong.clone()).unwrap_err().starts_with("by is client, host"), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_said_is_usual() {
        let usual = Options { by: KeyBy::Client {}, kind: Kind::Rendezvous, bound_percent: None };
        assert_eq!(read(json!({})), Ok(usual));
        assert_eq!(read(json!({"table": "ring"})).unwrap().kind, Kind::Ring { points: 160 });
        assert_eq!(read(json!({"bound_percent": null})).unwrap().bound_percent, None);
        assert_eq!(read(json!({"bound_percent": 125})).unwrap().bound_percent, Some(125));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        for (options, problem) in [
            (json!({"table": "rign"}), "unknown table \"rign\"; there are rendezvous, maglev, ring"),
            (json!({"table": 1}), "table is a name: rendezvous, maglev or ring"),
            (json!({"bound_percent": 100}), "bound_percent is a whole number from 101 to 1000, not 100"),
            (json!({"points": 7}), "only a ring has points: say table: ring, or leave points out"),
            (json!({"table": "ring", "points": 0}), "points is a whole number from 1 to 10000, not 0"),
            (json!({"speed": 9}), "unknown option \"speed\"; there are by, table, bound_percent, points"),
        ] {
            assert_eq!(read(options).unwrap_err(), problem);
        }
    }
}
