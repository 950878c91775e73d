//! One normalisation of the request path, used for routing and for forwarding alike.
//!
//! A rule and an endpoint must never see two different paths (`/admin` against `/x/..%2fadmin`).
//! So the path is brought into one form; what cannot be made unambiguous is refused.

use std::borrow::Cow;

/// The two forms of an accepted path. Neither has a `..` segment or `//`; both begin with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normal<'a> {
    /// Decoded once, so that `%2F` separates segments too. For matching only; any byte but NUL may occur.
    pub routed: Cow<'a, [u8]>,
    /// For the endpoint: what needs no escape (RFC 3986, 2.3) has none, all others are in upper case.
    pub forwarded: Cow<'a, [u8]>,
}

/// Why a path is refused. Each becomes a 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathProblem {
    /// It does not begin with `/`.
    NotAbsolute,
    /// `%` without two hexadecimal digits.
    BadEscape,
    /// `%00`.
    EncodedNul,
    /// A byte below 0x20, or 0x7F.
    ControlCharacter,
    /// `\` or `%5C`, which some endpoints take for `/`.
    Backslash,
    /// `#`, where some endpoints stop reading.
    Fragment,
    /// A space or `?`: the caller's split of the request line went wrong.
    Delimiter,
    /// More `..` than there are segments before it.
    AboveRoot,
    /// `.;x` or `..;x`, which some endpoints take for `.` or `..`.
    DotWithParameters,
    /// A `..` that appears only when `%2F` is decoded.
    EncodedTraversal,
}

impl PathProblem {
    /// The reason in one sentence, for logs.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NotAbsolute => "the path does not begin with a slash",
            Self::BadEscape => "the path has a percent sign that two hexadecimal digits do not follow",
            Self::EncodedNul => "the path has an encoded NUL byte",
            Self::ControlCharacter => "the path has a control character",
            Self::Backslash => "the path has a backslash",
            Self::Fragment => "the path has a number sign",
            Self::Delimiter => "the path has a space or a question mark",
            Self::AboveRoot => "the path climbs above the root",
            Self::DotWithParameters => "the path has a dot segment with parameters",
            Self::EncodedTraversal => "the path has a dot segment beside an encoded slash",
        }
    }
}

/// Brings a path (without its query) into its two forms. Borrows when it is in both already.
///
/// Total on any bytes. Normalising [`Normal::forwarded`] again changes nothing and gives the same
/// [`Normal::routed`]. Path parameters (`/a;x=1/b`) stay in both forms: endpoints that drop them
/// before their own access rules see another path than the rule did.
pub fn normalize(path: &[u8]) -> Result<Normal<'_>, PathProblem> {
    if is_normal(path)? {
        return Ok(Normal { routed: Cow::Borrowed(path), forwarded: Cow::Borrowed(path) });
    }
    let forwarded = resolve(&unify_escapes(path)?, climb)?;
    // Decoding what is forwarded, not what came: the rule judges exactly what the endpoint gets.
    let routed = resolve(&decode(&forwarded)?, |_| Err(PathProblem::EncodedTraversal))?;
    let forwarded = if forwarded == path { Cow::Borrowed(path) } else { Cow::Owned(forwarded) };
    Ok(Normal { routed: Cow::Owned(routed), forwarded })
}

/// Whether both forms equal the path itself. Refuses every byte that may not occur as it is.
fn is_normal(path: &[u8]) -> Result<bool, PathProblem> {
    if path.first() != Some(&b'/') {
        return Err(PathProblem::NotAbsolute);
    }
    let mut normal = true;
    for (at, byte) in path.iter().enumerate() {
        match byte {
            b'/' => normal &= at == 0 || path[at - 1] != b'/',
            // A dot after a slash matters only where it may end a dot segment: `/.well-known` is common.
            b'.' if path[at - 1] == b'/' => {
                normal &= !matches!(path.get(at + 1), None | Some(b'.' | b'/' | b';'));
            }
            b'%' => normal = false,
            b'\\' => return Err(PathProblem::Backslash),
            b'#' => return Err(PathProblem::Fragment),
            b' ' | b'?' => return Err(PathProblem::Delimiter),
            0..0x20 | 0x7f => return Err(PathProblem::ControlCharacter),
            _ => {}
        }
    }
    Ok(normal)
}

/// Decodes the escapes of unreserved characters, and writes all others in upper case.
fn unify_escapes(path: &[u8]) -> Result<Vec<u8>, PathProblem> {
    let mut unified = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            unified.push(byte);
            continue;
        }
        let (value, after) = split_escape(after)?;
        rest = after;
        match value {
            0 => return Err(PathProblem::EncodedNul),
            b'\\' => return Err(PathProblem::Backslash),
            _ if is_unreserved(value) => unified.push(value),
            _ => push_escape(&mut unified, value),
        }
    }
    Ok(unified)
}

/// Decodes every escape, once.
fn decode(path: &[u8]) -> Result<Vec<u8>, PathProblem> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let (value, after) = if byte == b'%' { split_escape(after)? } else { (byte, after) };
        decoded.push(value);
        rest = after;
    }
    Ok(decoded)
}

/// Merges slashes, drops `.` segments and calls `up` for each `..` with what has been kept so far.
fn resolve(
    path: &[u8],
    up: impl Fn(&mut Vec<u8>) -> Result<(), PathProblem>,
) -> Result<Vec<u8>, PathProblem> {
    let mut kept = Vec::with_capacity(path.len());
    let mut ends_in_slash = false;
    for segment in path[1..].split(|byte| *byte == b'/') {
        ends_in_slash = true;
        match segment {
            b"" | b"." => {}
            b".." => up(&mut kept)?,
            [b'.', b';', ..] | [b'.', b'.', b';', ..] => {
                return Err(PathProblem::DotWithParameters);
            }
            name => {
                kept.push(b'/');
                kept.extend_from_slice(name);
                ends_in_slash = false;
            }
        }
    }
    if ends_in_slash {
        kept.push(b'/');
    }
    Ok(kept)
}

/// Takes the last segment away.
fn climb(kept: &mut Vec<u8>) -> Result<(), PathProblem> {
    let parent = memchr::memrchr(b'/', kept).ok_or(PathProblem::AboveRoot)?;
    kept.truncate(parent);
    Ok(())
}

/// The value of the escape whose `%` has been read, and what follows it.
fn split_escape(after: &[u8]) -> Result<(u8, &[u8]), PathProblem> {
    let [high, low, rest @ ..] = after else {
        return Err(PathProblem::BadEscape);
    };
    match (hexadecimal(*high), hexadecimal(*low)) {
        (Some(high), Some(low)) => Ok((high << 4 | low, rest)),
        _ => Err(PathProblem::BadEscape),
    }
}

/// The value of a hexadecimal digit.
pub(crate) fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Writes `value` as `%XX`.
pub(crate) fn push_escape(out: &mut Vec<u8>, value: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', DIGITS[usize::from(value >> 4)], DIGITS[usize::from(value & 15)]]);
}

/// RFC 3986, 2.3: these mean the same with and without escape.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::{PathProblem, normalize};
    use crate::cases;

    #[test]
    fn spellings_of_one_path_become_one_path() {
        for (sent, routed, forwarded) in [
            ("/", "/", "/"),
            ("/a/b.c", "/a/b.c", "/a/b.c"),
            ("//admin//x", "/admin/x", "/admin/x"),
            ("/%61dmin/%7Ex", "/admin/~x", "/admin/~x"),
            ("/a/./b/../c", "/a/c", "/a/c"),
            ("/a/%2e%2E/c", "/c", "/c"),
            ("/a//../c", "/c", "/c"),
            ("/a/..", "/", "/"),
            ("/a/b/.", "/a/b/", "/a/b/"),
            ("/a/b/..", "/a/", "/a/"),
            ("/.", "/", "/"),
            ("/admin%2fx", "/admin/x", "/admin%2Fx"),
            ("/admin%2F/x", "/admin/x", "/admin%2F/x"),
            ("/a%2f./b", "/a/b", "/a%2F./b"),
            ("/a%2Fb/../c", "/c", "/c"),
            ("/%252e%252e/x", "/%2e%2e/x", "/%252e%252e/x"),
            ("/a%20b%3fc%23d", "/a b?c#d", "/a%20b%3Fc%23d"),
            ("/a;x=1/b", "/a;x=1/b", "/a;x=1/b"),
            ("/...", "/...", "/..."),
            ("/..a/.b/c.", "/..a/.b/c.", "/..a/.b/c."),
            ("/.well-known/x", "/.well-known/x", "/.well-known/x"),
        ] {
            let normal = normalize(sent.as_bytes()).unwrap();
            assert_eq!(String::from_utf8_lossy(&normal.routed), routed, "routed form of {sent}");
            assert_eq!(String::from_utf8_lossy(&normal.forwarded), forwarded, "forwarded form of {sent}");
        }
    }

    #[test]
    fn what_endpoints_read_differently_is_refused() {
        for (sent, problem) in [
            ("", PathProblem::NotAbsolute),
            ("a/b", PathProblem::NotAbsolute),
            ("*", PathProblem::NotAbsolute),
            ("/%", PathProblem::BadEscape),
            ("/%4", PathProblem::BadEscape),
            ("/%g0", PathProblem::BadEscape),
            ("/%+1", PathProblem::BadEscape),
            ("/a%00.png", PathProblem::EncodedNul),
            ("/a\0b", PathProblem::ControlCharacter),
            ("/a\tb", PathProblem::ControlCharacter),
            ("/a\x7fb", PathProblem::ControlCharacter),
            ("/a\\..\\b", PathProblem::Backslash),
            ("/a/..%5cb", PathProblem::Backslash),
            ("/a/..%5Cb", PathProblem::Backslash),
            ("/a#/../b", PathProblem::Fragment),
            ("/a b", PathProblem::Delimiter),
            ("/a?b", PathProblem::Delimiter),
            ("/..", PathProblem::AboveRoot),
            ("/a/../../b", PathProblem::AboveRoot),
            ("/%2e%2e/etc", PathProblem::AboveRoot),
            ("/a/..;/b", PathProblem::DotWithParameters),
            ("/a/..;x=1/b", PathProblem::DotWithParameters),
            ("/a/.;/b", PathProblem::DotWithParameters),
            ("/a/%2e.%3bx/b", PathProblem::DotWithParameters),
            ("/a/..%2fadmin", PathProblem::EncodedTraversal),
            ("/a%2f..%2fadmin", PathProblem::EncodedTraversal),
            ("/a%2F%2e%2E/admin", PathProblem::EncodedTraversal),
        ] {
            assert_eq!(normalize(sent.as_bytes()), Err(problem), "{sent:?}");
        }
    }

    #[test]
    fn an_ordinary_path_is_not_copied() {
        let normal = normalize(b"/api/v1/users/42.json").unwrap();
        assert!(matches!(normal.routed, Cow::Borrowed(_)));
        assert!(matches!(normal.forwarded, Cow::Borrowed(_)));
    }

    #[test]
    fn every_problem_has_its_own_sentence() {
        use PathProblem::*;
        let all = [
            NotAbsolute,
            BadEscape,
            EncodedNul,
            ControlCharacter,
            Backslash,
            Fragment,
            Delimiter,
            AboveRoot,
            DotWithParameters,
            EncodedTraversal,
        ];
        let sentences: std::collections::BTreeSet<_> = all.iter().map(|problem| problem.sentence()).collect();
        assert_eq!(sentences.len(), all.len());
    }

    /// Paths made of the pieces that matter, and of any bytes at all.
    fn paths() -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop::sample::select(vec![
            "/", "/", "/", ".", "..", "%2e", "%2E", "%2f", "%2F", "%25", "%3b", ";", "a", "b", "%61", "%c3",
            "%0a", "%",
        ]);
        let of_pieces =
            prop::collection::vec(pieces, 0..16).prop_map(|all| format!("/{}", all.concat()).into_bytes());
        prop_oneof![4 => of_pieces, 1 => prop::collection::vec(any::<u8>(), 0..64)]
    }

    proptest! {
        #![proptest_config(cases::fixed(2_000))]

        #[test]
        fn normalising_twice_changes_nothing(path in paths()) {
            if let Ok(once) = normalize(&path) {
                let twice = normalize(&once.forwarded).unwrap();
                prop_assert_eq!(&twice.forwarded, &once.forwarded);
                prop_assert_eq!(&twice.routed, &once.routed);
            }
        }

        #[test]
        fn no_form_has_a_dot_segment_or_a_double_slash(path in paths()) {
            if let Ok(normal) = normalize(&path) {
                for form in [&normal.routed, &normal.forwarded] {
                    prop_assert_eq!(form[0], b'/');
                    prop_assert!(form[1..].split(|byte| *byte == b'/').all(|segment| segment != b".." && segment != b"."));
                    prop_assert!(!form.windows(2).any(|two| two == b"//"));
                }
                prop_assert!(normal.forwarded.iter().all(|byte| *byte > b' ' && *byte != 0x7f));
            }
        }
    }
}
