//! Heads and trailers between the types of `h2` and the bytes of HTTP/1.

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

/// The head of an endpoint's response as HTTP/1 has it; `None` when it cannot be said there.
pub(crate) fn response_head(status: StatusCode, headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut head = Vec::with_capacity(256);
    compose_response(status.as_u16(), fields(headers), &mut head).ok()?;
    Some(head)
}

/// The request that this head of HTTP/1 makes, one that we have written; `None` when HTTP/2 has no words for it.
pub(crate) fn request(head: &[u8], scheme: Scheme) -> Option<Request<()>> {
    let limits = HeadLimits { head_bytes: usize::MAX, headers: MAX_FIELDS, target_bytes: usize::MAX / 2 };
    let mut room = field_room();
    let read = parse(head, limits, &mut room).ok()??;
    let bytes = Bytes::copy_from_slice(&head[..read.length]);
    let mut target = Parts::default();
    target.scheme = Some(scheme);
    target.authority = Some(Authority::try_from(read.authority).ok()?);
    let path = read.target.as_bytes(head);
    target.path_and_query = Some(PathAndQuery::from_maybe_shared(slice(&bytes, head, path)?).ok()?);
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(read.method.as_bytes()).ok()?;
    *request.uri_mut() = Uri::from_parts(target).ok()?;
    let headers = request.headers_mut();
    for field in read.kept() {
        let value = HeaderValue::from_maybe_shared(slice(&bytes, head, field.value)?).ok()?;
        headers.append(HeaderName::from_bytes(field.name.as_bytes()).ok()?, value);
    }
    // Trailers are passed on, and gRPC asks whether they are (RFC 9110, 10.1.4).
    headers.insert(TE, HeaderValue::from_static("trailers"));
    Some(request)
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
