//! Which cookies a request brings, and which one a response sets (RFC 6265, 4.1 and 4.2).

use memchr::memchr;

/// The values of all cookies of this name, in the order in which they were sent. Case counts.
///
/// Quotes around a value are not part of it. Whatever else is odd stays as it is: nothing is refused or decoded.
pub fn values<'a>(fields: &[httparse::Header<'a>], name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let cookies = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("cookie"));
    cookies.flat_map(|field| Pieces(Some(field.value))).filter_map(move |pair| value_of(pair, name))
}

/// The value that a `Set-Cookie` field gives to the cookie of this name; case counts.
///
/// `None` when it sets another cookie, or takes this one away: with an empty value, a `Max-Age` of nothing or less, or an
/// expiry in 1970, which is how frameworks write "never existed".
pub fn learned_cookie<'a>(set_cookie: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut pieces = Pieces(Some(set_cookie));
    let value = value_of(pieces.next()?, name).filter(|value| !value.is_empty())?;
    // The last of equal attributes counts, and Max-Age comes before Expires (RFC 6265, 5.3).
    let (mut age_ends, mut date_is_past) = (None, false);
    for attribute in pieces {
        let (key, said) = split(attribute);
        if key.eq_ignore_ascii_case(b"max-age") {
            age_ends = is_number(said).then(|| is_nothing(said)).or(age_ends);
        } else if key.eq_ignore_ascii_case(b"expires") {
            date_is_past = is_in_1970(said);
        }
    }
    (!age_ends.unwrap_or(date_is_past)).then_some(value)
}

/// What stands between semicolons, without the blanks around it.
struct Pieces<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let piece = match memchr(b';', rest) {
            Some(end) => {
                self.0 = Some(&rest[end + 1..]);
                &rest[..end]
            }
            None => {
                self.0 = None;
                rest
            }
        };
        Some(piece.trim_ascii())
    }
}

fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = pair.strip_prefix(name)?.trim_ascii_start();
    let value = rest.strip_prefix(b"=")?.trim_ascii_start();
    Some(value.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(value))
}

/// A name and a value; without `=` the value is empty.
fn split(attribute: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b'=', attribute) {
        Some(at) => (attribute[..at].trim_ascii_end(), attribute[at + 1..].trim_ascii_start()),
        None => (attribute, b""),
    }
}

/// Whatever else a `Max-Age` holds is ignored (RFC 6265, 5.2.2).
fn is_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn is_nothing(number: &[u8]) -> bool {
    number.starts_with(b"-") || number.iter().all(|digit| *digit == b'0')
}

/// Of a date in any of the forms of RFC 9110, 5.6.7, and `01-Jan-1970`.
fn is_in_1970(date: &[u8]) -> bool {
    date.split(|byte| matches!(byte, b' ' | b'-')).any(|part| matches!(part, b"1970" | b"70"))
}

#[cfg(test)]
mod tests {
    use httparse::Header;

    use super::{learned_cookie, values};

    fn found(lines: &[&str], name: &str) -> Vec<String> {
        let fields: Vec<Header<'_>> =
            lines.iter().map(|line| Header { name: "cOOkie", value: line.as_bytes() }).collect();
        values(&fields, name.as_bytes()).map(|value| value.escape_ascii().to_string()).collect()
    }

    #[test]
    fn cookies_are_found_wherever_they_stand() {
        assert_eq!(found(&["a=1"], "a"), ["1"]);
        assert_eq!(found(&["b=2; a=1", "c=3;a=4 ;  a = 5"], "a"), ["1", "4", "5"]);
        assert_eq!(found(&["a=b=c"], "a"), ["b=c"]);
        assert_eq!(found(&["", ";;", "a", "=1", "A=1", "aa=1", "b=a=1"], "a"), [""; 0]);
        let other = [Header { name: "Set-Cookie", value: b"a=1" }];
        assert_eq!(values(&other, b"a").count(), 0);
    }

    #[test]
    fn quotes_around_a_value_are_not_part_of_it() {
        assert_eq!(
            found(&["a=\"x y\"; a=\"\"; a=\"; a=\"z; a=y\""], "a"),
            ["x y", "", "\\\"", "\\\"z", "y\\\""]
        );
    }

    #[test]
    fn odd_bytes_stay_as_they_are() {
        let fields = [Header { name: "Cookie", value: b"\xff\x80=1; a=\xff\t\x80,%3b; b" }];
        assert_eq!(values(&fields, b"a").collect::<Vec<_>>(), [b"\xff\t\x80,%3b"]);
    }

    #[test]
    fn a_cookie_is_learned_from_the_response_that_sets_it() {
        for (line, value) in [
            ("SID=31d4d96e407aad42; Path=/; Secure", "31d4d96e407aad42"),
            ("SID=a", "a"),
            (" SID = \"a b\" ;Max-Age=10", "a b"),
            ("SID=a; Expires=Wed, 09 Jun 2071 10:18:14 GMT", "a"),
            ("SID=a; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a"),
            ("SID=a; Max-Age=0; max-age=5", "a"),
            ("SID=a; Max-Age=soon; Path=/;;=", "a"),
        ] {
            assert_eq!(learned_cookie(line.as_bytes(), b"SID"), Some(value.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_cookie_that_is_taken_away_or_another_one_is_not_learned() {
        for line in [
            "",
            "SID",
            "SID=",
            "SID=\"\"",
            "sid=a",
            "SID2=a",
            "b=1; SID=a",
            "SID=a; Max-Age=0",
            "SID=a; Max-Age=5; max-age = -1",
            "SID=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT",
            "SID=a; Expires=Thursday, 01-Jan-70 00:00:00 GMT; Max-Age=",
            "SID=a; Expires=Thu Jan  1 00:00:00 1970",
        ] {
            assert_eq!(learned_cookie(line.as_bytes(), b"SID"), None, "{line}");
        }
    }
}
