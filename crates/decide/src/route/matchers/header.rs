//! Is this field there, and what is in it?

use serde::Deserialize;
use serde_json::json;

use crate::edits::is_token;
use crate::request::Request;
use crate::route::matcher::{Matcher, Registration, read};
use crate::route::value_test::{ValueTest, Wanted, schema};

pub(in crate::route) const REGISTRATION: Registration = Registration {
    name: "header",
    summary: "A header field is there, is missing, has this value, or matches this pattern.",
    advice: "Where a field is sent more than once, one line that fits is enough; a list within one line is not taken apart. \
             Clients can send any field: do not use it to keep somebody out.",
    options: || {
        json!({
            "type": "object",
            "properties": {
                "name": {"description": "The field's name, in any case.", "type": "string", "minLength": 1},
                "test": schema(),
            },
            "required": ["name", "test"],
            "additionalProperties": false,
        })
    },
    build: |options| {
        let Options { name, test } = read(options)?;
        if !is_token(&name) {
            return Err(format!("\"{name}\" is not a field name (RFC 9110, 5.1)"));
        }
        Ok(Box::new(Field {
            name,
            test: ValueTest::compile(test)?,
        }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    name: String,
    test: Wanted,
}

struct Field {
    name: String,
    test: ValueTest,
}

impl Matcher for Field {
    fn matches(&self, request: &Request<'_>) -> bool {
        let named = request
            .fields
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case(&self.name));
        self.test.holds(named.map(|field| field.value.trim_ascii()))
    }
}
