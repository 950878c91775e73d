//! Header values and locations with placeholders that are filled in per exchange.

/// A parsed template. Rendering cannot fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// What may be filled in.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// As it was sent, with its port.
    pub host: &'a [u8],
    /// The forwarded form of [`crate::path::normalize`].
    pub path: &'a [u8],
    /// What follows the `?`, as it was sent.
    pub query: Option<&'a [u8]>,
    /// The client's address without its port.
    pub client: &'a str,
    /// The listener's id.
    pub listener: &'a str,
    /// The route's id.
    pub route: &'a str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Scheme,
    Host,
    Hostname,
    Path,
    Query,
    Uri,
    Client,
    Listener,
    Route,
}

const PLACEHOLDERS: [(&str, Part); 9] = [
    ("scheme", Part::Scheme),
    ("host", Part::Host),
    ("hostname", Part::Hostname),
    ("path", Part::Path),
    ("query", Part::Query),
    ("uri", Part::Uri),
    ("client", Part::Client),
    ("listener", Part::Listener),
    ("route", Part::Route),
];

impl Template {
    /// Reads `{name}` as a placeholder and `{{` as one brace; a `}` on its own is a character like any other.
    ///
    /// Refuses unknown names, braces that are not closed, and characters that no header value may have.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(bad) = text.bytes().find(|byte| !may_stand_in_a_value(*byte)) {
            return Err(format!("byte 0x{bad:02x} may not stand in a header value"));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(brace) = rest.find('{') {
            literal.push_str(&rest[..brace]);
            rest = &rest[brace + 1..];
            if let Some(after) = rest.strip_prefix('{') {
                literal.push('{');
                rest = after;
                continue;
            }
            let Some((name, after)) = rest.split_once('}') else {
                return Err("\"{\" is not closed; write \"{{\" for a brace of its own".into());
            };
            push_literal(&mut parts, &mut literal);
            parts.push(placeholder(name)?);
            rest = after;
        }
        literal.push_str(rest);
        push_literal(&mut parts, &mut literal);
        Ok(Self(parts))
    }

    /// Appends the filled-in text to `out`. Bytes that may not stand in a header value are left out,
    /// so that no fact can end a field or begin another.
    pub fn render(&self, facts: &Facts<'_>, out: &mut Vec<u8>) {
        for part in &self.0 {
            match part {
                Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Part::Scheme => push_clean(out, facts.scheme.as_bytes()),
                Part::Host => push_clean(out, facts.host),
                Part::Hostname => push_clean(out, without_port(facts.host)),
                Part::Path => push_clean(out, facts.path),
                Part::Query => push_clean(out, facts.query.unwrap_or_default()),
                Part::Uri => {
                    push_clean(out, facts.path);
                    if let Some(query) = facts.query {
                        out.push(b'?');
                        push_clean(out, query);
                    }
                }
                Part::Client => push_clean(out, facts.client.as_bytes()),
                Part::Listener => push_clean(out, facts.listener.as_bytes()),
                Part::Route => push_clean(out, facts.route.as_bytes()),
            }
        }
    }
}

/// An IPv6 address keeps its brackets.
fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if host[colon + 1..].iter().all(u8::is_ascii_digit) => &host[..colon],
        _ => host,
    }
}

fn placeholder(name: &str) -> Result<Part, String> {
    let known = PLACEHOLDERS.iter().find(|(known, _)| *known == name);
    known.map(|(_, part)| part.clone()).ok_or_else(|| {
        let names: Vec<_> = PLACEHOLDERS.iter().map(|(name, _)| format!("{{{name}}}")).collect();
        format!("unknown placeholder \"{{{name}}}\"; there are {}", names.join(" "))
    })
}

fn push_literal(parts: &mut Vec<Part>, literal: &mut String) {
    if !literal.is_empty() {
        parts.push(Part::Literal(std::mem::take(literal).into()));
    }
}

fn push_clean(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes.iter().copied().filter(|byte| may_stand_in_a_value(*byte)));
}

/// RFC 9110, 5.5: visible characters, space, tab and the bytes above ASCII.
pub(crate) fn may_stand_in_a_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Facts, Template, may_stand_in_a_value};
    use crate::cases;

    const FACTS: Facts<'static> = Facts {
        scheme: "https",
        host: b"example.com:8443",
        path: b"/a/b",
        query: Some(b"x=1"),
        client: "192.0.2.7",
        listener: "web",
        route: "shop",
    };

    fn render(text: &str, facts: &Facts<'_>) -> String {
        let mut out = Vec::new();
        Template::parse(text).unwrap().render(facts, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_placeholder_is_filled_in() {
        assert_eq!(
            render("{scheme}|{host}|{hostname}|{path}|{query}|{uri}|{client}|{listener}|{route}", &FACTS),
            "https|example.com:8443|example.com|/a/b|x=1|/a/b?x=1|192.0.2.7|web|shop",
        );
    }

    #[test]
    fn without_a_query_there_is_no_question_mark() {
        let facts = Facts { query: None, ..FACTS };
        assert_eq!(render("https://{host}{uri}[{query}]", &facts), "https://example.com:8443/a/b[]");
        assert_eq!(render("{uri}", &Facts { query: Some(b""), ..FACTS }), "/a/b?");
    }

    #[test]
    fn a_host_name_has_no_port() {
        for (host, name) in [("[::1]:8443", "[::1]"), ("[::1]", "[::1]"), ("a", "a"), ("a:", "a"), ("", "")] {
            assert_eq!(render("{hostname}", &Facts { host: host.as_bytes(), ..FACTS }), name);
        }
    }

    #[test]
    fn doubled_braces_are_one_brace() {
        assert_eq!(render("{{\"client\": \"{client}\"}", &FACTS), "{\"client\": \"192.0.2.7\"}");
    }

    #[test]
    fn what_no_value_may_have_is_left_out() {
        let facts = Facts { host: b"a\r\nb\0c\x7fd\te\x1bf", query: Some(b"x\ny"), ..FACTS };
        assert_eq!(render("{host} {query}", &facts), "abcd\tef xy");
    }

    #[test]
    fn mistakes_are_named() {
        assert!(Template::parse("{hots}").unwrap_err().contains("\"{hots}\"; there are {scheme} {host}"));
        assert!(Template::parse("a {host").unwrap_err().contains("not closed"));
        assert!(Template::parse("a\r\nb").unwrap_err().contains("0x0d"));
    }

    proptest! {
        #![proptest_config(cases::fixed(500))]

        #[test]
        fn no_fact_can_end_the_field(host in prop::collection::vec(any::<u8>(), 0..40), path in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut out = Vec::new();
            let facts = Facts { host: &host, path: &path, query: Some(&host), ..FACTS };
            Template::parse("{host} {uri} {path}").unwrap().render(&facts, &mut out);
            prop_assert!(out.iter().all(|byte| may_stand_in_a_value(*byte)));
        }
    }
}
