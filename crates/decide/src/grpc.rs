//! What gRPC adds to HTTP/2: which requests are calls, how long they may take, and what their callers understand.

use crate::http1::Field;

/// How a call ended, as its caller understands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// It took longer than it may.
    DeadlineExceeded = 4,
    /// Too much was asked, or sent.
    ResourceExhausted = 8,
    /// Nobody offers this.
    Unimplemented = 12,
    /// What was said makes no sense.
    Internal = 13,
    /// It may work another time: callers may try again.
    Unavailable = 14,
}

/// Whether a request with these fields is a call.
pub fn is_call(fields: &[Field<'_>]) -> bool {
    let kind = fields.iter().find(|field| field.name.eq_ignore_ascii_case("content-type"));
    let rest = kind.and_then(|field| {
        let (start, rest) = field.value.split_at_checked("application/grpc".len())?;
        start.eq_ignore_ascii_case(b"application/grpc").then_some(rest)
    });
    // `application/grpc-web` is another protocol.
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// How many microseconds the caller will wait, when it says so: at most eight digits and a unit.
pub fn timeout_us(fields: &[Field<'_>]) -> Option<u64> {
    let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case("grpc-timeout"))?;
    let (unit, digits) = field.value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => amount * 3_600_000_000,
        b'M' => amount * 60_000_000,
        b'S' => amount * 1_000_000,
        b'm' => amount * 1_000,
        b'u' => amount,
        b'n' => amount.div_ceil(1_000),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &'static str, value: &'static str) -> [Field<'static>; 1] {
        [Field { name, value: value.as_bytes() }]
    }

    #[test]
    fn a_call_says_so_in_its_content_type() {
        for kind in ["application/grpc", "application/grpc+proto", "Application/gRPC; a=b"] {
            assert!(is_call(&field("content-type", kind)), "{kind}");
        }
        for kind in ["application/grpc-web", "application/grpcx", "application/json", "", "application"] {
            assert!(!is_call(&field("content-type", kind)), "{kind}");
        }
        assert!(!is_call(&field("accept", "application/grpc")));
    }

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        for (text, us) in [("1H", 3_600_000_000), ("2M", 120_000_000), ("3S", 3_000_000), ("4m", 4_000)] {
            assert_eq!(timeout_us(&field("grpc-timeout", text)), Some(us));
        }
        assert_eq!(timeout_us(&field("grpc-timeout", "99999999u")), Some(99_999_999));
        assert_eq!(timeout_us(&field("grpc-timeout", "1n")), Some(1));
        for text in ["", "S", "1", "-1S", "1 S", "999999999S", "1s", "1.5S"] {
            assert_eq!(timeout_us(&field("grpc-timeout", text)), None, "{text}");
        }
    }
}
