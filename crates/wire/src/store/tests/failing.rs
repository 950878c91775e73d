//! Stores that are down, die, hang and come back: nobody waits for them, and each change is told once.

use super::{Program, Thread, run, until};
use crate::store::Unavailable;
use bascule_contract::sessions::Store;
use bascule_decide::sessions::key::SessionKey;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

fn key() -> SessionKey {
    SessionKey::of("app", b"a")
}

async fn ask(thread: &Thread) -> Result<Option<String>, Unavailable> {
    thread.stores.session("shared", key(), 1_000).await
}

/// Asks again once the pause is over, which begins a trial that nobody waits for, and waits for its end.
pub(super) async fn try_after(thread: &Thread, pause_ms: u64) {
    thread.later(pause_ms);
    assert_eq!(ask(thread).await, Err(Unavailable));
    let server = thread.stores.server("shared").expect("a store");
    until(|| server.under_way.get() == 0).await;
}

#[test]
fn a_store_that_is_down_at_the_start_is_told_once_and_asked_when_it_is_there() {
    run(async {
        let mut program = Program::with(&[]);
        let thread = Thread::new(&program.store());
        assert_eq!(ask(&thread).await, Err(Unavailable));
        let told = thread.told();
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("shared failed: cannot connect to unix:/"), "{told:?}");
        assert!(told[0].contains("No such file"), "{told:?}");
        try_after(&thread, 1_000).await;
        program.start();
        thread.later(1_999);
        assert_eq!(ask(&thread).await, Err(Unavailable));
        assert!(thread.told().is_empty(), "it is left alone for two seconds now");
        try_after(&thread, 1).await;
        assert_eq!(thread.told(), ["shared recovered"]);
        assert_eq!(ask(&thread).await, Ok(None));
    });
}

#[test]
fn a_store_that_dies_in_the_middle_fails_no_more_than_those_who_are_asking() {
    run(async {
        let mut program = Program::started(&[]);
        let thread = Thread::new(&program.store());
        assert_eq!(ask(&thread).await, Ok(None));
        program.freeze();
        let stores = std::rc::Rc::clone(&thread.stores);
        let asking = tokio::task::spawn_local(async move { stores.session("shared", key(), 1_000).await });
        tokio::task::yield_now().await;
        program.kill();
        assert_eq!(asking.await.expect("no panic"), Err(Unavailable));
        assert_eq!(thread.told().len(), 1);
        program.start();
        assert_eq!(ask(&thread).await, Err(Unavailable));
        try_after(&thread, 1_000).await;
        assert_eq!(thread.told(), ["shared recovered"]);
        assert_eq!(ask(&thread).await, Ok(None));
    });
}

#[test]
fn a_store_that_hangs_costs_each_request_its_wait_once_and_then_nothing() {
    run(async {
        let program = Program::started(&[]);
        let wait = Duration::from_secs(1);
        let thread = Thread::new(&Store { wait_ms: 1_000, ..program.store() });
        assert_eq!(ask(&thread).await, Ok(None));
        program.freeze();
        let begin = Instant::now();
        let many: Vec<_> = (0..100)
            .map(|_| {
                let stores = std::rc::Rc::clone(&thread.stores);
                tokio::task::spawn_local(async move { stores.session("shared", key(), 1_000).await })
            })
            .collect();
        for one in many {
            assert_eq!(one.await.expect("no panic"), Err(Unavailable));
        }
        assert!(begin.elapsed() >= wait, "they have waited");
        let told = thread.told();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].ends_with("has not answered within 1000ms"), "{told:?}");
        // A thousand that waited, one after the other, would take a quarter of an hour.
        for _ in 0..1_000 {
            assert_eq!(ask(&thread).await, Err(Unavailable));
        }
        try_after(&thread, 1_000).await;
        assert!(thread.told().is_empty());
        program.thaw();
        // A machine that is busy may be slow to wake it.
        while thread.told.borrow().is_empty() {
            try_after(&thread, 10_000).await;
        }
        assert_eq!(thread.told(), ["shared recovered"]);
        assert_eq!(ask(&thread).await, Ok(None));
    });
}

#[test]
fn a_trial_of_a_store_that_hangs_keeps_nobody_waiting() {
    run(async {
        let program = Program::started(&[]);
        let thread = Thread::new(&Store { wait_ms: 300, ..program.store() });
        program.freeze();
        assert_eq!(ask(&thread).await, Err(Unavailable));
        thread.later(1_000);
        assert_eq!(ask(&thread).await, Err(Unavailable));
        let server = thread.stores.server("shared").expect("a store");
        assert_eq!(server.under_way.get(), 1, "the trial goes on, the request does not wait for it");
        program.thaw();
        until(|| server.under_way.get() == 0).await;
    });
}

#[test]
fn a_store_that_was_started_anew_while_nobody_asked_has_not_failed() {
    run(async {
        let mut program = Program::started(&[]);
        let thread = Thread::new(&program.store());
        assert_eq!(ask(&thread).await, Ok(None));
        program.kill();
        program.start();
        let server = thread.stores.server("shared").expect("a store");
        let is_closed =
            || server.connection.try_lock().is_ok_and(|held| held.as_ref().is_none_or(|it| !it.is_open()));
        until(is_closed).await;
        assert_eq!(ask(&thread).await, Ok(None));
        assert!(thread.told().is_empty());
    });
}

#[test]
fn what_one_thread_learns_saves_the_others_the_wait_and_is_told_once() {
    run(async {
        let mut program = Program::with(&[]);
        let process = Arc::default();
        let (one, other) = (Thread::of(&process, &program.store()), Thread::of(&process, &program.store()));
        assert_eq!((ask(&one).await, ask(&other).await), (Err(Unavailable), Err(Unavailable)));
        assert_eq!((one.told().len(), other.told().len()), (1, 0));
        program.start();
        other.later(1_000);
        one.later(1_000);
        try_after(&other, 0).await;
        assert_eq!((one.told(), other.told()), (vec![], vec!["shared recovered".to_owned()]));
        assert_eq!(ask(&one).await, Ok(None));
    });
}

#[test]
fn after_a_failure_every_thread_connects_anew() {
    run(async {
        let program = Program::started(&[]);
        let process = Arc::default();
        let (one, other) = (Thread::of(&process, &program.store()), Thread::of(&process, &program.store()));
        assert_eq!((ask(&one).await, ask(&other).await), (Ok(None), Ok(None)));
        let server = other.stores.server("shared").expect("a store");
        let before = server.connection.lock().await.as_ref().map(|it| it.failures_before);
        assert!(one.stores.server("shared").expect("a store").breaker.failed(one.now.get()));
        try_after(&one, 1_000).await;
        assert_eq!(ask(&other).await, Ok(None));
        let after = server.connection.lock().await.as_ref().map(|it| it.failures_before);
        assert_eq!((before, after), (Some(0), Some(1)));
    });
}

#[test]
fn a_store_that_refuses_has_failed_and_says_why() {
    run(async {
        let program = Program::started(&["user default on nopass ~* &* +@all -getex -get"]);
        let thread = Thread::new(&program.store());
        assert_eq!(ask(&thread).await, Err(Unavailable));
        let told = thread.told();
        assert!(told.len() == 1 && told[0].contains("no permissions"), "{told:?}");
        // It answers trials all the same: each failure after that is left alone for longer.
        try_after(&thread, 1_000).await;
        assert_eq!(thread.told(), ["shared recovered"]);
        assert_eq!(ask(&thread).await, Err(Unavailable));
        assert_eq!(thread.told().len(), 1);
        thread.later(1_999);
        assert_eq!(ask(&thread).await, Err(Unavailable));
        assert!(thread.told().is_empty());
        try_after(&thread, 1).await;
        assert_eq!(thread.told(), ["shared recovered"]);
    });
}
