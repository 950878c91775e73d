//! Request targets and authorities: what a request line and a `Host` may name (RFC 9112, 3.2; RFC 3986, 3.2).

use super::request::Malformed;
use super::{content_length, layout};
use std::borrow::Cow;

/// The request target, taken apart. The path is as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'b> {
    /// Begins with `/`, or is `*` (OPTIONS), or empty (CONNECT).
    pub path: &'b [u8],
    /// What follows the first `?`.
    pub query: Option<&'b [u8]>,
    /// Of an absolute form, or of CONNECT.
    pub(super) authority: Option<&'b [u8]>,
}

impl<'b> Target<'b> {
    /// Path and query as they stand in the head that was read.
    pub fn as_bytes(&self, head: &'b [u8]) -> &'b [u8] {
        let start = layout::offset(head, self.path);
        let length = self.path.len() + self.query.map_or(0, |query| 1 + query.len());
        &head[start..start + length]
    }

    pub(super) fn parse(target: &'b [u8], method: &str) -> Result<Self, Malformed> {
        if target.iter().any(|byte| !matches!(byte, b'!'..=b'~') || *byte == b'#') {
            return Err(Malformed::Target);
        }
        match target.first() {
            _ if method == "CONNECT" => Self::authority(target),
            Some(b'/') => Ok(Self::split(target, None)),
            Some(b'*') if target.len() == 1 && method == "OPTIONS" => {
                Ok(Self { path: target, query: None, authority: None })
            }
            _ => Self::absolute(target),
        }
    }

    /// Of CONNECT, which has to name a port (RFC 9112, 3.2.3).
    fn authority(target: &'b [u8]) -> Result<Self, Malformed> {
        let has_port = target.iter().rposition(|byte| *byte == b':').is_some_and(|colon| {
            target.len() > colon + 1 && target[colon + 1..].iter().all(u8::is_ascii_digit)
        });
        if !has_port || !is_authority(target) {
            return Err(Malformed::Target);
        }
        Ok(Self { path: b"", query: None, authority: Some(target) })
    }

    fn absolute(target: &'b [u8]) -> Result<Self, Malformed> {
        let after = |scheme: &str| {
            target
                .get(..scheme.len())
                .filter(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
                .map(|_| &target[scheme.len()..])
        };
        let rest = after("http://").or_else(|| after("https://")).ok_or(Malformed::Target)?;
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !is_authority(authority) {
            return Err(Malformed::Target);
        }
        match path.first() {
            None => Ok(Self { path: b"/", query: None, authority: Some(authority) }),
            Some(b'?') => Ok(Self { path: b"/", query: Some(&path[1..]), authority: Some(authority) }),
            Some(_) => Ok(Self::split(path, Some(authority))),
        }
    }

    fn split(target: &'b [u8], authority: Option<&'b [u8]>) -> Self {
        match memchr::memchr(b'?', target) {
            Some(at) => Self { path: &target[..at], query: Some(&target[at + 1..]), authority },
            None => Self { path: target, query: None, authority },
        }
    }
}

/// The host alone, as routes compare it: lower case, without its port and a trailing dot.
pub fn routing_host(authority: &[u8]) -> Cow<'_, str> {
    let host = match authority.first() {
        Some(b'[') => memchr::memchr(b']', authority).map_or(authority, |end| &authority[..=end]),
        _ => memchr::memchr(b':', authority).map_or(authority, |colon| &authority[..colon]),
    };
    let host = host.strip_suffix(b".").unwrap_or(host);
    let host = std::str::from_utf8(host).unwrap_or_default();
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// Whether this is a name, an IPv4 address or a bracketed IPv6 address, with an optional port (RFC 3986, 3.2.2, without its rarities).
pub(crate) fn is_authority(value: &[u8]) -> bool {
    let (host_holds, port) = match value.first() {
        Some(b'[') => {
            let Some(end) = memchr::memchr(b']', value) else { return false };
            let address = std::str::from_utf8(&value[1..end]).unwrap_or_default();
            (address.parse::<std::net::Ipv6Addr>().is_ok(), &value[end + 1..])
        }
        _ => {
            let end = memchr::memchr(b':', value).unwrap_or(value.len());
            let host = &value[..end];
            let letters =
                host.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
            (
                !host.is_empty() && letters && host[0] != b'.' && !host.windows(2).any(|pair| pair == b".."),
                &value[end..],
            )
        }
    };
    let port_holds = match port.split_first() {
        None => true,
        Some((b':', digits)) => {
            digits.len() <= 5
                && digits.iter().all(u8::is_ascii_digit)
                && content_length(digits).is_none_or(|port| port <= 65535)
        }
        Some(_) => false,
    };
    host_holds && port_holds
}
