//! Version 2: a signature, what kind of connection it is, its addresses, TLVs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Header, Origin, Refusal, Tlvs, Transport, Version, begins_like};

/// What the header begins with: a request line, a ClientHello or a banner never does.
pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Up to the length, which counts what follows it.
pub(super) const FIXED: usize = 16;
/// The longest header that is read or written, all in all (as in nginx; 107 bytes and a few TLVs are usual).
pub const MAX_BINARY: usize = 4096;

pub(super) fn read(bytes: &[u8]) -> Result<Option<(Header<'_>, usize)>, Refusal> {
    if !begins_like(bytes, &SIGNATURE) {
        return Err(Refusal::Absent);
    }
    let local = match bytes.get(12) {
        None => return Ok(None),
        Some(byte) if byte >> 4 != 2 => return Err(Refusal::Version),
        Some(byte) => match byte & 0xf {
            0 => true,
            1 => false,
            _ => return Err(Refusal::Command),
        },
    };
    let Some(family) = bytes.get(13).copied() else { return Ok(None) };
    // The family of a LOCAL header is ignored, whatever it is.
    if !local && (family >> 4 > 3 || family & 0xf > 2) {
        return Err(Refusal::Family);
    }
    let Some(length) = bytes.get(14..FIXED) else { return Ok(None) };
    let length = FIXED + usize::from(u16::from_be_bytes([length[0], length[1]]));
    if length > MAX_BINARY {
        return Err(Refusal::TooLong);
    }
    if !local && length < FIXED + size(family) {
        return Err(Refusal::NoAddresses);
    }
    let Some(whole) = bytes.get(..length) else { return Ok(None) };
    let (origin, tlvs) = if local { (Origin::Local, Tlvs::NONE) } else { content(family, whole)? };
    Ok(Some((Header { version: Version::Two, origin, tlvs }, length)))
}

/// How long the addresses of this family are.
fn size(family: u8) -> usize {
    match family {
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        _ => 0,
    }
}

fn content(family: u8, whole: &[u8]) -> Result<(Origin<'_>, Tlvs<'_>), Refusal> {
    let (addresses, rest) = whole[FIXED..].split_at(size(family));
    let transport = if family & 0xf == 1 { Transport::Stream } else { Transport::Datagram };
    let origin = match family {
        0x11 | 0x12 => internet::<4>(transport, addresses),
        0x21 | 0x22 => internet::<16>(transport, addresses),
        0x31 | 0x32 => unix(transport, addresses),
        // Without a family or a transport nothing says where addresses end and TLVs begin.
        _ => return Ok((Origin::Unknown, Tlvs::NONE)),
    };
    Ok((origin.ok_or(Refusal::NoAddresses)?, Tlvs::read(whole, whole.len() - rest.len())?))
}

/// Addresses as they stand in the header.
trait Address {
    fn address(self) -> IpAddr;
}

impl Address for [u8; 4] {
    fn address(self) -> IpAddr {
        Ipv4Addr::from(self).into()
    }
}

impl Address for [u8; 16] {
    fn address(self) -> IpAddr {
        Ipv6Addr::from(self).into()
    }
}

fn internet<const SIZE: usize>(transport: Transport, bytes: &[u8]) -> Option<Origin<'_>>
where
    [u8; SIZE]: Address,
{
    let (source, rest) = bytes.split_first_chunk::<SIZE>()?;
    let (destination, rest) = rest.split_first_chunk::<SIZE>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, _) = rest.split_first_chunk::<2>()?;
    Some(Origin::Internet {
        transport,
        source: SocketAddr::new(source.address(), u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new(destination.address(), u16::from_be_bytes(*destination_port)),
    })
}

fn unix(transport: Transport, bytes: &[u8]) -> Option<Origin<'_>> {
    let (source, rest) = bytes.split_first_chunk()?;
    let (destination, _) = rest.split_first_chunk()?;
    Some(Origin::Unix { transport, source, destination })
}
