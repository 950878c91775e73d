//! The responses that we make ourselves. One variant for each reason a client may see.

use crate::account::Ending;
use bascule_decide::grpc::Code;
use bascule_decide::http1::Malformed;
use std::io::Write;
use std::time::SystemTime;

/// The methods that we pass on (RFC 9110, 10.2.1), beside those that we do not know.
pub(crate) const ALLOW: &str = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";

/// Why we answer instead of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    NoRoute,
    NoEndpoint,
    Refused(Malformed),
    /// It came over a TLS connection that is for another host.
    Misdirected,
    /// Its scheme is not that of the connection.
    WrongScheme,
    /// HTTP in the clear came where TLS is spoken.
    NotTls,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// The body's framing is broken.
    BodyMalformed(&'static str),
    /// The client did not send its head or body in time.
    ClientTooSlow,
    /// Every endpoint has as much as it may have, and the queue is no way out.
    Shed,
    /// The client has sent too much.
    RateLimited,
    /// Every try at an endpoint failed; how the last one did.
    Failed(Ending),
}

impl Answer {
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::NoRoute => 404,
            Self::NoEndpoint | Self::Shed => 503,
            Self::Refused(malformed) => malformed.status(),
            Self::RateLimited => 429,
            Self::BodyTooLarge => 413,
            Self::BodyMalformed(_) | Self::NotTls => 400,
            Self::Misdirected | Self::WrongScheme => 421,
            Self::ClientTooSlow => 408,
            Self::Failed(
                Ending::ConnectTimedOut
                | Ending::ResponseTimedOut
                | Ending::TryTimedOut
                | Ending::TotalTimedOut
                | Ending::EndpointNotReading,
            ) => 504,
            Self::Failed(_) => 502,
        }
    }

    pub(crate) fn ending(self) -> Ending {
        match self {
            Self::NoRoute => Ending::NoRoute,
            Self::NoEndpoint => Ending::NoEndpoint,
            Self::Shed => Ending::Shed,
            Self::RateLimited => Ending::RateLimited,
            Self::Refused(Malformed::HeadTooLarge | Malformed::TooManyFields | Malformed::TargetTooLong)
            | Self::BodyTooLarge => Ending::TooLarge,
            Self::Misdirected | Self::WrongScheme => Ending::Misdirected,
            Self::Refused(_) | Self::BodyMalformed(_) | Self::NotTls => Ending::BadRequest,
            Self::ClientTooSlow => Ending::ClientTooSlow,
            Self::Failed(ending) => ending,
        }
    }

    /// More than the ending says, for the log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Refused(malformed) => malformed.reason(),
            Self::BodyMalformed(reason) => reason,
            _ => "",
        }
    }

    /// What the client reads. Says nothing about what stands behind us.
    fn sentence(self) -> &'static str {
        match self {
            Self::NoRoute => "no route matches this request",
            Self::NoEndpoint => "no endpoint can serve this request now",
            Self::Shed => "too many requests wait for an endpoint",
            Self::RateLimited => "too many requests; come again later",
            Self::Refused(malformed) => malformed.reason(),
            Self::Misdirected => "this connection was made for another host; open one for this host",
            Self::WrongScheme => "the scheme is not that of this connection",
            Self::NotTls => "plain HTTP was sent to a port that speaks TLS; begin the address with https://",
            Self::BodyTooLarge => "the request body is too large",
            Self::BodyMalformed(reason) => reason,
            Self::ClientTooSlow => "the request did not arrive in time",
            Self::Failed(_) if self.status() == 504 => "the endpoint did not answer in time",
            Self::Failed(_) => "the endpoint did not answer properly",
        }
    }

    /// How a gRPC call ends with this.
    pub(crate) fn grpc_code(self) -> Code {
        match self {
            Self::NoRoute => Code::Unimplemented,
            Self::RateLimited | Self::BodyTooLarge => Code::ResourceExhausted,
            Self::Refused(_) | Self::BodyMalformed(_) | Self::NotTls => Code::Internal,
            Self::Failed(Ending::ResponseTimedOut | Ending::TryTimedOut | Ending::TotalTimedOut) => {
                Code::DeadlineExceeded
            }
            Self::NoEndpoint
            | Self::Shed
            | Self::ClientTooSlow
            | Self::Misdirected
            | Self::WrongScheme
            | Self::Failed(_) => Code::Unavailable,
        }
    }

    /// The whole response to a gRPC call: a status in the place of trailers, and nothing else.
    pub(crate) fn render_grpc(self, fields: &[(&str, String)]) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let _ = write!(
            out,
            "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nGrpc-Status: {}\r\nGrpc-Message: {}\r\n",
            self.grpc_code() as u8,
            self.sentence()
        );
        for (name, value) in fields {
            let _ = write!(out, "{name}: {value}\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    /// The whole response, with more fields. `with_body` is false for HEAD.
    pub(crate) fn render(self, fields: &[(&str, String)], close: bool, with_body: bool) -> Vec<u8> {
        let status = self.status();
        let body = format!("{status} {}: {}\n", phrase(status), self.sentence());
        let mut headers = vec![("Content-Type", "text/plain; charset=utf-8")];
        headers.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
        if status == 405 {
            headers.push(("Allow", ALLOW));
        }
        if self == Self::Shed {
            headers.push(("Retry-After", "1"));
        }
        render(status, headers.into_iter(), body.as_bytes(), Ways { close, keep_alive: false, with_body })
    }
}

/// How a response that we make is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    /// Say that the connection closes.
    pub(crate) close: bool,
    /// Say that it stays open (HTTP/1.0).
    pub(crate) keep_alive: bool,
    /// False for HEAD.
    pub(crate) with_body: bool,
}

/// Writes a response with its length. `Date` is ours to send: we are its origin (RFC 9110, 6.6.1).
pub(crate) fn render<'a>(
    status: u16,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    body: &[u8],
    ways: Ways,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + body.len());
    let date = httpdate::fmt_http_date(SystemTime::now());
    let _ = write!(out, "HTTP/1.1 {status} {}\r\nServer: bascule\r\nDate: {date}\r\n", phrase(status));
    for (name, value) in headers {
        let _ = write!(out, "{name}: {value}\r\n");
    }
    let bodiless = matches!(status, 204 | 304);
    if !bodiless {
        let _ = write!(out, "Content-Length: {}\r\n", body.len());
    }
    if ways.close {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if ways.keep_alive {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if ways.with_body && !bodiless {
        out.extend_from_slice(body);
    }
    out
}

/// The reason phrase (RFC 9110, 15).
fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        418 => "I'm a Teapot",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}
