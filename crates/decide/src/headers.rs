//! Which header fields a proxy has to know: hop-by-hop, framing and forwarded ones (RFC 9110, 7.6; RFC 9112, 6; RFC 7239).

/// A field that the proxy treats in its own way. All others pass as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// End to end: passed on untouched.
    Other,
    /// Lists the options of this hop and further fields that end here.
    Connection,
    /// Parameters of this hop: `Keep-Alive`, `Proxy-Connection`, `TE`, `HTTP2-Settings`, `Proxy-Authenticate`, `Proxy-Authorization`.
    Hop,
    /// Announces trailers; kept only beside a chunked body.
    Trailer,
    /// Framing.
    TransferEncoding,
    /// Framing.
    ContentLength,
    /// Asks to switch protocols; created anew when we agree.
    Upgrade,
    /// The authority that the client wants.
    Host,
    /// `100-continue`.
    Expect,
    /// How many more hops an OPTIONS request may take.
    MaxForwards,
    /// Chain of clients, as told by proxies before us.
    XForwardedFor,
    /// The scheme that the first client used.
    XForwardedProto,
    /// The authority that the first client used.
    XForwardedHost,
    /// `X-Forwarded-Port`, `-Server`, `-By` and `X-Real-IP`: believed only from trusted networks, never added.
    XForwardedMore,
    /// RFC 7239.
    Forwarded,
    /// `X-Forwarded-Client-Cert`: whom a certificate names. Believed only from trusted networks.
    ClientCertificate,
    /// A name with an underscore: gateways fold `_` and `-`, so it could pass for another field. Dropped, as nginx does.
    Ambiguous,
}

/// Sorts a field by its name, whatever the case.
pub fn classify(name: &str) -> Known {
    let name = name.as_bytes();
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let known = match name.len() {
        2 if is("te") => Known::Hop,
        4 if is("host") => Known::Host,
        6 if is("expect") => Known::Expect,
        7 if is("upgrade") => Known::Upgrade,
        7 if is("trailer") => Known::Trailer,
        9 if is("x-real-ip") => Known::XForwardedMore,
        9 if is("forwarded") => Known::Forwarded,
        10 if is("connection") => Known::Connection,
        10 if is("keep-alive") => Known::Hop,
        12 if is("max-forwards") => Known::MaxForwards,
        14 if is("content-length") => Known::ContentLength,
        14 if is("http2-settings") => Known::Hop,
        14 if is("x-forwarded-by") => Known::XForwardedMore,
        15 if is("x-forwarded-for") => Known::XForwardedFor,
        16 if is("proxy-connection") => Known::Hop,
        16 if is("x-forwarded-host") => Known::XForwardedHost,
        16 if is("x-forwarded-port") => Known::XForwardedMore,
        17 if is("transfer-encoding") => Known::TransferEncoding,
        17 if is("x-forwarded-proto") => Known::XForwardedProto,
        18 if is("proxy-authenticate") => Known::Hop,
        18 if is("x-forwarded-server") => Known::XForwardedMore,
        19 if is("proxy-authorization") => Known::Hop,
        23 if is("x-forwarded-client-cert") => Known::ClientCertificate,
        _ => Known::Other,
    };
    if known == Known::Other && name.contains(&b'_') {
        return Known::Ambiguous;
    }
    known
}

/// The names that a `Connection` field lists, trimmed, empty members left out (RFC 9110, 5.6.1).
pub fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
}

/// Fields that may not come after a body: they would change framing, routing or trust (RFC 9110, 6.5.1).
pub fn may_be_trailer(name: &str) -> bool {
    const NEVER: [&str; 11] = [
        "authorization",
        "cache-control",
        "content-encoding",
        "content-range",
        "content-type",
        "cookie",
        "date",
        "location",
        "range",
        "set-cookie",
        "www-authenticate",
    ];
    classify(name) == Known::Other && !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_hide_a_field() {
        assert_eq!(classify("TRANSFER-encoding"), Known::TransferEncoding);
        assert_eq!(classify("hOST"), Known::Host);
        assert_eq!(classify("X-Other"), Known::Other);
    }

    #[test]
    fn an_underscore_does_not_pass_for_a_hyphen() {
        assert_eq!(classify("X_Forwarded_For"), Known::Ambiguous);
        assert_eq!(classify("Content_Length"), Known::Ambiguous);
    }

    #[test]
    fn framing_never_arrives_in_trailers() {
        for name in ["Content-Length", "Host", "Transfer-Encoding", "X-Forwarded-For", "Authorization"] {
            assert!(!may_be_trailer(name), "{name}");
        }
        assert!(may_be_trailer("Grpc-Status"));
    }
}
