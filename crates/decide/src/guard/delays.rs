//! What is usual in a pool and what is unusually long, learned from its answers.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::shared::Shared;
use crate::time::Tick;

/// Buckets per power of two of a microsecond.
const FINE: u32 = 8;
/// Up to 2^36 µs, which is nineteen hours.
const BUCKETS: usize = 36 * FINE as usize;
/// A thread hands its samples in after this many, or after [`LONGEST_US`].
const BATCH: u32 = 64;
const LONGEST_US: u64 = 50_000;
/// Old samples count half after this many newer ones.
const HALF: u64 = 4_096;
/// So many times what 999 of 1,000 stay below is silence, and never less than this.
const LATE: u64 = 4;
const SOONEST_LATE_US: u64 = 50_000;
/// Fewer samples say nothing about what is rare.
const ENOUGH: u64 = 128;

/// What a pool's answers take, from the begin of a try to the head of its response. Shared by all threads.
#[derive(Debug, Default)]
pub struct Delays {
    seen: Shared<Seen>,
    /// In microseconds; 0 while nothing is known.
    usual_us: AtomicU64,
    long_us: AtomicU64,
    longest_us: AtomicU64,
}

#[derive(Debug)]
struct Seen {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0 }
    }
}

/// What one thread has seen and not handed in yet.
#[derive(Debug)]
pub struct Samples {
    us: Vec<u32>,
    since: Tick,
}

impl Default for Samples {
    fn default() -> Self {
        Self { us: Vec::with_capacity(BATCH as usize), since: Tick(0) }
    }
}

impl Samples {
    /// An answer took this long. Allocates nothing.
    pub fn add(&mut self, delays: &Delays, took_us: u64, now: Tick) {
        if self.us.is_empty() {
            self.since = now;
        }
        if self.us.len() < BATCH as usize {
            self.us.push(u32::try_from(took_us).unwrap_or(u32::MAX));
        }
        let due = self.us.len() >= BATCH as usize || now.since(self.since) >= LONGEST_US;
        if due && delays.take(&self.us) {
            self.us.clear();
        }
    }
}

impl Delays {
    /// The median.
    pub fn usual_us(&self) -> Option<u64> {
        known(&self.usual_us)
    }

    /// What 97 of 100 stay below: waiting longer is worth a second copy.
    pub fn long_us(&self) -> Option<u64> {
        known(&self.long_us)
    }

    /// What 999 of 1,000 stay below.
    pub fn longest_us(&self) -> Option<u64> {
        known(&self.longest_us)
    }

    /// What is longer than anything usual: whoever has not begun to answer by then is taken to be silent.
    pub fn late_us(&self) -> Option<u64> {
        self.longest_us().map(|us| us.saturating_mul(LATE).max(SOONEST_LATE_US))
    }

    /// False when another thread is at it: try again later.
    fn take(&self, samples: &[u32]) -> bool {
        let taken = self.seen.attempt(|seen| {
            for us in samples {
                seen.buckets[bucket_of(*us)] += 1 << 8;
            }
            seen.count += (samples.len() as u64) << 8;
            if seen.count > (2 * HALF) << 8 {
                seen.buckets.iter_mut().for_each(|it| *it /= 2);
                seen.count = seen.buckets.iter().sum();
            }
            if seen.count >= ENOUGH << 8 {
                self.usual_us.store(seen.below(500), Relaxed);
                self.long_us.store(seen.below(970), Relaxed);
                self.longest_us.store(seen.below(999), Relaxed);
            }
        });
        taken.is_some()
    }
}

impl Seen {
    /// The upper bound of the bucket in which the share ends.
    fn below(&self, permille: u64) -> u64 {
        let wanted = self.count * permille / 1000;
        let mut sum = 0;
        let bucket = self.buckets.iter().position(|count| {
            sum += count;
            sum > wanted
        });
        upper_us(bucket.unwrap_or(BUCKETS - 1))
    }
}

fn known(us: &AtomicU64) -> Option<u64> {
    Some(us.load(Relaxed)).filter(|us| *us > 0)
}

fn bucket_of(us: u32) -> usize {
    if us < FINE {
        return us as usize;
    }
    let power = us.ilog2();
    let part = (us >> (power - 3)) & (FINE - 1);
    (((power - 2) * FINE + part) as usize).min(BUCKETS - 1)
}

fn upper_us(bucket: usize) -> u64 {
    let (power, part) = (bucket as u64 / u64::from(FINE), bucket as u64 % u64::from(FINE));
    if power == 0 { part + 1 } else { (u64::from(FINE) + part + 1) << (power - 1) }
}

#[cfg(test)]
mod tests {
    use super::{Delays, Samples, bucket_of, upper_us};
    use crate::random::Random;
    use crate::time::Tick;

    #[test]
    fn every_delay_lies_below_its_bucket_and_not_below_the_one_before() {
        for us in (0..5_000).chain((0..32).flat_map(|power| [(1_u32 << power) - 1, 1 << power])) {
            let bucket = bucket_of(us);
            assert!(u64::from(us) < upper_us(bucket), "{us}");
            assert!(bucket == 0 || u64::from(us) >= upper_us(bucket - 1), "{us}");
        }
    }

    fn learn(delays: &Delays, count: u64, delay: impl Fn(&mut Random) -> u64) {
        let (mut samples, mut random) = (Samples::default(), Random::seeded(1));
        for at in 0..count {
            samples.add(delays, delay(&mut random), Tick(at * 1_000));
        }
    }

    #[test]
    fn shares_of_the_answers_are_told_within_an_eighth() {
        let delays = Delays::default();
        learn(&delays, 4_000, |random| 1 + random.below(100_000) as u64);
        for (told, truth) in
            [(delays.usual_us(), 50_000), (delays.long_us(), 97_000), (delays.longest_us(), 99_900)]
        {
            let told = told.unwrap();
            assert!(told >= truth * 97 / 100 && told <= truth * 9 / 8 + 1_000, "{told} for {truth}");
        }
    }

    #[test]
    fn nothing_is_told_before_enough_was_seen() {
        let delays = Delays::default();
        learn(&delays, 64, |_| 10);
        assert_eq!(delays.long_us(), None);
    }

    #[test]
    fn what_has_changed_is_forgotten() {
        let delays = Delays::default();
        learn(&delays, 20_000, |_| 100_000);
        learn(&delays, 30_000, |_| 1_000);
        assert!(delays.long_us().unwrap() < 1_200);
    }
}
