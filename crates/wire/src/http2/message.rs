//! Heads and trailers between the types of `h2` and the bytes of HTTP/1.

use bascule_decide::http1::{Field, Malformed};
use bascule_decide::http2::message::compose_trailers;
use bascule_decide::http2::{Asked, compose};
use bytes::Bytes;
use h2::ext::Protocol;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};

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
        let start = (field.value.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
        let value = match shared.get(start..start.wrapping_add(field.value.len())) {
            Some(_) => HeaderValue::from_maybe_shared(shared.slice(start..start + field.value.len())),
            None => HeaderValue::from_bytes(field.value),
        };
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
