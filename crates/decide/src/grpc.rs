//! What gRPC adds to HTTP/2: which requests are calls, how long they may take, how they end, and who is to blame.

use crate::guard::Verdict;
use crate::http1::Field;
use crate::retry;

/// How a call ended, as its caller understands it. Those that we say or weigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Nothing is known about the reason: the code of an exception that nobody caught.
    Unknown = 2,
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
    /// Data is lost.
    DataLoss = 15,
}

/// How a call ended: a code of gRPC, 0 to 16. What is none of them reads as `UNKNOWN`, as callers read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(u8);

impl From<Code> for Status {
    fn from(code: Code) -> Self {
        Self(code as u8)
    }
}

impl Status {
    /// Codes that there are.
    pub const COUNT: usize = 17;

    /// The status that these fields tell, if they do.
    pub fn find(fields: &[Field<'_>]) -> Option<Self> {
        let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case("grpc-status"))?;
        Some(Self::read(field.value))
    }

    /// The status that trailers tell, each a line; when they do not, callers take it for `UNKNOWN`.
    pub fn of_trailers(lines: &[u8]) -> Self {
        let told = lines.split(|byte| *byte == b'\n').find_map(|line| {
            let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':')?);
            name.eq_ignore_ascii_case(b"grpc-status").then(|| Self::read(value[1..].trim_ascii()))
        });
        told.unwrap_or(Code::Unknown.into())
    }

    fn read(value: &[u8]) -> Self {
        let number = match value {
            [one] if one.is_ascii_digit() => one - b'0',
            [b'1', one] if one.is_ascii_digit() => 10 + one - b'0',
            _ => return Code::Unknown.into(),
        };
        if usize::from(number) < Self::COUNT { Self(number) } else { Code::Unknown.into() }
    }

    /// As logs and metrics write it.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Whether this is that code.
    pub fn is(self, code: Code) -> bool {
        self == code.into()
    }
}

/// What is known of a call when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// How many microseconds the caller will wait, when it says so.
    pub timeout_us: Option<u64>,
}

impl Call {
    /// The call that a request with these fields is, if it is one.
    pub fn read(fields: &[Field<'_>]) -> Option<Self> {
        is_call(fields).then(|| Self { timeout_us: timeout_us(fields) })
    }

    /// Whether a call that ended so speaks against its endpoint: where HTTP would have said 500, 503 or 504 (Envoy's
    /// table). What the application says about the request does not, nor that a caller was in a hurry.
    pub fn is_failure(self, status: Status) -> bool {
        let codes = [Code::Unknown, Code::Internal, Code::Unavailable, Code::DataLoss];
        codes.into_iter().any(|code| status.is(code))
            || (status.is(Code::DeadlineExceeded) && self.timeout_us.is_none())
    }

    /// What the head of an answer shows. A status in it is all there is to come; without one, the trailers have it.
    pub fn judge(self, http_status: u16, status: Option<Status>) -> Verdict {
        match status {
            Some(status) => Verdict::of(self.is_failure(status)),
            None if http_status != 200 => Verdict::of(retry::is_failure(http_status)),
            None => Verdict::Open,
        }
    }
}

/// Whether a request with these fields is a call.
fn is_call(fields: &[Field<'_>]) -> bool {
    let kind = fields.iter().find(|field| field.name.eq_ignore_ascii_case("content-type"));
    let rest = kind.and_then(|field| {
        let (start, rest) = field.value.split_at_checked("application/grpc".len())?;
        start.eq_ignore_ascii_case(b"application/grpc").then_some(rest)
    });
    // `application/grpc-web` is another protocol.
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// At most eight digits and a unit.
fn timeout_us(fields: &[Field<'_>]) -> Option<u64> {
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
    fn a_status_is_found_in_fields_and_in_trailers() {
        assert_eq!(Status::find(&field("Grpc-Status", "14")), Some(Code::Unavailable.into()));
        assert_eq!(Status::find(&field("grpc-message", "14")), None);
        let lines = b"x-grpc-status: 5\r\ngrpc-message: grpc-status: 3\r\ngrpc-status: 13\r\n";
        assert!(Status::of_trailers(lines).is(Code::Internal));
        assert_eq!(Status::of_trailers(b"grpc-status:0\r\n").number(), 0);
        assert!(Status::of_trailers(b"").is(Code::Unknown));
    }

    #[test]
    fn what_is_no_status_reads_as_unknown() {
        for text in ["", "17", "99", "-1", "1.0", "014", " 4", "OK"] {
            assert_eq!(Status::find(&field("grpc-status", text)), Some(Code::Unknown.into()), "{text}");
        }
        assert_eq!(Status::find(&field("grpc-status", "16")).map(Status::number), Some(16));
    }

    #[test]
    fn an_endpoint_answers_for_its_faults_and_not_for_what_it_was_asked() {
        let patient = Call { timeout_us: None };
        let blamed = (0..17).filter(|code| patient.is_failure(Status(*code)));
        assert_eq!(blamed.collect::<Vec<_>>(), [2, 4, 13, 14, 15]);
        let hurried = Call { timeout_us: Some(1) };
        assert!(!hurried.is_failure(Code::DeadlineExceeded.into()));
        assert!(hurried.is_failure(Code::Unavailable.into()));
    }

    #[test]
    fn a_head_without_a_status_leaves_it_open() {
        let call = Call { timeout_us: None };
        assert_eq!(call.judge(200, None), Verdict::Open);
        assert_eq!(call.judge(200, Some(Code::Unavailable.into())), Verdict::Failed);
        assert_eq!(call.judge(200, Some(Status(5))), Verdict::Worked);
        assert_eq!(call.judge(503, None), Verdict::Failed);
        assert_eq!(call.judge(404, None), Verdict::Worked);
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
