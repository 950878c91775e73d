//! A second reading of heads and bodies, line by line and without tricks: slow, obvious, and as strict as RFC 9112 lets us be.

use bascule_decide::http1::Framing;

/// A head taken apart.
pub(crate) struct Head<'a> {
    /// The first line, without its CR LF.
    pub(crate) start: &'a [u8],
    /// Names and values in their order, blanks around the values removed.
    pub(crate) fields: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Head<'a> {
    /// Reads a whole head. Panics where a recipient could see more or fewer lines than we do.
    pub(crate) fn read(head: &'a [u8]) -> Self {
        let mut lines = lines(head);
        assert_eq!(lines.pop(), Some(&b""[..]), "nothing follows the last CR LF");
        assert_eq!(lines.pop(), Some(&b""[..]), "an empty line ends the head");
        // Empty lines before a request are forgiven (RFC 9112, 2.2).
        let start = lines.iter().position(|line| !line.is_empty()).expect("there is a first line");
        let fields = lines[start + 1..].iter().map(|line| field(line)).collect();
        Self { start: lines[start], fields }
    }

    /// The values of all fields of this name, whatever its case.
    pub(crate) fn values(&self, name: &str) -> Vec<&'a [u8]> {
        let of_name = self.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
        of_name.map(|(_, value)| *value).collect()
    }

    /// How the fields alone frame the message: only one way may be open to a recipient.
    pub(crate) fn framing(&self) -> Option<Framing> {
        let (lengths, codings) = (self.values("content-length"), self.values("transfer-encoding"));
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => None,
            ([length], []) => {
                assert!(length.iter().all(u8::is_ascii_digit), "digits alone");
                let length: u64 = std::str::from_utf8(length).expect("digits").parse().expect("a number");
                Some(if length == 0 { Framing::None } else { Framing::Length(length) })
            }
            ([], [coding]) => {
                assert!(coding.eq_ignore_ascii_case(b"chunked"), "no other coding is understood");
                Some(Framing::Chunked)
            }
            _ => panic!("framed twice: lengths {lengths:?}, codings {codings:?}"),
        }
    }
}

/// Lines without their CR LF. Panics on a CR or LF that stands alone, and on NUL.
pub(crate) fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(bytes.get(at + 1), Some(&b'\n'), "CR without LF"),
            b'\n' => {
                assert!(at > start.max(1) - 1 && bytes[at - 1] == b'\r', "LF without CR");
                lines.push(&bytes[start..at - 1]);
                start = at + 1;
            }
            0 => panic!("NUL in a head"),
            _ => {}
        }
    }
    lines.push(&bytes[start..]);
    lines
}

fn field(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = line.iter().position(|byte| *byte == b':').expect("a field has a colon");
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    assert!(is_token(name), "the name {:?} is a token", String::from_utf8_lossy(name));
    assert!(
        value.iter().all(|byte| *byte == b'\t' || *byte >= b' ' && *byte != 0x7f),
        "no control characters in a value"
    );
    (name, value.trim_ascii())
}

/// RFC 9110, 5.6.2.
pub(crate) fn is_token(name: &[u8]) -> bool {
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// A chunked body read line by line: its payload, and how long it is on the wire. `None`: not whole, or not well-formed.
pub(crate) fn body(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut at, mut payload) = (0, Vec::new());
    loop {
        let line = line_at(bytes, at)?;
        at += line.len() + 2;
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let hexadecimal =
            !digits.is_empty() && digits.len() <= 16 && digits.iter().all(u8::is_ascii_hexdigit);
        let size =
            usize::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| hexadecimal)?, 16).ok()?;
        if size == 0 {
            break;
        }
        let end = at.checked_add(size)?;
        payload.extend_from_slice(bytes.get(at..end)?);
        if bytes.get(end..end + 2)? != b"\r\n" {
            return None;
        }
        at = end + 2;
    }
    loop {
        let line = line_at(bytes, at)?;
        at += line.len() + 2;
        if line.is_empty() {
            return Some((payload, at));
        }
    }
}

fn line_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    (!rest[..end].contains(&b'\n')).then_some(&rest[..end])
}
