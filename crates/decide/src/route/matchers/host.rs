//! Is the request for one of these hosts?

use serde::Deserialize;
use serde_json::json;

use crate::request::Request;
use crate::route::index::parents;
use crate::route::matcher::{HostKey, Keys, Matcher, Registration, not_empty, read};

pub(in crate::route) const REGISTRATION: Registration = Registration {
    name: "host",
    summary: "The request is for one of these hosts.",
    advice: "Write a host without scheme and port, or *.example.com for all hosts below example.com, however deep, but not \
             example.com itself. Upper and lower case do not matter. Hosts are indexed: thousands cost what ten cost.",
    options: || {
        json!({
            "type": "object",
            "properties": {
                "hosts": {
                    "description": "Exact hosts, or *.name for all hosts below a name.",
                    "type": "array", "items": {"type": "string"}, "minItems": 1,
                },
            },
            "required": ["hosts"],
            "additionalProperties": false,
        })
    },
    build: |options| {
        let Options { hosts } = read(options)?;
        let keys: Result<Vec<_>, _> = not_empty(hosts, "hosts")?.iter().map(|host| key(host)).collect();
        Ok(Box::new(Hosts(keys?)))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    hosts: Vec<String>,
}

struct Hosts(Vec<HostKey>);

impl Matcher for Hosts {
    fn matches(&self, request: &Request<'_>) -> bool {
        self.0.iter().any(|key| match key {
            HostKey::Exact(host) => **host == *request.host,
            HostKey::Below(parent) => parents(request.host).any(|above| *above == **parent),
        })
    }

    fn keys(&self) -> Keys<'_> {
        Keys::Hosts(&self.0)
    }
}

fn key(host: &str) -> Result<HostKey, String> {
    let lower = host.to_ascii_lowercase();
    let (name, is_wildcard) = match lower.strip_prefix("*.") {
        Some(parent) => (parent, true),
        None => (lower.as_str(), false),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_address = name.starts_with('[') && name.ends_with(']') && !is_wildcard;
    if !host.is_ascii() {
        return Err(format!("\"{host}\" is not ASCII; write it in the form that begins with xn--"));
    }
    if name.contains(':') && !is_address {
        return Err(format!("\"{host}\": write the host without a port, and an IPv6 address in brackets"));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.starts_with('.') || !(is_address || name.bytes().all(is_plain)) {
        return Err(format!("\"{host}\" is not a host; write it like example.com or *.example.com"));
    }
    Ok(if is_wildcard { HostKey::Below(name.into()) } else { HostKey::Exact(name.into()) })
}

#[cfg(test)]
mod tests {
    use super::{HostKey, key};

    #[test]
    fn hosts_are_compared_as_they_are_resolved() {
        assert_eq!(key("Example.COM."), Ok(HostKey::Exact("example.com".into())));
        assert_eq!(key("*.Example.com"), Ok(HostKey::Below("example.com".into())));
        assert_eq!(key("[::1]"), Ok(HostKey::Exact("[::1]".into())));
        assert_eq!(key("192.0.2.1"), Ok(HostKey::Exact("192.0.2.1".into())));
    }

    #[test]
    fn what_can_be_no_host_is_refused_with_advice() {
        for (host, advice) in [
            ("example.com:80", "without a port"),
            ("::1", "in brackets"),
            ("bücher.example", "xn--"),
            ("*", "is not a host"),
            ("a.*.com", "is not a host"),
            ("*.", "is not a host"),
            ("", "is not a host"),
            ("http://a", "without a port"),
            ("a/b", "is not a host"),
        ] {
            let problem = key(host).unwrap_err();
            assert!(problem.contains(advice), "{host}: {problem}");
        }
    }
}
