//! Has the request one of these methods?

use serde::Deserialize;
use serde_json::json;

use crate::edits::is_token;
use crate::request::Request;
use crate::route::matcher::{Matcher, Registration, not_empty, read};

pub(in crate::route) const REGISTRATION: Registration = Registration {
    name: "method",
    summary: "The request has one of these methods.",
    advice: "Methods are case-sensitive and nearly always in upper case. GET does not include HEAD: name both where both are \
             meant.",
    options: || {
        json!({
            "type": "object",
            "properties": {
                "methods": {
                    "description": "For example GET and HEAD.",
                    "type": "array", "items": {"type": "string"}, "minItems": 1,
                },
            },
            "required": ["methods"],
            "additionalProperties": false,
        })
    },
    build: |options| {
        let Options { methods } = read(options)?;
        let methods = not_empty(methods, "methods")?;
        for method in &methods {
            check(method)?;
        }
        Ok(Box::new(Methods(methods)))
    },
};

const STANDARD: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    methods: Vec<String>,
}

struct Methods(Vec<String>);

impl Matcher for Methods {
    fn matches(&self, request: &Request<'_>) -> bool {
        self.0.iter().any(|method| method == request.method)
    }
}

fn check(method: &str) -> Result<(), String> {
    let upper = method.to_ascii_uppercase();
    if STANDARD.contains(&upper.as_str()) && method != upper {
        return Err(format!(
            "\"{method}\" matches nothing, since methods are case-sensitive; write \"{upper}\""
        ));
    }
    if is_token(method) { Ok(()) } else { Err(format!("\"{method}\" is not a method (RFC 9110, 9.1)")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::request::Request;
    use crate::route::matcher::build;
    use crate::samples::matcher;

    #[test]
    fn methods_are_case_sensitive_and_get_is_not_head() {
        let methods = build(&matcher("method", json!({"methods": ["GET", "PURGE"]}))).unwrap();
        let matches = |method| {
            methods.matches(&Request {
                method,
                host: "",
                path: b"/",
                query: None,
                fields: &[],
                client: None,
                identity: None,
            })
        };
        assert_eq!(["GET", "PURGE", "HEAD", "get", ""].map(matches), [true, true, false, false, false]);
    }

    #[test]
    fn a_method_that_no_request_can_have_is_refused() {
        let problem = |method: &str| build(&matcher("method", json!({"methods": [method]}))).err().unwrap();
        assert!(problem("get").ends_with("write \"GET\""));
        assert!(problem("GE T").contains("is not a method"));
        assert!(problem("").contains("is not a method"));
    }
}
