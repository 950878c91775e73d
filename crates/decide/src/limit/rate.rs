//! The arithmetic of one bucket: whether it lets a request through, and when the next one.
//!
//! It is the generic cell rate algorithm (ITU-T I.371, annex A): all that is known of a bucket is the moment at which it
//! will be full. Moments are counted in microseconds times `requests`, so that every rate is a whole number of them and
//! nothing is ever rounded away.

use crate::limit::{Admission, Limited};
use crate::time::Tick;

/// Beyond these, products of a moment and a rate would not fit their numbers.
const MOST_REQUESTS: u64 = 1_000_000_000_000;
const LONGEST_MS: u64 = 1_000_000_000_000;

/// How fast a bucket fills, and how much it holds. No number is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests …
    pub requests: u64,
    /// … in this many microseconds, on average.
    pub per_us: u64,
    /// Requests that may come at once.
    pub burst: u64,
}

/// A moment: microseconds times `requests`.
pub(super) type Moment = u128;

impl Rate {
    /// # Errors
    /// In words: a number that is 0, or so large that nobody means it.
    pub(super) fn new(requests: u64, per_ms: u64, burst: u64) -> Result<Self, String> {
        if requests == 0 || burst == 0 {
            return Err(
                "a rate limit of 0 requests lets nothing through; give `requests` and `burst` at least 1"
                    .into(),
            );
        }
        if per_ms == 0 {
            return Err("a rate limit needs a time of at least 1ms".into());
        }
        if requests > MOST_REQUESTS || burst > MOST_REQUESTS {
            return Err(format!("a rate limit of more than {MOST_REQUESTS} requests limits nothing"));
        }
        if per_ms > LONGEST_MS {
            return Err(format!("a rate limit counts within {LONGEST_MS}ms at most"));
        }
        Ok(Self { requests, per_us: per_ms * 1000, burst })
    }

    pub(super) fn moment(self, now: Tick) -> Moment {
        u128::from(now.0) * u128::from(self.requests)
    }

    /// What a bucket that will be full at `full_at` says to a request, and when it will be full after that.
    pub(super) fn admit(self, full_at: Moment, now: Tick) -> (Admission, Moment) {
        let now = self.moment(now);
        let one = Moment::from(self.per_us);
        let empty_at_most = now + one * Moment::from(self.burst);
        let full_at = full_at.max(now);
        let after = full_at + one;
        if after > empty_at_most {
            let retry_after_ms = self.as_ms(after - empty_at_most);
            let reset_ms = self.as_ms(full_at - now);
            return (Admission::Limited(Limited { limit: self.burst, retry_after_ms, reset_ms }), full_at);
        }
        let remaining = u64::try_from((empty_at_most - after) / one).unwrap_or(u64::MAX);
        let reset_ms = self.as_ms(after - now);
        (Admission::Admitted { limit: self.burst, remaining, reset_ms }, after)
    }

    /// Rounded up, so that who waits for as long has waited long enough.
    fn as_ms(self, span: Moment) -> u64 {
        u64::try_from(span.div_ceil(Moment::from(self.requests) * 1000)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Rate;
    use crate::cases;
    use crate::limit::{Admission, Limited};
    use crate::time::Tick;

    fn rate(requests: u64, per_ms: u64, burst: u64) -> Rate {
        Rate::new(requests, per_ms, burst).unwrap()
    }

    #[test]
    fn a_bucket_says_what_is_left_and_when_the_next_request_may_come() {
        let rate = rate(10, 1_000, 2);
        let (said, full_at) = rate.admit(0, Tick(50_000));
        assert_eq!(said, Admission::Admitted { limit: 2, remaining: 1, reset_ms: 100 });
        let (said, full_at) = rate.admit(full_at, Tick(50_000));
        assert_eq!(said, Admission::Admitted { limit: 2, remaining: 0, reset_ms: 200 });
        let refused = Limited { limit: 2, retry_after_ms: 60, reset_ms: 160 };
        assert_eq!(rate.admit(full_at, Tick(90_000)), (Admission::Limited(refused), full_at));
        let (said, _) = rate.admit(full_at, Tick(150_000));
        assert_eq!(said, Admission::Admitted { limit: 2, remaining: 0, reset_ms: 200 });
    }

    #[test]
    fn a_thread_whose_clock_is_behind_neither_gains_nor_loses() {
        let rate = rate(1, 1_000, 1);
        let (_, full_at) = rate.admit(0, Tick(500_000));
        let (said, after) = rate.admit(full_at, Tick(400_000));
        assert!(matches!(said, Admission::Limited(Limited { retry_after_ms: 1_100, .. })), "{said:?}");
        assert_eq!(after, full_at);
    }

    #[test]
    fn numbers_that_make_no_limit_are_refused() {
        assert!(Rate::new(1, 1, 0).unwrap_err().contains("at least 1"));
        assert!(Rate::new(1, 0, 1).unwrap_err().contains("1ms"));
        assert!(Rate::new(u64::MAX, 1, 1).unwrap_err().contains("limits nothing"));
        assert!(Rate::new(1, u64::MAX, 1).unwrap_err().contains("at most"));
    }

    #[test]
    fn the_largest_numbers_that_are_allowed_do_not_overflow() {
        let rate = rate(super::MOST_REQUESTS, super::LONGEST_MS, super::MOST_REQUESTS);
        let (said, _) = rate.admit(0, Tick(u64::MAX));
        assert!(matches!(said, Admission::Admitted { .. }), "{said:?}");
    }

    fn rates() -> impl Strategy<Value = Rate> {
        let requests = prop_oneof![1_u64..20, 1_u64..2_000_000];
        (requests, prop_oneof![1_u64..20, 1_u64..5_000], 1_u64..30)
            .prop_map(|(requests, per_ms, burst)| rate(requests, per_ms, burst))
    }

    /// Pauses of about the time that a request takes to be earned.
    fn arrivals() -> impl Strategy<Value = (Rate, Vec<Tick>)> {
        (rates(), prop::collection::vec(0_u64..300, 1..150)).prop_map(|(rate, pauses)| {
            let mut now = 7_000_000;
            let add = |percent| {
                now += percent * rate.per_us / rate.requests / 100;
                Tick(now)
            };
            (rate, pauses.into_iter().map(|percent| percent.saturating_sub(150)).map(add).collect())
        })
    }

    proptest! {
        #![proptest_config(cases::fixed(500))]

        #[test]
        fn no_time_sees_more_than_the_burst_and_what_was_earned((rate, arrivals) in arrivals()) {
            let mut full_at = 0;
            let mut admitted = Vec::new();
            for now in arrivals {
                let (said, after) = rate.admit(full_at, now);
                full_at = after;
                if matches!(said, Admission::Admitted { .. }) {
                    admitted.push(now);
                }
            }
            for (from, first) in admitted.iter().enumerate() {
                for (more, last) in admitted[from..].iter().enumerate() {
                    let earned = u128::from(last.since(*first)) * u128::from(rate.requests) / u128::from(rate.per_us);
                    prop_assert!((more as u128) < u128::from(rate.burst) + earned);
                }
            }
        }

        #[test]
        fn it_lets_through_exactly_what_a_bucket_of_tokens_would((rate, arrivals) in arrivals()) {
            let (one, most) = (u128::from(rate.per_us), u128::from(rate.per_us * rate.burst));
            let (mut tokens, mut before, mut full_at) = (most, arrivals[0], 0);
            for now in arrivals {
                tokens = most.min(tokens + u128::from(now.since(before)) * u128::from(rate.requests));
                before = now;
                let (said, after) = rate.admit(full_at, now);
                full_at = after;
                let has_token = tokens >= one;
                tokens -= if has_token { one } else { 0 };
                match said {
                    Admission::Admitted { remaining, .. } => {
                        prop_assert!(has_token);
                        prop_assert_eq!(u128::from(remaining), tokens / one);
                    }
                    Admission::Limited(_) => prop_assert!(!has_token),
                }
            }
        }

        #[test]
        fn who_waits_as_long_as_was_said_is_let_through((rate, arrivals) in arrivals()) {
            let mut full_at = 0;
            for now in arrivals {
                let (said, after) = rate.admit(full_at, now);
                full_at = after;
                if let Admission::Limited(limited) = said {
                    let (then, _) = rate.admit(full_at, now.after_ms(limited.retry_after_ms));
                    let too_early = limited.retry_after_ms.checked_sub(1).map(|ms| rate.admit(full_at, now.after_ms(ms)).0);
                    let passes = matches!(then, Admission::Admitted { .. });
                    prop_assert!(passes, "{:?}", then);
                    prop_assert!(matches!(too_early, Some(Admission::Limited(_))));
                }
            }
        }

        #[test]
        fn a_key_that_was_idle_for_long_enough_has_its_burst_back((rate, arrivals) in arrivals()) {
            let mut full_at = 0;
            let mut idle_for = 0;
            let last = arrivals[arrivals.len() - 1];
            for now in arrivals {
                let (said, after) = rate.admit(full_at, now);
                full_at = after;
                idle_for = match said {
                    Admission::Admitted { reset_ms, .. } => reset_ms,
                    Admission::Limited(limited) => limited.reset_ms,
                };
            }
            for left in (0..rate.burst).rev() {
                let (said, after) = rate.admit(full_at, last.after_ms(idle_for));
                full_at = after;
                let as_many_left = matches!(said, Admission::Admitted { remaining, .. } if remaining == left);
                prop_assert!(as_many_left, "{:?}", said);
            }
        }
    }
}
