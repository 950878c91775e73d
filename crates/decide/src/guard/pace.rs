//! How fast an endpoint is and how much it does at once, learned from when tries begin and end.
//!
//! What a balancer sees of an endpoint's speed is mixed with how much it was given to do. Therefore times are compared
//! at equal depth: an endpoint's slowness is how much longer its answers take than those of the fleet that found as many
//! requests before them. It is learned slowly, so that the noise of single requests starves nobody, and a fast detector
//! catches up when an endpoint turns slow in the middle. How many requests an endpoint works on at once shows in who
//! overtakes whom. `docs/decisions/0015-fastest.md` has the figures and what each part is worth.

mod fleet;
mod own;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64};

pub use self::fleet::Fleet;
use self::own::Own;
use crate::guard::Try;
use crate::shared::Shared;
use crate::time::Tick;

/// Depths from here on count as one.
pub(crate) const DEEPEST: usize = 64;
/// Weight of a new answer in the usual time.
const USUAL: u64 = 16;

/// What is known about one endpoint.
#[derive(Debug, Default)]
pub struct Pace {
    /// In microseconds; 0 while nothing is known.
    usual_us: AtomicU64,
    /// How much slower than the fleet, in steps of a dead band: 0 for most.
    tier: AtomicI32,
    /// Requests that it works on at once; 0 while that is not known.
    workers: AtomicU32,
    is_confirmed: AtomicBool,
    /// When a try last began.
    begun: AtomicU64,
    own: Shared<Own>,
}

/// How a try ended, as far as speed is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The head of the response came after this time.
    Answered {
        /// From the begin of the try.
        after_us: u64,
        /// Its status counts as a failure.
        failed: bool,
    },
    /// It failed without an answer.
    Lost,
    /// It was given up for reasons that say nothing about the endpoint.
    Nothing,
}

/// A try that leaves its endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Leaving {
    /// How it ended.
    pub ended: Ended,
    /// Tries that the endpoint still has.
    pub others: u32,
    /// Tries that were ever begun there; wraps around.
    pub begun: u32,
    /// Nobody has got an answer there since it was begun.
    pub quiet: bool,
}

impl Leaving {
    /// Its place among those that were there, by their begin: 2 says that it overtook one. Below 1: it was overtaken.
    ///
    /// What has ended is worked out from what was begun and what is left, so that nothing has to be counted from
    /// the first try on: an endpoint may have served other tables before anybody asked for its pace.
    fn rank(&self, attempt: &Try) -> i32 {
        let ended = self.begun.wrapping_sub(self.others).wrapping_sub(1);
        attempt.order.wrapping_sub(ended).wrapping_add(1) as i32
    }
}

impl Pace {
    /// A try has begun at this endpoint. Costs a load where no algorithm asks how fast endpoints are.
    pub fn begin(&self, fleet: &Fleet, attempt: &Try, now: Tick) {
        if fleet.is_asked() {
            self.begun.store(now.0, Relaxed);
            self.own.attempt(|own| own.work_until(now, attempt.before, fleet, self.workers(fleet)));
        }
    }

    /// A try has ended.
    pub fn end(&self, fleet: &Fleet, attempt: &Try, now: Tick, leaving: &Leaving) {
        let ended = leaving.ended;
        if let Ended::Answered { after_us, failed: false } = ended {
            let before = self.usual_us.load(Relaxed);
            let after = if before == 0 { after_us } else { before - before / USUAL + after_us / USUAL };
            self.usual_us.store(after.max(1), Relaxed);
        }
        if !fleet.is_asked() {
            return;
        }
        let workers = self.workers(fleet);
        self.own.attempt(|own| {
            own.work_until(now, leaving.others.saturating_add(1), fleet, workers);
            match ended {
                Ended::Answered { after_us, failed: false } => {
                    own.overtakes(leaving.rank(attempt), attempt.before);
                    own.worked(fleet);
                    own.took(after_us, attempt.before, fleet);
                }
                // Others got answers meanwhile: it took long by itself, and counts as an answer of that length.
                Ended::Lost if !leaving.quiet => own.took(now.since(attempt.began), attempt.before, fleet),
                Ended::Answered { .. } | Ended::Lost => own.failed(fleet),
                Ended::Nothing => {}
            }
            own.retier(fleet);
            self.tier.store(own.tier(), Relaxed);
            self.workers.store(own.workers(), Relaxed);
            self.is_confirmed.store(own.is_confirmed(), Relaxed);
        });
    }

    /// What an answer of this endpoint takes; `None` while nothing is known.
    pub fn usual_us(&self) -> Option<u64> {
        Some(self.usual_us.load(Relaxed)).filter(|us| *us > 0)
    }

    /// Steps by which it is slower (above 0) or faster than the fleet.
    pub fn tier(&self) -> i32 {
        self.tier.load(Relaxed)
    }

    /// When a try last began there, and so nothing has been learned since.
    pub fn begun(&self) -> Tick {
        Tick(self.begun.load(Relaxed))
    }

    /// What an answer would take that finds so many requests before it, by the fleet's measure and its own width.
    pub fn expected_us(&self, depth: f32, fleet: &Fleet) -> f32 {
        fleet.expected_us(depth, self.workers(fleet))
    }

    /// Requests that it works on at once, as far as is known.
    fn workers(&self, fleet: &Fleet) -> f32 {
        let own = self.workers.load(Relaxed).max(1) as f32;
        if self.is_confirmed.load(Relaxed) { own } else { own.max(fleet.workers()) }
    }

    /// For the medians of the fleet: slowness and workers; `None` while nothing is known, or another thread learns.
    fn shown(&self) -> Option<(f32, u32)> {
        self.own.attempt(|own| own.is_known().then(|| (own.slowness(), own.workers())))?
    }
}

#[cfg(test)]
mod tests {
    use crate::balance::Slot;
    use crate::endpoint::States;
    use crate::guard::{Lost, Try};
    use crate::pick::{Ask, Picker, Taken};
    use crate::random::Random;
    use crate::samples;
    use crate::table::{Pool, Table};
    use crate::time::Tick;

    /// One pool of four endpoints at work, one request after the other.
    struct Play {
        states: States,
        table: Table,
        picker: Picker,
        random: Random,
        now: Tick,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Reply {
        Good(u64),
        Failed,
        Lost(u64),
    }

    fn table(states: &mut States, algorithm: &str) -> Table {
        let pools = vec![samples::pool("p", algorithm, &[1; 4])];
        Table::compile(&samples::snapshot(vec![], pools), states).unwrap()
    }

    impl Play {
        fn new(algorithm: &str) -> Self {
            let (mut states, mut random) = (States::new(), Random::seeded(1));
            let table = table(&mut states, algorithm);
            let picker = Picker::new(&table.pools[0], &mut random);
            Self { states, table, picker, random, now: Tick(0) }
        }

        fn reload(&mut self, algorithm: &str) {
            self.table = table(&mut self.states, algorithm);
            self.picker = Picker::new(&self.table.pools[0], &mut self.random);
        }

        fn pool(&self) -> &Pool {
            &self.table.pools[0]
        }

        fn begin(&mut self) -> Try {
            let pool = &self.table.pools[0];
            self.now = Tick(self.now.0 + 1_000);
            match self.picker.take(pool, &Ask::default(), self.now, &mut self.random) {
                Taken::Endpoint(attempt) => attempt,
                other => panic!("{other:?}"),
            }
        }

        fn end(&mut self, mut attempt: Try, reply: Reply) {
            let after = match reply {
                Reply::Good(us) | Reply::Lost(us) => us,
                Reply::Failed => 300,
            };
            self.now = self.now.max(Tick(attempt.began.0 + after));
            if !matches!(reply, Reply::Lost(_)) {
                self.pool().answered(&mut attempt, self.now, reply == Reply::Failed);
            }
            self.pool().end(&attempt, self.now, Lost::Silent);
        }

        /// So many requests, each begun when the one before has ended; how many each endpoint got.
        fn serve(&mut self, requests: usize, reply: impl Fn(usize, Slot) -> Reply) -> [usize; 4] {
            let mut tries = [0; 4];
            for number in 0..requests {
                let attempt = self.begin();
                tries[attempt.slot.index()] += 1;
                self.end(attempt, reply(number, attempt.slot));
            }
            tries
        }

        fn tiers(&self) -> [i32; 4] {
            [0, 1, 2, 3].map(|it| self.pool().endpoints[it].state.pace.tier())
        }
    }

    #[test]
    fn an_endpoint_that_takes_four_times_as_long_has_a_tier_and_equal_ones_have_none() {
        let mut play = Play::new("fastest");
        play.serve(2_000, |_, slot| Reply::Good(if slot.0 == 2 { 80_000 } else { 20_000 }));
        let [a, b, slow, d] = play.tiers();
        assert!([a, b, d] == [0; 3] && slow >= 2, "{:?}", play.tiers());
    }

    #[test]
    fn an_endpoint_that_has_become_as_fast_as_the_others_loses_its_tier() {
        let mut play = Play::new("fastest");
        play.serve(2_000, |_, slot| Reply::Good(if slot.0 == 2 { 80_000 } else { 20_000 }));
        play.serve(20_000, |_, _| Reply::Good(20_000));
        assert_eq!(play.tiers(), [0; 4]);
    }

    #[test]
    fn workers_show_in_overtaking_whatever_was_begun_before_anybody_asked() {
        let mut play = Play::new("least_busy");
        play.serve(4_000, |_, _| Reply::Good(1_000));
        play.reload("fastest");
        // Eight at a time, so two at each endpoint; the second one of each ends first.
        for _ in 0..400 {
            let mut begun: Vec<Try> = (0..8).map(|_| play.begin()).collect();
            while let Some(last) = begun.pop() {
                play.end(last, Reply::Good(20_000));
            }
        }
        let workers = |it: usize| play.pool().endpoints[it].state.pace.shown().unwrap().1;
        assert_eq!([0, 1, 2, 3].map(workers), [2; 4]);
    }

    #[test]
    fn an_endpoint_that_fails_at_once_gets_three_requests_before_it_is_avoided() {
        let mut play = Play::new("fastest");
        play.serve(400, |_, _| Reply::Good(2_000));
        let tries = play.serve(80, |_, slot| if slot.0 == 1 { Reply::Failed } else { Reply::Good(2_000) });
        assert!(play.tiers()[1] > 0 && tries[1] <= 3, "{tries:?} {:?}", play.tiers());
    }

    #[test]
    fn an_endpoint_that_fails_before_it_ever_worked_is_avoided_too() {
        let mut play = Play::new("fastest");
        play.serve(400, |_, slot| if slot.0 == 1 { Reply::Failed } else { Reply::Good(2_000) });
        assert!(play.tiers()[1] > 0, "{:?}", play.tiers());
    }

    #[test]
    fn what_every_endpoint_fails_at_is_nobodys_fault() {
        let mut play = Play::new("fastest");
        let reply = |number: usize, _| if number % 7 == 3 { Reply::Failed } else { Reply::Good(2_000) };
        play.serve(10_000, reply);
        let tries = play.serve(10_000, reply);
        assert!(tries.iter().all(|it| (2_250..=2_750).contains(it)), "{tries:?}");
    }

    #[test]
    fn where_most_endpoints_failed_for_long_they_all_get_their_share_again() {
        let mut play = Play::new("fastest");
        play.serve(1_000, |_, _| Reply::Good(20_000));
        play.serve(200_000, |_, slot| if slot.0 < 3 { Reply::Failed } else { Reply::Good(20_000) });
        let expected = play.pool().endpoints[3].state.pace.expected_us(0.0, &play.pool().state.fleet);
        assert!((15_000.0..25_000.0).contains(&expected), "{expected}");
        play.serve(2_000, |_, _| Reply::Good(20_000));
        let tries = play.serve(4_000, |_, _| Reply::Good(20_000));
        assert!(tries.iter().all(|it| (900..=1_100).contains(it)), "{tries:?}");
    }

    #[test]
    fn a_request_that_took_too_long_where_others_were_answered_is_no_failure() {
        let mut play = Play::new("fastest");
        play.serve(400, |_, _| Reply::Good(20_000));
        for _ in 0..20 {
            let endless = play.begin();
            play.serve(40, |_, _| Reply::Good(20_000));
            play.end(endless, Reply::Lost(1_000_000));
        }
        assert_eq!(play.tiers(), [0; 4]);
    }

    #[test]
    fn nothing_is_learned_for_algorithms_that_do_not_ask_but_the_usual_time() {
        let mut play = Play::new("least_busy");
        play.serve(2_000, |_, slot| Reply::Good(if slot.0 == 2 { 80_000 } else { 20_000 }));
        assert_eq!(play.tiers(), [0; 4]);
        let pace = |it: usize| &play.pool().endpoints[it].state.pace;
        assert!(pace(2).shown().is_none());
        assert!(pace(2).usual_us().unwrap() > 2 * pace(0).usual_us().unwrap());
    }
}
