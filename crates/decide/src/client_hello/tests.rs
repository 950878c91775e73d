//! Hellos of every shape, cut and split everywhere, and every way to spoil one.

use proptest::prelude::*;

use super::*;
use crate::cases;

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("short").to_be_bytes()[..], bytes].concat()
}

fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).expect("short")][..], bytes].concat()
}

fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &long(value)].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    extension(SERVER_NAME, &long(&[&[0][..], &long(name)].concat()))
}

fn protocols(names: &[&[u8]]) -> Vec<u8> {
    extension(ALPN, &long(&names.iter().flat_map(|name| short(name)).collect::<Vec<_>>()))
}

/// A message whose body, from the session id on, is as given.
fn with_body(body: &[u8]) -> Vec<u8> {
    let body = [&[3, 3][..], &[7; 32], body].concat();
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&[CLIENT_HELLO][..], &length[1..], &body].concat()
}

fn message_with(extensions: &[u8]) -> Vec<u8> {
    with_body(&[&[0][..], &long(&[0x13, 0x01]), &[1, 0], &long(extensions)].concat())
}

/// The message split over records of these lengths, the last taking the rest.
fn records(message: &[u8], lengths: &[usize]) -> Vec<u8> {
    let (mut rest, mut bytes) = (message, Vec::new());
    for length in lengths.iter().copied().chain([MAX_RECORD; 5]) {
        let (payload, after) = rest.split_at(length.min(rest.len()));
        if !payload.is_empty() {
            bytes.extend_from_slice(&[HANDSHAKE, 3, 1]);
            bytes.extend_from_slice(&long(payload));
        }
        rest = after;
    }
    bytes
}

fn hello_with(extensions: &[u8]) -> Vec<u8> {
    records(&message_with(extensions), &[])
}

fn seen(bytes: &[u8]) -> (Option<String>, Vec<Vec<u8>>) {
    match read(bytes) {
        Reading::Hello(hello) => {
            (hello.server_name().map(str::to_owned), hello.alpn().map(<[u8]>::to_vec).collect())
        }
        other => panic!("{other:?}"),
    }
}

fn refusal(bytes: &[u8]) -> Refusal {
    match read(bytes) {
        Reading::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_name_and_the_protocols_are_read_among_other_extensions() {
    let grease = extension(0x0a0a, b"\0");
    let bytes = hello_with(
        &[
            grease.clone(),
            server_name(b"Shop.example."),
            extension(43, &[2, 3, 4]),
            protocols(&[b"\x0a\x0a", b"h2", b"http/1.1"]),
            extension(0x1a1a, b""),
        ]
        .concat(),
    );
    let (name, protocols) = seen(&bytes);
    assert_eq!(name.as_deref(), Some("Shop.example."));
    assert_eq!(protocols, [&b"\x0a\x0a"[..], b"h2", b"http/1.1"]);
    assert!(
        matches!(read(&bytes), Reading::Hello(Hello { message: Cow::Borrowed(_), .. })),
        "nothing is copied"
    );
}

#[test]
fn a_hello_without_extensions_asks_for_nothing() {
    let old = with_body(&[&short(&[9; 32])[..], &long(&[0, 0x2f]), &[1, 0]].concat());
    for bytes in [records(&old, &[]), hello_with(b""), hello_with(&extension(43, &[2, 3, 4]))] {
        assert_eq!(seen(&bytes), (None, vec![]));
    }
}

#[test]
fn an_address_is_no_name() {
    for address in ["192.0.2.7", "2001:db8::1"] {
        assert_eq!(seen(&hello_with(&server_name(address.as_bytes()))).0, None, "{address}");
    }
}

#[test]
fn every_cut_needs_more_and_what_follows_makes_no_difference() {
    let message = message_with(&[server_name(b"a.test"), protocols(&[b"h2"])].concat());
    for lengths in [&[][..], &[1, 1, 1, 1, 1, 1], &[50], &[3, 40, 2]] {
        let mut bytes = records(&message, lengths);
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), Reading::NeedMore, "{lengths:?} cut at {cut}");
        }
        bytes.extend_from_slice(b"\x17early data\x16");
        assert_eq!(seen(&bytes), (Some("a.test".into()), vec![b"h2".to_vec()]), "{lengths:?}");
    }
}

#[test]
fn a_message_may_be_split_over_records_anywhere() {
    let message = message_with(&[server_name(b"a.test"), protocols(&[b"h2", b"dot"])].concat());
    let whole = seen(&records(&message, &[]));
    for first in 1..message.len() {
        assert_eq!(seen(&records(&message, &[first])), whole, "split at {first}");
    }
    assert_eq!(seen(&records(&message, &[1; 100])), whole);
}

#[test]
fn other_protocols_are_told_at_once() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"\x80\x2e\x01\x03\x01",
        b"SSH-2.0-",
        b"\x16\x02",
        b"\x15\x03\x01",
        b"\0",
    ] {
        assert_eq!(read(bytes), Reading::NotTls, "{}", bytes.escape_ascii());
    }
    for bytes in [&b""[..], b"\x16", b"\x16\x03", b"\x16\x03\x01\x02"] {
        assert_eq!(read(bytes), Reading::NeedMore, "{}", bytes.escape_ascii());
    }
}

#[test]
fn framing_that_no_client_needs_is_refused_at_the_first_byte_that_shows_it() {
    let message = message_with(&server_name(b"a.test"));
    let first = records(&message[..20], &[]);
    let after = |more: &[u8]| [&first[..], more].concat();
    for (bytes, why) in [
        (b"\x16\x03\x01\x00\x00".to_vec(), Refusal::Record),
        (b"\x16\x03\x01\x40\x01".to_vec(), Refusal::Record),
        (after(b"\x15"), Refusal::Record),
        (after(b"\x16\x02"), Refusal::Record),
        (after(b"\x16\x03\x01\x00\x00"), Refusal::Record),
        (b"\x16\x03\x01\x00\x05\x02".to_vec(), Refusal::NotAHello),
        (b"\x16\x03\x01\x40\x00\x01\x00\xff\xfd".to_vec(), Refusal::TooLong),
        (b"\x16\x03\x01\x40\x00\x01\xff\xff\xff".to_vec(), Refusal::TooLong),
        (records(&[&message[..], &[0]].concat(), &[]), Refusal::Trailing),
        (after(b"\x16\x03\x01\x40\x00"), Refusal::Trailing),
        (records(&message_with(&extension(21, &[0; 300])), &[1; 200]), Refusal::TooManyRecords),
    ] {
        assert_eq!(refusal(&bytes), why, "{}", bytes.escape_ascii());
    }
    assert_eq!(read(b"\x16\x03\x01\x40\x00\x01\x00\xff\xfc"), Reading::NeedMore, "64 KiB are allowed");
}

#[test]
fn the_longest_hello_is_read_and_asks_for_no_more_bytes_than_said() {
    let padding = MAX_MESSAGE - message_with(&[server_name(b"a.test"), extension(21, b"")].concat()).len();
    let message = message_with(&[server_name(b"a.test"), extension(21, &vec![0; padding])].concat());
    assert_eq!(message.len(), MAX_MESSAGE);
    let bytes = records(&message, &[512; MAX_RECORDS]);
    assert_eq!(bytes.len(), MAX_BYTES);
    assert_eq!(read(&bytes[..MAX_BYTES - 1]), Reading::NeedMore);
    assert_eq!(seen(&bytes).0.as_deref(), Some("a.test"));
}

#[test]
fn lengths_that_do_not_add_up_are_refused() {
    let ciphers = long(&[0x13, 0x01]);
    for body in [
        b"".to_vec(),
        [&short(&[9; 33])[..], &ciphers, &[1, 0]].concat(),
        [&[0][..], &long(b""), &[1, 0]].concat(),
        [&[0][..], &long(&[0x13]), &[1, 0]].concat(),
        [&[0][..], &ciphers].concat(),
        [&[0][..], &ciphers, &[0]].concat(),
        [&[0][..], &ciphers, &[1, 0], &[0]].concat(),
        [&[0][..], &ciphers, &[1, 0], &long(b""), &[0]].concat(),
        [&[0][..], &ciphers, &[1, 0], &[0, 1]].concat(),
        [&[0][..], &ciphers, &[1, 0], &long(b"\0")].concat(),
        [&[0][..], &ciphers, &[1, 0], &long(b"\0\0\0\x09\0")].concat(),
        [&[0][..], &ciphers, &[1, 0], &[0xff, 0xff, 0]].concat(),
    ] {
        assert_eq!(refusal(&records(&with_body(&body), &[])), Refusal::Lengths, "{}", body.escape_ascii());
    }
    for value in
        [&b""[..], b"\0", b"\0\x09\0\0\x06a.test\0", b"\0\x09\0\0\x07a.test", b"\0\x09\0\0\x05a.test"]
    {
        let why = refusal(&hello_with(&extension(SERVER_NAME, value)));
        assert!(matches!(why, Refusal::Lengths | Refusal::Names), "{}: {why:?}", value.escape_ascii());
    }
    for value in [&b""[..], b"\0\0", b"\0\x01\0", b"\0\x03\x02h", b"\0\x03\x02h2\0", b"\0\x03\x01h2"] {
        assert_eq!(
            refusal(&hello_with(&extension(ALPN, value))),
            Refusal::Lengths,
            "{}",
            value.escape_ascii()
        );
    }
}

#[test]
fn two_meanings_are_refused() {
    for (extensions, why) in [
        ([server_name(b"a.test"), server_name(b"b.test")].concat(), Refusal::Twice),
        ([protocols(&[b"h2"]), protocols(&[b"h2"])].concat(), Refusal::Twice),
        ([extension(ENCRYPTED_HELLO, b""), extension(ENCRYPTED_HELLO, b"")].concat(), Refusal::Twice),
        (extension(SERVER_NAME, &long(b"")), Refusal::Names),
        (extension(SERVER_NAME, &long(b"\0\0\x01a\0\0\x01b")), Refusal::Names),
        (extension(SERVER_NAME, &long(b"\x01\0\x01a")), Refusal::Names),
    ] {
        assert_eq!(refusal(&hello_with(&extensions)), why, "{}", extensions.escape_ascii());
    }
}

#[test]
fn what_is_no_host_name_is_refused() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(longest.len(), MAX_NAME);
    for name in
        [longest.clone(), format!("{longest}."), "x_1.A-b".into(), "localhost".into(), "xn--nxasmq6b".into()]
    {
        assert_eq!(seen(&hello_with(&server_name(name.as_bytes()))).0, Some(name));
    }
    let illegal = [
        &b""[..],
        b".",
        b"a..b",
        b".a",
        b"a\0.test",
        b"a.test\0",
        b"a test",
        b"a/b",
        b"*.test",
        b"a:443",
        b"[::1]",
        b"\xff",
        "\u{fc}ber.test".as_bytes(),
        b"a\r\nb",
        b"../a",
        b"a.test..",
    ];
    for name in illegal
        .into_iter()
        .map(<[u8]>::to_vec)
        .chain([format!("a{longest}").into(), format!("{label}a").into()])
    {
        assert_eq!(refusal(&hello_with(&server_name(&name))), Refusal::Name, "{}", name.escape_ascii());
    }
}

#[test]
fn a_hello_that_may_hold_another_says_so_and_names_the_outer_one() {
    let bytes = hello_with(&[server_name(b"public.test"), extension(ENCRYPTED_HELLO, &[0; 40])].concat());
    let Reading::Hello(hello) = read(&bytes) else { panic!("a hello") };
    assert_eq!((hello.server_name(), hello.may_hold_another()), (Some("public.test"), true));
    let bytes = hello_with(&server_name(b"public.test"));
    let Reading::Hello(hello) = read(&bytes) else { panic!("a hello") };
    assert!(!hello.may_hold_another());
}

proptest! {
    #![proptest_config(cases::fixed(500))]

    #[test]
    fn what_is_written_is_read_however_it_is_split(
        name in prop::option::of("[a-z0-9-]{1,20}(\\.[A-Za-z0-9_]{1,9}){0,3}"),
        offered in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..9), 0..4),
        others in prop::collection::vec((17_u16..0xf000, prop::collection::vec(any::<u8>(), 0..30)), 0..6),
        lengths in prop::collection::vec(1_usize..60, 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        prop_assume!(name.as_ref().is_none_or(|name| name.parse::<IpAddr>().is_err()));
        let mut extensions: Vec<u8> = others.iter().flat_map(|(kind, value)| extension(*kind, value)).collect();
        if let Some(name) = &name {
            extensions.extend(server_name(name.as_bytes()));
        }
        if !offered.is_empty() {
            extensions.extend(protocols(&offered.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        }
        let bytes = records(&message_with(&extensions), &lengths);
        prop_assert_eq!(read(&bytes[..cut.index(bytes.len())]), Reading::NeedMore);
        prop_assert_eq!(seen(&bytes), (name, offered));
    }

    #[test]
    fn any_bytes_are_read_and_never_past_the_limit(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let tls = [&[HANDSHAKE, 3, 1, 0, 200, CLIENT_HELLO, 0, 0, 196][..], &bytes].concat();
        let _ = read(&bytes);
        let _ = read(&tls);
    }
}
