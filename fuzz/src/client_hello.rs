//! Laws of ClientHellos: the same however they are cut and split over records, and the same as the plain reading finds.

use bascule_decide::client_hello::{Hello, MAX_BYTES, MAX_RECORDS, Reading, Refusal, read};

use crate::{LONGEST, cuts};

/// Reads `bytes` as what a connection begins with, cut everywhere, split anew, and a second way.
pub fn client_hello(bytes: &[u8]) {
    if bytes.len() > LONGEST {
        return;
    }
    let whole = read(bytes);
    let mut waits = true;
    for cut in cuts(bytes.len()) {
        let part = read(&bytes[..cut]);
        if part == Reading::NeedMore {
            assert!(waits, "what is decided stays decided, cut at {cut}");
        } else {
            assert_eq!(part, whole, "cut at {cut}");
            waits = false;
        }
    }
    match whole {
        Reading::Hello(hello) => {
            let message = joined(bytes);
            let asked = asked(&hello);
            assert_eq!(plain(&message).as_ref(), Some(&asked), "the plain reading differs");
            for length in [message.len().div_ceil(MAX_RECORDS), 100, 16_384] {
                if message.len().div_ceil(length) <= MAX_RECORDS {
                    assert_eq!(read(&split(&message, length)), Reading::Hello(hello.clone()));
                }
            }
        }
        Reading::NeedMore => assert!(bytes.len() < MAX_BYTES),
        Reading::NotTls => assert!(bytes.iter().zip([22, 3]).any(|(byte, of_tls)| *byte != of_tls)),
        Reading::Refused(why) => assert_ne!(Refusal::reason(why), ""),
    }
}

/// The name, and the protocols.
type Asked = (Option<String>, Vec<Vec<u8>>);

fn asked(hello: &Hello<'_>) -> Asked {
    let name = hello.server_name();
    if let Some(name) = name {
        assert!(!name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it)));
    }
    let protocols: Vec<Vec<u8>> = hello.alpn().map(<[u8]>::to_vec).collect();
    assert!(protocols.iter().all(|protocol| !protocol.is_empty()));
    (name.map(str::to_owned), protocols)
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// The payloads of all records until the message is complete.
fn joined(bytes: &[u8]) -> Vec<u8> {
    let (mut rest, mut message) = (bytes, Vec::new());
    while message.len() < 4 || message.len() < 4 + number(&message[1..4]) {
        let length = number(&rest[3..5]);
        message.extend_from_slice(&rest[5..5 + length]);
        rest = &rest[5 + length..];
    }
    message
}

fn split(message: &[u8], length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for payload in message.chunks(length) {
        bytes.extend_from_slice(&[22, 3, 3]);
        bytes.extend_from_slice(&u16::try_from(payload.len()).expect("short").to_be_bytes());
        bytes.extend_from_slice(payload);
    }
    bytes
}

/// Every list of the message taken apart one after the other, with positions alone. Panics where one does not fit.
fn plain(message: &[u8]) -> Option<Asked> {
    let mut at = 4 + 2 + 32;
    at += 1 + number(&message[at..=at]);
    at += 2 + number(&message[at..at + 2]);
    at += 1 + number(&message[at..=at]);
    let mut asked = (None, Vec::new());
    if at == message.len() {
        return Some(asked);
    }
    assert_eq!(at + 2 + number(&message[at..at + 2]), message.len(), "extensions fill the message");
    at += 2;
    while at < message.len() {
        let (kind, length) = (number(&message[at..at + 2]), number(&message[at + 2..at + 4]));
        let value = &message[at + 4..at + 4 + length];
        match kind {
            0 => {
                assert_eq!((number(&value[..2]), value[2], number(&value[3..5])), (length - 2, 0, length - 5));
                let name = String::from_utf8(value[5..].to_vec()).ok()?;
                asked.0 = Some(name).filter(|name| name.parse::<std::net::IpAddr>().is_err());
            }
            16 => {
                let mut from = 2;
                while from < length {
                    let protocol = number(&value[from..=from]);
                    asked.1.push(value[from + 1..from + 1 + protocol].to_vec());
                    from += 1 + protocol;
                }
            }
            _ => {}
        }
        at += 4 + length;
    }
    Some(asked)
}
