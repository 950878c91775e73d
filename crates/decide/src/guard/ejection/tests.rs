//! What ejects an endpoint, what restores it, and what does neither.

use std::task::Waker;

use bascule_contract::mark::Mark;
use bascule_contract::protection::{Ejection, Protection};

use super::{Change, Standing, Why};
use crate::balance::Slot;
use crate::endpoint::States;
use crate::guard::queue::{Terms, Turn, Wish};
use crate::guard::{Lost, Try};
use crate::pick::{Ask, Picker, Taken};
use crate::random::Random;
use crate::samples;
use crate::table::{Pool, Table};
use crate::time::Tick;

struct World {
    states: States,
    table: Table,
    picker: Picker,
    random: Random,
    now: Tick,
}

impl World {
    fn new(endpoints: usize, change: impl FnOnce(&mut Ejection)) -> Self {
        let mut states = States::new();
        let mut pool = samples::pool("p", "round_robin", &vec![1; endpoints]);
        let mut ejection = Ejection {
            failures: 5,
            failure_percent: None,
            slowness_percent: None,
            time_ms: 10_000,
            longest_ms: 60_000,
            most_percent: 50,
        };
        change(&mut ejection);
        pool.protection = Protection { ejection: Some(ejection), ..Protection::default() };
        let table = Table::compile(&samples::snapshot(vec![], vec![pool]), &mut states).unwrap();
        let mut random = Random::seeded(1);
        let picker = Picker::new(&table.pools[0], &mut random);
        Self { states, table, picker, random, now: Tick(1_000) }
    }

    fn pool(&self) -> &Pool {
        &self.table.pools[0]
    }

    fn later(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
    }

    fn begin(&mut self) -> Try {
        self.later(1);
        let ask = Ask { repeatable: true, ..Ask::default() };
        match self.picker.take(&self.table.pools[0], &ask, self.now, &mut self.random) {
            Taken::Endpoint(attempt) => attempt,
            _ => panic!("there is always an endpoint"),
        }
    }

    /// One request; `fails` says at which endpoints it does.
    fn ask(&mut self, fails: impl Fn(u32) -> bool) -> (u32, Option<Change>) {
        let mut attempt = self.begin();
        let failed = fails(attempt.slot.0);
        let change = self.table.pools[0].answered(&mut attempt, self.now, failed);
        self.table.pools[0].end(&attempt, self.now, Lost::Abandoned);
        (attempt.slot.0, change)
    }

    fn changes(&mut self, requests: usize, fails: impl Fn(u32) -> bool) -> Vec<(u32, Change)> {
        (0..requests)
            .filter_map(|_| {
                let (slot, change) = self.ask(&fails);
                Some((slot, change?))
            })
            .collect()
    }

    fn standing(&self, slot: u32) -> Standing {
        self.pool().endpoints[slot as usize].state.record.standing(self.now)
    }
}

fn ejected(for_ms: u64, why: Why) -> Change {
    Change::Ejected { for_ms, why }
}

#[test]
fn failures_in_a_row_eject_and_a_success_between_them_does_not() {
    let mut world = World::new(4, |_| ());
    assert_eq!(world.changes(16, |slot| slot == 1), []);
    assert_eq!(world.changes(4, |_| false), []);
    let changes = world.changes(40, |slot| slot == 1);
    assert_eq!(changes, [(1, ejected(10_000, Why::Row(5)))]);
    let to_it = (0..40).filter(|_| world.ask(|_| false).0 == 1).count();
    assert_eq!((world.standing(1), to_it), (Standing::Ejected, 0));
}

#[test]
fn silence_weighs_more_than_a_bad_answer() {
    let mut world = World::new(2, |_| ());
    let mut tries = Vec::new();
    while tries.len() < 3 {
        let taken = world.picker.take(&world.table.pools[0], &Ask::default(), world.now, &mut world.random);
        let Taken::Endpoint(attempt) = taken else { panic!("nothing limits") };
        if attempt.slot == Slot(0) {
            tries.push(attempt);
        } else {
            world.table.pools[0].end(&attempt, world.now, Lost::Abandoned);
        }
    }
    let ended: Vec<_> = tries.iter().map(|it| world.pool().end(it, world.now, Lost::Outpaced)).collect();
    assert_eq!(ended, [None, None, Some(ejected(10_000, Why::Row(6)))]);
}

#[test]
fn a_client_that_leaves_says_nothing_about_the_endpoint() {
    let mut world = World::new(2, |_| ());
    for _ in 0..40 {
        let taken = world.picker.take(&world.table.pools[0], &Ask::default(), world.now, &mut world.random);
        let Taken::Endpoint(attempt) = taken else { panic!("nothing limits") };
        assert_eq!(world.pool().end(&attempt, world.now, Lost::Abandoned), None);
    }
    assert_eq!([world.standing(0), world.standing(1)], [Standing::Good; 2]);
}

#[test]
fn an_ejected_endpoint_proves_itself_one_request_at_a_time_and_then_is_restored() {
    let mut world = World::new(3, |_| ());
    world.changes(20, |slot| slot == 2);
    world.later(10_000);
    let ask = Ask { repeatable: true, ..Ask::default() };
    let taken = world.picker.take(&world.table.pools[0], &ask, world.now, &mut world.random);
    let Taken::Endpoint(proof) = taken else { panic!("there is an endpoint") };
    assert_eq!(proof.slot, Slot(2));
    assert!((0..20).all(|_| world.ask(|_| false).0 != 2), "one at a time");
    world.table.pools[0].end(&proof, world.now, Lost::Abandoned);
    assert_eq!(world.changes(3, |_| false), [(2, Change::Restored)]);
    assert_eq!(world.standing(2), Standing::Good);
}

#[test]
fn whoever_waits_is_called_when_an_endpoint_is_restored() {
    let mut world = World::new(2, |_| ());
    world.changes(20, |slot| slot == 0);
    world.later(10_000);
    assert_eq!(world.changes(2, |_| false), []);
    assert_eq!(world.standing(0), Standing::Proving);
    let ask = Ask { repeatable: true, ..Ask::default() };
    let taken = world.picker.take(&world.table.pools[0], &ask, world.now, &mut world.random);
    let Taken::Endpoint(mut proof) = taken else { panic!("there is an endpoint") };
    let (waiting, bell) = (&world.pool().state.waiting, Waker::noop());
    let terms = Terms { generation: 1, length: 9, longest_us: 1_000_000 };
    let ticket = waiting.enter(terms, (5, Wish::Any), world.now, bell.clone()).unwrap();
    assert_eq!(waiting.turn(&ticket, bell, world.now), Turn::Go);
    waiting.again(&ticket, world.now);
    assert!(matches!(waiting.turn(&ticket, bell, world.now), Turn::Wait { .. }));
    assert_eq!(world.pool().answered(&mut proof, world.now, false), Some(Change::Restored));
    assert_eq!(waiting.turn(&ticket, bell, world.now), Turn::Go);
    waiting.leave(ticket, world.now);
}

#[test]
fn only_requests_that_may_be_sent_twice_are_used_as_proofs() {
    let mut world = World::new(2, |_| ());
    world.changes(20, |slot| slot == 0);
    world.later(10_000);
    for _ in 0..10 {
        let taken = world.picker.take(&world.table.pools[0], &Ask::default(), world.now, &mut world.random);
        assert!(matches!(taken, Taken::Endpoint(attempt) if attempt.slot == Slot(1)));
    }
}

#[test]
fn where_none_may_be_sent_twice_any_request_is_a_proof_a_little_later() {
    let mut world = World::new(2, |_| ());
    world.changes(20, |slot| slot == 0);
    world.later(12_000);
    let taken = world.picker.take(&world.table.pools[0], &Ask::default(), world.now, &mut world.random);
    assert!(matches!(taken, Taken::Endpoint(attempt) if attempt.slot == Slot(0) && attempt.proves));
}

#[test]
fn each_failed_proof_doubles_the_time_up_to_the_longest() {
    let mut world = World::new(2, |_| ());
    let mut times = Vec::new();
    for _ in 0..5 {
        for (_, change) in world.changes(12, |slot| slot == 0) {
            let Change::Ejected { for_ms, .. } = change else { panic!("it never works") };
            times.push(for_ms);
            world.later(for_ms);
        }
    }
    assert_eq!(times[..5], [10_000, 20_000, 40_000, 60_000, 60_000]);
}

#[test]
fn a_passing_check_does_not_restore() {
    let mut world = World::new(2, |_| ());
    world.changes(20, |slot| slot == 0);
    for up in [false, true] {
        world.states.mark(&[Mark { up: Some(up), ..samples::mark("p", 0) }]);
    }
    assert_eq!(world.standing(0), Standing::Ejected);
    assert!((0..20).all(|_| world.ask(|_| false).0 == 1));
}

#[test]
fn at_most_half_of_the_pool_is_ejected_and_never_the_last_endpoint() {
    let mut world = World::new(6, |_| ());
    world.changes(300, |slot| slot < 4);
    let out = (0..6).filter(|slot| world.standing(*slot) != Standing::Good).count();
    assert_eq!(out, 3);
    let mut lonely = World::new(1, |_| ());
    assert_eq!(lonely.changes(100, |_| true), []);
    let mut pair = World::new(2, |it| it.most_percent = 100);
    pair.states.mark(&[Mark { up: Some(false), ..samples::mark("p", 1) }]);
    assert_eq!(pair.changes(100, |_| true), []);
}

#[test]
fn where_all_fail_alike_nobody_is_ejected() {
    let mut world = World::new(4, |_| ());
    assert_eq!(world.changes(400, |_| true), []);
}

#[test]
fn a_share_of_failures_ejects_although_some_requests_work() {
    let mut world = World::new(3, |it| it.failure_percent = Some(50));
    let mut changes = Vec::new();
    for turn in 1..=120 {
        // Two of three fail: never five in a row.
        let (slot, change) = world.ask(|slot| slot == 0 && turn / 3 % 3 != 0);
        changes.extend(change.map(|change| (slot, change)));
    }
    assert!(matches!(changes[..], [(0, Change::Ejected { why: Why::Share(50..=100), .. })]), "{changes:?}");
}

#[test]
fn good_times_shorten_the_next_ejection() {
    let mut world = World::new(2, |_| ());
    for _ in 0..2 {
        world.changes(12, |slot| slot == 0);
        world.later(20_000);
    }
    world.changes(6, |_| false);
    assert_eq!(world.standing(0), Standing::Good);
    for _ in 0..40 {
        world.later(1_000);
        world.ask(|_| false);
    }
    let changes = world.changes(20, |slot| slot == 0);
    assert_eq!(changes, [(0, ejected(10_000, Why::Row(5)))]);
}

impl World {
    /// One request whose answer tells only at its end whether it failed; `None`: nobody waits for that.
    fn stream(&mut self, ends: impl Fn(u32) -> Option<bool>) -> Vec<Change> {
        let mut attempt = self.begin();
        let opened = self.pool().opened(&mut attempt, self.now);
        let end = ends(attempt.slot.0);
        let concluded = end.and_then(|failed| self.pool().concluded(&mut attempt, self.now, failed));
        assert_eq!(attempt.is_open(), end.is_none());
        let ended = self.pool().end(&attempt, self.now, Lost::Abandoned);
        [opened, concluded, ended].into_iter().flatten().collect()
    }
}

#[test]
fn what_an_answer_says_at_its_end_counts_as_what_others_say_at_their_head() {
    let mut world = World::new(4, |_| ());
    let changes: Vec<_> = (0..20).flat_map(|_| world.stream(|slot| Some(slot == 2))).collect();
    assert_eq!(changes, [ejected(10_000, Why::Row(5))]);
    assert_eq!(world.standing(2), Standing::Ejected);
}

#[test]
fn an_answer_whose_end_nobody_waited_for_was_a_good_one() {
    let mut world = World::new(4, |_| ());
    for _ in 0..4 {
        for _ in 0..16 {
            assert!(world.stream(|slot| Some(slot == 2)).is_empty());
        }
        for _ in 0..4 {
            assert!(world.stream(|_| None).is_empty());
        }
    }
    assert_eq!(world.standing(2), Standing::Good);
}

#[test]
fn an_answer_that_goes_on_proves_at_its_head_and_can_still_fail_at_its_end() {
    let mut world = World::new(2, |_| ());
    world.changes(20, |slot| slot == 0);
    assert_eq!(world.standing(0), Standing::Ejected);
    world.later(10_001);
    let changes: Vec<_> = (0..8).flat_map(|_| world.stream(|slot| Some(slot == 0))).collect();
    assert_eq!(changes, [ejected(20_000, Why::Again)]);
    world.later(20_001);
    let changes: Vec<_> = (0..8).flat_map(|_| world.stream(|_| None)).collect();
    assert_eq!(changes, [Change::Restored]);
}

#[test]
fn an_endpoint_proves_itself_although_flows_from_before_are_still_there() {
    let mut world = World::new(2, |_| ());
    let take = |world: &mut World| {
        world.later(1);
        let ask = Ask { repeatable: true, ..Ask::default() };
        match world.picker.take(&world.table.pools[0], &ask, world.now, &mut world.random) {
            Taken::Endpoint(attempt) => attempt,
            nothing => panic!("{nothing:?}"),
        }
    };
    let mut lasting = take(&mut world);
    world.pool().connected(&mut lasting, world.now);
    let slot = lasting.slot.0;
    assert_eq!(world.changes(40, |at| at == slot).len(), 1);
    world.later(10_001);
    let mut restored = false;
    // Flows that connect, and last.
    for _ in 0..10 {
        let mut proving = take(&mut world);
        restored |= world.pool().connected(&mut proving, world.now) == Some(Change::Restored);
    }
    assert!(restored);
}
