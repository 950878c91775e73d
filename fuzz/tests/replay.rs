//! Runs the laws over the corpus and over mutations of it, the same ones in every run. Needs no fuzzer.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use bascule_fuzz::{
    chunked, client_hello, http2_frames, load_report, path, proxy_protocol, request_head, response_head, session,
    snapshot,
};

/// Mutations per target; ten targets make 40,000.
const MUTATIONS: usize = 4_000;

/// Pieces that mean something to one parser or another.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"/",
    b"//",
    b"..",
    b"%2e",
    b"%2F",
    b"%00",
    b"%",
    b"\\",
    b"?",
    b"#",
    b"*",
    b"0",
    b"1",
    b"0\r\n\r\n",
    b"ffffffffffffffff",
    b"+1",
    b"0x1",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"HTTP/2.0",
    b"Host: b\r\n",
    b"Content-Length: 1\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade, te\r\n",
    b"Upgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
    b"X-Forwarded-For: 1.2.3.4\r\n",
    b"Forwarded: for=1.2.3.4\r\n",
    b"X_A: b\r\n",
    b"http://a",
    b"@",
    b"[::1]",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"null",
    b"true",
    b"-1",
    b"18446744073709551616",
    b"[]",
    b"{}",
    b"\"\"",
    b"least_busy",
    b"rps_fractional=1e3",
    b"named_metrics.rif:",
    b"application_utilization",
    b"(a+)+$",
    b"{host}",
    b"PROXY TCP4 ",
    b"PROXY TCP6 ",
    b"PROXY UNKNOWN",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
    b"\x03\0\x04",
    b"\x16\x03\x01\0\x01",
    b"\0\0\0\x06\0\x04\0\0\x01a",
    b"\0\x10\0\x05\0\x03\x02h2",
    b"\0\0\0\x04\0\0\0\0\0",
    b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a",
    b"\0\0\x04\x08\0\0\0\0\x01\0\0\0\x01",
    b"\0\0\x01\0\x01\0\0\0\x01x",
];

/// Numbers that look random and are the same every time (Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound.max(1)
    }
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<_> = files
        .map(|file| file.expect("a file").path())
        .map(|file| {
            (
                file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                fs::read(&file).expect("readable"),
            )
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} is empty", folder.display());
    seeds
}

fn mutated(seeds: &[(String, Vec<u8>)], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seeds[numbers.below(seeds.len())].1.clone();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        let end = (at + numbers.below(24)).min(bytes.len());
        match numbers.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            1 if at < bytes.len() => bytes[at] = PIECES[numbers.below(PIECES.len())][0],
            2 => drop(bytes.drain(at..end)),
            3 => bytes.truncate(at),
            4 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            5 => {
                let other = &seeds[numbers.below(seeds.len())].1;
                let from = numbers.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => drop(bytes.splice(at..at, PIECES[numbers.below(PIECES.len())].iter().copied())),
        }
    }
    bytes
}

/// Runs `law` over the corpus of `target` and its mutations; names the bytes that break it.
fn holds(target: &str, law: fn(&[u8])) {
    let seeds = corpus(target);
    for (name, bytes) in &seeds {
        assert!(catch_unwind(|| law(bytes)).is_ok(), "corpus/{target}/{name} breaks a law");
    }
    let mut numbers = Numbers(0xba5c);
    for number in 0..MUTATIONS {
        let bytes = mutated(&seeds, &mut numbers);
        assert!(
            catch_unwind(|| law(&bytes)).is_ok(),
            "mutation {number} of {target} breaks a law: b\"{}\"",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn a_request_has_one_meaning_or_none() {
    holds("request_head", request_head);
}

#[test]
fn a_response_has_one_meaning_or_none() {
    holds("response_head", response_head);
}

#[test]
fn a_chunked_body_is_the_same_however_it_arrives() {
    holds("chunked", chunked);
}

#[test]
fn a_rule_and_an_endpoint_see_the_same_path() {
    holds("path", path);
}

#[test]
fn what_was_issued_is_a_session_and_nothing_else_is() {
    holds("session", session);
}

#[test]
fn a_load_report_is_the_same_in_every_form() {
    holds("load_report", load_report);
}

#[test]
fn a_snapshot_compiles_or_is_refused_with_reasons() {
    holds("snapshot", snapshot);
}

#[test]
fn a_proxy_header_is_found_at_its_last_byte() {
    holds("proxy_protocol", proxy_protocol);
}

#[test]
fn a_hello_asks_for_the_same_however_it_is_split() {
    holds("client_hello", client_hello);
}

#[test]
fn frames_make_requests_with_one_meaning_or_none() {
    holds("http2_frames", http2_frames);
}
