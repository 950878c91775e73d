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
        Ok(Box::new(Field { name, test: ValueTest::compile(test)? }))
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
        let named = request.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(&self.name));
        self.test.holds(named.map(|field| field.value.trim_ascii()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::request::Request;
    use crate::route::matcher::build;
    use crate::samples::matcher;

    fn matches(test: serde_json::Value, values: &[&str]) -> bool {
        let field = build(&matcher("header", json!({"name": "X-Env", "test": test}))).unwrap();
        let named = values.iter().map(|value| httparse::Header { name: "x-ENV", value: value.as_bytes() });
        let fields: Vec<_> =
            named.chain([httparse::Header { name: "x-environment", value: b"test" }]).collect();
        field.matches(&Request {
            method: "GET",
            host: "",
            path: b"/",
            query: None,
            fields: &fields,
            client: None,
            identity: None,
        })
    }

    #[test]
    fn a_field_is_found_by_its_name_in_any_case() {
        assert!(matches(json!({"kind": "present"}), &["x"]) && !matches(json!({"kind": "present"}), &[]));
        assert!(matches(json!({"kind": "absent"}), &[]) && !matches(json!({"kind": "absent"}), &[""]));
    }

    #[test]
    fn one_line_that_fits_is_enough() {
        let exact = json!({"kind": "exact", "value": "test"});
        assert!(matches(exact.clone(), &["live", " test\t"]));
        assert!(!matches(exact.clone(), &["Test", "test2", "live, test"]));
        assert!(!matches(exact, &[]));
        assert!(matches(json!({"kind": "regex", "value": "^te.t$"}), &["live", "te\u{7f}t"]));
    }

    #[test]
    fn broken_options_are_refused() {
        let problem = |options| build(&matcher("header", options)).err().unwrap();
        assert!(problem(json!({"name": "a b", "test": {"kind": "present"}})).contains("not a field name"));
        assert!(
            problem(json!({"name": "a", "test": {"kind": "regex", "value": "("}})).contains("cannot be used")
        );
        assert!(
            problem(json!({"name": "a", "test": {"kind": "like", "value": "x"}}))
                .contains("unknown variant `like`")
        );
        assert!(
            problem(json!({"name": "a", "test": {"kind": "present", "value": "x"}}))
                .contains("unknown field `value`")
        );
        assert!(problem(json!({"name": "a"})).contains("missing field `test`"));
    }
}
