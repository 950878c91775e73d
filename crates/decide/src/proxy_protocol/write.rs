//! Writes headers of both versions. What is written here, `read` takes.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::binary::{FIXED, MAX_BINARY, SIGNATURE};
use super::{Origin, Refusal, Tls, Tlv, Transport, checksum, tlv};

/// Appends a line of version 1. It can name TCP clients only; all others are `UNKNOWN`.
pub fn write_text(origin: Origin<'_>, out: &mut Vec<u8>) {
    match sound(origin) {
        Origin::Internet { transport: Transport::Stream, source, destination } => {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let ports = (source.port(), destination.port());
            write!(out, "PROXY {family} {} {} {} {}\r\n", source.ip(), destination.ip(), ports.0, ports.1)
                .expect("a Vec takes every byte");
        }
        _ => out.extend_from_slice(b"PROXY UNKNOWN\r\n"),
    }
}

/// Appends a header of version 2. A `Tlv::Checksum` stands for the one that comes out, whatever it says.
///
/// Nothing is appended when it would be longer than [`MAX_BINARY`] or a unique id is too long.
pub fn write_binary(origin: Origin<'_>, tlvs: &[Tlv<'_>], out: &mut Vec<u8>) -> Result<(), Refusal> {
    let (begin, origin) = (out.len(), sound(origin));
    out.extend_from_slice(&SIGNATURE);
    out.extend_from_slice(&[0x20 | u8::from(origin != Origin::Local), family(origin), 0, 0]);
    write_addresses(origin, out);
    let mut sum = None;
    // Nobody reads TLVs where there are no addresses that they could follow.
    let named = !matches!(origin, Origin::Local | Origin::Unknown);
    for tlv in tlvs.iter().filter(|_| named) {
        write_tlv(*tlv, out);
        if matches!(tlv, Tlv::Checksum(_)) {
            sum = Some(out.len() - begin - 4..out.len() - begin);
        }
        let fits = out.len() - begin <= MAX_BINARY;
        if !fits || matches!(tlv, Tlv::UniqueId(id) if id.len() > tlv::MAX_UNIQUE_ID) {
            out.truncate(begin);
            return Err(Refusal::TooLong);
        }
    }
    let written = &mut out[begin..];
    let length = u16::try_from(written.len() - FIXED).expect("MAX_BINARY is less");
    written[14..FIXED].copy_from_slice(&length.to_be_bytes());
    if let Some(field) = sum {
        let sum = checksum::of(written, field.clone());
        written[field].copy_from_slice(&sum.to_be_bytes());
    }
    Ok(())
}

/// No header holds addresses of two families; [`Origin::tcp`] makes them one.
fn sound(origin: Origin<'_>) -> Origin<'_> {
    match origin {
        Origin::Internet { source, destination, .. } if source.is_ipv4() != destination.is_ipv4() => {
            Origin::Unknown
        }
        sound => sound,
    }
}

fn family(origin: Origin<'_>) -> u8 {
    let (family, transport) = match origin {
        Origin::Local | Origin::Unknown => return 0,
        Origin::Internet { transport, source, .. } => (if source.is_ipv4() { 0x10 } else { 0x20 }, transport),
        Origin::Unix { transport, .. } => (0x30, transport),
    };
    family | if transport == Transport::Stream { 1 } else { 2 }
}

fn write_addresses(origin: Origin<'_>, out: &mut Vec<u8>) {
    match origin {
        Origin::Local | Origin::Unknown => {}
        Origin::Internet { source, destination, .. } => {
            write_address(source, out);
            write_address(destination, out);
            out.extend_from_slice(&source.port().to_be_bytes());
            out.extend_from_slice(&destination.port().to_be_bytes());
        }
        Origin::Unix { source, destination, .. } => {
            out.extend_from_slice(source);
            out.extend_from_slice(destination);
        }
    }
}

fn write_address(address: SocketAddr, out: &mut Vec<u8>) {
    match address.ip() {
        IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
    }
}

fn write_tlv(tlv: Tlv<'_>, out: &mut Vec<u8>) {
    match tlv {
        Tlv::Alpn(value) => write_value(tlv::ALPN, value, out),
        Tlv::Authority(value) => write_value(tlv::AUTHORITY, value, out),
        Tlv::Checksum(_) => write_value(tlv::CHECKSUM, &[0; 4], out),
        Tlv::Noop(value) => write_value(tlv::NOOP, value, out),
        Tlv::UniqueId(value) => write_value(tlv::UNIQUE_ID, value, out),
        Tlv::Namespace(value) => write_value(tlv::NAMESPACE, value, out),
        Tlv::Other { kind, value } => write_value(kind, value, out),
        Tlv::Tls(tls) => write_tls(&tls, out),
    }
}

fn write_tls(tls: &Tls<'_>, out: &mut Vec<u8>) {
    let mut value = Vec::with_capacity(64);
    let bits = [tls.encrypted, tls.certificate_now, tls.certificate_in_session];
    value.push(bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)));
    value.extend_from_slice(&tls.verify.to_be_bytes());
    for (kind, part) in [
        (tlv::TLS_VERSION, tls.version),
        (tlv::TLS_COMMON_NAME, tls.common_name),
        (tlv::TLS_CIPHER, tls.cipher),
        (tlv::TLS_SIGNATURE, tls.signature),
        (tlv::TLS_KEY, tls.key),
    ] {
        if let Some(part) = part {
            write_value(kind, part, &mut value);
        }
    }
    write_value(tlv::TLS, &value, out);
}

/// A value that its length cannot say is longer than any header: it is cut, and the header refused for its length.
fn write_value(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    let value = &value[..value.len().min(u16::MAX.into())];
    out.push(kind);
    out.extend_from_slice(&u16::try_from(value.len()).expect("cut").to_be_bytes());
    out.extend_from_slice(value);
}
