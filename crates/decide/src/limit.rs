//! How many requests of one key are let through in a time, and what those that are not let through are told.
//!
//! A limit is a token bucket for each key: it holds `burst` requests, fills at `requests` in `per_ms`, and a request that
//! finds it empty is refused. All threads share the buckets, and they outlive tables: see [`LimitStates`].
//!
//! With a store the bucket is kept there for several balancers together (`wire/store`); the buckets here are what counts
//! while the store does not answer.

mod buckets;
mod fields;
mod rate;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use bascule_contract::protection;
use bascule_contract::sessions::KeyBy;

use crate::limit::buckets::Buckets;
pub use crate::limit::rate::Rate;
use crate::request::Request;
use crate::sessions::key::{KeySource, SessionKey};
use crate::time::Tick;

/// One limit of one listener, ready to count.
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// How fast its buckets fill, and how much they hold.
    pub rate: Rate,
    /// The shared store (its id) that counts; `None`: only the buckets here do.
    pub store: Option<Arc<str>>,
    /// What tells this limit from all others; the same on every balancer whose listeners and limits are called the same.
    scope: Box<str>,
    /// What clients know it by.
    policy: Box<str>,
    source: Option<KeySource>,
    /// The only key where all requests are counted together.
    together: LimitKey,
    buckets: Arc<Buckets>,
}

/// What stands for the requests that are counted together: the first 128 bits of a SHA-256 over the limit and the value
/// that clients send, which is not kept. Nobody can find two values that share a bucket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitKey(SessionKey);

/// What a limit says to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may pass, and has been counted.
    Admitted {
        /// Requests that may come at once after a pause.
        limit: u64,
        /// Requests that may still come at once.
        remaining: u64,
        /// Milliseconds without a request until that is `limit` again.
        reset_ms: u64,
    },
    /// It may not pass, and has not been counted.
    Limited(Limited),
}

/// Why and for how long a request may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// Requests that may come at once after a pause.
    pub limit: u64,
    /// Milliseconds until one request may pass, if no other takes its place; 1 or more.
    pub retry_after_ms: u64,
    /// Milliseconds without a request until `limit` of them may pass.
    pub reset_ms: u64,
}

/// The buckets of all limits, kept from one table to the next while a limit is called the same and means the same.
#[derive(Debug, Default)]
pub struct LimitStates {
    seed: u64,
    /// By listener and limit. Of a refused snapshot nothing stays: its table is gone, and what it had alone with it.
    kept: BTreeMap<(Box<str>, Box<str>), Vec<Kept>>,
}

/// Buckets, and what they mean.
#[derive(Debug)]
struct Kept {
    rate: Rate,
    by: Option<KeyBy>,
    buckets: Weak<Buckets>,
}

impl LimitStates {
    /// Nothing has been counted yet. `seed` should not be known to clients: those that know it could fill one shard of the
    /// buckets on purpose.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, kept: BTreeMap::new() }
    }

    /// Compiles a limit of `listener`. It goes on with the buckets that a table still holds for the same names, numbers and
    /// key; otherwise all of its buckets are full.
    ///
    /// # Errors
    /// In words: numbers or names that make no limit.
    pub fn limit(&mut self, listener: &str, wanted: &protection::RateLimit) -> Result<RateLimit, String> {
        let rate = Rate::new(wanted.requests, wanted.per_ms, wanted.burst)?;
        let source = wanted.by.as_ref().map(KeySource::compile).transpose()?;
        let scope: Box<str> = format!("{listener}/{}", wanted.id).into();
        Ok(RateLimit {
            rate,
            store: wanted.store.as_deref().map(Into::into),
            policy: fields::policy(&wanted.id).into(),
            together: LimitKey::of(&scope, b""),
            scope,
            source,
            buckets: self.buckets(listener, wanted, rate),
        })
    }

    /// Drops what no table holds any more. Call it when an old table has gone.
    pub fn forget_unused(&mut self) {
        self.kept.retain(|_, kept| {
            kept.retain(|one| one.buckets.strong_count() > 0);
            !kept.is_empty()
        });
    }

    fn buckets(&mut self, listener: &str, wanted: &protection::RateLimit, rate: Rate) -> Arc<Buckets> {
        let kept = self.kept.entry((listener.into(), wanted.id.as_str().into())).or_default();
        let mut same = kept.iter().filter(|one| one.rate == rate && one.by == wanted.by);
        if let Some(buckets) = same.find_map(|one| one.buckets.upgrade()) {
            return buckets;
        }
        let most = if wanted.by.is_some() { buckets::MOST_KEYS } else { 1 };
        let buckets = Arc::new(Buckets::new(most, self.seed));
        kept.push(Kept { rate, by: wanted.by.clone(), buckets: Arc::downgrade(&buckets) });
        buckets
    }
}

impl RateLimit {
    /// With which others this request is counted; `None`: it has no such header, cookie or parameter, and is not limited.
    pub fn key(&self, asked: &Request<'_>) -> Option<LimitKey> {
        match &self.source {
            None => Some(self.together),
            Some(source) => source.find(asked).map(|value| LimitKey::of(&self.scope, &value)),
        }
    }

    /// Counts a request in, or says when it may come again. All threads together let `burst + requests / per_ms * time` of a
    /// key through in any time, and not one more.
    ///
    /// Of a limit that is asked about more keys at a time than [`RateLimit::keys`], those whose buckets are nearest to full
    /// are forgotten, as if they were: clients that invent keys are let through, and those that have used theirs up stay
    /// refused.
    pub fn admit(&self, key: LimitKey, now: Tick) -> Admission {
        self.buckets.change(key, self.rate.moment(now), |full_at| self.rate.admit(full_at, now))
    }

    /// How many keys it may remember; each takes about 80 bytes.
    pub fn keys(&self) -> usize {
        self.buckets.most()
    }

    /// What the bucket of this key is called in a store, after the store's prefix: `limit:LISTENER/LIMIT:` and 32 hexadecimal
    /// digits.
    pub fn name_in_store(&self, key: LimitKey) -> String {
        format!("limit:{}:{key:?}", self.scope)
    }
}

impl LimitKey {
    fn of(scope: &str, value: &[u8]) -> Self {
        Self(SessionKey::of(scope, value))
    }
}

impl fmt::Debug for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use bascule_contract::protection;
    use bascule_contract::sessions::KeyBy;
    use httparse::Header;
    use proptest::prelude::*;

    use super::{Admission, LimitKey, LimitStates, RateLimit};
    use crate::cases;
    use crate::request::Request;
    use crate::time::Tick;

    fn wanted(requests: u64, burst: u64) -> protection::RateLimit {
        let by = Some(KeyBy::Header { name: "X-Api-Key".into() });
        protection::RateLimit { id: "all".into(), by, requests, per_ms: 1_000, burst, store: None }
    }

    fn asked<'a>(fields: &'a [Header<'a>]) -> Request<'a> {
        Request { method: "GET", host: "", path: b"/", query: None, fields, client: None, identity: None }
    }

    fn key(limit: &RateLimit, value: &str) -> LimitKey {
        let fields = [Header { name: "x-api-key", value: value.as_bytes() }];
        limit.key(&asked(&fields)).unwrap()
    }

    fn passes(limit: &RateLimit, value: &str, now: Tick) -> bool {
        matches!(limit.admit(key(limit, value), now), Admission::Admitted { .. })
    }

    #[test]
    fn requests_of_one_key_are_counted_together_and_others_are_not() {
        let limit = LimitStates::seeded(1).limit("web", &wanted(1, 2)).unwrap();
        let now = Tick(5);
        assert_eq!(
            [passes(&limit, "a", now), passes(&limit, "a", now), passes(&limit, "a", now)],
            [true, true, false]
        );
        assert!(passes(&limit, "b", now));
    }

    #[test]
    fn a_request_without_the_key_is_not_limited_and_without_by_all_are_one() {
        let mut states = LimitStates::seeded(1);
        let by_header = states.limit("web", &wanted(1, 1)).unwrap();
        assert_eq!(by_header.key(&asked(&[])), None);
        let together = states.limit("web", &protection::RateLimit { by: None, ..wanted(1, 1) }).unwrap();
        let fields = [Header { name: "X-Api-Key", value: b"a" }];
        assert!(together.key(&asked(&[])).is_some());
        assert_eq!(together.key(&asked(&[])), together.key(&asked(&fields)));
        assert_eq!(together.keys(), 1);
    }

    #[test]
    fn buckets_stay_while_a_limit_is_called_the_same_and_means_the_same() {
        let mut states = LimitStates::seeded(1);
        let old = states.limit("web", &wanted(1, 1)).unwrap();
        assert!(passes(&old, "a", Tick(0)));
        states.forget_unused();
        let same = states.limit("web", &wanted(1, 1)).unwrap();
        assert!(!passes(&same, "a", Tick(0)));
        let shared =
            states.limit("web", &protection::RateLimit { store: Some("s".into()), ..wanted(1, 1) }).unwrap();
        assert!(
            !passes(&shared, "a", Tick(0)),
            "what counts while the store is down was known before there was one"
        );
        assert!(passes(&states.limit("admin", &wanted(1, 1)).unwrap(), "a", Tick(0)));
        let by = Some(KeyBy::Cookie { name: "x-api-key".into() });
        states.limit("web", &protection::RateLimit { by, ..wanted(1, 1) }).unwrap();
        assert!(passes(&states.limit("web", &wanted(1, 2)).unwrap(), "a", Tick(0)));
    }

    #[test]
    fn a_refused_snapshot_costs_no_bucket() {
        let mut states = LimitStates::seeded(1);
        let live = states.limit("web", &wanted(1, 1)).unwrap();
        assert!(passes(&live, "a", Tick(0)));
        drop(states.limit("web", &wanted(7, 7)).unwrap());
        assert!(!passes(&states.limit("web", &wanted(1, 1)).unwrap(), "a", Tick(0)));
    }

    #[test]
    fn what_no_table_holds_is_forgotten() {
        let mut states = LimitStates::seeded(1);
        assert!(passes(&states.limit("web", &wanted(1, 1)).unwrap(), "a", Tick(0)));
        states.forget_unused();
        assert!(states.kept.is_empty());
        assert!(passes(&states.limit("web", &wanted(1, 1)).unwrap(), "a", Tick(0)));
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_refused() {
        let mut states = LimitStates::seeded(1);
        let by = Some(KeyBy::Header { name: "X Key".into() });
        let problem = states.limit("web", &protection::RateLimit { by, ..wanted(1, 1) }).unwrap_err();
        assert!(problem.contains("\"X Key\" is not a field name"), "{problem}");
        assert!(states.limit("web", &wanted(0, 1)).unwrap_err().contains("0 requests"));
    }

    #[test]
    fn a_store_knows_a_bucket_by_names_that_every_balancer_agrees_on() {
        let name = |seed| {
            let limit = LimitStates::seeded(seed).limit("web", &wanted(1, 1)).unwrap();
            limit.name_in_store(key(&limit, "secret"))
        };
        assert_eq!(name(1), name(2));
        assert_eq!(name(1), "limit:web/all:fc24c14369950ebf2670c2efa6b7708a");
    }

    #[test]
    fn threads_together_let_no_more_through_than_one() {
        let limit = LimitStates::seeded(1).limit("web", &wanted(1, 1_000)).unwrap();
        let ask = || (0..500).filter(|_| passes(&limit, "a", Tick(9))).count();
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 1_000);
    }

    proptest! {
        #![proptest_config(cases::fixed(200))]

        #[test]
        fn what_one_key_gets_does_not_depend_on_others(
            burst in 1_u64..5,
            requests in prop::collection::vec((0_u64..900_000, 0_u8..4), 0..120),
        ) {
            let mixed = LimitStates::seeded(1).limit("web", &wanted(3, burst)).unwrap();
            let mut now = 0;
            let mut timed = Vec::new();
            for (pause, who) in requests {
                now += pause;
                timed.push((Tick(now), who.to_string()));
            }
            let together: Vec<bool> = timed.iter().map(|(now, who)| passes(&mixed, who, *now)).collect();
            for one in 0_u8..4 {
                let alone = LimitStates::seeded(2).limit("web", &wanted(3, burst)).unwrap();
                for ((now, who), admitted) in timed.iter().zip(&together) {
                    if *who == one.to_string() {
                        prop_assert_eq!(passes(&alone, who, *now), *admitted);
                    }
                }
            }
        }
    }
}
