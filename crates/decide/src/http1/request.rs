//! Reads the head of a request: one meaning, or a refusal with its status (RFC 9112, 2-7; the smuggling rules of docs/reference/http.md).

use super::target::{Target, is_authority};
use super::{Dropped, FieldRoom, Framing, MAX_FIELDS, content_length, layout};
use crate::headers::{Known, classify, options};
use crate::path::PathProblem;
use httparse::Header;

/// Why a request is refused. The connection is closed after the answer: its framing cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not the grammar of a request line or of a field.
    Syntax,
    /// A line that does not end with CR LF, or folds, or has a blank before its colon.
    Layout,
    /// Not HTTP/1.0 or HTTP/1.1.
    Version,
    /// The request target is longer than the limit.
    TargetTooLong,
    /// The head is longer than the limit.
    HeadTooLarge,
    /// More fields than the limit.
    TooManyFields,
    /// `CONNECT` is not offered.
    Connect,
    /// A `CONNECT` with a body: what follows is the tunnel's.
    ConnectBody,
    /// `TRACE` is not offered: it would show fields to scripts that may not see them.
    Trace,
    /// A form or a character that a request target cannot have.
    Target,
    /// A path that others could take for another one.
    Path(PathProblem),
    /// No `Host` in HTTP/1.1, or several.
    HostCount,
    /// Not a host with an optional port.
    HostSyntax,
    /// `Host` and an absolute request target name different authorities.
    HostDisagrees,
    /// Several `Content-Length` fields, or one that is not digits alone.
    Length,
    /// Both `Content-Length` and `Transfer-Encoding`.
    LengthAndCoding,
    /// `Transfer-Encoding` in HTTP/1.0.
    CodingInHttp10,
    /// A `Transfer-Encoding` that is repeated, misspelt or does not end in `chunked`.
    Coding,
    /// Transfer codings other than `chunked`.
    CodingUnknown,
    /// An `Expect` other than `100-continue`.
    Expectation,
    /// More connection options than any client needs.
    ConnectionOptions,
    /// HTTP/2: a name or a value that no field can have.
    Field,
    /// HTTP/2: a field that speaks of the connection.
    ConnectionField,
    /// HTTP/2: a protocol named by something other than CONNECT.
    Protocol,
}

impl Malformed {
    /// The status that the client gets.
    pub fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::Version => 505,
            Self::Connect | Self::CodingUnknown => 501,
            Self::Trace => 405,
            Self::Expectation => 417,
            _ => 400,
        }
    }

    /// In words, for the log and for whoever runs the client.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Syntax => "the request is not HTTP/1.1",
            Self::Layout => {
                "a line of the head does not end with CR LF, is folded, or has a blank before its colon"
            }
            Self::Version => "the HTTP version is not supported",
            Self::TargetTooLong => "the request target is too long",
            Self::HeadTooLarge => "the head is too large",
            Self::TooManyFields => "the head has too many fields",
            Self::Connect => "CONNECT is not offered",
            Self::ConnectBody => "CONNECT has no body",
            Self::Trace => "TRACE is not offered",
            Self::Target => "the request target is malformed",
            Self::Path(problem) => problem.sentence(),
            Self::HostCount => "there must be exactly one Host field",
            Self::HostSyntax => "the Host field is malformed",
            Self::HostDisagrees => "the Host field and the request target disagree",
            Self::Length => "the Content-Length is malformed or repeated",
            Self::LengthAndCoding => "there are both a Content-Length and a Transfer-Encoding",
            Self::CodingInHttp10 => "HTTP/1.0 has no Transfer-Encoding",
            Self::Coding => "the Transfer-Encoding is malformed or does not end in chunked",
            Self::CodingUnknown => "transfer codings other than chunked are not supported",
            Self::Expectation => "the expectation is not 100-continue",
            Self::ConnectionOptions => "the Connection field lists too many options",
            Self::Field => "a field has a name or a value that fields cannot have",
            Self::ConnectionField => "a field speaks of the connection, which HTTP/2 forbids",
            Self::Protocol => "only CONNECT names a protocol",
        }
    }
}

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Request line and fields together.
    pub head_bytes: usize,
    /// Number of fields, at most [`MAX_FIELDS`].
    pub headers: usize,
    /// The request target.
    pub target_bytes: usize,
}

impl HeadLimits {
    /// The limits of a complete head: the lengths of its target, its request line, and all of it, and its fields.
    fn check(self, target: usize, line: usize, head: usize, fields: usize) -> Result<(), Malformed> {
        match () {
            () if target > self.target_bytes => Err(Malformed::TargetTooLong),
            () if head > self.head_bytes => Err(Malformed::HeadTooLarge),
            () if fields > self.headers.min(MAX_FIELDS) => Err(Malformed::TooManyFields),
            () if line > self.target_bytes + LINE_EXTRA => Err(Malformed::TargetTooLong),
            () => Ok(()),
        }
    }
}

/// The head of a request that has exactly one meaning.
#[derive(Clone, Debug)]
pub struct RequestHead<'b, 'f> {
    /// A token.
    pub method: &'b str,
    /// Where to.
    pub target: Target<'b>,
    /// HTTP/1.1, not 1.0.
    pub http11: bool,
    /// In the order in which they came.
    pub fields: &'f [Header<'b>],
    /// Host with its port as sent; empty when an HTTP/1.0 client named none.
    pub authority: &'b [u8],
    /// How the body ends; never [`Framing::Close`].
    pub framing: Framing,
    /// The client allows another request on this connection.
    pub persistent: bool,
    /// The client waits for `100 Continue`.
    pub expects_continue: bool,
    /// The protocols that the client offers to switch to, when it may.
    pub upgrade: Option<&'b [u8]>,
    /// How many more hops this request may take; only OPTIONS says so (RFC 9110, 7.6.2). At 0 we answer it.
    pub hops_left: Option<u32>,
    /// Fields that end at this hop.
    pub dropped: Dropped,
    /// Fields in which proxies before us tell of the client.
    pub told: Dropped,
    /// Of those, the `X-Forwarded-For` and `Forwarded` chains, to which we append.
    pub chains: Dropped,
    /// There is a `Host` field (an HTTP/1.0 client need not send one).
    pub(super) names_host: bool,
    /// `Transfer-Encoding` is written anew: it was not spelt as everybody reads it.
    pub(super) respelt: bool,
    /// Where the fields begin.
    pub(super) first_field: usize,
    /// Length of the head in bytes, its empty line included.
    pub length: usize,
}

/// Reads a head from the front of `bytes`. `None`: there is not enough of it yet, and no limit is broken.
pub fn parse<'b, 'f>(
    bytes: &'b [u8],
    limits: HeadLimits,
    room: &'f mut FieldRoom<'b>,
) -> Result<Option<RequestHead<'b, 'f>>, Malformed> {
    let mut parsed = httparse::Request::new(&mut []);
    let length = match parsed.parse_with_uninit_headers(bytes, room) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return too_large(bytes, limits).map_or(Ok(None), Err),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed::TooManyFields),
        Err(httparse::Error::Version) => return Err(version_problem(bytes)),
        Err(_) => return Err(Malformed::Syntax),
    };
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Malformed::Syntax);
    };
    let fields: &'f [Header<'b>] = parsed.headers;
    let first_field = request_line_end(bytes, method, target);
    limits.check(target.len(), first_field.unwrap_or(0), length, fields.len())?;
    let first_field = first_field.ok_or(Malformed::Layout)?;
    if !layout::holds(bytes, first_field, length, fields) {
        return Err(Malformed::Layout);
    }
    if method == "TRACE" {
        return Err(Malformed::Trace);
    }
    let mut head = RequestHead {
        method,
        target: Target::parse(target.as_bytes(), method)?,
        http11: minor == 1,
        fields,
        authority: b"",
        framing: Framing::None,
        persistent: minor == 1,
        expects_continue: false,
        upgrade: None,
        hops_left: None,
        dropped: Dropped::default(),
        told: Dropped::default(),
        chains: Dropped::default(),
        names_host: false,
        respelt: false,
        first_field,
        length,
    };
    head.read_fields()?;
    Ok(Some(head))
}

impl<'b, 'f> RequestHead<'b, 'f> {
    /// The fields that travel on into HTTP/2, which has an authority instead of a `Host`, and frames bodies itself.
    pub fn kept(&self) -> impl Iterator<Item = &'f Header<'b>> + use<'b, 'f> {
        let dropped = self.dropped;
        let fields = self.fields.iter().enumerate();
        let travels = |name: &str| !matches!(classify(name), Known::Host | Known::TransferEncoding);
        fields
            .filter(move |(position, field)| !dropped.contains(*position) && travels(field.name))
            .map(|(_, field)| field)
    }
}

/// Whether a client that offers these protocols would open a WebSocket.
pub fn offers_websocket(offer: &[u8]) -> bool {
    options(offer).any(|offered| offered.eq_ignore_ascii_case(b"websocket"))
}

impl<'b> RequestHead<'b, '_> {
    /// Whether it asks for a tunnel: its target is the authority to which the tunnel is to lead, and there is no path.
    pub fn is_connect(&self) -> bool {
        self.method == "CONNECT"
    }

    /// The key of a WebSocket's handshake (RFC 6455, 4.1); `None` when this is none.
    pub fn websocket_key(&self) -> Option<&'b [u8]> {
        let offered = self.method == "GET" && self.upgrade.is_some_and(offers_websocket);
        let key = self.fields.iter().find(|field| field.name.eq_ignore_ascii_case("sec-websocket-key"));
        key.filter(|_| offered).map(|field| field.value)
    }

    fn read_fields(&mut self) -> Result<(), Malformed> {
        let mut seen = Seen::default();
        for (position, field) in self.fields.iter().enumerate() {
            let known = classify(field.name);
            if known != Known::Other && !self.read_field(position, known, field.value, &mut seen)? {
                self.dropped.insert(position);
            }
        }
        self.agree_on_authority(&seen)?;
        self.agree_on_framing(&seen)?;
        if self.framing != Framing::Chunked {
            self.dropped.insert_all(&seen.trailers);
        } else if seen.coding != Some(b"chunked") {
            // An endpoint that compares by case would see no body at all.
            self.dropped.insert(seen.coding_at);
            self.respelt = true;
        }
        if seen.connection {
            self.read_connection(&seen)?;
        }
        Ok(())
    }

    /// Takes note of a field that is not merely passed on. Whether it travels on all the same.
    fn read_field(
        &mut self,
        position: usize,
        known: Known,
        value: &'b [u8],
        seen: &mut Seen<'b>,
    ) -> Result<bool, Malformed> {
        match known {
            Known::Host if seen.host.replace(value).is_some() => return Err(Malformed::HostCount),
            Known::Host => return Ok(true),
            Known::ContentLength if seen.length.replace(value).is_some() => {
                return Err(Malformed::Length);
            }
            Known::ContentLength => return Ok(true),
            Known::TransferEncoding if seen.coding.replace(value).is_some() => {
                return Err(Malformed::Coding);
            }
            Known::TransferEncoding => {
                seen.coding_at = position;
                return Ok(true);
            }
            Known::Expect if !value.eq_ignore_ascii_case(b"100-continue") => {
                return Err(Malformed::Expectation);
            }
            Known::Expect if self.http11 => {
                self.expects_continue = true;
                return Ok(true);
            }
            Known::Trailer => {
                seen.trailers.insert(position);
                return Ok(true);
            }
            Known::XForwardedFor | Known::Forwarded | Known::ClientCertificate => {
                self.told.insert(position);
                self.chains.insert(position);
                return Ok(true);
            }
            Known::XForwardedHost | Known::XForwardedProto | Known::XForwardedMore => {
                self.told.insert(position);
                return Ok(true);
            }
            Known::MaxForwards if self.method != "OPTIONS" => return Ok(true),
            Known::MaxForwards => {
                // Beyond what fits it is as good as no limit; several or malformed ones are dropped.
                let hops = content_length(value).and_then(|hops| u32::try_from(hops).ok());
                self.hops_left = self.hops_left.or(hops);
            }
            Known::Connection => seen.connection = true,
            Known::Upgrade => seen.upgrade = Some(value),
            // Meant for the proxy that is asked for the tunnel, which we are not (RFC 9110, 11.7.2).
            Known::Hop if self.is_connect() => {
                return Ok(self.fields[position].name.eq_ignore_ascii_case("proxy-authorization"));
            }
            Known::Other | Known::Expect | Known::Hop | Known::Ambiguous => {}
        }
        Ok(false)
    }

    fn agree_on_authority(&mut self, seen: &Seen<'b>) -> Result<(), Malformed> {
        let Some(host) = seen.host else {
            if self.http11 {
                return Err(Malformed::HostCount);
            }
            self.authority = self.target.authority.unwrap_or_default();
            return Ok(());
        };
        if !is_authority(host) {
            return Err(Malformed::HostSyntax);
        }
        if self.target.authority.is_some_and(|named| !named.eq_ignore_ascii_case(host)) {
            return Err(Malformed::HostDisagrees);
        }
        (self.authority, self.names_host) = (host, true);
        Ok(())
    }

    fn agree_on_framing(&mut self, seen: &Seen<'_>) -> Result<(), Malformed> {
        self.framing = match (seen.coding, seen.length) {
            (Some(_), _) if !self.http11 => return Err(Malformed::CodingInHttp10),
            (Some(_), Some(_)) => return Err(Malformed::LengthAndCoding),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
            (Some(coding), None) => return Err(coding_problem(coding)),
            (None, Some(length)) => match content_length(length).ok_or(Malformed::Length)? {
                0 => Framing::None,
                length => Framing::Length(length),
            },
            (None, None) => Framing::None,
        };
        if self.is_connect() && self.framing != Framing::None {
            return Err(Malformed::ConnectBody);
        }
        Ok(())
    }

    fn read_connection(&mut self, seen: &Seen<'b>) -> Result<(), Malformed> {
        const MOST: usize = 16;
        let (mut close, mut keep_alive, mut upgrade) = (false, false, false);
        let mut named: [&[u8]; MOST] = [b""; MOST];
        let mut count = 0;
        for field in self.fields.iter().filter(|field| classify(field.name) == Known::Connection) {
            for option in options(field.value) {
                match option {
                    _ if option.eq_ignore_ascii_case(b"close") => close = true,
                    _ if option.eq_ignore_ascii_case(b"keep-alive") => keep_alive = true,
                    _ if option.eq_ignore_ascii_case(b"upgrade") => upgrade = true,
                    _ if count == MOST => return Err(Malformed::ConnectionOptions),
                    _ => {
                        named[count] = option;
                        count += 1;
                    }
                }
            }
        }
        self.persistent = !close && (self.http11 || keep_alive);
        self.drop_named(&named[..count]);
        // An upgrade that comes with a body, or that would slip HTTP/2 past us, is not passed on (RFC 9931; CVE-2026-58055).
        if upgrade && self.http11 && self.framing == Framing::None && !self.is_connect() {
            self.upgrade = seen.upgrade.filter(|offer| {
                !offer.is_empty()
                    && options(offer).all(|protocol| {
                        !protocol.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"h2c"))
                    })
            });
        }
        Ok(())
    }

    /// Fields that `Connection` names end here, save those that carry the message itself and those in which proxies
    /// tell of the client: whoever is trusted to send them cannot strip what we add (CVE-2022-31813).
    fn drop_named(&mut self, names: &[&[u8]]) {
        for name in names {
            for (position, field) in self.fields.iter().enumerate() {
                let stays = matches!(
                    classify(field.name),
                    Known::Host | Known::ContentLength | Known::TransferEncoding
                ) || self.told.contains(position);
                if !stays && field.name.as_bytes().eq_ignore_ascii_case(name) {
                    self.dropped.insert(position);
                }
            }
        }
    }
}

#[derive(Default)]
struct Seen<'b> {
    host: Option<&'b [u8]>,
    length: Option<&'b [u8]>,
    coding: Option<&'b [u8]>,
    upgrade: Option<&'b [u8]>,
    trailers: Dropped,
    coding_at: usize,
    connection: bool,
}

/// Where the fields begin, if the request line is `method SP target SP HTTP/1.x CRLF` after nothing but empty lines.
fn request_line_end(bytes: &[u8], method: &str, target: &str) -> Option<usize> {
    let start = layout::offset(bytes, method.as_bytes());
    let before_holds = bytes[..start].chunks(2).all(|line| line == b"\r\n");
    let target_start = start + method.len() + 1;
    let version = target_start + target.len() + 1;
    let line_holds = layout::offset(bytes, target.as_bytes()) == target_start
        && bytes[target_start - 1] == b' '
        && bytes.get(version - 1) == Some(&b' ')
        && bytes.get(version..).is_some_and(|rest| rest.starts_with(b"HTTP/1."))
        && bytes.get(version + 8..).is_some_and(|rest| rest.starts_with(b"\r\n"));
    (before_holds && line_holds).then_some(version + 10)
}

/// What a request line may have beside its target: method, version, blanks and line end.
const LINE_EXTRA: usize = 64;

/// The limits as far as they can be told before the head is complete. The answer does not depend on how the bytes arrive.
fn too_large(bytes: &[u8], limits: HeadLimits) -> Option<Malformed> {
    let line = limits.target_bytes + LINE_EXTRA;
    let line_is_open = bytes.len() >= line && memchr::memchr(b'\n', &bytes[..line]).is_none();
    match () {
        () if line_is_open => Some(Malformed::TargetTooLong),
        () if bytes.len() >= limits.head_bytes => Some(Malformed::HeadTooLarge),
        () => None,
    }
}

/// A request line that is well-formed but for its version is refused as such; anything else is no HTTP/1 at all.
fn version_problem(bytes: &[u8]) -> Malformed {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let line = lines.find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let mut words = line.strip_suffix(b"\r").unwrap_or(line).split(|byte| *byte == b' ');
    let (_method, _target, version) = (words.next(), words.next(), words.next().unwrap_or_default());
    let of_another_version = match version.strip_prefix(b"HTTP/") {
        Some([b'1', b'.', b'0' | b'1']) => false,
        Some([major, b'.', minor]) => major.is_ascii_digit() && minor.is_ascii_digit(),
        Some([major]) => major.is_ascii_digit(),
        _ => false,
    };
    if of_another_version && words.next().is_none() { Malformed::Version } else { Malformed::Syntax }
}

/// `gzip, chunked` could be served by others; everything else is malformed.
fn coding_problem(coding: &[u8]) -> Malformed {
    let codings = || options(coding);
    let are_tokens =
        codings().all(|coding| coding.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-'));
    let ends_in_chunked = codings().last().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    let one_chunked = codings().filter(|coding| coding.eq_ignore_ascii_case(b"chunked")).count() == 1;
    if are_tokens && ends_in_chunked && one_chunked && codings().count() > 1 {
        Malformed::CodingUnknown
    } else {
        Malformed::Coding
    }
}
