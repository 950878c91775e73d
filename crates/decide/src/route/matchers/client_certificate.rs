//! Has the client proved who it is, and who is it?

use serde::Deserialize;
use serde_json::json;

use crate::request::Request;
use crate::route::matcher::{Matcher, Registration, read};
use crate::route::value_test::{ValueTest, Wanted, schema};

pub(in crate::route) const REGISTRATION: Registration = Registration {
    name: "client_certificate",
    summary: "The client has shown a certificate, verified in the TLS handshake, and it says this.",
    advice: "Only where the listener asks for client certificates; in the clear nobody has one. A name of a subject is \
             worth what its authority checks; fingerprints change with every renewal.",
    options: || {
        json!({
            "type": "object",
            "properties": {
                "part": {
                    "description": "What is looked at: `subject` (as in CN=alice,O=Example), `dns` and `uri` (names of its \
                                    subjectAltName), or `fingerprint` (SHA-256, lower case hexadecimal).",
                    "enum": ["subject", "dns", "uri", "fingerprint"],
                },
                "test": schema(),
            },
            "required": ["part", "test"],
            "additionalProperties": false,
        })
    },
    build: |options| {
        let Options { part, test } = read(options)?;
        Ok(Box::new(ClientCertificate { part, test: ValueTest::compile(test)? }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    part: Part,
    test: Wanted,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Subject,
    Dns,
    Uri,
    Fingerprint,
}

struct ClientCertificate {
    part: Part,
    test: ValueTest,
}

impl Matcher for ClientCertificate {
    fn matches(&self, request: &Request<'_>) -> bool {
        let values = request.identity.map_or(&[][..], |identity| match self.part {
            Part::Subject => std::slice::from_ref(&identity.subject),
            Part::Dns => &identity.dns,
            Part::Uri => &identity.uris,
            Part::Fingerprint => std::slice::from_ref(&identity.fingerprint),
        });
        self.test.holds(values.iter().map(String::as_bytes))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::identity::Identity;
    use crate::request::Request;
    use crate::route::matcher::build;
    use crate::samples::matcher;

    fn matches(part: &str, test: serde_json::Value, identity: Option<&Identity>) -> bool {
        let matcher = build(&matcher("client_certificate", json!({"part": part, "test": test}))).unwrap();
        matcher.matches(&Request {
            method: "GET",
            host: "",
            path: b"/",
            query: None,
            fields: &[],
            client: None,
            identity,
        })
    }

    #[test]
    fn who_has_shown_no_certificate_is_nobody() {
        assert!(matches("fingerprint", json!({"kind": "absent"}), None));
        assert!(!matches("fingerprint", json!({"kind": "present"}), None));
        assert!(!matches("subject", json!({"kind": "regex", "value": ""}), None));
    }

    #[test]
    fn each_part_is_looked_at_on_its_own() {
        let alice = Identity {
            subject: "CN=alice,O=Example".into(),
            dns: vec!["a.example".into(), "b.example".into()],
            uris: vec!["spiffe://example/alice".into()],
            ..Identity::default()
        };
        let exact = |value: &str| json!({"kind": "exact", "value": value});
        assert!(
            matches("dns", exact("b.example"), Some(&alice))
                && !matches("uri", exact("b.example"), Some(&alice))
        );
        assert!(matches("subject", json!({"kind": "regex", "value": "(^|,)O=Example$"}), Some(&alice)));
        assert!(matches("uri", exact("spiffe://example/alice"), Some(&alice)));
    }
}
