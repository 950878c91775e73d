//! Which endpoint each session is on, where that has to be remembered: in memory, bounded, shared by all threads.

use std::hash::BuildHasher;
use std::sync::Arc;

use bascule_contract::sessions;
use foldhash::quality::FixedState;

use crate::sessions::key::SessionKey;
use crate::sessions::recent::{Recent, Session};
use crate::shared::Shared;
use crate::time::Tick;

/// Remembered sessions. It outlives tables of routes: see [`SessionTable::renewed`].
///
/// It is made of shards, each behind a lock that is held for one look-up; to go on without it would lose the session. Of each
/// shard those that were used last are kept. Since shards do not fill evenly, a table for 1,024 sessions or more begins to
/// forget when it is full to about nine tenths. A session takes about 100 bytes.
#[derive(Debug)]
pub struct SessionTable {
    expiry_ms: u64,
    entries: u32,
    seed: u64,
    spread: FixedState,
    /// A power of two of them.
    shards: Box<[Shared<Recent>]>,
    /// Sessions that one shard may hold.
    room: usize,
}

/// Enough for the shards to fill about evenly, few enough that a shard grows without keeping others waiting.
const PER_SHARD: u32 = 512;
/// Far more than there are threads.
const MOST_SHARDS: u32 = 1024;
/// Expired sessions that go whenever one comes: twice as many as come, so that they do not pile up.
const SWEPT: usize = 2;

impl SessionTable {
    /// An empty table. `seed` should not be known to clients: those that know it could fill one shard on purpose.
    pub fn compile(wanted: &sessions::SessionTable, seed: u64) -> Result<Self, String> {
        if wanted.entries == 0 {
            return Err("a table of 0 sessions remembers nothing; give it at least one entry".into());
        }
        if wanted.expiry_ms == 0 {
            return Err("an expiry of 0 forgets every session at once; give it at least 1ms".into());
        }
        let most = (wanted.entries / PER_SHARD).clamp(1, MOST_SHARDS);
        let shards = 1 << most.ilog2();
        Ok(Self {
            expiry_ms: wanted.expiry_ms,
            entries: wanted.entries,
            seed,
            // Not the seed of the shards' maps: all keys of a shard would have bits of their places in common.
            spread: FixedState::with_seed(!seed),
            shards: (0..shards).map(|_| Shared::new(Recent::new(seed))).collect(),
            room: (wanted.entries / shards) as usize,
        })
    }

    /// The table for new settings, with the sessions of this one: the same table when nothing has changed.
    ///
    /// Sessions that other threads remember in this table meanwhile may be missing in the other.
    pub fn renewed(
        self: &Arc<Self>,
        wanted: &sessions::SessionTable,
        now: Tick,
    ) -> Result<Arc<Self>, String> {
        if (wanted.expiry_ms, wanted.entries) == (self.expiry_ms, self.entries) {
            return Ok(Arc::clone(self));
        }
        let fresh = Self::compile(wanted, self.seed)?;
        let each = self.shards.iter().map(|shard| shard.wait(|recent| recent.all().to_vec()));
        let mut all: Vec<Session> = each.flatten().collect();
        // What is forgotten does not come back because sessions live longer now.
        all.retain(|session| !self.has_expired(session, now));
        all.sort_by_key(|session| session.used);
        for session in all {
            fresh.remember(session.key, &session.endpoint, session.used);
        }
        Ok(Arc::new(fresh))
    }

    /// The id of the endpoint that the session is on, if it is remembered. Its time begins anew. Allocates nothing.
    pub fn find(&self, key: SessionKey, now: Tick) -> Option<Arc<str>> {
        self.shard(key).wait(|recent| self.live(recent, key, now))
    }

    /// Puts the session on this endpoint, wherever it was.
    pub fn remember(&self, key: SessionKey, endpoint: &Arc<str>, now: Tick) {
        self.shard(key).wait(|recent| self.put(recent, key, endpoint, now));
    }

    /// Puts the session on this endpoint if it is still on the one that the caller found (`None`: on none), and says which
    /// one it is on now. Several requests of a session may look for an endpoint at a time: all go where the first goes.
    pub fn settle(&self, key: SessionKey, found: Option<&str>, endpoint: &Arc<str>, now: Tick) -> Arc<str> {
        self.shard(key).wait(|recent| match self.live(recent, key, now) {
            Some(other) if found != Some(&*other) => other,
            _ => {
                self.put(recent, key, endpoint, now);
                Arc::clone(endpoint)
            }
        })
    }

    /// Forgets the session; whether it was remembered.
    pub fn forget(&self, key: SessionKey, now: Tick) -> bool {
        self.shard(key).wait(|recent| self.live(recent, key, now).is_some() && recent.remove(key))
    }

    /// Sessions that are remembered. For status and metrics: it looks at every shard and drops what has expired.
    pub fn len(&self, now: Tick) -> usize {
        let live = |recent: &mut Recent| {
            self.sweep(recent, now, usize::MAX);
            recent.len()
        };
        self.shards.iter().map(|shard| shard.wait(live)).sum()
    }

    fn shard(&self, key: SessionKey) -> &Shared<Recent> {
        let at = self.spread.hash_one(key) as usize & (self.shards.len() - 1);
        &self.shards[at]
    }

    fn live(&self, recent: &mut Recent, key: SessionKey, now: Tick) -> Option<Arc<str>> {
        if self.has_expired(recent.find(key)?, now) {
            recent.remove(key);
            return None;
        }
        recent.touch(key, now).map(|session| Arc::clone(&session.endpoint))
    }

    fn put(&self, recent: &mut Recent, key: SessionKey, endpoint: &Arc<str>, now: Tick) {
        self.sweep(recent, now, SWEPT);
        let is_full = recent.len() >= self.room && recent.find(key).is_none();
        if let Some(oldest) = recent.oldest().filter(|_| is_full).map(|session| session.key) {
            recent.remove(oldest);
        }
        recent.put(key, Arc::clone(endpoint), now);
    }

    /// Drops expired sessions: since each use begins their time anew, the one that was used longest ago is the first.
    fn sweep(&self, recent: &mut Recent, now: Tick, most: usize) {
        for _ in 0..most {
            match recent.oldest() {
                Some(oldest) if self.has_expired(oldest, now) => recent.remove(oldest.key),
                _ => return,
            };
        }
    }

    fn has_expired(&self, session: &Session, now: Tick) -> bool {
        now >= session.used.after_ms(self.expiry_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bascule_contract::sessions;
    use proptest::prelude::*;

    use super::SessionTable;
    use crate::cases;
    use crate::sessions::key::SessionKey;
    use crate::time::Tick;

    fn settings(entries: u32, expiry_ms: u64) -> sessions::SessionTable {
        sessions::SessionTable { expiry_ms, entries, store: None }
    }

    fn table(entries: u32, expiry_ms: u64) -> Arc<SessionTable> {
        Arc::new(SessionTable::compile(&settings(entries, expiry_ms), 7).unwrap())
    }

    fn key(number: u32) -> SessionKey {
        SessionKey::of("p", &number.to_be_bytes())
    }

    fn on(endpoint: &str) -> Arc<str> {
        endpoint.into()
    }

    const NOW: Tick = Tick(5_000_000);

    #[test]
    fn a_session_is_where_it_was_put_last() {
        let table = table(10, 1_000);
        assert_eq!(table.find(key(1), NOW), None);
        table.remember(key(1), &on("a"), NOW);
        table.remember(key(2), &on("b"), NOW);
        table.remember(key(1), &on("c"), NOW);
        assert_eq!(table.find(key(1), NOW).as_deref(), Some("c"));
        assert_eq!(table.find(key(2), NOW).as_deref(), Some("b"));
        assert_eq!((table.forget(key(1), NOW), table.forget(key(1), NOW)), (true, false));
        assert_eq!((table.find(key(1), NOW), table.len(NOW)), (None, 1));
    }

    #[test]
    fn a_session_expires_when_it_was_not_used_for_that_long() {
        let table = table(10, 1_000);
        table.remember(key(1), &on("a"), Tick(0));
        table.remember(key(2), &on("a"), Tick(0));
        assert!(table.find(key(1), Tick(999_999)).is_some());
        assert_eq!(table.find(key(2), Tick(1_000_000)), None);
        assert!(table.find(key(1), Tick(1_999_998)).is_some());
        assert_eq!(table.len(Tick(2_999_997)), 1);
        assert_eq!(table.len(Tick(2_999_998)), 0);
        table.remember(key(3), &on("a"), Tick(3_000_000));
        assert!(!table.forget(key(3), Tick(4_000_000)));
    }

    #[test]
    fn a_thread_whose_clock_is_behind_takes_no_time_away() {
        let table = table(10, 1_000);
        table.remember(key(1), &on("a"), Tick(500_000));
        assert!(table.find(key(1), Tick(400_000)).is_some());
        assert!(table.find(key(1), Tick(1_499_999)).is_some());
    }

    #[test]
    fn requests_of_one_session_go_where_the_first_of_them_goes() {
        let table = table(10, 1_000);
        assert_eq!(&*table.settle(key(1), None, &on("a"), NOW), "a");
        assert_eq!(&*table.settle(key(1), None, &on("b"), NOW), "a");
        // The endpoint is gone, and three requests have noticed: the session moves once.
        assert_eq!(&*table.settle(key(1), Some("a"), &on("b"), NOW), "b");
        assert_eq!(&*table.settle(key(1), Some("a"), &on("c"), NOW), "b");
        assert_eq!(&*table.settle(key(1), None, &on("d"), NOW), "b");
        table.forget(key(1), NOW);
        assert_eq!(&*table.settle(key(1), Some("b"), &on("c"), NOW), "c");
        assert_eq!(table.find(key(1), NOW).as_deref(), Some("c"));
    }

    #[test]
    fn threads_agree_on_where_a_session_is() {
        let table = table(100_000, 1_000);
        let settle_all = |own: u32| {
            let endpoint = on(&own.to_string());
            (0..500).map(|number| table.settle(key(number), None, &endpoint, NOW)).collect::<Vec<_>>()
        };
        let settle_all = &settle_all;
        let settled = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|own| scope.spawn(move || settle_all(own))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(settled.iter().all(|found| *found == settled[0]));
        assert_eq!(table.len(NOW), 500);
    }

    #[test]
    fn a_full_table_of_many_shards_keeps_the_sessions_that_were_used_last() {
        let table = table(8_192, 1_000_000);
        let remember = |numbers: std::ops::Range<u32>| {
            for number in numbers {
                table.remember(key(number), &on("a"), Tick(u64::from(number)));
            }
        };
        remember(0..7_372);
        assert_eq!(table.len(NOW), 7_372, "nine tenths fit");
        remember(7_372..40_000);
        assert!((8_000..=8_192).contains(&table.len(NOW)), "{}", table.len(NOW));
        assert!((33_000..40_000).all(|number| table.find(key(number), NOW).is_some()));
    }

    #[test]
    fn expired_sessions_do_not_pile_up() {
        let table = table(1_000, 1);
        for number in 0..2_000 {
            table.remember(key(number), &on("a"), Tick(u64::from(number) * 100));
        }
        let held: usize = table.shards.iter().map(|shard| shard.wait(|recent| recent.len())).sum();
        assert!(held <= 10, "{held}");
    }

    #[test]
    fn new_settings_keep_the_sessions_that_fit() {
        let old = table(4_000, 1_000);
        for number in 0..2_000 {
            old.remember(key(number), &on(&number.to_string()), Tick(u64::from(number) * 1_000));
        }
        let now = Tick(2_000_000);
        assert!(Arc::ptr_eq(&old, &old.renewed(&settings(4_000, 1_000), now).unwrap()));
        let longer = old.renewed(&settings(4_000, 2_000), now).unwrap();
        assert_eq!(longer.len(now), 999, "what had expired stays forgotten");
        assert_eq!(longer.find(key(1_500), Tick(3_499_999)).as_deref(), Some("1500"));
        let smaller = old.renewed(&settings(10, 1_000), now).unwrap();
        assert!((1_990..2_000).all(|number| smaller.find(key(number), now).is_some()));
        assert_eq!(smaller.len(now), 10);
        let problem = old.renewed(&settings(0, 1_000), now).unwrap_err();
        assert!(problem.contains("0 sessions"), "{problem}");
    }

    #[test]
    fn a_table_that_could_remember_nothing_is_refused() {
        let problem =
            |entries, expiry_ms| SessionTable::compile(&settings(entries, expiry_ms), 7).unwrap_err();
        assert!(problem(0, 1_000).contains("at least one entry"));
        assert!(problem(1, 0).contains("at least 1ms"));
    }

    proptest! {
        #![proptest_config(cases::fixed(200))]

        #[test]
        fn a_table_never_holds_more_than_it_may(
            entries in prop_oneof![1_u32..6, 500_u32..3_000],
            keys in prop::collection::vec(0_u32..20_000, 0..400),
        ) {
            let table = table(entries, 1_000_000);
            for (now, number) in (0..).map(Tick).zip(&keys) {
                table.remember(key(*number), &on("a"), now);
                let found = table.find(key(*number), now);
                prop_assert_eq!(found.as_deref(), Some("a"));
            }
            prop_assert!(table.len(NOW) <= entries as usize);
            prop_assert!(table.shards.len() * table.room <= entries as usize);
        }

        #[test]
        fn a_small_table_keeps_exactly_those_that_were_used_last(
            entries in 1_u32..8,
            keys in prop::collection::vec(0_u32..12, 0..80),
        ) {
            let table = table(entries, 1_000_000);
            let mut recent: Vec<u32> = Vec::new();
            for (now, number) in (0..).map(Tick).zip(&keys) {
                table.remember(key(*number), &on("a"), now);
                recent.retain(|other| other != number);
                recent.push(*number);
            }
            let kept = recent.split_off(recent.len().saturating_sub(entries as usize));
            for number in 0..12 {
                prop_assert_eq!(table.find(key(number), NOW).is_some(), kept.contains(&number));
            }
        }
    }
}
