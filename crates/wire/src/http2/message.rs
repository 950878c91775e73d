//! Heads and trailers between the types of `h2` and the bytes of HTTP/1.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bascule_decide::http1::request::parse;
use bascule_decide::http1::{Field, HeadLimits, MAX_FIELDS, Malformed, field_room};
use bascule_decide::http2::message::{compose_response, compose_trailers};
use bascule_decide::http2::{Asked, compose};
use bytes::Bytes;
use h2::ext::Protocol;
use http::header::TE;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

/// Appends the head of a request as HTTP/1 has it.
pub(crate) fn request_head(
    request: &Request<()>,
    ends: bool,
    nonce: &str,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let uri = request.uri();
    let asked = Asked {
        method: request.method().as_str(),
        authority: uri.authority().map(|authority| authority.as_str().as_bytes()),
        path: uri.path_and_query().map_or(&b""[..], |path| path.as_str().as_bytes()),
        protocol: request.extensions().get::<Protocol>().map(Protocol::as_str),
        ends,
        nonce,
    };
    compose(&asked, || fields(request.headers()), out)
}

/// Trailers as lines. What is no field of HTTP/1 takes all of them with it: nothing is worth a guess.
pub(crate) fn trailer_lines(trailers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::new();
    match compose_trailers(fields(trailers), &mut lines) {
        Ok(()) => lines,
        Err(_) => Vec::new(),
    }
}

fn fields(map: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    map.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

/// The head of an answer that opens a WebSocket's tunnel, as HTTP/1 has it. It has no body that could have a length.
pub(crate) fn switching_head(accept: &str, headers: &HeaderMap) -> Option<Vec<u8>> {
    let fields =
        fields(headers).filter(|(name, _)| !matches!(*name, "content-length" | "sec-websocket-accept"));
    let mut head = Vec::with_capacity(256);
    compose_response(101, fields, &mut head).ok()?;
    head.truncate(head.len() - 2);
    let switch =
        format!("connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {accept}\r\n\r\n");
    head.extend_from_slice(switch.as_bytes());
    Some(head)
}

/// The head of an endpoint's response as HTTP/1 has it; `None` when it cannot be said there.
pub(crate) fn response_head(status: StatusCode, headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut head = Vec::with_capacity(256);
    compose_response(status.as_u16(), fields(headers), &mut head).ok()?;
    Some(head)
}

/// The request that this head of HTTP/1 makes, one that we have written; `None` when HTTP/2 has no words for it. A
/// WebSocket's handshake becomes an extended CONNECT (RFC 8441, 4), and comes with what its key is accepted with.
pub(crate) fn request(head: &[u8], scheme: Scheme) -> Option<(Request<()>, Option<String>)> {
    let limits = HeadLimits { head_bytes: usize::MAX, headers: MAX_FIELDS, target_bytes: usize::MAX / 2 };
    let mut room = field_room();
    let read = parse(head, limits, &mut room).ok()??;
    let bytes = Bytes::copy_from_slice(&head[..read.length]);
    let mut target = Parts::default();
    target.authority = Some(Authority::try_from(read.authority).ok()?);
    // A plain CONNECT names nothing else (RFC 9113, 8.5).
    if !read.is_connect() {
        target.scheme = Some(scheme);
        let path = read.target.as_bytes(head);
        target.path_and_query = Some(PathAndQuery::from_maybe_shared(slice(&bytes, head, path)?).ok()?);
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(read.method.as_bytes()).ok()?;
    *request.uri_mut() = Uri::from_parts(target).ok()?;
    let accept = read.websocket_key().map(websocket_accept);
    if accept.is_some() {
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
    }
    let headers = request.headers_mut();
    for field in read.kept() {
        if accept.is_some() && field.name.eq_ignore_ascii_case("sec-websocket-key") {
            continue;
        }
        let value = HeaderValue::from_maybe_shared(slice(&bytes, head, field.value)?).ok()?;
        headers.append(HeaderName::from_bytes(field.name.as_bytes()).ok()?, value);
    }
    // Trailers are passed on, and gRPC asks whether they are (RFC 9110, 10.1.4).
    headers.insert(TE, HeaderValue::from_static("trailers"));
    Some((request, accept))
}

/// What a server says to this key, which proves that it has read it (RFC 6455, 4.2.2).
fn websocket_accept(key: &[u8]) -> String {
    const NAME: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, NAME].concat());
    base64(digest.as_ref())
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| chunk.get(at).copied().unwrap_or(0));
        let digits = [a >> 2, a << 4 | b >> 4, b << 2 | c >> 6, c];
        let letters = digits.map(|digit| char::from(LETTERS[usize::from(digit & 63)]));
        text.extend(&letters[..=chunk.len()]);
        text.extend((chunk.len()..3).map(|_| '='));
    }
    text
}

/// The same part of the copy.
fn slice(copy: &Bytes, whole: &[u8], part: &[u8]) -> Option<Bytes> {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    let end = start.checked_add(part.len()).filter(|end| *end <= copy.len())?;
    Some(if part.is_empty() { Bytes::new() } else { copy.slice(start..end) })
}

/// A response with these fields, whose values lie within `bytes`.
pub(crate) fn response<'a>(
    status: u16,
    bytes: &[u8],
    fields: impl Iterator<Item = &'a Field<'a>>,
) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    // One copy for all values.
    let shared = Bytes::copy_from_slice(bytes);
    let headers = response.headers_mut();
    for field in fields {
        let Some(value) = slice(&shared, bytes, field.value) else { continue };
        let value = HeaderValue::from_maybe_shared(value);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(field.name.as_bytes()), value) {
            headers.append(name, value);
        }
    }
    response
}

/// Adds the fields that these lines have, each with its CRLF.
pub(crate) fn add_lines(lines: &[u8], to: &mut HeaderMap) {
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            to.append(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_accepted_as_the_rfc_has_it() {
        assert_eq!(websocket_accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_handshake_becomes_an_extended_connect_without_its_key() {
        let head = b"GET /chat HTTP/1.1\r\nHost: a.test\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                     Sec-WebSocket-Version: 13\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        let (request, accept) = request(head, Scheme::HTTP).expect("HTTP/2 has words for it");
        assert_eq!((request.method(), request.uri().path()), (&Method::CONNECT, "/chat"));
        assert_eq!(request.extensions().get::<Protocol>().map(Protocol::as_str), Some("websocket"));
        assert!(accept.is_some() && !request.headers().contains_key("sec-websocket-key"));
        assert_eq!(request.headers()["sec-websocket-version"], "13");
    }
}
