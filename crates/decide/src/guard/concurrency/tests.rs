use super::{Gate, LEAST, Stage};
use crate::balance::Slot;
use crate::endpoint::States;
use crate::guard::{Lost, Try};
use crate::samples;
use crate::table::Table;
use crate::time::Tick;
use bascule_contract::protection::{Limit, Protection};

fn table(limits: &[Option<u32>], limit: Limit, states: &mut States) -> Table {
    let mut pool = samples::pool("p", "least_busy", &vec![1; limits.len()]);
    pool.protection = Protection { limit, ..Protection::default() };
    pool.endpoints.iter_mut().zip(limits).for_each(|(endpoint, limit)| endpoint.limit = *limit);
    Table::compile(&samples::snapshot(vec![], vec![pool]), states).unwrap()
}

/// A try at the first endpoint that was answered after 20 ms.
fn answer(table: &Table, at: Tick) {
    let pool = &table.pools[0];
    pool.endpoints[0].state.enter(u32::MAX);
    let mut attempt = Try::begin(Slot(0), Tick(at.0 - 20_000), 0, 0);
    pool.answered(&mut attempt, at, false);
    pool.end(&attempt, at, Lost::Abandoned);
}

#[test]
fn a_change_is_told_once() {
    let gate = Gate::default();
    assert_eq!(gate.take_change(), None);
    gate.enter(Stage::Suspected, 1);
    assert_eq!(gate.take_change(), None, "a suspicion is nobody's business");
    gate.enter(Stage::Open, 2);
    assert_eq!((gate.take_change(), gate.take_change()), (Some(true), None));
    gate.enter(Stage::Closed, 3);
    assert_eq!((gate.take_change(), gate.take_change()), (Some(false), None));
}

#[test]
fn limits_are_learned_always_and_enforced_while_the_gate_is_open() {
    let table = table(&[None, None, Some(7)], Limit::Learned {}, &mut States::new());
    let pool = &table.pools[0];
    for number in 0..1_000 {
        // 200 a second, 20 ms each: it is at work on four at a time.
        answer(&table, Tick(1_000_000 + number * 5_000));
    }
    let learned = pool.endpoints[0].state.flow.learned_limit();
    assert!(learned.is_some_and(|limit| (6..=7).contains(&limit)), "{learned:?}");
    let limits = || [0, 1, 2].map(|slot| pool.limit(Slot(slot)));
    assert_eq!(limits(), [u32::MAX, u32::MAX, 7]);
    pool.state.gate.enter(Stage::Open, 1);
    assert_eq!(Some(limits()[0]), learned);
    assert_eq!(limits()[1..], [u32::MAX, 7], "nothing is known of any other endpoint");
    pool.state.gate.typical.store(5, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(limits()[1..], [5, 7], "one that has just come is taken to be like the others");
}

#[test]
fn the_limits_of_a_trial_end_with_it() {
    let table = table(&[None, None], Limit::Learned {}, &mut States::new());
    let pool = &table.pools[0];
    pool.endpoints[0].state.flow.set_trial(4, 9);
    let limits = || [0, 1].map(|slot| pool.limit(Slot(slot)));
    for (stage, trial, expected) in [
        (Stage::Suspected, 4, 9),
        (Stage::Open, 4, 9),
        (Stage::Suspected, 5, u32::MAX),
        (Stage::Closed, 4, u32::MAX),
    ] {
        pool.state.gate.enter(stage, trial);
        assert_eq!(limits(), [expected, u32::MAX], "{stage:?} {trial}");
    }
}

#[test]
fn a_pool_that_learns_no_more_enforces_nothing() {
    let mut states = States::new();
    let learning = table(&[None], Limit::Learned {}, &mut states);
    learning.pools[0].state.gate.enter(Stage::Open, 1);
    let off = table(&[None], Limit::Off {}, &mut states);
    assert_eq!(off.pools[0].limit(Slot(0)), u32::MAX);
    answer(&off, Tick(1_000_000));
    assert!(!off.pools[0].state.gate.is_open());
}

#[test]
fn a_gate_that_nobody_waits_behind_closes_when_time_has_passed() {
    let table = table(&[None], Limit::Learned {}, &mut States::new());
    let pool = &table.pools[0];
    pool.state.gate.course.wait(|course| course.open(pool, Tick(1_000_000)));
    pool.state.gate.look_again(pool, Tick(1_100_000));
    assert!(pool.state.gate.is_open());
    pool.state.gate.look_again(pool, Tick(1_700_000));
    assert!(!pool.state.gate.is_open());
}

#[test]
fn the_least_limit_lets_an_endpoint_work_on_one_while_the_next_arrives() {
    let gate = Gate::default();
    assert_eq!(gate.limit_for(super::Known { rate: 1e-6, head_us: 1.0, hold_us: 1.0 }, 1e-6), LEAST);
}
