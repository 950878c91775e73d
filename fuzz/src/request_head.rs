//! Laws of requests: one meaning or a refusal, whatever the pieces it arrives in, and the endpoint reads what we read.

use bascule_decide::edits::Edits;
use bascule_decide::http1::forwarded::{Onward, Told};
use bascule_decide::http1::request::parse;
use bascule_decide::http1::target::routing_host;
use bascule_decide::http1::{Framing, HeadLimits, RequestHead, field_room, has_empty_line};
use bascule_decide::path::normalize;
use bascule_decide::template::Facts;

use crate::strict::{self, is_token};
use crate::{LONGEST, cuts};

const GENEROUS: HeadLimits = HeadLimits { head_bytes: 2 * LONGEST, headers: 256, target_bytes: LONGEST };
const TIGHT: HeadLimits = HeadLimits { head_bytes: 160, headers: 4, target_bytes: 24 };
/// Fields that writing may add to those that came.
const ADDED: usize = 8;

/// Reads `bytes` as the head of a request and checks what came of it.
pub fn request_head(bytes: &[u8]) {
    if bytes.len() > LONGEST {
        return;
    }
    does_not_depend_on_arrival(bytes, TIGHT);
    does_not_depend_on_arrival(bytes, GENEROUS);
    let mut room = field_room();
    if let Ok(Some(head)) = parse(bytes, GENEROUS, &mut room) {
        means_one_thing(&head, bytes);
        travels_unchanged(&head, bytes);
    }
}

/// A head that is accepted whole is neither refused nor accepted before it is complete, and its end is noticed.
fn does_not_depend_on_arrival(bytes: &[u8], limits: HeadLimits) {
    let mut room = field_room();
    let Ok(Some(head)) = parse(bytes, limits, &mut room) else { return };
    let length = head.length;
    assert!(
        length <= limits.head_bytes
            && head.target.path.len() <= limits.target_bytes
            && head.fields.len() <= limits.headers
    );
    for cut in cuts(length) {
        let mut room = field_room();
        let early = parse(&bytes[..cut], limits, &mut room);
        assert!(matches!(early, Ok(None)), "after {cut} of {length} bytes: {early:?}");
        assert!(
            has_empty_line(&bytes[..length], cut.saturating_sub(3)),
            "the end is missed when {cut} bytes were seen before"
        );
    }
}

/// The second reading finds the same message, and only one.
fn means_one_thing(head: &RequestHead<'_, '_>, bytes: &[u8]) {
    let read = strict::Head::read(&bytes[..head.length]);
    let words: Vec<&[u8]> = read.start.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words[..] else { panic!("three words make a request line: {words:?}") };
    assert_eq!(method, head.method.as_bytes());
    assert!(is_token(method) && method != b"TRACE");
    assert_eq!(version, if head.http11 { b"HTTP/1.1" } else { b"HTTP/1.0" });
    assert!(target.iter().all(|byte| *byte > b' ' && *byte != 0x7f));
    if head.is_connect() {
        assert!(head.target.path.is_empty() && target.eq_ignore_ascii_case(head.authority));
        assert!(head.framing == Framing::None && head.upgrade.is_none());
    } else {
        assert!(head.target.path == b"*" || head.target.path.starts_with(b"/"));
    }
    assert_eq!(head.fields.len(), read.fields.len());
    for (field, (name, value)) in head.fields.iter().zip(&read.fields) {
        assert_eq!((field.name.as_bytes(), field.value), (*name, *value));
    }
    assert_eq!(head.framing, read.framing().unwrap_or(Framing::None));
    assert!(head.http11 || read.values("transfer-encoding").is_empty());
    let hosts = read.values("host");
    assert!(hosts.len() <= 1 && (hosts.len() == 1 || !head.http11));
    if let [host] = hosts[..] {
        assert_eq!(head.authority, host);
    }
    let host = routing_host(head.authority);
    assert!(
        !host.bytes().any(|byte| byte.is_ascii_uppercase() || byte <= b' ' || b"/@?#\\,".contains(&byte)),
        "{host}"
    );
}

/// What an endpoint reads is this one request, with the fields of this hop gone and our word about the client in place.
fn travels_unchanged(head: &RequestHead<'_, '_>, bytes: &[u8]) {
    let path = match head.target.path {
        b"" => head.authority.to_vec(),
        b"*" => Vec::from(b"*"),
        path => match normalize(path) {
            Ok(normal) => normal.forwarded.into_owned(),
            Err(_) => return,
        },
    };
    for (trusted, x_forwarded, rfc7239) in
        [(false, true, true), (true, true, true), (true, false, false), (false, false, false)]
    {
        let told = Told { client: "2001:db8::7", scheme: "http", trusted, x_forwarded, rfc7239, identity: None };
        let written = write(head, bytes, &path, &told);
        let mut room = field_room();
        let again = match parse(&written, GENEROUS, &mut room) {
            Ok(Some(again)) => again,
            _ if head.fields.len() + ADDED > 256 => return,
            refused => {
                panic!("the endpoint cannot read what we wrote: {refused:?}\n{}", written.escape_ascii())
            }
        };
        assert_eq!(again.length, written.len());
        means_one_thing(&again, &written);
        assert!(again.http11);
        assert_eq!((again.method, again.framing), (head.method, head.framing));
        let target = if head.is_connect() { again.authority } else { again.target.path };
        assert_eq!((target, again.target.query), (&path[..], head.target.query));
        assert!(head.authority.is_empty() || again.authority == head.authority);
        assert_eq!(again.expects_continue, head.expects_continue);
        assert_eq!(again.upgrade, head.upgrade);
        says_no_more_than_it_may(&again, &told);
        if trusted && !x_forwarded {
            assert_eq!(
                write(&again, &written, &path, &told),
                written,
                "a second hop that adds nothing changes nothing"
            );
        }
    }
}

fn write(head: &RequestHead<'_, '_>, bytes: &[u8], path: &[u8], told: &Told<'_>) -> Vec<u8> {
    let facts = Facts {
        scheme: "http",
        host: head.authority,
        path,
        query: None,
        client: told.client,
        listener: "web",
        route: "all",
    };
    let edits = Edits::default();
    let onward = Onward { path, fallback_host: "127.0.0.1:8080", edits: &edits, facts, deadline: None };
    let mut out = Vec::new();
    head.write(bytes, &onward, told, &mut out);
    out
}

fn says_no_more_than_it_may(head: &RequestHead<'_, '_>, told: &Told<'_>) {
    for field in head.fields {
        let (name, value) = (field.name.to_ascii_lowercase(), field.value);
        assert!(!name.contains('_'), "{name} could pass for another field");
        let of_this_hop = [
            "keep-alive",
            "proxy-connection",
            "te",
            "proxy-authorization",
            "proxy-authenticate",
            "http2-settings",
        ];
        let is_for_the_proxy = head.is_connect() && name == "proxy-authorization";
        assert!(is_for_the_proxy || !of_this_hop.contains(&name.as_str()), "{name} ends at this hop");
        match name.as_str() {
            "connection" => assert!(value == b"upgrade" && head.upgrade.is_some()),
            "x-forwarded-for" if !told.trusted => {
                assert!(told.x_forwarded && value == told.client.as_bytes())
            }
            "x-forwarded-proto" if !told.trusted => {
                assert!(told.x_forwarded && value == told.scheme.as_bytes())
            }
            "x-forwarded-host" if !told.trusted => assert!(told.x_forwarded && value == head.authority),
            "forwarded" if !told.trusted => {
                assert!(told.rfc7239 && value.starts_with(b"for=\"[2001:db8::7]\""))
            }
            "x-real-ip" | "x-forwarded-port" | "x-forwarded-server" | "x-forwarded-by" => {
                assert!(told.trusted)
            }
            _ => {}
        }
    }
    for once in ["x-forwarded-for", "forwarded"] {
        let count = head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(once)).count();
        assert!(count <= 1, "{once} stands {count} times");
    }
}
