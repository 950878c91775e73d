//! Laws of PROXY headers: found at their last byte, the same as the plain reading finds, and written as they were read.

use std::net::{IpAddr, SocketAddr};

use bascule_decide::proxy_protocol::{
    MAX_BINARY, MAX_TEXT, Origin, Refusal, Tlv, Transport, Version, may_begin, read, write_binary, write_text,
};

use crate::{LONGEST, cuts};

/// Reads `bytes` as what a connection begins with, cut everywhere, a second way, and written again.
pub fn proxy_protocol(bytes: &[u8]) {
    if bytes.len() > LONGEST {
        return;
    }
    let whole = read(bytes);
    let mut refused: Option<Refusal> = None;
    for cut in cuts(bytes.len()) {
        match (read(&bytes[..cut]), &whole) {
            (Ok(None), _) => assert_eq!(refused, None, "nothing makes a refused header good, cut at {cut}"),
            (Ok(Some((header, length))), Ok(Some(found))) => {
                assert!(cut >= length && (header, length) == *found, "cut at {cut}");
            }
            (Err(why), Err(found)) if why == *found => refused = Some(why),
            (part, whole) => panic!("{part:?} cut at {cut}, and {whole:?}"),
        }
    }
    match whole {
        Ok(Some((header, length))) => {
            assert!(may_begin(bytes));
            assert!(length <= bytes.len() && length <= MAX_BINARY.max(MAX_TEXT));
            match header.version {
                Version::One => assert_eq!(plain_text(&bytes[..length]), Some(ends(header.origin))),
                Version::Two => assert_eq!(plain_binary(&bytes[..length]), Some(ends(header.origin))),
            }
            again(header.origin, &header.tlvs.collect::<Vec<_>>());
        }
        Ok(None) => assert!(bytes.len() < MAX_BINARY && may_begin(bytes), "a limit ends the waiting"),
        Err(Refusal::Absent) => assert!(!may_begin(bytes)),
        Err(why) => assert!(!why.reason().is_empty() && may_begin(bytes)),
    }
}

/// The client and where it connected to, where both are told as addresses.
type Ends = Option<(SocketAddr, SocketAddr)>;

fn ends(origin: Origin<'_>) -> Ends {
    match origin {
        Origin::Internet { source, destination, .. } => Some((source, destination)),
        Origin::Local | Origin::Unknown | Origin::Unix { .. } => None,
    }
}

/// A whole line, word by word. `None` where it is not one.
fn plain_text(line: &[u8]) -> Option<Ends> {
    let line = std::str::from_utf8(line.strip_suffix(b"\r\n")?);
    let Ok(line) = line else { return Some(None) };
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["PROXY", "UNKNOWN", ..] => Some(None),
        ["PROXY", family, source, destination, source_port, destination_port] => {
            let end = |address: &str, port: &str| {
                let address: IpAddr = address.parse().ok()?;
                assert_eq!(family, if address.is_ipv4() { "TCP4" } else { "TCP6" });
                let number: u16 = port.parse().ok()?;
                assert_eq!(number.to_string(), port, "a port has one spelling");
                Some(SocketAddr::new(address, number))
            };
            Some(Some((end(source, source_port)?, end(destination, destination_port)?)))
        }
        _ => None,
    }
}

/// A whole binary header, by positions.
fn plain_binary(bytes: &[u8]) -> Option<Ends> {
    let number = |at: usize| usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1]);
    if !bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n") || number(14) + 16 != bytes.len() {
        return None;
    }
    let size = match (bytes[12], bytes[13]) {
        (0x21, 0x11 | 0x12) => 4,
        (0x21, 0x21 | 0x22) => 16,
        (0x20, _) | (0x21, _) => return Some(None),
        _ => return None,
    };
    let end = |address: usize, port: usize| {
        let address = match size {
            4 => IpAddr::from(<[u8; 4]>::try_from(&bytes[address..address + 4]).expect("four bytes")),
            _ => IpAddr::from(<[u8; 16]>::try_from(&bytes[address..address + 16]).expect("sixteen bytes")),
        };
        SocketAddr::new(address, u16::try_from(number(port)).expect("two bytes"))
    };
    Some(Some((end(16, 16 + 2 * size), end(16 + size, 18 + 2 * size))))
}

/// What was understood is written and read again.
fn again(origin: Origin<'_>, tlvs: &[Tlv<'_>]) {
    let mut written = Vec::new();
    write_binary(origin, tlvs, &mut written).expect("it fitted before");
    let (header, length) = read(&written).expect("what we write we can read").expect("complete");
    assert_eq!((header.origin, length), (origin, written.len()));
    let unsummed = |tlv: &Tlv<'_>| !matches!(tlv, Tlv::Checksum(_));
    let kept: Vec<_> = tlvs.iter().copied().filter(unsummed).collect();
    assert_eq!(header.tlvs.filter(unsummed).collect::<Vec<_>>(), kept);
    written.clear();
    write_text(origin, &mut written);
    let (header, length) = read(&written).expect("what we write we can read").expect("complete");
    assert_eq!(length, written.len());
    if let Origin::Internet { transport: Transport::Stream, .. } = origin {
        assert_eq!(header.origin, origin);
    } else {
        assert_eq!(header.origin, Origin::Unknown);
    }
}
