//! What a header of version 2 tells beyond addresses: type, length and value, one after the other.

use super::Refusal;
use super::checksum;

/// The longest unique id.
pub const MAX_UNIQUE_ID: usize = 128;

pub(super) const ALPN: u8 = 0x01;
pub(super) const AUTHORITY: u8 = 0x02;
pub(super) const CHECKSUM: u8 = 0x03;
pub(super) const NOOP: u8 = 0x04;
pub(super) const UNIQUE_ID: u8 = 0x05;
pub(super) const TLS: u8 = 0x20;
pub(super) const TLS_VERSION: u8 = 0x21;
pub(super) const TLS_COMMON_NAME: u8 = 0x22;
pub(super) const TLS_CIPHER: u8 = 0x23;
pub(super) const TLS_SIGNATURE: u8 = 0x24;
pub(super) const TLS_KEY: u8 = 0x25;
pub(super) const NAMESPACE: u8 = 0x30;

/// One of them. Values are bytes: a sender passes on what its client said, so that text is not promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tlv<'a> {
    /// The protocol that TLS agreed on, `h2` for example.
    Alpn(&'a [u8]),
    /// The name that the client asked for, of TLS the SNI.
    Authority(&'a [u8]),
    /// CRC32C of the header, verified.
    Checksum(u32),
    /// Padding.
    Noop(&'a [u8]),
    /// Tells connections apart across proxies; at most [`MAX_UNIQUE_ID`] bytes.
    UniqueId(&'a [u8]),
    /// That, and how, the client came through TLS.
    Tls(Tls<'a>),
    /// The network namespace.
    Namespace(&'a [u8]),
    /// Of another type.
    Other {
        /// Its type.
        kind: u8,
        /// Its value.
        value: &'a [u8],
    },
}

/// How the client came through TLS. Of a part that is told twice the first counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tls<'a> {
    /// It came through TLS at all.
    pub encrypted: bool,
    /// It showed a certificate on this connection.
    pub certificate_now: bool,
    /// It showed one at least once in this TLS session.
    pub certificate_in_session: bool,
    /// Zero when a certificate was shown and verified.
    pub verify: u32,
    /// `TLSv1.3` for example.
    pub version: Option<&'a [u8]>,
    /// The common name of the client's certificate.
    pub common_name: Option<&'a [u8]>,
    /// The cipher suite.
    pub cipher: Option<&'a [u8]>,
    /// What the certificate of the listener was signed with.
    pub signature: Option<&'a [u8]>,
    /// The kind of its key.
    pub key: Option<&'a [u8]>,
}

/// TLVs that are well-formed all the way, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlvs<'a>(&'a [u8]);

impl<'a> Tlvs<'a> {
    pub(super) const NONE: Tlvs<'static> = Tlvs(&[]);

    /// Those from `begin` to the end of the whole header, each of them looked at.
    pub(super) fn read(whole: &'a [u8], begin: usize) -> Result<Self, Refusal> {
        let all = Self(&whole[begin..]);
        let (mut rest, mut sum) = (all.0, None);
        while !rest.is_empty() {
            let (kind, value, after) = split(rest).ok_or(Refusal::CutTlv)?;
            if let Tlv::Checksum(told) = understand(kind, value)? {
                let end = whole.len() - after.len();
                if sum.replace(told).is_some() || told != checksum::of(whole, end - 4..end) {
                    return Err(Refusal::Checksum);
                }
            }
            rest = after;
        }
        Ok(all)
    }

    /// The protocol that TLS agreed on. Here and below, of a type that occurs twice the first counts.
    pub fn alpn(mut self) -> Option<&'a [u8]> {
        self.find_map(|tlv| if let Tlv::Alpn(value) = tlv { Some(value) } else { None })
    }

    /// The name that the client asked for.
    pub fn authority(mut self) -> Option<&'a [u8]> {
        self.find_map(|tlv| if let Tlv::Authority(value) = tlv { Some(value) } else { None })
    }

    /// What tells this connection from others.
    pub fn unique_id(mut self) -> Option<&'a [u8]> {
        self.find_map(|tlv| if let Tlv::UniqueId(value) = tlv { Some(value) } else { None })
    }

    /// How the client came through TLS.
    pub fn tls(mut self) -> Option<Tls<'a>> {
        self.find_map(|tlv| if let Tlv::Tls(value) = tlv { Some(value) } else { None })
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        let (kind, value, rest) = split(self.0)?;
        self.0 = rest;
        understand(kind, value).ok()
    }
}

/// The type and value of the first, and what follows it.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([kind, high, low], rest) = bytes.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
    Some((*kind, value, rest))
}

fn understand(kind: u8, value: &[u8]) -> Result<Tlv<'_>, Refusal> {
    Ok(match kind {
        ALPN => Tlv::Alpn(value),
        AUTHORITY => Tlv::Authority(value),
        CHECKSUM => Tlv::Checksum(u32::from_be_bytes(value.try_into().map_err(|_| Refusal::TlvLength)?)),
        NOOP => Tlv::Noop(value),
        UNIQUE_ID if value.len() > MAX_UNIQUE_ID => return Err(Refusal::TlvLength),
        UNIQUE_ID => Tlv::UniqueId(value),
        TLS => Tlv::Tls(tls(value)?),
        NAMESPACE => Tlv::Namespace(value),
        kind => Tlv::Other { kind, value },
    })
}

fn tls(value: &[u8]) -> Result<Tls<'_>, Refusal> {
    let ([client, verify @ ..], mut rest) = value.split_first_chunk::<5>().ok_or(Refusal::TlvLength)?;
    let mut told = Tls {
        encrypted: client & 1 != 0,
        certificate_now: client & 2 != 0,
        certificate_in_session: client & 4 != 0,
        verify: u32::from_be_bytes(*verify),
        ..Tls::default()
    };
    while !rest.is_empty() {
        let (kind, value, after) = split(rest).ok_or(Refusal::CutTlv)?;
        let part = match kind {
            TLS_VERSION => &mut told.version,
            TLS_COMMON_NAME => &mut told.common_name,
            TLS_CIPHER => &mut told.cipher,
            TLS_SIGNATURE => &mut told.signature,
            TLS_KEY => &mut told.key,
            _ => &mut None,
        };
        part.get_or_insert(value);
        rest = after;
    }
    Ok(told)
}
