//! The buckets of one limit, one for each key that has not been idle: bounded, and shared by all threads.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::quality::FixedState;

use crate::limit::LimitKey;
use crate::limit::rate::Moment;
use crate::shared::Shared;

/// Keys that one limit may remember. At about 80 bytes each that is 10 MB, whatever clients send.
pub(super) const MOST_KEYS: usize = 131_072;
/// Far more than there are threads; few enough to cost nothing while they are empty.
const SHARDS: usize = 64;
/// Buckets that are looked at whenever a key comes, and dropped if they are full: twice as many as come, so that they do not
/// pile up.
const SWEPT: usize = 2;
/// Of so many the one that is nearest to full makes room.
const COMPARED: usize = 8;

/// When each bucket will be full; those that are need not be remembered.
#[derive(Debug)]
pub(super) struct Buckets {
    spread: FixedState,
    shards: Box<[Shared<Shard>]>,
    /// Buckets that one shard may hold.
    room: usize,
}

#[derive(Debug)]
struct Shard {
    places: HashMap<LimitKey, u32, FixedState>,
    /// Without gaps.
    buckets: Vec<Bucket>,
    /// Where to look next for one that may go.
    hand: usize,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    key: LimitKey,
    full_at: Moment,
}

impl Buckets {
    pub(super) fn new(most: usize, seed: u64) -> Self {
        let shards = SHARDS.min(most);
        let shard = || {
            let places = HashMap::with_hasher(FixedState::with_seed(seed));
            Shared::new(Shard { places, buckets: Vec::new(), hand: 0 })
        };
        Self {
            // Not the seed of the shards' maps: all keys of a shard would have bits of their places in common.
            spread: FixedState::with_seed(!seed),
            shards: std::iter::repeat_with(shard).take(shards).collect(),
            room: most / shards,
        }
    }

    pub(super) fn most(&self) -> usize {
        self.room * self.shards.len()
    }

    /// Does `work` with the moment at which the bucket of `key` will be full, while nobody else sees it, and keeps the moment
    /// that comes back. The lock is held for one look-up and a few additions; to go on without it would let requests through.
    pub(super) fn change<R>(
        &self,
        key: LimitKey,
        now: Moment,
        work: impl FnOnce(Moment) -> (R, Moment),
    ) -> R {
        self.shard(key).wait(|shard| match shard.places.get(&key) {
            Some(place) => {
                let bucket = &mut shard.buckets[*place as usize];
                let (answer, full_at) = work(bucket.full_at);
                bucket.full_at = full_at;
                answer
            }
            None => {
                let (answer, full_at) = work(now);
                shard.put(Bucket { key, full_at }, now, self.room);
                answer
            }
        })
    }

    fn shard(&self, key: LimitKey) -> &Shared<Shard> {
        &self.shards[self.spread.hash_one(key) as usize % self.shards.len()]
    }
}

impl Shard {
    fn put(&mut self, bucket: Bucket, now: Moment, room: usize) {
        self.sweep(now);
        if self.buckets.len() < room {
            self.places.insert(bucket.key, self.buckets.len() as u32);
            self.buckets.push(bucket);
            return;
        }
        // A client that invents keys owes one request with each: its buckets push each other out, and not those of keys
        // that are used up.
        let place = self.nearest_to_full();
        if self.buckets[place].full_at <= bucket.full_at {
            self.places.remove(&self.buckets[place].key);
            self.places.insert(bucket.key, place as u32);
            self.buckets[place] = bucket;
        }
    }

    fn sweep(&mut self, now: Moment) {
        for _ in 0..SWEPT.min(self.buckets.len()) {
            self.hand = if self.hand < self.buckets.len() { self.hand } else { 0 };
            if self.buckets[self.hand].full_at > now {
                self.hand += 1;
                continue;
            }
            let gone = self.buckets.swap_remove(self.hand);
            self.places.remove(&gone.key);
            if let Some(moved) = self.buckets.get(self.hand) {
                self.places.insert(moved.key, self.hand as u32);
            }
        }
    }

    /// Of the next few that the hand comes to.
    fn nearest_to_full(&mut self) -> usize {
        let count = self.buckets.len();
        let compared = (self.hand..).map(|place| place % count).take(COMPARED.min(count));
        let nearest = compared.min_by_key(|place| self.buckets[*place].full_at).unwrap_or_default();
        self.hand = (self.hand + COMPARED) % count;
        nearest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Buckets, MOST_KEYS, SHARDS};
    use crate::cases;
    use crate::limit::LimitKey;
    use crate::limit::rate::Moment;

    fn key(number: u32) -> LimitKey {
        LimitKey::of("l", &number.to_be_bytes())
    }

    fn put(buckets: &Buckets, number: u32, now: Moment, full_at: Moment) {
        buckets.change(key(number), now, |_| ((), full_at));
    }

    /// The moment that is remembered; 0 when none is.
    fn remembered(buckets: &Buckets, number: u32) -> Moment {
        let key = key(number);
        buckets
            .shard(key)
            .wait(|shard| shard.places.get(&key).map_or(0, |place| shard.buckets[*place as usize].full_at))
    }

    fn len(buckets: &Buckets) -> usize {
        buckets.shards.iter().map(|shard| shard.wait(|shard| shard.buckets.len())).sum()
    }

    #[test]
    fn a_bucket_is_kept_as_it_was_left() {
        let buckets = Buckets::new(1_000, 7);
        assert_eq!(buckets.change(key(1), 5, |full_at| (full_at, 9)), 5);
        assert_eq!(buckets.change(key(1), 6, |full_at| (full_at, 12)), 9);
        assert_eq!((remembered(&buckets, 1), remembered(&buckets, 2)), (12, 0));
    }

    #[test]
    fn full_buckets_do_not_pile_up() {
        let buckets = Buckets::new(MOST_KEYS, 7);
        for number in 0..100_000_u32 {
            put(&buckets, number, number.into(), Moment::from(number) + 50);
        }
        assert!(len(&buckets) < 10 * SHARDS, "{}", len(&buckets));
    }

    #[test]
    fn a_million_invented_keys_push_out_each_other_and_not_the_keys_that_are_used_up() {
        let buckets = Buckets::new(6_400, 7);
        for number in 0..100 {
            put(&buckets, number, 0, 1_000_000_000);
        }
        for number in 100..1_000_000_u32 {
            put(&buckets, number, 0, Moment::from(number) + 1_000);
        }
        assert_eq!(len(&buckets), 6_400);
        assert!((0..100).all(|number| remembered(&buckets, number) == 1_000_000_000));
    }

    #[test]
    fn a_limit_without_keys_has_one_bucket() {
        let buckets = Buckets::new(1, 7);
        put(&buckets, 1, 0, 9);
        assert_eq!((buckets.most(), remembered(&buckets, 1)), (1, 9));
    }

    proptest! {
        #![proptest_config(cases::fixed(200))]

        #[test]
        fn buckets_never_exceed_their_room_and_each_is_found_where_it_lies(
            most in 1_usize..200,
            changes in prop::collection::vec((0_u32..300, 0_u8..20, 0_u8..200), 0..600),
        ) {
            let buckets = Buckets::new(most, 7);
            let mut now = 0;
            for (number, pause, owed) in changes {
                now += Moment::from(pause);
                let full_at = now + Moment::from(owed);
                put(&buckets, number, now, full_at);
                prop_assert!([0, full_at].contains(&remembered(&buckets, number)));
            }
            prop_assert!(len(&buckets) <= most);
            for shard in &buckets.shards {
                shard.wait(|shard| {
                    prop_assert_eq!(shard.places.len(), shard.buckets.len());
                    for (place, bucket) in shard.buckets.iter().enumerate() {
                        prop_assert_eq!(shard.places[&bucket.key] as usize, place);
                    }
                    Ok(())
                })?;
            }
        }
    }
}
