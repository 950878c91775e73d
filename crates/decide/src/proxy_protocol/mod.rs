//! The PROXY protocol, versions 1 and 2: who the client of a connection is, told by who passes it on.
//!
//! Written from HAProxy's `proxy-protocol.txt` (2020/03/05 and later). Strict: a header that another reader could
//! understand otherwise is refused. Nothing is copied: what is read borrows from the bytes of the connection.
//!
//! | question | file |
//! |---|---|
//! | Is there a header, and what does it say? | this one, `text.rs` (version 1), `binary.rs` (version 2) |
//! | What else does it tell? | `tlv.rs`, `checksum.rs` |
//! | Which bytes say this? | `write.rs` |

mod binary;
mod checksum;
mod text;
mod tlv;
mod write;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

pub use binary::MAX_BINARY;
pub use text::MAX_TEXT;
pub use tlv::{MAX_UNIQUE_ID, Tls, Tlv, Tlvs};
pub use write::{write_binary, write_text};

/// A complete header, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Which of the two forms it had.
    pub version: Version,
    /// Whose connection it is.
    pub origin: Origin<'a>,
    /// What else version 2 tells; empty in version 1, and where the origin is `Local` or `Unknown`.
    pub tlvs: Tlvs<'a>,
}

/// The two forms of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    One,
    /// Binary, with TLVs.
    Two,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// The sender's own, of a check for example: its real addresses hold.
    Local,
    /// Somebody's who cannot be named (`UNKNOWN`, `UNSPEC`): the real addresses hold.
    Unknown,
    /// A client's.
    Internet {
        /// TCP or UDP.
        transport: Transport,
        /// The client's address and port.
        source: SocketAddr,
        /// Where the client connected to. Of the same family as the source.
        destination: SocketAddr,
    },
    /// A client's on a Unix socket: each path as its 108 bytes, padded with zeros.
    Unix {
        /// Stream or datagram.
        transport: Transport,
        /// The client's path, often empty.
        source: &'a [u8; 108],
        /// The path that it connected to.
        destination: &'a [u8; 108],
    },
}

/// What carried the client's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, or a Unix stream.
    Stream,
    /// UDP, or Unix datagrams.
    Datagram,
}

impl Origin<'_> {
    /// A client's TCP connection between these two addresses. Where only one is IPv4, it is written as IPv6
    /// (`::ffff:192.0.2.1`), so that no address is lost.
    pub fn tcp(source: SocketAddr, destination: SocketAddr) -> Self {
        let (source, destination) = of_one_family(source, destination);
        Self::Internet { transport: Transport::Stream, source, destination }
    }
}

fn of_one_family(one: SocketAddr, other: SocketAddr) -> (SocketAddr, SocketAddr) {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    let (a, b) = if a.is_ipv4() == b.is_ipv4() { (a, b) } else { (mapped(a).into(), mapped(b).into()) };
    (SocketAddr::new(a, one.port()), SocketAddr::new(b, other.port()))
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Why bytes are no header, or one that nobody may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The first bytes belong to something else.
    Absent,
    /// Version 1: no CR LF within 107 bytes.
    Endless,
    /// Version 1: a CR or an LF alone.
    LineEnd,
    /// Version 1: something other than `TCP4`, `TCP6` and `UNKNOWN`, or too few or too many words.
    Words,
    /// Version 1: not an address of the family that it names.
    Address,
    /// Version 1: not a port, or with zeros in front.
    Port,
    /// Version 2: its number is not 2.
    Version,
    /// Version 2: neither LOCAL nor PROXY.
    Command,
    /// Version 2: a family or transport that is not assigned.
    Family,
    /// Version 2: longer than [`MAX_BINARY`]; when writing, more than fits.
    TooLong,
    /// Version 2: too short for the addresses of its family.
    NoAddresses,
    /// Version 2: a TLV reaches beyond the end.
    CutTlv,
    /// Version 2: a TLV of a known type with a length that it cannot have.
    TlvLength,
    /// Version 2: the checksum is there and wrong, or there twice.
    Checksum,
}

impl Refusal {
    /// In words, to be put behind "the PROXY header is refused: ".
    pub fn reason(self) -> &'static str {
        match self {
            Self::Absent => "the connection does not begin with one",
            Self::Endless => "version 1 without CR LF in its first 107 bytes",
            Self::LineEnd => "version 1 with a CR or an LF alone",
            Self::Words => {
                "version 1 is not \"PROXY TCP4|TCP6 source destination port port\" or \"PROXY UNKNOWN\""
            }
            Self::Address => "version 1 with an address that is none of its family",
            Self::Port => "version 1 with a port that is not a number from 0 to 65535 without leading zeros",
            Self::Version => "a binary header whose version is not 2",
            Self::Command => "version 2 with a command other than LOCAL and PROXY",
            Self::Family => "version 2 with an address family or transport that is not assigned",
            Self::TooLong => "version 2 is longer than 4096 bytes",
            Self::NoAddresses => "version 2 is shorter than the addresses of its family",
            Self::CutTlv => "version 2 with a TLV that reaches beyond its end",
            Self::TlvLength => "version 2 with a TLV of a length that its type cannot have",
            Self::Checksum => "version 2 with a wrong CRC32C",
        }
    }
}

/// Reads the header that `bytes` begin with, and says how many of them it is long.
///
/// `None` while more bytes are needed; to be asked again with all of them. What cannot become a header any more is
/// refused at the first byte that says so.
pub fn read(bytes: &[u8]) -> Result<Option<(Header<'_>, usize)>, Refusal> {
    match bytes.first() {
        None => Ok(None),
        Some(b'P') => text::read(bytes),
        Some(b'\r') => binary::read(bytes),
        Some(_) => Err(Refusal::Absent),
    }
}

/// Whether `bytes`, or what may follow them, would be a header of either version.
pub fn may_begin(bytes: &[u8]) -> bool {
    begins_like(bytes, text::PREFIX) || begins_like(bytes, &binary::SIGNATURE)
}

fn begins_like(bytes: &[u8], prefix: &[u8]) -> bool {
    let length = bytes.len().min(prefix.len());
    bytes[..length] == prefix[..length]
}

#[cfg(test)]
mod tests;
