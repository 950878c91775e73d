//! Laws of responses: no less strict than with requests, and the client reads what the endpoint meant.

use bascule_decide::edits::Edits;
use bascule_decide::http1::response::{ResponseHead, Shape, parse};
use bascule_decide::http1::{Framing, field_room, has_empty_line};
use bascule_decide::template::Facts;

use crate::{LONGEST, cuts, strict};

const NOWHERE: Facts<'static> =
    Facts { scheme: "http", host: b"", path: b"/", query: None, client: "", listener: "web", route: "all" };

/// Reads `bytes` as the head of a response, to HEAD and to another method, and checks what came of it.
pub fn response_head(bytes: &[u8]) {
    if bytes.len() > LONGEST {
        return;
    }
    for to_head in [false, true] {
        let mut room = field_room();
        if let Ok(Some(head)) = parse(bytes, to_head, &mut room) {
            does_not_depend_on_arrival(bytes, head.length, to_head);
            means_one_thing(&head, bytes, to_head);
            for bits in 0..4_u8 {
                reaches_the_client(&head, bytes, to_head, bits);
            }
        }
    }
}

fn does_not_depend_on_arrival(bytes: &[u8], length: usize, to_head: bool) {
    for cut in cuts(length) {
        let mut room = field_room();
        let early = parse(&bytes[..cut], to_head, &mut room);
        assert!(matches!(early, Ok(None)), "after {cut} of {length} bytes: {early:?}");
        assert!(
            has_empty_line(&bytes[..length], cut.saturating_sub(3)),
            "the end is missed when {cut} bytes were seen before"
        );
    }
}

fn means_one_thing(head: &ResponseHead<'_, '_>, bytes: &[u8], to_head: bool) {
    let read = strict::Head::read(&bytes[..head.length]);
    assert!(bytes.starts_with(b"HTTP/1."), "nothing stands before the status line");
    assert_eq!(&read.start[8..12], format!(" {:03}", head.status).as_bytes());
    let bodiless = to_head || head.status < 200 || matches!(head.status, 204 | 304);
    let framing = if bodiless { Framing::None } else { read.framing().unwrap_or(Framing::Close) };
    assert_eq!(head.framing, framing);
    assert!(head.framing != Framing::Close || !head.persistent, "what ends with the connection ends it");
}

/// Writes the head in one of the ways the wire may ask for, and reads it as the client would.
fn reaches_the_client(head: &ResponseHead<'_, '_>, bytes: &[u8], to_head: bool, bits: u8) {
    let http11 = bits & 1 != 0;
    // Interim responses and 101 leave the connection as it is.
    let is_final = head.status >= 200;
    let close = is_final && (bits & 2 != 0 || head.framing == Framing::Chunked && !http11);
    let say_keep_alive = is_final && !http11 && !close;
    let shape = Shape { http11, close, say_keep_alive, chunk: head.framing == Framing::Close && http11 };
    let edits = Edits::default();
    let mut written = Vec::new();
    head.write(bytes, shape, &edits, &NOWHERE, &mut written);
    if head.passes_unchanged(shape, &edits) {
        assert_eq!(written, bytes[..head.length], "what may pass unchanged is what would be written");
    }
    let mut room = field_room();
    let again = match parse(&written, to_head, &mut room) {
        Ok(Some(again)) => again,
        // Up to three fields are added.
        _ if strict::Head::read(&bytes[..head.length]).fields.len() > 252 => return,
        refused => panic!("the client cannot read what we wrote: {refused:?}\n{}", written.escape_ascii()),
    };
    assert_eq!((again.length, again.status), (written.len(), head.status));
    let framing = match head.framing {
        Framing::Close if http11 => Framing::Chunked,
        Framing::Chunked if !http11 => Framing::Close,
        as_it_came => as_it_came,
    };
    assert_eq!(again.framing, framing);
    assert!(!close || !again.persistent, "the client is told that the connection closes");
    says_nothing_of_the_hop(&written, head.status);
}

fn says_nothing_of_the_hop(written: &[u8], status: u16) {
    let read = strict::Head::read(written);
    for name in ["keep-alive", "proxy-connection", "te", "proxy-authenticate"] {
        assert!(read.values(name).is_empty(), "{name} ends at this hop");
    }
    let chunked = read.framing() == Some(Framing::Chunked);
    assert!(chunked || read.values("trailer").is_empty(), "trailers are announced for a body without them");
    assert!(status == 101 || read.values("upgrade").is_empty());
    assert!(read.values("connection").len() <= 1);
}
