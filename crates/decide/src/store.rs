//! When a shared store that has failed is asked again.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::time::Tick;

/// After a first failure it is left alone for this long, and twice as long after each further one …
pub const FIRST_PAUSE_MS: u64 = 1_000;
/// … up to this. One that fails again within this time of its recovery goes on where it was: a store that answers now and
/// then is not worth more.
pub const LONGEST_PAUSE_MS: u64 = 10_000;
/// Who tries and never says how that went is given up after this long, and another may.
const TRIAL_MS: u64 = 5_000;
/// No pause.
const WORKS: u64 = 0;

/// Whether a store is asked: one for each, shared by all threads. Nothing waits here.
#[derive(Debug, Default)]
pub struct Breaker {
    /// When it may be tried again, in microseconds; [`WORKS`]: it is asked.
    try_at: AtomicU64,
    pause_ms: AtomicU64,
    recovered_at: AtomicU64,
    failures: AtomicU64,
}

/// What to do about a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It works as far as anybody knows. Whoever asks says when it fails: [`Breaker::failed`].
    Ask,
    /// It has failed: go on without it.
    Skip,
    /// Go on without it, and try whether it works again: [`Breaker::trial_failed`] or [`Breaker::trial_passed`]. Only one
    /// of all that ask is told so.
    Try,
}

impl Breaker {
    /// What a request that could use the store does.
    pub fn turn(&self, now: Tick) -> Turn {
        let try_at = self.try_at.load(Acquire);
        if try_at == WORKS {
            return Turn::Ask;
        }
        if now.0 < try_at {
            return Turn::Skip;
        }
        let given_up = now.after_ms(TRIAL_MS).0;
        match self.try_at.compare_exchange(try_at, given_up, AcqRel, Relaxed) {
            Ok(_) => Turn::Try,
            Err(_) => Turn::Skip,
        }
    }

    /// A request was not answered. True when that is news: until now it worked.
    pub fn failed(&self, now: Tick) -> bool {
        let recovered_at = Tick(self.recovered_at.load(Relaxed));
        let pause_ms = match recovered_at.after_ms(LONGEST_PAUSE_MS) > now {
            true => self.next_pause_ms(),
            false => FIRST_PAUSE_MS,
        };
        let is_news = self.try_at.compare_exchange(WORKS, now.after_ms(pause_ms).0, AcqRel, Relaxed).is_ok();
        if is_news {
            self.pause_ms.store(pause_ms, Relaxed);
            self.failures.fetch_add(1, Release);
        }
        is_news
    }

    /// The trial was not answered.
    pub fn trial_failed(&self, now: Tick) {
        let pause_ms = self.next_pause_ms();
        self.pause_ms.store(pause_ms, Relaxed);
        self.try_at.store(now.after_ms(pause_ms).0, Release);
    }

    /// The trial was answered: the store is asked again. True when that is news.
    pub fn trial_passed(&self, now: Tick) -> bool {
        self.recovered_at.store(now.0, Relaxed);
        self.try_at.swap(WORKS, AcqRel) != WORKS
    }

    /// How often it has stopped working. A connection that is older than the last failure may be as dead as the one that
    /// failed, even if nobody has said so.
    pub fn failures(&self) -> u64 {
        self.failures.load(Acquire)
    }

    fn next_pause_ms(&self) -> u64 {
        (self.pause_ms.load(Relaxed) * 2).clamp(FIRST_PAUSE_MS, LONGEST_PAUSE_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::{Breaker, LONGEST_PAUSE_MS, Turn};
    use crate::time::Tick;

    const START: Tick = Tick(3_000);

    #[test]
    fn a_store_that_works_is_asked() {
        let breaker = Breaker::default();
        assert_eq!(breaker.turn(START), Turn::Ask);
        assert_eq!(breaker.failures(), 0);
    }

    #[test]
    fn a_failure_is_news_once_and_the_store_is_left_alone_for_a_second() {
        let breaker = Breaker::default();
        assert!(breaker.failed(START));
        assert!(!breaker.failed(START.after_ms(1)));
        assert_eq!(breaker.failures(), 1);
        assert_eq!(breaker.turn(START.after_ms(999)), Turn::Skip);
        assert_eq!(breaker.turn(START.after_ms(1_000)), Turn::Try);
    }

    #[test]
    fn one_tries_and_the_others_go_on_without() {
        let breaker = Breaker::default();
        breaker.failed(START);
        let later = START.after_ms(1_000);
        let tries = std::thread::scope(|scope| {
            let ask = || (0..100).filter(|_| breaker.turn(later) == Turn::Try).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(tries, 1);
    }

    #[test]
    fn pauses_grow_to_ten_seconds_while_trials_fail() {
        let breaker = Breaker::default();
        breaker.failed(START);
        let mut now = START;
        for pause_ms in [1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
            assert_eq!(breaker.turn(now.after_ms(pause_ms - 1)), Turn::Skip);
            now = now.after_ms(pause_ms);
            assert_eq!(breaker.turn(now), Turn::Try);
            breaker.trial_failed(now);
        }
    }

    #[test]
    fn a_trial_that_passes_is_news_and_the_store_is_asked_again() {
        let breaker = Breaker::default();
        breaker.failed(START);
        assert_eq!(breaker.turn(START.after_ms(1_000)), Turn::Try);
        assert!(breaker.trial_passed(START.after_ms(1_001)));
        assert_eq!(breaker.turn(START.after_ms(1_002)), Turn::Ask);
        assert!(!breaker.trial_passed(START.after_ms(1_003)));
    }

    #[test]
    fn a_trial_that_nobody_ends_is_another_ones_to_make() {
        let breaker = Breaker::default();
        breaker.failed(START);
        assert_eq!(breaker.turn(START.after_ms(1_000)), Turn::Try);
        assert_eq!(breaker.turn(START.after_ms(5_999)), Turn::Skip);
        assert_eq!(breaker.turn(START.after_ms(6_000)), Turn::Try);
    }

    /// The pause after a failure that long after a recovery from a pause of two seconds.
    fn pause_after(works_for_ms: u64) -> u64 {
        let breaker = Breaker::default();
        breaker.failed(START);
        breaker.trial_failed(START);
        let recovered = START.after_ms(2_000);
        breaker.trial_passed(recovered);
        let failed = recovered.after_ms(works_for_ms);
        assert!(breaker.failed(failed));
        (1..20).map(|s| s * 1_000).find(|ms| breaker.turn(failed.after_ms(*ms)) == Turn::Try).unwrap()
    }

    #[test]
    fn a_store_that_recovers_only_to_fail_again_is_left_alone_for_longer() {
        assert_eq!(pause_after(1), 4_000);
        assert_eq!(pause_after(LONGEST_PAUSE_MS - 1), 4_000);
        assert_eq!(pause_after(LONGEST_PAUSE_MS), 1_000);
    }
}
