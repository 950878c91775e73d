//! May this be tried again, and with what budget (RFC 9110, 9.2.2; the ladder of docs/reference/http.md).

/// How far a try had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// No connection was made: the endpoint has seen nothing.
    NotConnected,
    /// The endpoint has said that it did nothing with the request (HTTP/2: RFC 9113, 8.7).
    Refused,
    /// Bytes were written to a connection and no byte came back.
    Sent,
    /// A response has begun.
    Answered,
}

/// Whether sending the request twice is the same as sending it once (RFC 9110, 9.2.2).
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}

/// Whether a failed try may be followed by another.
///
/// `replayable`: every byte of the request that was sent can be sent again.
pub fn may_try_again(progress: Progress, idempotent: bool, replayable: bool) -> bool {
    match progress {
        Progress::NotConnected | Progress::Refused => replayable,
        Progress::Sent => replayable && idempotent,
        Progress::Answered => false,
    }
}

/// How many refusals one request may meet before it gives up, whatever its number of attempts: nobody has done any
/// work for it yet, and a balancer that prefers idle endpoints is drawn to those that refuse.
pub const REFUSALS: u32 = 8;

/// The tries that one request has left.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tries {
    spent: u32,
    refused: u32,
}

impl Tries {
    /// Notes a failed try and says whether there may be another, on another endpoint.
    ///
    /// `refused`: the connect failed at once, so that the try cost nobody anything. Other tries count against
    /// `attempts` and need `within_budget`.
    pub fn another(&mut self, refused: bool, attempts: u32, within_budget: impl FnOnce() -> bool) -> bool {
        if refused {
            self.refused += 1;
            return attempts > 0 && self.refused < REFUSALS.max(attempts);
        }
        self.spent += 1;
        self.spent <= attempts && within_budget()
    }
}

/// Whether an answer speaks against the endpoint: it could not do what it is there for.
pub fn is_failure(status: u16) -> bool {
    status >= 500 && !matches!(status, 501 | 505)
}

/// What one thread may send twice: each request earns a share of a copy, and a copy costs a whole one.
#[derive(Clone, Copy, Debug)]
pub struct Ration {
    permille: u32,
    /// In thousandths of a copy.
    earned: u32,
}

impl Ration {
    /// Copies that may have been saved up.
    const MOST: u32 = 10;

    /// `permille` of the requests may be sent twice. There is something to begin with.
    pub fn new(permille: u32) -> Self {
        Self { permille, earned: if permille > 0 { 2_000 } else { 0 } }
    }

    /// A request was sent.
    pub fn earn(&mut self) {
        self.earned = (self.earned + self.permille).min(Self::MOST * 1_000);
    }

    /// Takes one copy out, if there is one.
    pub fn spend(&mut self) -> bool {
        let affordable = self.earned >= 1_000;
        if affordable {
            self.earned -= 1_000;
        }
        affordable
    }
}

/// Keeps retries a small share of the traffic, so that failing endpoints do not multiply it (Envoy's retry budget).
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Share of the requests in flight, in percent.
    pub percent: u32,
    /// Allowed at any time.
    pub minimum: u32,
}

impl Budget {
    /// Whether one more retry fits, with `retrying` under way among `in_flight` requests.
    pub fn allows(&self, retrying: u32, in_flight: u32) -> bool {
        let share = u64::from(in_flight) * u64::from(self.percent) / 100;
        u64::from(retrying) < share.max(u64::from(self.minimum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_is_sent_twice_only_when_no_endpoint_can_have_seen_it() {
        let post = is_idempotent("POST");
        assert!(may_try_again(Progress::NotConnected, post, true));
        assert!(!may_try_again(Progress::Sent, post, true));
        assert!(may_try_again(Progress::Sent, is_idempotent("PUT"), true));
    }

    #[test]
    fn nothing_is_tried_again_after_the_first_byte_of_an_answer() {
        assert!(!may_try_again(Progress::Answered, true, true));
    }

    #[test]
    fn a_body_that_is_gone_cannot_be_sent_again() {
        assert!(!may_try_again(Progress::NotConnected, true, false));
    }

    #[test]
    fn refusals_use_up_neither_the_attempts_nor_the_budget() {
        let mut tries = Tries::default();
        assert!((0..5).all(|_| tries.another(true, 1, || false)));
        assert!(tries.another(false, 1, || true));
        assert!(!tries.another(false, 1, || true));
    }

    #[test]
    fn a_request_does_not_knock_at_every_door() {
        let mut tries = Tries::default();
        assert!((0..7).all(|_| tries.another(true, 1, || true)));
        assert!(!tries.another(true, 1, || true));
    }

    #[test]
    fn no_attempts_means_none() {
        assert!(!Tries::default().another(true, 0, || true));
        assert!(!Tries::default().another(false, 0, || true));
    }

    #[test]
    fn copies_stay_within_their_share_of_the_requests() {
        let mut ration = Ration::new(20);
        let copies = (0..10_000).filter(|_| {
            ration.earn();
            ration.spend()
        });
        assert!((195..=205).contains(&copies.count()));
        let mut none = Ration::new(0);
        none.earn();
        assert!(!none.spend());
    }

    #[test]
    fn what_an_endpoint_cannot_help_is_no_failure() {
        assert!([500, 502, 503, 504, 507, 599].into_iter().all(is_failure));
        assert!(![200, 404, 429, 501, 505].into_iter().any(is_failure));
    }

    #[test]
    fn retries_stay_within_their_share_of_the_traffic() {
        let budget = Budget { percent: 20, minimum: 3 };
        assert!(budget.allows(2, 0) && !budget.allows(3, 10));
        assert!(budget.allows(19, 100) && !budget.allows(20, 100));
    }
}
