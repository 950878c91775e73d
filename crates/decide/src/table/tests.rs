//! What a snapshot becomes, and everything that can be wrong with one.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bascule_contract::mark::Mark;
use bascule_contract::snapshot::{self, HeaderValue};
use serde_json::json;

use super::{Action, States, Table};
use crate::samples::{listener, mark, matcher, pool, route, snapshot};

fn problems(snapshot: &snapshot::Snapshot) -> Vec<String> {
    Table::compile(snapshot, &mut States::new()).err().unwrap()
}

#[test]
fn routes_point_at_their_pools_and_are_found_through_the_index() {
    let host = matcher("host", json!({"hosts": ["b"]}));
    let listeners = vec![listener("web", vec![route("r", vec![host], "two")])];
    let table = Table::compile(
        &snapshot(listeners, vec![pool("one", "random", &[1]), pool("two", "random", &[1])]),
        &mut States::new(),
    )
    .unwrap();
    assert_eq!((table.listener("web"), table.listener("other")), (Some(0), None));
    assert_eq!(table.pool("two"), Some(1));
    assert!(matches!(table.listeners[0].routes[0].action, Action::Pool(1)));
}

#[test]
fn marks_and_counters_outlive_the_table() {
    let mut states = States::new();
    let first = Table::compile(&snapshot(vec![], vec![pool("p", "random", &[1, 1])]), &mut states).unwrap();
    states.mark(&[Mark { up: Some(false), weight: Some(7), ..mark("p", 1) }]);
    first.pools[0].endpoints[1].state.picked.store(42, Relaxed);
    let second =
        Table::compile(&snapshot(vec![], vec![pool("p", "two_choices", &[1, 3, 1])]), &mut states).unwrap();
    drop(first);
    states.forget_unused();
    let endpoint = &second.pools[0].endpoints[1];
    assert!(!endpoint.is_up());
    assert_eq!((endpoint.weight, endpoint.weight_now()), (3, 7));
    assert_eq!(endpoint.state.picked.load(Relaxed), 42);
    assert!(Arc::ptr_eq(&endpoint.state, &states.endpoint("p", "e1")));
    assert_eq!(second.pools[0].endpoints[2].weight_now(), 1);
}

#[test]
fn everything_wrong_is_said_at_once_with_its_place() {
    let mut broken = pool("p", "least_buzy", &[1, 0]);
    broken.panic_percent = 101;
    let mut twice = pool("q", "random", &[1, 1]);
    twice.endpoints[1].id = "e0".into();
    twice.endpoints[0].address = snapshot::Address::Tcp { address: "localhost:80".into() };
    let mut lost = route("lost", vec![], "nowhere");
    lost.rewrite = Some(snapshot::Rewrite::Set { path: "x".into() });
    lost.response_headers.remove.push("content-length".into());
    let mut web =
        listener("web", vec![lost, route("r", vec![matcher("host", json!({"hosts": ["a:1"]}))], "p")]);
    web.forwarded.trusted.push("10.0.0.0/99".into());
    let found = problems(&snapshot(vec![web], vec![broken, twice]));
    let expected = [
        "pool \"p\": panic_percent 101 is above 100",
        "pool \"p\", endpoint \"e1\": weight 0 is not between 1 and 65535",
        "pool \"p\": unknown algorithm \"least_buzy\"; there are fastest, least_busy, two_choices, round_robin, weighted_round_robin, random, prequal, hash, first",
        "pool \"q\": endpoint \"e0\" is there twice",
        "pool \"q\", endpoint \"e0\": \"localhost:80\" is not an IP address with a port",
        "listener \"web\", route \"lost\": there is no pool \"nowhere\"",
        "listener \"web\", route \"lost\": \"x\" cannot be a path: the path does not begin with a slash",
        "listener \"web\", route \"lost\", response headers: \"content-length\" frames the message or its connection and cannot be changed",
        "listener \"web\", trusted: \"10.0.0.0/99\" is not a network; write it like 10.0.0.0/8 or 2001:db8::/32",
        "listener \"web\", route \"r\": matcher \"host\": \"a:1\": write the host without a port, and an IPv6 address in brackets",
    ];
    assert_eq!(found, expected);
}

#[test]
fn names_are_unique_where_they_must_be() {
    let web = || listener("web", vec![route("r", vec![], "p"), route("r", vec![], "p")]);
    let found =
        problems(&snapshot(vec![web(), web()], vec![pool("p", "random", &[1]), pool("p", "random", &[1])]));
    assert_eq!(
        found,
        [
            "pool \"p\" is there twice",
            "listener \"web\" is there twice",
            "listener \"web\": route \"r\" is there twice",
            "listener \"web\": route \"r\" is there twice",
        ]
    );
}

#[test]
fn another_contract_is_refused_before_anything_else() {
    let mut other = snapshot(vec![], vec![pool("p", "nonsense", &[1])]);
    other.contract = 99;
    assert_eq!(
        problems(&other),
        ["the snapshot speaks version 99 of the contract; this data plane speaks 1"]
    );
}

#[test]
fn options_that_an_algorithm_does_not_know_are_refused() {
    for algorithm in crate::balance::registry::ALGORITHMS {
        let mut pool = pool("p", algorithm.name, &[1]);
        pool.algorithm.options.insert("speed".into(), json!(9));
        let expected =
            format!("pool \"p\": algorithm \"{}\": unknown option \"speed\"; there ", algorithm.name);
        let found = problems(&snapshot(vec![], vec![pool]));
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
    }
}

#[test]
fn redirects_and_fixed_answers_must_be_sendable() {
    let field = |name: &str, value: &str| HeaderValue { name: name.into(), value: value.into() };
    let respond =
        |status, headers, body: &str| snapshot::Action::Respond { status, headers, body: body.into() };
    let redirect = |status, location: &str| snapshot::Action::Redirect { status, location: location.into() };
    for (action, problem) in [
        (redirect(302, "https://{host}{uri}"), None),
        (redirect(200, "/"), Some("200 is not the status of a redirect")),
        (redirect(301, "/{pth}"), Some("location: unknown placeholder")),
        (respond(503, vec![field("Retry-After", "5")], "later"), None),
        (respond(204, vec![], ""), None),
        (respond(204, vec![], "x"), Some("has no body")),
        (respond(100, vec![], ""), Some("not between 200 and 599")),
        (respond(200, vec![field("Content-Length", "5")], "x"), Some("cannot be changed")),
        (respond(200, vec![field("A", "b\r\nc: d")], "x"), Some("no header value may have")),
    ] {
        let mut route = route("r", vec![], "p");
        route.action = action;
        let result =
            Table::compile(&snapshot(vec![listener("web", vec![route])], vec![]), &mut States::new());
        match (result, problem) {
            (Ok(_), None) => {}
            (Err(problems), Some(expected)) => {
                assert!(problems[0].contains(expected), "{problems:?}")
            }
            (result, expected) => panic!("expected {expected:?}, got {:?}", result.err()),
        }
    }
}
