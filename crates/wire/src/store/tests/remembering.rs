//! Sessions that several balancers share.

use super::program::free_port;
use super::{Program, Thread, run, until};
use crate::store::{MOST_UNDER_WAY, Unavailable};
use bascule_contract::sessions::{Secret, Store};
use bascule_contract::snapshot::Address;
use bascule_decide::sessions::key::SessionKey;
use std::rc::Rc;

const HOUR: u64 = 3_600_000;

fn key(name: &str) -> SessionKey {
    SessionKey::of("app", name.as_bytes())
}

/// What a session is called in the server.
fn name(key: SessionKey) -> String {
    format!("b:session:{key:?}")
}

async fn remember(thread: &Thread, key: SessionKey, endpoint: &str) {
    thread.stores.remember_session("shared", key, endpoint, HOUR);
    let server = thread.stores.server("shared").expect("a store");
    until(|| server.under_way.get() == 0).await;
}

async fn session(thread: &Thread, key: SessionKey) -> Result<Option<String>, Unavailable> {
    thread.stores.session("shared", key, HOUR).await
}

#[test]
fn what_one_balancer_remembers_the_others_know() {
    run(async {
        let program = Program::started(&[]);
        let (one, other) = (Thread::new(&program.store()), Thread::new(&program.store()));
        assert_eq!(session(&other, key("a")).await, Ok(None));
        remember(&one, key("a"), "10.0.0.1:80").await;
        assert_eq!(session(&other, key("a")).await, Ok(Some("10.0.0.1:80".into())));
        remember(&other, key("a"), "10.0.0.2:80").await;
        assert_eq!(session(&one, key("a")).await, Ok(Some("10.0.0.2:80".into())));
        assert_eq!(session(&one, key("b")).await, Ok(None));
        assert!(one.told().is_empty() && other.told().is_empty());
    });
}

/// Milliseconds that the session is remembered still.
fn time_left(program: &Program, key: SessionKey) -> u64 {
    program.say(&format!("PTTL {}", name(key)))[1..].parse().expect("a time")
}

async fn each_use_begins_the_time_anew(settings: &[&str]) {
    let program = Program::started(settings);
    let thread = Thread::new(&program.store());
    remember(&thread, key("a"), "one").await;
    assert!((HOUR / 2..=HOUR).contains(&time_left(&program, key("a"))));
    program.say(&format!("PEXPIRE {} 60000", name(key("a"))));
    assert_eq!(session(&thread, key("a")).await, Ok(Some("one".into())));
    assert!((HOUR / 2..=HOUR).contains(&time_left(&program, key("a"))));
    assert_eq!(session(&thread, key("unknown")).await, Ok(None));
    assert!(thread.told().is_empty());
}

#[test]
fn the_time_of_a_session_begins_anew_when_it_is_used() {
    run(each_use_begins_the_time_anew(&[]));
}

#[test]
fn a_server_without_getex_does_the_same() {
    run(each_use_begins_the_time_anew(&["rename-command GETEX \"\""]));
}

#[test]
fn a_session_whose_endpoint_is_known_is_touched_without_asking() {
    run(async {
        let program = Program::started(&[]);
        let thread = Thread::new(&program.store());
        remember(&thread, key("a"), "one").await;
        program.say(&format!("PEXPIRE {} 60000", name(key("a"))));
        thread.stores.touch_session("shared", key("a"), HOUR);
        let server = thread.stores.server("shared").expect("a store");
        until(|| server.under_way.get() == 0).await;
        assert!((HOUR / 2..=HOUR).contains(&time_left(&program, key("a"))));
    });
}

#[test]
fn what_is_no_text_names_no_endpoint() {
    run(async {
        let program = Program::started(&[]);
        let thread = Thread::new(&program.store());
        program.say(&format!("SET {} \"\\xff\\xfe\"", name(key("a"))));
        assert_eq!(session(&thread, key("a")).await, Ok(None));
        assert!(thread.told().is_empty());
    });
}

#[test]
fn a_user_a_password_a_database_and_a_prefix_count_also_over_tcp() {
    run(async {
        let port = free_port();
        let user = "user lb on >s3cret-s3cret ~x:* +@all";
        let program =
            Program::started(&[&format!("port {port}"), "bind 127.0.0.1", user, "requirepass other"]);
        let store = Store {
            address: Address::Tcp { address: format!("127.0.0.1:{port}") },
            username: Some("lb".into()),
            password: Some(Secret("s3cret-s3cret".into())),
            database: 3,
            prefix: "x:".into(),
            ..program.store()
        };
        let thread = Thread::new(&store);
        remember(&thread, key("a"), "one").await;
        assert_eq!(session(&thread, key("a")).await, Ok(Some("one".into())));
        let elsewhere = Thread::new(&Store { database: 0, ..store.clone() });
        assert_eq!(session(&elsewhere, key("a")).await, Ok(None));
        assert!(thread.told().is_empty() && elsewhere.told().is_empty());
        // The default user, whose password is another.
        let default = Store { username: None, password: Some(Secret("other".into())), ..store };
        let default = Thread::new(&default);
        assert_eq!(session(&default, key("a")).await, Ok(Some("one".into())));
    });
}

#[test]
fn the_rights_that_the_guide_names_are_enough() {
    run(async {
        let guide = include_str!("../../../../../docs/guides/shared-stores.md");
        let user = guide.lines().find(|line| line.starts_with("user bascule on ")).expect("a line of rights");
        let program = Program::started(&[user, "user default off"]);
        let store = Store {
            username: Some("bascule".into()),
            password: Some(Secret("PASSWORD".into())),
            prefix: "bascule:".into(),
            database: 1,
            ..program.store()
        };
        let thread = Thread::new(&store);
        remember(&thread, key("a"), "one").await;
        thread.stores.touch_session("shared", key("a"), HOUR);
        assert_eq!(session(&thread, key("a")).await, Ok(Some("one".into())));
        let limit = super::counting::limit(1, 1_000, 1);
        assert!(super::counting::passes(&thread, &limit).await);
        let server = thread.stores.server("shared").expect("a store");
        server.knows_getex.set(false);
        assert_eq!(session(&thread, key("a")).await, Ok(Some("one".into())));
        assert!(server.breaker.failed(thread.now.get()));
        super::failing::try_after(&thread, 1_000).await;
        assert_eq!(thread.told(), ["shared recovered"]);
    });
}

#[test]
fn a_wrong_password_is_told_without_the_password() {
    run(async {
        let program = Program::started(&["requirepass right-right-right"]);
        let store = Store { password: Some(Secret("wrong-wrong-wrong".into())), ..program.store() };
        let thread = Thread::new(&store);
        assert_eq!(session(&thread, key("a")).await, Err(Unavailable));
        let told = thread.told();
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("no such user and password"), "{told:?}");
        assert!(!told[0].contains("wrong-wrong-wrong"), "{told:?}");
        let nobody = Thread::new(&program.store());
        assert_eq!(session(&nobody, key("a")).await, Err(Unavailable));
        let told = nobody.told();
        assert!(told[0].contains("answered: ") && told[0].contains("Authentication required"), "{told:?}");
    });
}

#[test]
fn a_server_that_repeats_what_it_was_sent_does_not_make_us_show_the_password() {
    run(async {
        let program = Program::started(&["rename-command AUTH \"\""]);
        let thread =
            Thread::new(&Store { password: Some(Secret("s3cret-s3cret".into())), ..program.store() });
        assert_eq!(session(&thread, key("a")).await, Err(Unavailable));
        let told = thread.told().join("\n");
        assert!(told.contains("does not let us in") && !told.contains("s3cret"), "{told}");
    });
}

#[test]
fn a_store_that_stays_as_it_was_keeps_its_connection() {
    run(async {
        let program = Program::started(&[]);
        let thread = Thread::new(&program.store());
        let server = || thread.stores.server("shared");
        let old = server().expect("a store");
        thread.stores.update(&[program.store(), Store { id: "another".into(), ..program.store() }]);
        assert!(Rc::ptr_eq(&old, &server().expect("a store")));
        thread.stores.update(&[Store { database: 1, ..program.store() }]);
        assert!(!Rc::ptr_eq(&old, &server().expect("a store")));
        thread.stores.update(&[]);
        assert!(server().is_err());
        assert_eq!(session(&thread, key("a")).await, Err(Unavailable));
        assert!(thread.told().is_empty(), "a store that is not there has not failed");
    });
}

#[test]
fn what_nobody_waits_for_does_not_pile_up() {
    run(async {
        let program = Program::started(&[]);
        let thread = Thread::new(&Store { wait_ms: 1_000, ..program.store() });
        let server = thread.stores.server("shared").expect("a store");
        assert_eq!(session(&thread, key("a")).await, Ok(None));
        program.freeze();
        // More than a socket takes while nobody reads.
        let long = "x".repeat(2_000);
        for number in 0..MOST_UNDER_WAY * 2 {
            thread.stores.remember_session("shared", key(&number.to_string()), &long, HOUR);
        }
        assert_eq!(server.under_way.get(), MOST_UNDER_WAY);
        until(|| server.under_way.get() == 0).await;
        let metrics = tokio::runtime::Handle::current().metrics();
        until(|| metrics.num_alive_tasks() == 0).await;
    });
}
