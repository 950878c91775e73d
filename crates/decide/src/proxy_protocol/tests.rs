//! Headers of the specification, every way to spoil them, and whatever is written read again.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::*;
use crate::cases;

const LINE: &[u8] = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n";

fn socket(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

fn client(source: &str, destination: &str) -> Origin<'static> {
    Origin::tcp(socket(source), socket(destination))
}

/// A header of version 2 from its parts.
fn binary(version_and_command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend_from_slice(&[version_and_command, family]);
    bytes.extend_from_slice(&u16::try_from(content.len()).expect("short").to_be_bytes());
    bytes.extend_from_slice(content);
    bytes
}

const ADDRESSES: [u8; 12] = [192, 0, 2, 7, 192, 0, 2, 1, 0x1f, 0x90, 0x01, 0xbb];

fn with_tlvs(tlvs: &[u8]) -> Vec<u8> {
    binary(0x21, 0x11, &[&ADDRESSES, tlvs].concat())
}

#[test]
fn the_line_of_the_specification_names_the_client_and_leaves_the_request() {
    let bytes = [LINE, b"GET / HTTP/1.1\r\n"].concat();
    let (header, length) = read(&bytes).expect("a header").expect("complete");
    assert_eq!(length, LINE.len());
    assert_eq!(header.version, Version::One);
    assert_eq!(header.origin, client("192.168.0.1:56324", "192.168.0.11:443"));
    assert_eq!(header.tlvs.count(), 0);
}

#[test]
fn the_longest_lines_of_the_specification_are_read() {
    let wide = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let tcp6 = format!("PROXY TCP6 {wide} {wide} 65535 65535\r\n");
    let end = format!("[{wide}]:65535");
    assert_eq!(tcp6.len(), 104);
    assert_eq!(read(tcp6.as_bytes()).expect("a header").expect("complete").0.origin, client(&end, &end));
    let unknown = format!("PROXY UNKNOWN {wide} {wide} 65535 65535\r\n");
    assert_eq!(unknown.len(), MAX_TEXT);
    for line in [unknown.as_bytes(), b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN \0what \xff ever\r\n"] {
        let (header, length) = read(line).expect("a header").expect("complete");
        assert_eq!((header.origin, length), (Origin::Unknown, line.len()));
    }
    let longer = format!("PROXY UNKNOWN {wide} {wide} 65535 655350\r\n");
    assert_eq!(read(longer.as_bytes()), Err(Refusal::Endless));
}

#[test]
fn every_other_spelling_of_the_line_is_refused() {
    for (line, why) in [
        ("GET / HTTP/1.1\r\n", Refusal::Absent),
        ("proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", Refusal::Absent),
        ("PROXY\r\n", Refusal::Absent),
        ("PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n", Refusal::Words),
        ("PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n", Refusal::Words),
        ("PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", Refusal::Words),
        ("PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", Refusal::Words),
        ("PROXY UNKNOWNS\r\n", Refusal::Words),
        ("PROXY \r\n", Refusal::Words),
        ("PROXY TCP4\r\n", Refusal::Words),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", Refusal::Words),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", Refusal::Words),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", Refusal::Words),
        ("PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n", Refusal::Words),
        ("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", Refusal::Address),
        ("PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n", Refusal::Address),
        ("PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n", Refusal::Address),
        ("PROXY TCP4 ::1 5.6.7.8 1 2\r\n", Refusal::Address),
        ("PROXY TCP4 1.2.3.4 ::1 1 2\r\n", Refusal::Address),
        ("PROXY TCP6 1.2.3.4 ::1 1 2\r\n", Refusal::Address),
        ("PROXY TCP6 [::1] ::1 1 2\r\n", Refusal::Address),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", Refusal::Address),
        ("PROXY TCP6 ::1::2 ::1 1 2\r\n", Refusal::Address),
        ("PROXY TCP6 :::1 ::1 1 2\r\n", Refusal::Address),
        ("PROXY TCP4 \t1.2.3.4 5.6.7.8 1 2\r\n", Refusal::Address),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", Refusal::Port),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 02\r\n", Refusal::Port),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", Refusal::Port),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n", Refusal::Port),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 0x1 2\r\n", Refusal::Port),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", Refusal::LineEnd),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n", Refusal::LineEnd),
        ("PROXY UNKNOWN a\nb\r\n", Refusal::LineEnd),
    ] {
        assert_eq!(read(line.as_bytes()), Err(why), "{line:?}");
    }
}

#[test]
fn port_zero_is_a_port() {
    let (header, _) = read(b"PROXY TCP4 1.2.3.4 5.6.7.8 0 0\r\n").expect("a header").expect("complete");
    assert_eq!(header.origin, client("1.2.3.4:0", "5.6.7.8:0"));
}

#[test]
fn a_binary_header_names_the_client_over_every_family_and_transport() {
    let v6: Vec<u8> = [[0x20; 16], [0x21; 16]].concat();
    let v6 = [&v6[..], &[0, 1, 0, 2]].concat();
    let unix = [[b'a'; 108], [b'b'; 108]].concat();
    let v4 = (socket("192.0.2.7:8080"), socket("192.0.2.1:443"));
    let wide =
        (SocketAddr::new(IpAddr::from([0x20_u8; 16]), 1), SocketAddr::new(IpAddr::from([0x21_u8; 16]), 2));
    let internet = |transport, (source, destination)| Origin::Internet { transport, source, destination };
    let local = |transport| Origin::Unix { transport, source: &[b'a'; 108], destination: &[b'b'; 108] };
    for (family, addresses, origin) in [
        (0x11, &ADDRESSES[..], internet(Transport::Stream, v4)),
        (0x12, &ADDRESSES, internet(Transport::Datagram, v4)),
        (0x21, &v6, internet(Transport::Stream, wide)),
        (0x22, &v6, internet(Transport::Datagram, wide)),
        (0x31, &unix, local(Transport::Stream)),
        (0x32, &unix, local(Transport::Datagram)),
    ] {
        let bytes = [&binary(0x21, family, addresses), &b"\x16\x03\x01"[..]].concat();
        let (header, length) = read(&bytes).expect("a header").expect("complete");
        assert_eq!((header.version, header.origin, length), (Version::Two, origin, 16 + addresses.len()));
        assert_eq!(read(&binary(0x21, family, &addresses[1..])), Err(Refusal::NoAddresses));
    }
}

#[test]
fn without_a_family_or_a_transport_the_client_is_unknown_and_the_rest_is_skipped() {
    for family in [0x00, 0x01, 0x02, 0x10, 0x20, 0x30] {
        let bytes = binary(0x21, family, b"\x03\x00\x04 what");
        let (header, length) = read(&bytes).expect("a header").expect("complete");
        assert_eq!((header.origin, header.tlvs.count(), length), (Origin::Unknown, 0, bytes.len()));
    }
}

#[test]
fn a_local_header_is_taken_whatever_its_family_and_content() {
    for family in [0x00, 0x11, 0x21, 0x44, 0xff] {
        let bytes = binary(0x20, family, b"odd");
        let (header, length) = read(&bytes).expect("a header").expect("complete");
        assert_eq!((header.origin, length), (Origin::Local, bytes.len()));
    }
}

#[test]
fn what_is_not_assigned_is_refused_at_the_byte_that_says_so() {
    let start = |bytes: &[u8]| [&b"\r\n\r\n\0\r\nQUIT\n"[..], bytes].concat();
    for (bytes, why) in [
        (start(b"\x11"), Refusal::Version),
        (start(b"\x31"), Refusal::Version),
        (start(b"\x22"), Refusal::Command),
        (start(b"\x21\x41"), Refusal::Family),
        (start(b"\x21\x13"), Refusal::Family),
        (start(b"\x21\x11\x00\x0b"), Refusal::NoAddresses),
        (start(b"\x21\x11\x0f\xf1"), Refusal::TooLong),
        (start(b"\x20\x00\xff\xff"), Refusal::TooLong),
        (b"\r\n\r\nG".to_vec(), Refusal::Absent),
        (b"\x16".to_vec(), Refusal::Absent),
    ] {
        assert_eq!(read(&bytes), Err(why), "{}", bytes.escape_ascii());
    }
    assert_eq!(read(&start(b"\x21\x11\x0f\xf0")), Ok(None), "4096 bytes are allowed");
}

#[test]
fn tlvs_say_what_the_sender_knows() {
    let tls = b"\x03\x00\x00\x00\x00\x21\x00\x07TLSv1.3\x22\x00\x04Anna\x23\x00\x03AES\x24\x00\x03SHA\x25\x00\x03RSA\x29\x00\x00";
    let bytes = with_tlvs(
        &[
            &b"\x01\x00\x02h2\x02\x00\x07a.test.\x04\x00\x01\0\x05\x00\x02id"[..],
            &[0x20, 0, tls.len() as u8],
            tls,
            b"\x30\x00\x04blue\xe0\x00\x01x\x02\x00\x01b",
        ]
        .concat(),
    );
    let (header, length) = read(&bytes).expect("a header").expect("complete");
    assert_eq!(length, bytes.len());
    let tls = Tls {
        encrypted: true,
        certificate_now: true,
        certificate_in_session: false,
        verify: 0,
        version: Some(b"TLSv1.3"),
        common_name: Some(b"Anna"),
        cipher: Some(b"AES"),
        signature: Some(b"SHA"),
        key: Some(b"RSA"),
    };
    assert_eq!(
        header.tlvs.collect::<Vec<_>>(),
        [
            Tlv::Alpn(b"h2"),
            Tlv::Authority(b"a.test."),
            Tlv::Noop(b"\0"),
            Tlv::UniqueId(b"id"),
            Tlv::Tls(tls),
            Tlv::Namespace(b"blue"),
            Tlv::Other { kind: 0xe0, value: b"x" },
            Tlv::Authority(b"b"),
        ]
    );
    assert_eq!(header.tlvs.alpn(), Some(&b"h2"[..]));
    assert_eq!(header.tlvs.authority(), Some(&b"a.test."[..]), "the first counts");
    assert_eq!(header.tlvs.unique_id(), Some(&b"id"[..]));
    assert_eq!(header.tlvs.tls(), Some(tls));
}

#[test]
fn tlvs_that_do_not_add_up_are_refused() {
    let long_id = [&b"\x05\x00\x81"[..], &[b'x'; 129]].concat();
    for (tlvs, why) in [
        (&b"\x01"[..], Refusal::CutTlv),
        (b"\x01\x00", Refusal::CutTlv),
        (b"\x01\x00\x01", Refusal::CutTlv),
        (b"\x01\x00\x02h2\0", Refusal::CutTlv),
        (b"\xee\xff\xff", Refusal::CutTlv),
        (b"\x03\x00\x03abc", Refusal::TlvLength),
        (b"\x03\x00\x05abcde", Refusal::TlvLength),
        (b"\x20\x00\x04\x01\0\0\0", Refusal::TlvLength),
        (b"\x20\x00\x06\x01\0\0\0\0\x21", Refusal::CutTlv),
        (b"\x20\x00\x09\x01\0\0\0\0\x21\0\x02T", Refusal::CutTlv),
        (&long_id, Refusal::TlvLength),
        (b"\x03\x00\x04\0\0\0\0", Refusal::Checksum),
    ] {
        assert_eq!(read(&with_tlvs(tlvs)), Err(why), "{}", tlvs.escape_ascii());
    }
}

#[test]
fn a_checksum_finds_every_flipped_bit() {
    let mut bytes = Vec::new();
    let origin = client("192.0.2.7:8080", "192.0.2.1:443");
    write_binary(origin, &[Tlv::Checksum(0), Tlv::Authority(b"a.test")], &mut bytes).expect("fits");
    assert_eq!(read(&bytes).expect("a header").expect("complete").0.origin, origin);
    // From the addresses on, but for the type and length of the checksum: those decide whether there is one.
    for bit in (16 * 8..bytes.len() * 8).filter(|bit| !(28..31).contains(&(bit / 8))) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn a_second_checksum_is_refused() {
    let mut bytes = Vec::new();
    write_binary(client("1.2.3.4:5", "6.7.8.9:10"), &[Tlv::Checksum(0), Tlv::Checksum(0)], &mut bytes)
        .expect("fits");
    assert_eq!(read(&bytes), Err(Refusal::Checksum));
}

#[test]
fn a_header_longer_than_anybody_reads_is_not_written() {
    let mut out = b"kept".to_vec();
    let origin = client("1.2.3.4:5", "6.7.8.9:10");
    for value in [4096 - 16 - 12 - 3 + 1, 70_000] {
        let long = vec![0; value];
        assert_eq!(write_binary(origin, &[Tlv::Noop(&long)], &mut out), Err(Refusal::TooLong));
    }
    assert_eq!(write_binary(origin, &[Tlv::UniqueId(&[0; 129])], &mut out), Err(Refusal::TooLong));
    assert_eq!(out, b"kept");
    write_binary(origin, &[Tlv::Noop(&[0; 4096 - 16 - 12 - 3])], &mut out).expect("fits just so");
    assert_eq!(read(&out[4..]).expect("a header").expect("complete").1, MAX_BINARY);
}

#[test]
fn a_client_of_another_family_than_the_listener_keeps_its_address() {
    let mut line = Vec::new();
    write_text(client("192.0.2.7:80", "[2001:db8::1]:443"), &mut line);
    assert_eq!(line, b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 80 443\r\n");
    line.clear();
    write_text(client("[::ffff:192.0.2.7]:80", "192.0.2.1:443"), &mut line);
    assert_eq!(line, b"PROXY TCP4 192.0.2.7 192.0.2.1 80 443\r\n");
}

#[test]
fn what_may_become_a_header_is_told_from_what_never_does() {
    for begin in [&b""[..], b"P", b"PROXY ", b"PROXY TCP4", b"\r", b"\r\n\r\n\0\r\nQUIT\n\x21"] {
        assert!(may_begin(begin), "{}", begin.escape_ascii());
    }
    for other in [&b"GET "[..], b"PRI * HTTP/2.0", b"PROXX", b"\r\nGET", b"\x16\x03"] {
        assert!(!may_begin(other), "{}", other.escape_ascii());
    }
}

fn address(v4: bool) -> impl Strategy<Value = IpAddr> {
    (any::<u32>(), any::<u128>())
        .prop_map(move |(short, long)| if v4 { IpAddr::V4(short.into()) } else { IpAddr::V6(long.into()) })
}

fn origins() -> impl Strategy<Value = Origin<'static>> {
    let internet =
        (any::<bool>(), any::<bool>(), any::<(u16, u16)>()).prop_flat_map(|(v4, stream, ports)| {
            let transport = if stream { Transport::Stream } else { Transport::Datagram };
            (address(v4), address(v4)).prop_map(move |(source, destination)| Origin::Internet {
                transport,
                source: SocketAddr::new(source, ports.0),
                destination: SocketAddr::new(destination, ports.1),
            })
        });
    prop_oneof![6 => internet, 1 => Just(Origin::Local), 1 => Just(Origin::Unknown)]
}

proptest! {
    #![proptest_config(cases::fixed(1000))]

    #[test]
    fn what_is_written_is_read_and_no_less_than_all_of_it(
        origin in origins(),
        values in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..20)), 0..6),
        summed in any::<bool>(),
        after in prop::collection::vec(any::<u8>(), 0..5),
    ) {
        let mut tlvs: Vec<Tlv<'_>> = values.iter().map(|(kind, value)| match kind % 6 {
            0 => Tlv::Alpn(value),
            1 => Tlv::Authority(value),
            2 => Tlv::UniqueId(value),
            3 => Tlv::Noop(value),
            4 => Tlv::Tls(Tls { encrypted: true, version: Some(value), common_name: Some(value), ..Tls::default() }),
            _ => Tlv::Other { kind: 0xe0 | kind, value },
        }).collect();
        if summed {
            tlvs.push(Tlv::Checksum(0));
        }
        let mut written = Vec::new();
        write_binary(origin, &tlvs, &mut written).expect("short enough");
        let length = written.len();
        written.extend_from_slice(&after);
        for cut in 0..length {
            prop_assert_eq!(read(&written[..cut]), Ok(None));
        }
        let (header, told) = read(&written).expect("a header").expect("complete");
        prop_assert_eq!((header.version, header.origin, told), (Version::Two, origin, length));
        if !matches!(origin, Origin::Local | Origin::Unknown) {
            let unsummed = |tlv: &Tlv<'_>| !matches!(tlv, Tlv::Checksum(_));
            prop_assert_eq!(header.tlvs.count(), tlvs.len());
            let (read, sent): (Vec<_>, Vec<_>) =
                (header.tlvs.filter(unsummed).collect(), tlvs.iter().copied().filter(unsummed).collect());
            prop_assert_eq!(read, sent);
        }
    }

    #[test]
    fn a_line_that_is_written_is_read_and_no_less_than_all_of_it(origin in origins(), after in any::<[u8; 3]>()) {
        let mut written = Vec::new();
        write_text(origin, &mut written);
        let length = written.len();
        prop_assert!(length <= MAX_TEXT);
        written.extend_from_slice(&after);
        for cut in 0..length {
            prop_assert_eq!(read(&written[..cut]), Ok(None));
        }
        let (header, told) = read(&written).expect("a header").expect("complete");
        let named = matches!(origin, Origin::Internet { transport: Transport::Stream, .. });
        prop_assert_eq!((header.version, told), (Version::One, length));
        prop_assert_eq!(header.origin, if named { origin } else { Origin::Unknown });
    }
}
