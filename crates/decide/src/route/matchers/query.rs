//! Is this query parameter there, and what is in it?

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::json;

use crate::path::hexadecimal;
use crate::request::Request;
use crate::route::matcher::{Matcher, Registration, read};
use crate::route::value_test::{ValueTest, Wanted, schema};

pub(in crate::route) const REGISTRATION: Registration = Registration {
    name: "query",
    summary: "A query parameter is there, is missing, has this value, or matches this pattern.",
    advice: "Names and values are compared after decoding (%41 and + as in forms); names are case-sensitive. Where a parameter \
             comes more than once, one that fits is enough. The query is forwarded as it was sent.",
    options: || {
        json!({
            "type": "object",
            "properties": {
                "name": {"description": "The parameter's name, decoded.", "type": "string", "minLength": 1},
                "test": schema(),
            },
            "required": ["name", "test"],
            "additionalProperties": false,
        })
    },
    build: |options| {
        let Options { name, test } = read(options)?;
        if name.is_empty() {
            return Err("\"name\" is empty".into());
        }
        Ok(Box::new(Parameter { name: name.into_bytes(), test: ValueTest::compile(test)? }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    name: String,
    test: Wanted,
}

struct Parameter {
    name: Vec<u8>,
    test: ValueTest,
}

impl Matcher for Parameter {
    fn matches(&self, request: &Request<'_>) -> bool {
        self.test.holds(query_values(request.query, &self.name))
    }
}

/// The values of all parameters of this name, in their order; names and values are decoded before they are compared.
pub(crate) fn query_values<'a>(query: Option<&'a [u8]>, name: &[u8]) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let pairs = query.unwrap_or_default().split(|byte| *byte == b'&');
    pairs.filter_map(move |pair| {
        let (key, value) = split(pair);
        (*decoded(key) == *name).then(|| decoded(value))
    })
}

/// `name=value`, or a name alone, whose value is empty.
fn split(pair: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, b""),
    }
}

/// As forms are decoded (URL standard, 5.1): `+` is a space, and an escape that is none stays as it is.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, escaped(after)) {
            (b'%', Some(value)) => {
                decoded.push(value);
                rest = &after[2..];
            }
            (b'+', _) => decoded.push(b' '),
            _ => decoded.push(byte),
        }
    }
    Cow::Owned(decoded)
}

/// The value of two hexadecimal digits at the beginning of `after`.
fn escaped(after: &[u8]) -> Option<u8> {
    let [high, low, ..] = after else {
        return None;
    };
    Some(hexadecimal(*high)? << 4 | hexadecimal(*low)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::request::Request;
    use crate::route::matcher::build;
    use crate::samples::matcher;

    fn matches(name: &str, test: serde_json::Value, query: Option<&[u8]>) -> bool {
        let parameter = build(&matcher("query", json!({"name": name, "test": test}))).unwrap();
        parameter.matches(&Request {
            method: "GET",
            host: "",
            path: b"/",
            query,
            fields: &[],
            client: None,
            identity: None,
        })
    }

    #[test]
    fn a_parameter_may_stand_anywhere_and_without_a_value() {
        let present = || json!({"kind": "present"});
        for query in ["q", "q=", "q=1", "a=1&q=2", "&&q", "%71=x"] {
            assert!(matches("q", present(), Some(query.as_bytes())), "{query}");
        }
        for query in ["", "Q=1", "qq=1", "a=q", "=q"] {
            assert!(!matches("q", present(), Some(query.as_bytes())), "{query}");
        }
        assert!(!matches("q", present(), None));
        assert!(matches("q", json!({"kind": "absent"}), None));
    }

    #[test]
    fn values_are_decoded_as_forms_are() {
        let exact = |value: &str| json!({"kind": "exact", "value": value});
        assert!(matches("q", exact("a b&c"), Some(b"q=a+b%26c")));
        assert!(matches("q", exact("1=2"), Some(b"q=1=2")));
        assert!(matches("q", exact("100%"), Some(b"q=100%")));
        assert!(matches("q", exact("%zz%4"), Some(b"q=%zz%4")));
        assert!(matches("q", exact("2"), Some(b"q=1&q=2")));
        assert!(matches("a b", exact("x"), Some(b"a+b=x")));
        assert!(matches("q", json!({"kind": "regex", "value": "^[0-9]+$"}), Some(b"q=%34%32")));
    }
}
