//! Writes the head of an HTTP/2 request or response as HTTP/1 would say it (RFC 9113, 8.2 and 8.3).

use crate::edits::is_token;
use crate::headers::{Known, classify};
use crate::http1::Malformed;
use crate::http1::target::is_authority;

/// What the pseudo-header fields of a request say.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `:method`.
    pub method: &'a str,
    /// `:authority`.
    pub authority: Option<&'a [u8]>,
    /// `:path`; empty for a plain CONNECT.
    pub path: &'a [u8],
    /// `:protocol` of an extended CONNECT (RFC 8441).
    pub protocol: Option<&'a str>,
    /// The stream ends with this head.
    pub ends: bool,
    /// The nonce of a WebSocket handshake, which HTTP/2 does without and HTTP/1 wants.
    pub nonce: &'a str,
}

/// Appends the head of an HTTP/1.1 request that means the same. What has no meaning there is refused, and so is what
/// RFC 9113 forbids; everything else is left to the one who reads it.
///
/// `fields` gives them from the first one, each time.
pub fn compose<'a, I: Iterator<Item = (&'a str, &'a [u8])>>(
    asked: &Asked<'_>,
    fields: impl Fn() -> I,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let switches = match (asked.method, asked.protocol) {
        ("CONNECT", Some("websocket")) => true,
        ("CONNECT", None) => return compose_connect(asked, &fields, out),
        ("CONNECT", _) => return Err(Malformed::Connect),
        (_, Some(_)) => return Err(Malformed::Protocol),
        (_, None) => false,
    };
    let path_holds = asked.path.first() == Some(&b'/') || asked.path == b"*";
    if !is_token(asked.method) || !path_holds || !asked.path.iter().all(|byte| matches!(byte, b'!'..=b'~')) {
        return Err(Malformed::Target);
    }
    out.extend_from_slice(if switches { b"GET" } else { asked.method.as_bytes() });
    out.push(b' ');
    out.extend_from_slice(asked.path);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_host(asked, fields(), out)?;
    let has_length = write_fields(&fields, out)?;
    if switches && has_length {
        return Err(Malformed::Length);
    }
    if switches {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ");
        out.extend_from_slice(asked.nonce.as_bytes());
        out.extend_from_slice(b"\r\n");
    } else if !asked.ends && !has_length {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// A plain CONNECT: it names nothing but an authority (RFC 9113, 8.5).
fn compose_connect<'a, I: Iterator<Item = (&'a str, &'a [u8])>>(
    asked: &Asked<'_>,
    fields: &impl Fn() -> I,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let Some(authority) = asked.authority.filter(|_| asked.path.is_empty()) else {
        return Err(Malformed::Target);
    };
    if !is_authority(authority) {
        return Err(Malformed::Target);
    }
    out.extend_from_slice(b"CONNECT ");
    out.extend_from_slice(authority);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_host(asked, fields(), out)?;
    if write_fields(fields, out)? {
        return Err(Malformed::ConnectBody);
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// `:authority` and `Host` mean the same, so they have to say the same (RFC 9113, 8.3.1).
fn write_host<'a>(
    asked: &Asked<'_>,
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let mut named = None;
    for (_, value) in fields.filter(|(name, _)| *name == "host") {
        if named.replace(value).is_some() {
            return Err(Malformed::HostCount);
        }
    }
    let host = match (asked.authority, named) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            return Err(Malformed::HostDisagrees);
        }
        (Some(authority), _) => authority,
        (None, Some(host)) => host,
        (None, None) => return Err(Malformed::HostCount),
    };
    if !is_authority(host) {
        return Err(Malformed::HostSyntax);
    }
    line("host", host, out);
    Ok(())
}

/// All but `Host`; the crumbs of a cookie become one field again (RFC 9113, 8.2.3). Whether there is a length.
fn write_fields<'a, I: Iterator<Item = (&'a str, &'a [u8])>>(
    fields: impl Fn() -> I,
    out: &mut Vec<u8>,
) -> Result<bool, Malformed> {
    let mut has_length = false;
    let mut crumbs = 0;
    for (name, value) in fields() {
        check(name, value)?;
        match name {
            "host" => {}
            "cookie" => crumbs += 1,
            _ => {
                has_length |= name == "content-length";
                line(name, value, out);
            }
        }
    }
    if crumbs > 0 {
        out.extend_from_slice(b"cookie: ");
        for (at, (_, crumb)) in fields().filter(|(name, _)| *name == "cookie").enumerate() {
            if at > 0 {
                out.extend_from_slice(b"; ");
            }
            out.extend_from_slice(crumb);
        }
        out.extend_from_slice(b"\r\n");
    }
    Ok(has_length)
}

/// Whether what has this `:scheme` may be asked for on a connection like this (RFC 9110, 7.4). None: it was not kept.
pub fn is_of_connection(scheme: Option<&str>, secure: bool) -> bool {
    match scheme {
        Some("https") => secure,
        Some("http") => !secure,
        Some(_) => false,
        None => true,
    }
}

/// Appends trailers as lines, each with its CRLF.
pub fn compose_trailers<'a>(
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    for (name, value) in fields {
        check(name, value)?;
        line(name, value, out);
    }
    Ok(())
}

/// Appends the head of an HTTP/1.1 response that means the same. A body without a length ends with the stream.
pub fn compose_response<'a>(
    status: u16,
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    out.extend_from_slice(format!("HTTP/1.1 {status} \r\n").as_bytes());
    compose_trailers(fields, out)?;
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// A field that HTTP/2 allows and that is one line of HTTP/1 (RFC 9113, 8.2.1 and 8.2.2).
fn check(name: &str, value: &[u8]) -> Result<(), Malformed> {
    let is_name = is_token(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase());
    if !is_name || value.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
        return Err(Malformed::Field);
    }
    let is_of_connection = match classify(name) {
        Known::Connection | Known::Upgrade | Known::TransferEncoding => true,
        Known::Hop if name == "te" => !value.eq_ignore_ascii_case(b"trailers"),
        Known::Hop => matches!(name, "keep-alive" | "proxy-connection" | "http2-settings"),
        _ => false,
    };
    if is_of_connection { Err(Malformed::ConnectionField) } else { Ok(()) }
}

fn line(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::request::{HeadLimits, parse};
    use crate::http1::{Framing, field_room};
    use proptest::prelude::*;

    const GET: Asked<'static> = Asked {
        method: "GET",
        authority: Some(b"a.test"),
        path: b"/",
        protocol: None,
        ends: true,
        nonce: "bm9uY2Ugb2YgdGVzdHMhIQ==",
    };

    fn composed(asked: Asked<'_>, fields: &[(&str, &str)]) -> Result<String, Malformed> {
        let mut out = Vec::new();
        compose(&asked, || fields.iter().map(|(name, value)| (*name, value.as_bytes())), &mut out)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    #[test]
    fn a_request_reads_as_http1_would_say_it() {
        let post = Asked { method: "POST", path: b"/a?b", ends: false, ..GET };
        let fields = [("cookie", "a=1"), ("x-one", "1"), ("host", "A.test"), ("cookie", "b=2")];
        assert_eq!(
            composed(post, &fields).expect("well-formed"),
            "POST /a?b HTTP/1.1\r\nhost: a.test\r\nx-one: 1\r\ncookie: a=1; b=2\r\n\
             transfer-encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn a_length_that_was_told_frames_the_body() {
        let post = composed(Asked { method: "POST", ends: false, ..GET }, &[("content-length", "3")]);
        assert!(post.expect("well-formed").ends_with("\r\ncontent-length: 3\r\n\r\n"));
    }

    #[test]
    fn a_websocket_asks_for_an_upgrade() {
        let connect = Asked { method: "CONNECT", protocol: Some("websocket"), ends: false, ..GET };
        let head = composed(connect, &[("sec-websocket-version", "13")]).expect("well-formed");
        assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
        assert!(
            head.contains("connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: bm9"),
            "{head}"
        );
        assert!(!head.contains("chunked"), "{head}");
    }

    #[test]
    fn what_http2_forbids_is_refused() {
        let connection = Err(Malformed::ConnectionField);
        for (name, value, problem) in [
            ("connection", "close", connection.clone()),
            ("keep-alive", "1", connection.clone()),
            ("proxy-connection", "close", connection.clone()),
            ("transfer-encoding", "chunked", connection.clone()),
            ("upgrade", "h2c", connection.clone()),
            ("http2-settings", "AA", connection.clone()),
            ("te", "gzip", connection),
            ("X-Upper", "1", Err(Malformed::Field)),
            ("", "1", Err(Malformed::Field)),
            ("a b", "1", Err(Malformed::Field)),
            ("a:b", "1", Err(Malformed::Field)),
            (":path", "/", Err(Malformed::Field)),
            ("a\r\nb", "1", Err(Malformed::Field)),
            ("a", "1\r\nx: y", Err(Malformed::Field)),
            ("a", "1\ny", Err(Malformed::Field)),
            ("a", "\0", Err(Malformed::Field)),
            ("host", "b.test", Err(Malformed::HostDisagrees)),
        ] {
            assert_eq!(composed(GET, &[(name, value)]), problem, "{name}: {value}");
        }
        assert!(composed(GET, &[("te", "trailers")]).is_ok());
    }

    #[test]
    fn a_target_is_a_path_or_a_star() {
        for path in ["", "a", "http://b.test/", "/a b", "/a\r\nx: y", "/\u{e9}", "*a"] {
            let asked = Asked { path: path.as_bytes(), ..GET };
            assert_eq!(composed(asked, &[]), Err(Malformed::Target), "{path}");
        }
        for method in ["GE T", "", "GET / HTTP/1.1\r\nx: "] {
            assert_eq!(composed(Asked { method, ..GET }, &[]), Err(Malformed::Target), "{method}");
        }
    }

    #[test]
    fn a_scheme_is_that_of_the_connection() {
        let holds = [("https", true), ("http", false)];
        for scheme in ["https", "http", "ftp", ""] {
            for secure in [true, false] {
                assert_eq!(
                    is_of_connection(Some(scheme), secure),
                    holds.contains(&(scheme, secure)),
                    "{scheme}"
                );
            }
        }
        assert!(is_of_connection(None, true) && is_of_connection(None, false));
    }

    #[test]
    fn a_request_names_one_host_at_least() {
        assert_eq!(composed(Asked { authority: None, ..GET }, &[]), Err(Malformed::HostCount));
        assert!(composed(Asked { authority: None, ..GET }, &[("host", "a")]).is_ok());
        let user = Asked { authority: Some(b"user@a"), ..GET };
        assert_eq!(composed(user, &[]), Err(Malformed::HostSyntax));
        assert_eq!(composed(GET, &[("host", "a.test"), ("host", "a.test")]), Err(Malformed::HostCount));
    }

    proptest! {
        #[test]
        fn whatever_comes_the_head_has_the_fields_that_it_had_and_no_more(
            method in "[A-Z]{1,5}|.{0,6}",
            path in "/[!-~]{0,12}|.{0,12}",
            fields in prop::collection::vec(("[a-z-]{1,6}|.{0,6}", ".{0,12}"), 0..6),
            ends in any::<bool>(),
        ) {
            let asked = Asked { method: &method, path: path.as_bytes(), ends, ..GET };
            let mut out = Vec::new();
            let each = || fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            if compose(&asked, each, &mut out).is_ok() {
                let limits = HeadLimits { head_bytes: 4096, headers: 20, target_bytes: 100 };
                let mut room = field_room();
                if let Ok(head) = parse(&out, limits, &mut room) {
                    let head = head.expect("a whole head");
                    prop_assert_eq!(head.length, out.len());
                    prop_assert_eq!(head.method, method);
                    let is = |name: &str| fields.iter().filter(|(field, _)| field == name).count();
                    let others = fields.len() - is("host") - is("cookie") + usize::from(is("cookie") > 0);
                    let chunked = usize::from(head.framing == Framing::Chunked);
                    prop_assert_eq!(head.fields.len(), 1 + others + chunked);
                }
            }
        }
    }
}
