//! The ClientHellos of real clients (rustls, OpenSSL, curl, Python) ask for what their command lines say, cut and split
//! at every byte.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bascule_decide::client_hello::{Reading, read};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

type Asked = (Option<String>, Vec<String>);

fn asked(bytes: &[u8]) -> Option<Asked> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match read(bytes) {
        Reading::NeedMore => None,
        Reading::Hello(hello) => {
            Some((hello.server_name().map(str::to_owned), hello.alpn().map(text).collect()))
        }
        other => panic!("{other:?}"),
    }
}

/// What was sent asks for this, wherever it is cut or split.
fn assert_asks(hello: &[u8], name: Option<&str>, protocols: &[&str]) {
    let expected = (name.map(str::to_owned), protocols.iter().map(ToString::to_string).collect());
    for cut in 0..hello.len() {
        assert_eq!(asked(&hello[..cut]), None, "cut at {cut} of {}", hello.len());
    }
    assert_eq!(asked(hello).as_ref(), Some(&expected));
    let (header, message) = hello.split_at(5);
    for split in 1..message.len() {
        let mut records = Vec::new();
        for part in [&message[..split], &message[split..]] {
            records.extend_from_slice(&header[..3]);
            records.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
            records.extend_from_slice(part);
        }
        assert_eq!(asked(&records).as_ref(), Some(&expected), "split at {split}");
    }
}

/// What the command sends first to the port that stands in for `PORT`.
fn sent_by(command: &[&str]) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let command: Vec<String> = command.iter().map(|word| word.replace("PORT", &port)).collect();
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", command[0]));
    let (client, _) = listener.accept().unwrap();
    let hello = first_record(client);
    child.wait().unwrap();
    hello
}

fn first_record(mut client: TcpStream) -> Vec<u8> {
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut hello = vec![0; 5];
    client.read_exact(&mut hello).unwrap();
    hello.resize(5 + usize::from(u16::from_be_bytes([hello[3], hello[4]])), 0);
    client.read_exact(&mut hello[5..]).unwrap();
    // A fatal alert, so that the client does not wait for an answer.
    let _ = client.write_all(b"\x15\x03\x03\x00\x02\x02\x28");
    hello
}

fn sent_by_rustls(name: &str, protocols: &[&str]) -> Vec<u8> {
    let mut config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let mut client = ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[test]
fn the_hello_of_rustls_is_understood() {
    assert_asks(
        &sent_by_rustls("shop.example", &["h2", "http/1.1"]),
        Some("shop.example"),
        &["h2", "http/1.1"],
    );
    assert_asks(&sent_by_rustls("127.0.0.1", &[]), None, &[]);
}

#[test]
fn the_hello_of_openssl_is_understood() {
    let openssl = ["openssl", "s_client", "-connect", "127.0.0.1:PORT"];
    for version in ["-tls1_2", "-tls1_3"] {
        let named =
            [&openssl[..], &[version, "-servername", "Shop.Example", "-alpn", "h2,acme-tls/1"]].concat();
        assert_asks(&sent_by(&named), Some("Shop.Example"), &["h2", "acme-tls/1"]);
        assert_asks(&sent_by(&[&openssl[..], &[version, "-noservername"]].concat()), None, &[]);
    }
}

#[test]
fn the_hello_of_curl_is_understood() {
    let resolve = "shop.example:PORT:127.0.0.1";
    let curl = ["curl", "-sk", "--noproxy", "*", "--resolve", resolve, "https://shop.example:PORT/"];
    assert_asks(&sent_by(&curl), Some("shop.example"), &["h2", "http/1.1"]);
    let by_address = ["curl", "-sk", "--noproxy", "*", "--http1.1", "https://127.0.0.1:PORT/"];
    assert_asks(&sent_by(&by_address), None, &["http/1.1"]);
}

#[test]
fn the_hello_of_python_is_understood() {
    let program = "import socket, ssl\n\
        tls = ssl.create_default_context()\n\
        tls.set_alpn_protocols(['dot'])\n\
        tls.wrap_socket(socket.create_connection(('127.0.0.1', PORT)), server_hostname='b\u{fc}cher.example')";
    let hello = sent_by(&["python3", "-c", program]);
    assert_asks(&hello, Some("xn--bcher-kva.example"), &["dot"]);
}
