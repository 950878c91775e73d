//! Reads the head of a response, as strictly as that of a request, and writes it for the client.

use super::{Dropped, FieldRoom, Framing, content_length, copy_kept, layout};
use crate::edits::Edits;
use crate::headers::{Known, classify, options};
use crate::template::Facts;
use httparse::Header;

/// Why a response is not passed on. The client gets 502, the connection is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadResponse {
    /// Not the grammar of HTTP/1.x.
    Syntax,
    /// A line that does not end with CR LF, or folds.
    Layout,
    /// Longer than [`MAX_HEAD`], or too many fields.
    TooLarge,
    /// Several lengths, a length that is not digits alone, or a length beside a coding.
    Length,
    /// A transfer coding other than `chunked`, or one in HTTP/1.0.
    Coding,
    /// `101` that nobody asked for, or to another protocol.
    Unasked,
    /// A status below 100.
    Status,
    /// More interim responses than [`MAX_INTERIM`].
    Interim,
}

impl BadResponse {
    /// In words, for the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Syntax => "the response is not HTTP/1.1",
            Self::Layout => "a line of the response's head does not end with CR LF or is folded",
            Self::TooLarge => "the response's head is too large",
            Self::Length => "the response's length is malformed, repeated or beside a transfer coding",
            Self::Coding => "the response has a transfer coding other than chunked",
            Self::Unasked => "the response switches protocols without being asked",
            Self::Status => "the response's status is not one of HTTP",
            Self::Interim => "there are too many interim responses",
        }
    }
}

/// The longest head that an endpoint may send, in bytes.
pub const MAX_HEAD: usize = 64 * 1024;
/// The most interim (1xx) responses to one request.
pub const MAX_INTERIM: u32 = 16;

/// The head of a response.
#[derive(Clone, Debug)]
pub struct ResponseHead<'b, 'f> {
    /// 100 to 999.
    pub status: u16,
    /// How the body ends.
    pub framing: Framing,
    /// The endpoint allows another request on this connection.
    pub persistent: bool,
    /// Length of the head in bytes, its empty line included.
    pub length: usize,
    http11: bool,
    /// As they came.
    pub fields: &'f [Header<'b>],
    dropped: Dropped,
    coding: Option<usize>,
    trailers: Dropped,
    /// There is a blank behind the status, as RFC 9112, 4 wants it even before an empty reason.
    blank: bool,
    upgrade: Option<&'b [u8]>,
    first_field: usize,
}

/// What the client can take, and what it is told.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The client speaks HTTP/1.1.
    pub http11: bool,
    /// The connection closes after this response.
    pub close: bool,
    /// The client has to be told that the connection stays open (HTTP/1.0 with `keep-alive`).
    pub say_keep_alive: bool,
    /// The body is sent in chunks although the endpoint's ends with its connection.
    pub chunk: bool,
}

/// Reads a head from the front of `bytes`. `None`: there is not enough of it yet.
///
/// `to_head`: the request's method was HEAD, so there is no body whatever the fields say.
pub fn parse<'b, 'f>(
    bytes: &'b [u8],
    to_head: bool,
    room: &'f mut FieldRoom<'b>,
) -> Result<Option<ResponseHead<'b, 'f>>, BadResponse> {
    let mut parsed = httparse::Response::new(&mut []);
    let length = match httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut parsed,
        bytes,
        room,
    ) {
        Ok(httparse::Status::Complete(length)) if length > MAX_HEAD => return Err(BadResponse::TooLarge),
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() >= MAX_HEAD => return Err(BadResponse::TooLarge),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(BadResponse::TooLarge),
        Err(_) => return Err(BadResponse::Syntax),
    };
    let (Some(status), Some(minor)) = (parsed.code, parsed.version) else { return Err(BadResponse::Syntax) };
    let fields: &'f [Header<'b>] = parsed.headers;
    let first_field = status_line_end(bytes).ok_or(BadResponse::Layout)?;
    if !layout::holds(bytes, first_field, length, fields) {
        return Err(BadResponse::Layout);
    }
    if status < 100 {
        return Err(BadResponse::Status);
    }
    let mut head = ResponseHead {
        status,
        framing: Framing::None,
        persistent: minor == 1,
        length,
        http11: minor == 1,
        fields,
        dropped: Dropped::default(),
        coding: None,
        trailers: Dropped::default(),
        blank: bytes.get(12) == Some(&b' '),
        upgrade: None,
        first_field,
    };
    head.read_fields(to_head)?;
    Ok(Some(head))
}

impl ResponseHead<'_, '_> {
    /// Interim responses come before the final one; 101 is final.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Reads it as the answer to a CONNECT: one that opens the tunnel has no body, whatever the fields say (RFC 9110,
    /// 9.3.6). A challenge is passed on: it is the client that the proxy asks for a proof. True: the tunnel is open.
    pub fn answers_connect(&mut self) -> bool {
        let opens = (200..300).contains(&self.status);
        for (position, field) in self.fields.iter().enumerate() {
            match classify(field.name) {
                Known::ContentLength | Known::TransferEncoding if opens => self.dropped.insert(position),
                Known::Hop if field.name.eq_ignore_ascii_case("proxy-authenticate") => {
                    self.dropped.remove(position);
                }
                _ => {}
            }
        }
        if opens {
            (self.coding, self.framing) = (None, Framing::None);
        }
        opens
    }

    /// Whether a 101 accepts one of the protocols in `offer`.
    pub fn accepts(&self, offer: &[u8]) -> bool {
        self.upgrade
            .is_some_and(|accepted| options(offer).any(|offered| offered.eq_ignore_ascii_case(accepted)))
    }

    fn read_fields(&mut self, to_head: bool) -> Result<(), BadResponse> {
        let (mut length, mut length_at) = (None, None);
        let (mut close, mut keep_alive) = (false, false);
        for (position, field) in self.fields.iter().enumerate() {
            match classify(field.name) {
                Known::ContentLength => {
                    if length.is_some() {
                        return Err(BadResponse::Length);
                    }
                    length = Some(content_length(field.value).ok_or(BadResponse::Length)?);
                    length_at = Some(position);
                }
                Known::TransferEncoding => {
                    if !self.http11 || self.coding.is_some() || !field.value.eq_ignore_ascii_case(b"chunked")
                    {
                        return Err(BadResponse::Coding);
                    }
                    self.coding = Some(position);
                }
                Known::Connection => {
                    close |= options(field.value).any(|option| option.eq_ignore_ascii_case(b"close"));
                    keep_alive |=
                        options(field.value).any(|option| option.eq_ignore_ascii_case(b"keep-alive"));
                    self.drop_named(field.value);
                    self.dropped.insert(position);
                }
                Known::Upgrade => {
                    self.upgrade = Some(field.value);
                    self.dropped.insert(position);
                }
                Known::Trailer => self.trailers.insert(position),
                Known::Hop => self.dropped.insert(position),
                _ => {}
            }
        }
        if self.coding.is_some() && length.is_some() {
            return Err(BadResponse::Length);
        }
        self.persistent = !close && (self.http11 || keep_alive);
        let bodiless = to_head || self.status < 200 || matches!(self.status, 204 | 304);
        self.framing = match (bodiless, self.coding, length) {
            (true, _, _) | (false, None, Some(0)) => Framing::None,
            (false, Some(_), _) => Framing::Chunked,
            (false, None, Some(length)) => Framing::Length(length),
            (false, None, None) => Framing::Close,
        };
        if self.framing == Framing::Close {
            self.persistent = false;
        }
        if self.framing != Framing::Chunked {
            self.dropped.insert_all(&self.trailers);
            self.coding.into_iter().for_each(|position| self.dropped.insert(position));
        }
        if self.status < 200 || self.status == 204 {
            length_at.into_iter().for_each(|position| self.dropped.insert(position));
        }
        Ok(())
    }

    fn drop_named(&mut self, connection: &[u8]) {
        for name in options(connection) {
            for (position, field) in self.fields.iter().enumerate() {
                if classify(field.name) == Known::Other && field.name.as_bytes().eq_ignore_ascii_case(name) {
                    self.dropped.insert(position);
                }
            }
        }
    }

    /// Whether the head can be passed on byte for byte.
    pub fn passes_unchanged(&self, shape: Shape, edits: &Edits) -> bool {
        let coding_fits = shape.http11 || self.coding.is_none();
        self.http11
            && self.blank
            && coding_fits
            && !shape.close
            && !shape.say_keep_alive
            && !shape.chunk
            && edits.is_empty()
            && self.dropped.is_empty()
    }

    /// The fields that travel on into HTTP/2, which frames bodies itself. What `edits` add comes behind them.
    pub fn kept<'a>(&'a self, edits: &Edits) -> impl Iterator<Item = &'a Header<'a>> + use<'a> {
        let mut dropped = self.dropped;
        self.coding.into_iter().for_each(|position| dropped.insert(position));
        edits.mark_dropped(self.fields, &mut dropped);
        let fields = self.fields.iter().enumerate();
        fields.filter(move |(position, _)| !dropped.contains(*position)).map(|(_, field)| field)
    }

    /// Appends the head for the client, its empty line included. `bytes` are those that were parsed.
    pub fn write(&self, bytes: &[u8], shape: Shape, edits: &Edits, facts: &Facts<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1");
        out.extend_from_slice(&bytes[8..12]);
        if !self.blank {
            out.push(b' ');
        }
        out.extend_from_slice(&bytes[12..self.first_field]);
        let mut dropped = self.dropped;
        if let (Some(position), false) = (self.coding, shape.http11) {
            dropped.insert(position);
            dropped.insert_all(&self.trailers);
        }
        edits.mark_dropped(self.fields, &mut dropped);
        copy_kept(bytes, self.first_field, self.length - 2, self.fields, &dropped, out);
        if shape.chunk {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if let (101, Some(upgrade)) = (self.status, self.upgrade) {
            out.extend_from_slice(b"Connection: upgrade\r\nUpgrade: ");
            out.extend_from_slice(upgrade);
            out.extend_from_slice(b"\r\n");
        } else if shape.close {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if shape.say_keep_alive {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        edits.append(facts, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// Where the fields begin, if nothing stands before the status line and CR LF ends it.
fn status_line_end(bytes: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b'\n', bytes)?;
    (bytes.starts_with(b"HTTP/1.") && bytes[end - 1] == b'\r').then_some(end + 1)
}
