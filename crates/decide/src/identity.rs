//! Who a client is by its certificate, which the handshake has verified: in a form that routes and endpoints can read.
//!
//! Only what is needed of X.509 is read (RFC 5280, 4.1), and whatever is odd is left out: no bytes can make this fail.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// A client that has shown a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// As RFC 4514 writes it: `CN=alice,O=Example`.
    pub subject: String,
    /// Its `subjectAltName`: host names.
    pub dns: Vec<String>,
    /// Its `subjectAltName`: URIs, such as SPIFFE ids.
    pub uris: Vec<String>,
    /// Its SHA-256 fingerprint, in lower case hexadecimal.
    pub fingerprint: String,
    /// The same as Envoy writes it into `X-Forwarded-Client-Cert`.
    pub element: String,
}

impl Identity {
    /// Of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        let mut fingerprint = String::with_capacity(64);
        for byte in Sha256::digest(certificate) {
            let _ = write!(fingerprint, "{byte:02x}");
        }
        let (subject, dns, uris) = read(certificate).unwrap_or_default();
        let mut own = Self { subject, dns, uris, fingerprint, element: String::new() };
        own.element = own.element();
        own
    }

    fn element(&self) -> String {
        let mut out = format!("Hash={};Subject=\"{}\"", self.fingerprint, quoted(&self.subject));
        for uri in &self.uris {
            let _ = write!(out, ";URI={}", bare(uri));
        }
        for name in &self.dns {
            let _ = write!(out, ";DNS={}", bare(name));
        }
        out
    }
}

/// Inside double quotes. What no header value may have is left out: a subject may hold anything.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars().filter(|character| !character.is_control()) {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// Outside of quotes, unless it could end the element or the pair: then within.
fn bare(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b';' | b'=' | b'"' | b'\\'))
    {
        text.to_owned()
    } else {
        format!("\"{}\"", quoted(text))
    }
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const OCTETS: u8 = 0x04;
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// Subject, host names and URIs.
fn read(certificate: &[u8]) -> Option<(String, Vec<String>, Vec<String>)> {
    let (_, whole, _) = value(certificate)?;
    let (_, mut signed, _) = value(whole)?;
    let mut parts = Vec::new();
    while let Some((tag, content, rest)) = value(signed) {
        parts.push((tag, content));
        signed = rest;
    }
    // The version is explicit, and may be left out.
    let skipped = usize::from(parts.first().is_some_and(|(tag, _)| *tag == 0xa0));
    let (_, name) = parts.get(skipped + 4)?;
    let (mut dns, mut uris) = (Vec::new(), Vec::new());
    let extensions = parts.iter().find(|(tag, _)| *tag == 0xa3);
    if let Some(names) = extensions.and_then(|(_, explicit)| alternative_names(explicit)) {
        let mut rest = names;
        while let Some((tag, content, more)) = value(rest) {
            let text = || std::str::from_utf8(content).ok().map(str::to_owned);
            match tag {
                0x82 => dns.extend(text().map(|name| name.to_ascii_lowercase())),
                0x86 => uris.extend(text()),
                _ => {}
            }
            rest = more;
        }
    }
    Some((subject(name), dns, uris))
}

fn alternative_names(explicit: &[u8]) -> Option<&[u8]> {
    let (_, mut extensions, _) = value(explicit)?;
    while let Some((_, extension, rest)) = value(extensions) {
        let (_, kind, mut content) = value(extension)?;
        if kind == ALTERNATIVE_NAMES {
            // Whether it is critical comes first, and may be left out.
            while let Some((tag, octets, more)) = value(content) {
                if tag == OCTETS {
                    return value(octets).map(|(_, names, _)| names);
                }
                content = more;
            }
        }
        extensions = rest;
    }
    None
}

/// The last part first (RFC 4514, 2.1).
fn subject(name: &[u8]) -> String {
    let (mut parts, mut rest) = (Vec::new(), name);
    while let Some((SET, mut set, more)) = value(rest) {
        let mut joined = Vec::new();
        while let Some((SEQUENCE, pair, others)) = value(set) {
            joined.extend(attribute(pair));
            set = others;
        }
        parts.push(joined.join("+"));
        rest = more;
    }
    parts.reverse();
    parts.join(",")
}

fn attribute(pair: &[u8]) -> Option<String> {
    let (OID, kind, rest) = value(pair)? else { return None };
    let (tag, content, _) = value(rest)?;
    let text = match tag {
        // UTF8String, PrintableString, IA5String, and T61String as most have meant it.
        0x0c | 0x13 | 0x16 | 0x14 => String::from_utf8_lossy(content).into_owned(),
        // BMPString.
        0x1e => {
            let units = content.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{fffd}')).collect()
        }
        _ => return None,
    };
    Some(format!("{}={}", name_of(kind), escaped(&text)))
}

/// RFC 4514, 2.4.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (position, character) in text.chars().enumerate() {
        let at_edge =
            character == ' ' && (position == 0 || position == last) || character == '#' && position == 0;
        if at_edge || matches!(character, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// The short name of an attribute, or its number.
fn name_of(kind: &[u8]) -> String {
    let short = match kind {
        [0x55, 4, 3] => "CN",
        [0x55, 4, 5] => "serialNumber",
        [0x55, 4, 6] => "C",
        [0x55, 4, 7] => "L",
        [0x55, 4, 8] => "ST",
        [0x55, 4, 9] => "STREET",
        [0x55, 4, 10] => "O",
        [0x55, 4, 11] => "OU",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1] => "UID",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => "emailAddress",
        _ => "",
    };
    if short.is_empty() { dotted(kind) } else { short.to_owned() }
}

fn dotted(kind: &[u8]) -> String {
    let (mut numbers, mut number) = (Vec::new(), 0_u64);
    for byte in kind {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(first.to_string());
                number -= first * 40;
            }
            numbers.push(number.to_string());
            number = 0;
        }
    }
    numbers.join(".")
}

/// The first value: its tag, its content, and what follows it. `None`: there is none, or not all of it.
fn value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
        [head, content.to_vec()].concat()
    }

    fn named(kind: &[u8], tag: u8, text: &str) -> Vec<u8> {
        der(SET, &der(SEQUENCE, &[der(OID, kind), der(tag, text.as_bytes())].concat()))
    }

    fn certificate(name: &[u8], names: &[u8]) -> Vec<u8> {
        let extension = [der(OID, ALTERNATIVE_NAMES), der(0x01, &[0xff]), der(OCTETS, &der(SEQUENCE, names))];
        let parts = [
            der(0xa0, &der(0x02, &[2])),
            der(0x02, &[1]),
            der(SEQUENCE, &[]),
            der(SEQUENCE, &[]),
            der(SEQUENCE, &[]),
            der(SEQUENCE, name),
            der(SEQUENCE, &[]),
            der(0xa3, &der(SEQUENCE, &der(SEQUENCE, &extension.concat()))),
        ];
        der(SEQUENCE, &der(SEQUENCE, &parts.concat()))
    }

    #[test]
    fn a_subject_is_written_with_its_last_part_first_and_what_is_special_escaped() {
        let name =
            [named(&[0x55, 4, 10], 0x13, "Example, Inc."), named(&[0x55, 4, 3], 0x0c, "#alice ")].concat();
        assert_eq!(Identity::of(&certificate(&name, &[])).subject, "CN=\\#alice\\ ,O=Example\\, Inc.");
        let odd = named(&[0x2a, 3, 0x81, 4], 0x0c, "x");
        assert_eq!(Identity::of(&certificate(&odd, &[])).subject, "1.2.3.132=x");
    }

    #[test]
    fn no_name_in_a_certificate_can_pass_for_another_element() {
        let evil = "a\",By=x;DNS=admin\r\nX-Admin: 1";
        let name = named(&[0x55, 4, 3], 0x0c, evil);
        let names = [der(0x82, b"A.example"), der(0x86, b"spiffe://x;DNS=admin"), der(0x87, &[127, 0, 0, 1])];
        let identity = Identity::of(&certificate(&name, &names.concat()));
        let (hash, rest) = identity.element.split_at(5 + 64);
        assert_eq!(hash, format!("Hash={}", identity.fingerprint));
        assert_eq!(
            rest,
            r#";Subject="CN=a\\\"\\,By=x\\;DNS=adminX-Admin: 1";URI="spiffe://x;DNS=admin";DNS=a.example"#
        );
    }

    proptest! {
        #![proptest_config(crate::cases::fixed(500))]

        #[test]
        fn no_bytes_make_it_fail_or_end_the_field(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..300_usize) {
            let whole = certificate(&named(&[0x55, 4, 3], 0x0c, "alice"), &der(0x82, b"a"));
            for hostile in [&bytes[..], &whole[..cut.min(whole.len())]] {
                let element = Identity::of(hostile).element;
                prop_assert!(element.chars().all(|character| !character.is_control()));
            }
        }
    }
}
