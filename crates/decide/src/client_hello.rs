//! Reads the ClientHello of TLS from the bytes of a connection: which name is asked for, and which protocols.
//!
//! For choosing where a connection goes that is not decrypted here. Strict where two readers could see two names:
//! a router that reads another name than the server behind it is a hole. Nothing is copied unless a handshake message
//! is split over records.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;

/// The longest handshake message, with its header. A browser's has some 600 bytes, with post-quantum shares 1,800.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// The most records that a message may be split over.
pub const MAX_RECORDS: usize = 128;
/// Bytes to hold at most while more are needed: a message and the headers of its records.
pub const MAX_BYTES: usize = MAX_MESSAGE + MAX_RECORDS * RECORD_HEADER;

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
/// The longest plaintext of a record (RFC 8446, 5.1).
const MAX_RECORD: usize = 1 << 14;
/// The longest name in DNS, in letters.
const MAX_NAME: usize = 253;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const ENCRYPTED_HELLO: u16 = 0xfe0d;

/// What the bytes so far are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading<'a> {
    /// The beginning of a ClientHello, perhaps. To be asked again with all bytes once there are more; never wanted for
    /// more than [`MAX_BYTES`].
    NeedMore,
    /// A complete one. Bytes behind it (early data) are not looked at.
    Hello(Hello<'a>),
    /// Something other than TLS.
    NotTls,
    /// TLS that breaks its own rules, or that two readers could understand differently.
    Refused(Refusal),
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    message: Cow<'a, [u8]>,
    server_name: Option<Range<usize>>,
    protocols: Range<usize>,
    encrypted: bool,
}

impl Hello<'_> {
    /// The name that is asked for (SNI), as the client wrote it: letters of any case, perhaps a dot at its end.
    /// None when there is none or it is an IP address, which RFC 6066 does not permit and rustls does not see either.
    pub fn server_name(&self) -> Option<&str> {
        std::str::from_utf8(&self.message[self.server_name.clone()?]).ok()
    }

    /// The protocols that the client speaks (ALPN), in its order of preference; none of them empty. Some are GREASE
    /// (RFC 8701) and mean nothing.
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = Fields(&self.message[self.protocols.clone()]);
        std::iter::from_fn(move || rest.short_list())
    }

    /// Whether there may be another hello inside, encrypted (ECH): the name is then that of whoever can decrypt it. Many
    /// clients pretend.
    pub fn may_hold_another(&self) -> bool {
        self.encrypted
    }
}

/// Why a hello is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A record of no or too many bytes, or of another type before the message is complete.
    Record,
    /// Split over more than [`MAX_RECORDS`] records.
    TooManyRecords,
    /// Another handshake message.
    NotAHello,
    /// Longer than [`MAX_MESSAGE`].
    TooLong,
    /// Its record holds more than the message.
    Trailing,
    /// Lengths inside it do not add up.
    Lengths,
    /// An extension is there twice.
    Twice,
    /// More than one name, or one of another type than a host's.
    Names,
    /// A name with letters that no host name has, or too many.
    Name,
}

impl Refusal {
    /// In words, to be put behind "the ClientHello is refused: ".
    pub fn reason(self) -> &'static str {
        match self {
            Self::Record => "a record is empty, too long, or of another type before the message is complete",
            Self::TooManyRecords => "it is split over more than 128 records",
            Self::NotAHello => "the first message is another one",
            Self::TooLong => "it is longer than 64 KiB",
            Self::Trailing => "its record holds more than the message",
            Self::Lengths => "lengths inside it do not add up",
            Self::Twice => "an extension is there twice",
            Self::Names => "it does not ask for exactly one host name",
            Self::Name => "the name it asks for is not a host name",
        }
    }
}

/// Reads what a connection begins with. Refused as soon as a byte is there that no ClientHello has.
pub fn read(bytes: &[u8]) -> Reading<'_> {
    if !may_be_tls(bytes) {
        return Reading::NotTls;
    }
    match message(bytes).and_then(|message| message.map(understand).transpose()) {
        Ok(None) => Reading::NeedMore,
        Ok(Some(hello)) => Reading::Hello(hello),
        Err(refusal) => Reading::Refused(refusal),
    }
}

/// A handshake record of any version since SSL 3.0.
fn may_be_tls(bytes: &[u8]) -> bool {
    bytes.iter().zip([HANDSHAKE, 3]).all(|(byte, expected)| *byte == expected)
}

/// The handshake message with its header, once all its records are there.
fn message(bytes: &[u8]) -> Result<Option<Cow<'_, [u8]>>, Refusal> {
    let (mut rest, mut records, mut had) = (bytes, 0, 0);
    let mut length = MessageLength::default();
    loop {
        let Some(record) = Record::read(rest)? else { return Ok(None) };
        records += 1;
        if records > MAX_RECORDS {
            return Err(Refusal::TooManyRecords);
        }
        length.take(record.payload)?;
        had += record.announced;
        match length.whole() {
            Some(whole) if had > whole => return Err(Refusal::Trailing),
            Some(whole) if had == whole && record.is_complete() => break,
            _ if !record.is_complete() => return Ok(None),
            _ => rest = &rest[RECORD_HEADER + record.announced..],
        }
    }
    if records == 1 {
        return Ok(Some(Cow::Borrowed(&bytes[RECORD_HEADER..RECORD_HEADER + had])));
    }
    Ok(Some(Cow::Owned(joined(bytes, had))))
}

/// The payloads of records one after the other, of which all are known to be there.
fn joined(mut bytes: &[u8], length: usize) -> Vec<u8> {
    let mut whole = Vec::with_capacity(length);
    while whole.len() < length
        && let Ok(Some(record)) = Record::read(bytes)
    {
        whole.extend_from_slice(record.payload);
        bytes = &bytes[RECORD_HEADER + record.payload.len()..];
    }
    whole
}

struct Record<'a> {
    /// How long the payload is to be.
    announced: usize,
    /// As much of it as is there.
    payload: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(bytes: &'a [u8]) -> Result<Option<Self>, Refusal> {
        if !may_be_tls(bytes) {
            return Err(Refusal::Record);
        }
        let Some((header, rest)) = bytes.split_at_checked(RECORD_HEADER) else { return Ok(None) };
        let announced = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if announced == 0 || announced > MAX_RECORD {
            return Err(Refusal::Record);
        }
        Ok(Some(Self { announced, payload: &rest[..rest.len().min(announced)] }))
    }

    fn is_complete(&self) -> bool {
        self.payload.len() == self.announced
    }
}

/// Type and length of the message, which may be split over records themselves.
#[derive(Default)]
struct MessageLength {
    header: [u8; MESSAGE_HEADER],
    had: usize,
}

impl MessageLength {
    fn take(&mut self, payload: &[u8]) -> Result<(), Refusal> {
        let more = payload.len().min(MESSAGE_HEADER - self.had);
        self.header[self.had..self.had + more].copy_from_slice(&payload[..more]);
        self.had += more;
        if self.had > 0 && self.header[0] != CLIENT_HELLO {
            return Err(Refusal::NotAHello);
        }
        if self.whole().is_some_and(|whole| whole > MAX_MESSAGE) { Err(Refusal::TooLong) } else { Ok(()) }
    }

    /// The length of the whole message, its header included, once it is known.
    fn whole(&self) -> Option<usize> {
        let [_, high, middle, low] = self.header;
        let known = self.had == MESSAGE_HEADER;
        known.then(|| MESSAGE_HEADER + u32::from_be_bytes([0, high, middle, low]) as usize)
    }
}

/// Takes the message apart (RFC 8446, 4.1.2).
fn understand(message: Cow<'_, [u8]>) -> Result<Hello<'_>, Refusal> {
    let mut extensions = Extensions::default();
    extensions.read(&message).ok_or(Refusal::Lengths)??;
    let Extensions { server_name, protocols, encrypted } = extensions;
    let server_name = match server_name {
        Some(list) => host_name(&message, list)?,
        None => None,
    };
    let protocols = match protocols {
        Some(list) => protocol_list(&message, list).ok_or(Refusal::Lengths)?,
        None => 0..0,
    };
    Ok(Hello { server_name, protocols, encrypted, message })
}

/// Where the extensions stand that matter here.
#[derive(Default)]
struct Extensions {
    server_name: Option<Range<usize>>,
    protocols: Option<Range<usize>>,
    encrypted: bool,
}

impl Extensions {
    /// `None` when lengths do not add up.
    fn read(&mut self, message: &[u8]) -> Option<Result<(), Refusal>> {
        let mut fields = Fields(&message[MESSAGE_HEADER..]);
        // Version and random number.
        fields.take(2 + 32)?;
        let session = fields.short_list_or_empty()?;
        let ciphers = fields.long_list()?;
        fields.short_list()?;
        if session.len() > 32 || ciphers.is_empty() || !ciphers.len().is_multiple_of(2) {
            return None;
        }
        // Until TLS 1.2 the extensions may be left out altogether.
        if fields.0.is_empty() {
            return Some(Ok(()));
        }
        let mut extensions = Fields(fields.long_list()?);
        if !fields.0.is_empty() {
            return None;
        }
        while !extensions.0.is_empty() {
            let kind = extensions.number()?;
            let value = place(message, extensions.long_list()?, extensions.0);
            if let Err(refusal) = self.note(kind, value) {
                return Some(Err(refusal));
            }
        }
        Some(Ok(()))
    }

    fn note(&mut self, kind: u16, value: Range<usize>) -> Result<(), Refusal> {
        let twice = match kind {
            SERVER_NAME => self.server_name.replace(value).is_some(),
            ALPN => self.protocols.replace(value).is_some(),
            ENCRYPTED_HELLO => std::mem::replace(&mut self.encrypted, true),
            _ => false,
        };
        if twice { Err(Refusal::Twice) } else { Ok(()) }
    }
}

/// Where in `message`, which ends with `after`, the part before that stands.
fn place(message: &[u8], part: &[u8], after: &[u8]) -> Range<usize> {
    let end = message.len() - after.len();
    end - part.len()..end
}

/// Where the one name stands that the list holds (RFC 6066, 3), unless it is an IP address.
fn host_name(message: &[u8], list: Range<usize>) -> Result<Option<Range<usize>>, Refusal> {
    let mut extension = Fields(&message[list.clone()]);
    let mut names = Fields(extension.long_list().ok_or(Refusal::Lengths)?);
    if !extension.0.is_empty() {
        return Err(Refusal::Lengths);
    }
    let kind = names.take(1).ok_or(Refusal::Names)?;
    let name = names.long_list().ok_or(Refusal::Lengths)?;
    if kind != [0] || !names.0.is_empty() {
        return Err(Refusal::Names);
    }
    let text = std::str::from_utf8(name).map_err(|_| Refusal::Name)?;
    if text.parse::<IpAddr>().is_ok() {
        return Ok(None);
    }
    let bare = text.strip_suffix('.').unwrap_or(text);
    let sound = |label: &str| {
        let mut letters = label.bytes();
        (1..=63).contains(&label.len())
            && letters.all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
    };
    if bare.len() > MAX_NAME || !bare.split('.').all(sound) {
        return Err(Refusal::Name);
    }
    Ok(Some(list.end - name.len()..list.end))
}

/// Where the protocols stand (RFC 7301, 3.1), each with its length, none empty.
fn protocol_list(message: &[u8], list: Range<usize>) -> Option<Range<usize>> {
    let mut extension = Fields(&message[list.clone()]);
    let protocols = extension.long_list()?;
    let mut rest = Fields(protocols);
    while !rest.0.is_empty() {
        rest.short_list()?;
    }
    let sound = extension.0.is_empty() && !protocols.is_empty();
    sound.then(|| list.end - protocols.len()..list.end)
}

/// Fields one after the other; each is `None` when the bytes do not suffice.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// What two bytes tell the length of.
    fn long_list(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length.into())
    }

    /// What one byte tells the length of.
    fn short_list_or_empty(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(length.into())
    }

    /// The same, of which an empty one is as bad as none.
    fn short_list(&mut self) -> Option<&'a [u8]> {
        self.short_list_or_empty().filter(|list| !list.is_empty())
    }
}

#[cfg(test)]
mod tests;
