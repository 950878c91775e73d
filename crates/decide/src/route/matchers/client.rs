//! Does the client come from one of these networks?

use serde::Deserialize;
use serde_json::json;

use crate::networks::Networks;
use crate::request::Request;
use crate::route::matcher::{Matcher, Registration, not_empty, read};

pub(in crate::route) const REGISTRATION: Registration = Registration {
    name: "client",
    summary: "The client's address is in one of these networks.",
    advice: "The address is the one the connection comes from, or what a trusted proxy says it is. Clients on Unix sockets have \
             none and never match. Behind a network address translation many people share one address.",
    options: || {
        json!({
            "type": "object",
            "properties": {
                "networks": {
                    "description": "Networks like 10.0.0.0/8 and 2001:db8::/32, or single addresses.",
                    "type": "array", "items": {"type": "string"}, "minItems": 1,
                },
            },
            "required": ["networks"],
            "additionalProperties": false,
        })
    },
    build: |options| {
        let Options { networks } = read(options)?;
        Ok(Box::new(Client(Networks::parse(&not_empty(networks, "networks")?)?)))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    networks: Vec<String>,
}

struct Client(Networks);

impl Matcher for Client {
    fn matches(&self, request: &Request<'_>) -> bool {
        request.client.is_some_and(|address| self.0.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::request::Request;
    use crate::route::matcher::build;
    use crate::samples::matcher;

    #[test]
    fn a_client_without_an_address_never_matches() {
        let networks = build(&matcher("client", json!({"networks": ["10.0.0.0/8", "::1"]}))).unwrap();
        let matches = |client: Option<&str>| {
            let client = client.map(|address| address.parse().unwrap());
            networks.matches(&Request {
                method: "GET",
                host: "",
                path: b"/",
                query: None,
                fields: &[],
                client,
                identity: None,
            })
        };
        assert!(matches(Some("10.1.2.3")) && matches(Some("::1")) && matches(Some("::ffff:10.0.0.1")));
        assert!(!matches(Some("11.0.0.1")) && !matches(None));
    }

    #[test]
    fn a_broken_network_is_named() {
        let options = json!({"networks": ["10.0.0.0/8", "10.0.0.300"]});
        assert!(
            build(&matcher("client", options)).err().unwrap().contains("\"10.0.0.300\" is not a network")
        );
    }
}
