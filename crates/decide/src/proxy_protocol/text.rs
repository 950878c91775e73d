//! Version 1: one line of text, such as `PROXY TCP4 192.0.2.7 192.0.2.1 56324 443`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Header, Origin, Refusal, Tlvs, Transport, Version, begins_like};

/// What the line begins with.
pub(super) const PREFIX: &[u8] = b"PROXY ";
/// The longest line, with its CR LF.
pub const MAX_TEXT: usize = 107;

pub(super) fn read(bytes: &[u8]) -> Result<Option<(Header<'_>, usize)>, Refusal> {
    if !begins_like(bytes, PREFIX) {
        return Err(Refusal::Absent);
    }
    let Some(length) = line(&bytes[..bytes.len().min(MAX_TEXT)])? else {
        return if bytes.len() < MAX_TEXT { Ok(None) } else { Err(Refusal::Endless) };
    };
    let words = bytes.get(PREFIX.len()..length).ok_or(Refusal::Words)?;
    let header = Header { version: Version::One, origin: origin(words)?, tlvs: Tlvs::NONE };
    Ok(Some((header, length + 2)))
}

/// The length of the line before its CR LF, once that is there.
fn line(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    match memchr::memchr2(b'\r', b'\n', bytes) {
        None => Ok(None),
        Some(at) if bytes[at] == b'\n' => Err(Refusal::LineEnd),
        Some(at) => match bytes.get(at + 1) {
            None => Ok(None),
            Some(b'\n') => Ok(Some(at)),
            Some(_) => Err(Refusal::LineEnd),
        },
    }
}

fn origin(words: &[u8]) -> Result<Origin<'static>, Refusal> {
    // Whatever follows UNKNOWN is to be ignored.
    if words == b"UNKNOWN" || words.starts_with(b"UNKNOWN ") {
        return Ok(Origin::Unknown);
    }
    let mut words = words.split(|byte| *byte == b' ');
    let address = match words.next() {
        Some(b"TCP4") => |word| plain::<Ipv4Addr>(word).map(IpAddr::V4),
        Some(b"TCP6") => |word| plain::<Ipv6Addr>(word).map(IpAddr::V6),
        _ => return Err(Refusal::Words),
    };
    let mut next = || words.next().ok_or(Refusal::Words);
    let (source, destination) = (next()?, next()?);
    let (source_port, destination_port) = (next()?, next()?);
    if words.next().is_some() {
        return Err(Refusal::Words);
    }
    let end = |word, number| {
        let address = address(word).ok_or(Refusal::Address)?;
        Ok(SocketAddr::new(address, port(number)?))
    };
    Ok(Origin::Internet {
        transport: Transport::Stream,
        source: end(source, source_port)?,
        destination: end(destination, destination_port)?,
    })
}

fn plain<Address: std::str::FromStr>(word: &[u8]) -> Option<Address> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// `u16::from_str` would take a sign and zeros in front.
fn port(word: &[u8]) -> Result<u16, Refusal> {
    let canonical = word.iter().all(u8::is_ascii_digit) && (word == b"0" || !word.starts_with(b"0"));
    plain(word).filter(|_| canonical).ok_or(Refusal::Port)
}
