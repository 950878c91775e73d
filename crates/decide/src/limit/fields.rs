//! What a request that is not let through is told, in header fields.

use crate::limit::{Limited, RateLimit};

impl RateLimit {
    /// The fields of a 429 (RFC 6585, 4), as names and values.
    ///
    /// `Retry-After` in seconds, rounded up (RFC 9110, 10.2.3); `RateLimit` and `RateLimit-Policy` as in
    /// draft-ietf-httpapi-ratelimit-headers, revisions 8 to 11. As the draft asks, `t` is the same moment as `Retry-After`.
    pub fn fields(&self, limited: &Limited) -> [(&'static str, String); 3] {
        let seconds = limited.retry_after_ms.div_ceil(1000).max(1);
        let (quota, window) = self.quota();
        [
            ("Retry-After", seconds.to_string()),
            ("RateLimit", format!("\"{}\";r=0;t={seconds}", self.policy)),
            ("RateLimit-Policy", format!("\"{}\";q={quota};w={window}", self.policy)),
        ]
    }

    /// Requests, and in how many seconds. The draft knows whole seconds only: 10 in 100 ms are 100 in a second.
    fn quota(&self) -> (u128, u64) {
        let window = self.rate.per_us.div_ceil(1_000_000);
        let requests =
            u128::from(self.rate.requests) * u128::from(window) * 1_000_000 / u128::from(self.rate.per_us);
        (requests, window)
    }
}

/// What stands between the quotation marks of a String (RFC 9651, 3.3.3): characters that it cannot have become `_`.
pub(super) fn policy(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for letter in id.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            ' '..='~' => text.push(letter),
            _ => text.push('_'),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use bascule_contract::protection;

    use crate::limit::{LimitStates, Limited};

    fn fields(id: &str, requests: u64, per_ms: u64, retry_after_ms: u64) -> Vec<String> {
        let wanted =
            protection::RateLimit { id: id.into(), by: None, requests, per_ms, burst: 5, store: None };
        let limit = LimitStates::seeded(1).limit("web", &wanted).unwrap();
        let limited = Limited { limit: 5, retry_after_ms, reset_ms: 90_000 };
        limit.fields(&limited).iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn a_refused_client_learns_when_to_come_again_and_how_many_may_come() {
        assert_eq!(
            fields("api", 100, 60_000, 1_001),
            ["Retry-After: 2", "RateLimit: \"api\";r=0;t=2", "RateLimit-Policy: \"api\";q=100;w=60"]
        );
    }

    #[test]
    fn no_client_is_told_to_come_again_at_once() {
        assert_eq!(fields("api", 1_000, 1_000, 1)[0], "Retry-After: 1");
    }

    #[test]
    fn windows_are_whole_seconds_and_never_promise_more() {
        assert_eq!(fields("api", 10, 100, 1)[2], "RateLimit-Policy: \"api\";q=100;w=1");
        assert_eq!(fields("api", 10, 1_500, 1)[2], "RateLimit-Policy: \"api\";q=13;w=2");
        assert_eq!(fields("api", 1, 1_001, 1)[2], "RateLimit-Policy: \"api\";q=1;w=2");
    }

    #[test]
    fn a_name_cannot_end_its_quotation() {
        assert_eq!(fields("a\"b\\c\u{e4}\n", 1, 1_000, 1)[1], "RateLimit: \"a\\\"b\\\\c__\";r=0;t=1");
    }
}
