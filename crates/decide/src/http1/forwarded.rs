//! Writes the head of a request for the endpoint: what ends here left out, what the endpoint must know about the client added.

use super::{RequestHead, copy_kept};
use crate::edits::Edits;
use crate::headers::{Known, classify};
use crate::identity::Identity;
use crate::networks::Networks;
use crate::template::Facts;
use std::net::IpAddr;

/// What an endpoint is told about the client.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The client's address in text; empty when it has none (Unix sockets).
    pub client: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The client's own forwarded fields are believed and appended to.
    pub trusted: bool,
    /// Send `X-Forwarded-For`, `-Proto`, `-Host`.
    pub x_forwarded: bool,
    /// Send `Forwarded`.
    pub rfc7239: bool,
    /// Whom its certificate names: sent as `X-Forwarded-Client-Cert`, which nobody else can write.
    pub identity: Option<&'a Identity>,
}

/// Where the request goes and how it changes on the way.
#[derive(Clone, Copy, Debug)]
pub struct Onward<'a> {
    /// The path to send; begins with `/`, or is `*`.
    pub path: &'a [u8],
    /// The `Host` to send when the client named none.
    pub fallback_host: &'a str,
    /// Changes that the route makes.
    pub edits: &'a Edits,
    /// What their templates may say.
    pub facts: Facts<'a>,
    /// The name and value of a field that says how many milliseconds are left. The client's own of that name goes;
    /// with 0 left none is sent: there is no limit.
    pub deadline: Option<(&'a str, u64)>,
}

impl RequestHead<'_, '_> {
    /// Appends the head as the endpoint gets it, its empty line included. `bytes` are those that were parsed.
    pub fn write(&self, bytes: &[u8], onward: &Onward<'_>, told: &Told<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(onward.path);
        if let Some(query) = self.target.query {
            out.push(b'?');
            out.extend_from_slice(query);
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let mut dropped = self.dropped;
        if !self.told.is_empty() {
            let leave = if told.trusted { &self.chains } else { &self.told };
            (0..self.fields.len())
                .filter(|position| leave.contains(*position))
                .for_each(|position| dropped.insert(position));
        }
        onward.edits.mark_dropped(self.fields, &mut dropped);
        if let Some((name, _)) = onward.deadline {
            let same = |position: &usize| self.fields[*position].name.eq_ignore_ascii_case(name);
            (0..self.fields.len()).filter(same).for_each(|position| dropped.insert(position));
        }
        copy_kept(bytes, self.first_field, self.length - 2, self.fields, &dropped, out);
        if !self.names_host && !onward.edits.removes(b"host") {
            line(
                out,
                "Host",
                if self.authority.is_empty() { onward.fallback_host.as_bytes() } else { self.authority },
            );
        }
        if let Some(hops) = self.hops_left {
            line(out, "Max-Forwards", hops.saturating_sub(1).to_string().as_bytes());
        }
        if self.respelt {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if let Some(offer) = self.upgrade {
            out.extend_from_slice(b"Connection: upgrade\r\n");
            line(out, "Upgrade", offer);
        }
        self.write_forwarded(told, out);
        if let Some((name, left @ 1..)) = onward.deadline {
            line(out, name, left.to_string().as_bytes());
        }
        onward.edits.append(&onward.facts, out);
        out.extend_from_slice(b"\r\n");
    }

    fn write_forwarded(&self, told: &Told<'_>, out: &mut Vec<u8>) {
        if told.x_forwarded || (told.trusted && self.has_chain(Known::XForwardedFor)) {
            let own = if told.x_forwarded { told.client } else { "" };
            self.write_chain(Known::XForwardedFor, "X-Forwarded-For: ", told.trusted, out, |out| {
                out.extend_from_slice(own.as_bytes());
                !own.is_empty()
            });
        }
        if told.x_forwarded {
            if !(told.trusted && self.has_told(Known::XForwardedProto)) {
                line(out, "X-Forwarded-Proto", told.scheme.as_bytes());
            }
            let host_is_told = told.trusted && self.has_told(Known::XForwardedHost);
            if !host_is_told && !self.authority.is_empty() {
                line(out, "X-Forwarded-Host", self.authority);
            }
        }
        if told.identity.is_some() || (told.trusted && self.has_chain(Known::ClientCertificate)) {
            self.write_chain(
                Known::ClientCertificate,
                "X-Forwarded-Client-Cert: ",
                told.trusted,
                out,
                |out| {
                    let element = told.identity.map_or("", |identity| &identity.element);
                    out.extend_from_slice(element.as_bytes());
                    !element.is_empty()
                },
            );
        }
        if told.rfc7239 || (told.trusted && self.has_chain(Known::Forwarded)) {
            self.write_chain(Known::Forwarded, "Forwarded: ", told.trusted, out, |out| {
                if told.rfc7239 {
                    self.write_element(told, out);
                }
                told.rfc7239
            });
        }
    }

    /// One field with all members of the chain so far, then ours (RFC 7239, 7.1).
    fn write_chain(
        &self,
        kind: Known,
        name: &str,
        trusted: bool,
        out: &mut Vec<u8>,
        own: impl FnOnce(&mut Vec<u8>) -> bool,
    ) {
        let start = out.len();
        out.extend_from_slice(name.as_bytes());
        let mut members = 0;
        if trusted {
            for field in
                self.fields.iter().filter(|field| classify(field.name) == kind && !field.value.is_empty())
            {
                if members > 0 {
                    out.extend_from_slice(b", ");
                }
                out.extend_from_slice(field.value);
                members += 1;
            }
        }
        let before_own = out.len();
        if members > 0 {
            out.extend_from_slice(b", ");
        }
        if own(out) {
            members += 1;
        } else {
            out.truncate(before_own);
        }
        if members == 0 {
            out.truncate(start);
        } else {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// `for=…;host=…;proto=…` (RFC 7239, 4); an IPv6 address is bracketed and quoted (section 6).
    fn write_element(&self, told: &Told<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"for=");
        match told.client {
            "" => out.extend_from_slice(b"unknown"),
            client if client.contains(':') => {
                out.extend_from_slice(b"\"[");
                out.extend_from_slice(client.as_bytes());
                out.extend_from_slice(b"]\"");
            }
            client => out.extend_from_slice(client.as_bytes()),
        }
        if !self.authority.is_empty() {
            out.extend_from_slice(b";host=\"");
            out.extend_from_slice(self.authority);
            out.push(b'"');
        }
        out.extend_from_slice(b";proto=");
        out.extend_from_slice(told.scheme.as_bytes());
    }

    fn has_chain(&self, kind: Known) -> bool {
        !self.chains.is_empty() && self.has_told(kind)
    }

    fn has_told(&self, kind: Known) -> bool {
        !self.told.is_empty() && self.fields.iter().any(|field| classify(field.name) == kind)
    }
}

impl RequestHead<'_, '_> {
    /// Who the client is: `peer`, or whom it speaks for when it is trusted to say so.
    ///
    /// Of the `X-Forwarded-For` chain that is the last address which is not trusted itself; what stands before it
    /// could be made up.
    pub fn client(&self, peer: Option<IpAddr>, trusted: &Networks) -> Option<IpAddr> {
        if self.chains.is_empty() || peer.is_some_and(|peer| !trusted.contains(peer)) {
            return peer;
        }
        let mut client = peer;
        let chains = self.fields.iter().rev().filter(|field| classify(field.name) == Known::XForwardedFor);
        for member in chains.flat_map(|field| field.value.rsplit(|byte| *byte == b',')) {
            let Some(address) = std::str::from_utf8(member).ok().and_then(|text| text.trim().parse().ok())
            else {
                return client;
            };
            client = Some(address);
            if !trusted.contains(address) {
                return client;
            }
        }
        client
    }
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

impl Edits {
    /// Marks the fields that the route removes or sets anew.
    pub(super) fn mark_dropped(&self, fields: &[httparse::Header<'_>], dropped: &mut super::Dropped) {
        if self.remove.is_empty() {
            return;
        }
        for (position, field) in fields.iter().enumerate() {
            if self.removes(field.name.as_bytes()) {
                dropped.insert(position);
            }
        }
    }

    /// Appends the fields that the route adds.
    pub fn append(&self, facts: &Facts<'_>, out: &mut Vec<u8>) {
        for (name, template) in &self.add {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            template.render(facts, out);
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::request::{HeadLimits, parse};

    fn client(fields: &str, peer: &str, trusted: &[&str]) -> String {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let limits = HeadLimits { head_bytes: 4096, headers: 20, target_bytes: 100 };
        let mut room = crate::http1::field_room();
        let head = parse(bytes.as_bytes(), limits, &mut room).expect("well-formed").expect("whole");
        let trusted: Vec<String> = trusted.iter().map(ToString::to_string).collect();
        let trusted = Networks::parse(&trusted).expect("networks");
        head.client(peer.parse().ok(), &trusted).expect("an address").to_string()
    }

    fn rewritten(request: &str) -> String {
        told_of(request, None, false)
    }

    fn told_of(request: &str, identity: Option<&Identity>, trusted: bool) -> String {
        let limits = HeadLimits { head_bytes: 4096, headers: 20, target_bytes: 100 };
        let mut room = crate::http1::field_room();
        let head = parse(request.as_bytes(), limits, &mut room).expect("well-formed").expect("whole");
        let facts =
            Facts { scheme: "http", host: b"", path: b"/", query: None, client: "", listener: "", route: "" };
        let onward =
            Onward { path: b"/", fallback_host: "a", edits: &Edits::default(), facts, deadline: None };
        let told =
            Told { client: "", scheme: "http", trusted: false, x_forwarded: false, rfc7239: false, identity };
        let told = Told { trusted, ..told };
        let mut out = Vec::new();
        head.write(request.as_bytes(), &onward, &told, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn nobody_but_a_trusted_proxy_can_say_whom_a_certificate_names() {
        let forged = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Client-CERT: Hash=forged\r\nConnection: x-forwarded-client-cert\r\n\r\n";
        assert!(!told_of(forged, None, false).contains("forged"));
        let alice = Identity { element: "Hash=alice".into(), ..Identity::default() };
        let told = told_of(forged, Some(&alice), false);
        assert!(
            told.contains("X-Forwarded-Client-Cert: Hash=alice\r\n") && !told.contains("forged"),
            "{told}"
        );
        let chain = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Client-Cert: Hash=bob\r\n\r\n";
        let told = told_of(chain, Some(&alice), true);
        assert!(told.contains("X-Forwarded-Client-Cert: Hash=bob, Hash=alice\r\n"), "{told}");
        assert!(told_of(chain, None, true).contains("X-Forwarded-Client-Cert: Hash=bob\r\n"));
    }

    #[test]
    fn each_hop_counts_an_options_request_down_and_nothing_else() {
        let options = rewritten("OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n");
        assert!(options.contains("Max-Forwards: 4\r\n") && !options.contains(": 5"), "{options}");
        let get = rewritten("GET / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n");
        assert!(get.contains("Max-Forwards: 5\r\n"), "{get}");
    }

    #[test]
    fn a_coding_travels_on_as_everybody_spells_it() {
        let post = rewritten("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n");
        assert!(post.contains("Transfer-Encoding: chunked\r\n") && !post.contains("CHUNKED"), "{post}");
    }

    #[test]
    fn a_stranger_cannot_say_who_it_is() {
        assert_eq!(client("X-Forwarded-For: 10.1.1.1\r\n", "192.0.2.1", &["10.0.0.0/8"]), "192.0.2.1");
    }

    #[test]
    fn the_client_is_the_last_address_that_nobody_trusts() {
        let chain = "X-Forwarded-For: 1.1.1.1, 192.0.2.9\r\nX-Forwarded-For: 10.0.0.7\r\n";
        assert_eq!(client(chain, "10.0.0.1", &["10.0.0.0/8"]), "192.0.2.9");
        assert_eq!(client("X-Forwarded-For: 1.1.1.1, nonsense\r\n", "10.0.0.1", &["10.0.0.0/8"]), "10.0.0.1");
    }
}
