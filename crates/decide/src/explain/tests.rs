use std::sync::atomic::Ordering::Relaxed;

use bascule_contract::explain::{Deed, Explanation, Question};
use bascule_contract::sessions::{KeyBy, SessionBy, SessionTable, Sessions};
use bascule_contract::snapshot::{self, Snapshot};
use serde_json::json;

use super::explain;
use crate::endpoint::States;
use crate::random::Random;
use crate::samples;
use crate::table::Table;
use crate::time::Tick;

const NOW: Tick = Tick(60_000_000);

fn question(head: &str) -> Question {
    let head = format!("{head}\r\nHost: a.example\r\n\r\n");
    Question { listener: "web".into(), head, client: Some("192.0.2.1".into()), now_s: 0 }
}

fn ask(snapshot: &Snapshot, head: &str, change: impl FnOnce(&Table)) -> Explanation {
    let table = Table::compile(snapshot, &mut States::new()).unwrap_or_else(|all| panic!("{all:?}"));
    change(&table);
    explain(&table, snapshot, &question(head), (NOW, &mut Random::seeded(1))).expect("a question")
}

fn site(algorithm: &str) -> Snapshot {
    let path = |value: &str| samples::matcher("path", json!({"paths": [{"kind": "prefix", "value": value}]}));
    let routes = vec![
        samples::route(
            "api",
            vec![path("/api"), samples::matcher("method", json!({"methods": ["POST"]}))],
            "p",
        ),
        snapshot::Route {
            action: snapshot::Action::Redirect { status: 301, location: "https://{host}{uri}".into() },
            ..samples::route("old", vec![path("/old")], "p")
        },
        samples::route("rest", vec![samples::matcher("host", json!({"hosts": ["a.example"]}))], "p"),
    ];
    let listener = samples::listener("web", routes);
    samples::snapshot(vec![listener], vec![samples::pool("p", algorithm, &[1, 1, 1])])
}

#[test]
fn routes_that_do_not_take_it_say_what_does_not_hold() {
    let explained = ask(&site("least_busy"), "GET /api/x HTTP/1.1", |_| {});
    let said: Vec<_> = explained.routes.iter().map(|it| (it.route.as_str(), it.missed.join("; "))).collect();
    assert_eq!(
        said,
        [("api", "method POST".to_owned()), ("old", "path prefix /old".to_owned()), ("rest", String::new())]
    );
}

#[test]
fn a_route_that_answers_itself_says_what() {
    let explained = ask(&site("least_busy"), "GET /old/page?x=1 HTTP/1.1", |_| {});
    let location = "https://a.example/old/page?x=1".to_owned();
    assert_eq!(explained.deed, Some(Deed::Redirect { status: 301, location }));
    assert!(explained.pools.is_empty());
}

#[test]
fn endpoints_that_get_nothing_say_why_and_the_others_are_in_their_order() {
    let explained = ask(&site("least_busy"), "GET / HTTP/1.1", |table| {
        let states: Vec<_> = table.pools[0].endpoints.iter().map(|endpoint| &endpoint.state).collect();
        states[0].up.store(false, Relaxed);
        states[1].in_flight.store(7, Relaxed);
    });
    let pool = &explained.pools[0];
    let excluded: Vec<_> = pool.endpoints.iter().map(|it| it.excluded.as_deref()).collect();
    assert_eq!(excluded, [Some("down: its check fails"), None, None]);
    assert_eq!(pool.order, ["e2", "e1"]);
    assert_eq!(pool.endpoints[1].score.as_deref(), Some("7 in flight for weight 1"));
}

#[test]
fn of_a_pool_that_nothing_can_serve_the_answer_is_told() {
    let explained = ask(&site("random"), "GET / HTTP/1.1", |table| {
        table.pools[0].endpoints.iter().for_each(|it| it.state.maintenance.store(true, Relaxed));
    });
    assert_eq!(explained.pools[0].order, [""; 0]);
    assert!(explained.pools[0].why.contains("503"), "{}", explained.pools[0].why);
}

#[test]
fn higher_tiers_wait_for_the_lower_ones() {
    let mut snapshot = site("least_busy");
    snapshot.pools[0].endpoints[1].tier = 1;
    let explained = ask(&snapshot, "GET / HTTP/1.1", |_| {});
    let why = explained.pools[0].endpoints[1].excluded.as_deref();
    assert_eq!(why, Some("in tier 1, which is used as the tiers before it fail"));
}

#[test]
fn a_session_that_is_remembered_is_where_it_was() {
    let mut snapshot = site("least_busy");
    let table = SessionTable { expiry_ms: 60_000_000, entries: 9, store: None };
    snapshot.pools[0].sessions =
        Some(Sessions { by: SessionBy::Key { by: KeyBy::Client {}, table }, strict: false });
    let explained = ask(&snapshot, "GET / HTTP/1.1", |table| {
        let remembered = table.pools[0].sessions.as_ref().and_then(|it| it.remembered()).expect("sessions");
        let client = [192, 0, 2, 1];
        let key = crate::sessions::key::SessionKey::of("p", &client);
        remembered.table.remember(key, &table.pools[0].endpoints[2].id, NOW);
    });
    let pool = &explained.pools[0];
    assert_eq!(pool.session.as_deref(), Some("remembered on endpoint e2"));
    assert_eq!((pool.order[0].as_str(), pool.why.as_str()), ("e2", "its session is there"));
}

#[test]
fn what_is_refused_says_its_status() {
    let explained = ask(&site("random"), "GET /../x HTTP/3", |_| {});
    assert_eq!(explained.refused.map(|it| it.status), Some(505));
}

#[test]
fn the_answer_to_a_question_changes_nothing() {
    let snapshot = site("fastest");
    let table = Table::compile(&snapshot, &mut States::new()).unwrap_or_else(|all| panic!("{all:?}"));
    let ask = || explain(&table, &snapshot, &question("GET / HTTP/1.1"), (NOW, &mut Random::seeded(3)));
    assert_eq!(ask(), ask());
    assert!(table.pools[0].endpoints.iter().all(|it| it.state.picked.load(Relaxed) == 0));
}
