//! Deciding does not allocate: not a pick, not after marks, not a route, not an ordinary path, not a session that stays.

#![allow(unsafe_code, reason = "counting allocations takes a global allocator, and that trait is unsafe")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bascule_contract::mark::Mark;
use bascule_contract::sessions::{self, IssuedCookie, KeyBy, SameSite, Secret};
use bascule_decide::balance::registry::ALGORITHMS;
use bascule_decide::balance::{Key, Slot};
use bascule_decide::client_hello::{self, Reading};
use bascule_decide::endpoint::States;
use bascule_decide::guard::Lost;
use bascule_decide::load_report::parse;
use bascule_decide::path::normalize;
use bascule_decide::pick::{Ask, Picker, Taken};
use bascule_decide::proxy_protocol::{self, Origin, Tlv};
use bascule_decide::random::Random;
use bascule_decide::request::Request;
use bascule_decide::sessions::cookie::{Claim, IssuedCookies};
use bascule_decide::sessions::key::{KeySource, SessionKey, hash};
use bascule_decide::sessions::table::SessionTable;
use bascule_decide::sessions::tags::Tags;
use bascule_decide::table::Table;
use bascule_decide::time::Tick;
use serde_json::json;

mod samples;

/// Counts per thread, so that tests running beside each other do not see one another.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator as it came; a const thread-local without drop glue
// neither allocates nor can be gone.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1_u8]))), 1);
}

#[test]
fn no_algorithm_allocates_while_picking() {
    let ways = ALGORITHMS.iter().flat_map(|it| samples::ways(it.name).into_iter().map(|way| (it.name, way)));
    for (algorithm, way) in ways {
        for endpoints in [1, 10, 64, 65, 1_000] {
            let mut states = States::new();
            let mut pool = samples::pool_with(algorithm, &way, &vec![3; endpoints]);
            pool.load_reports = true;
            pool.endpoints.iter_mut().skip(1).step_by(3).for_each(|endpoint| endpoint.tier = 1);
            let pools = vec![pool];
            let table = Table::compile(&samples::snapshot(vec![], pools), &mut states).unwrap();
            let pool = &table.pools[0];
            let mut random = Random::seeded(1);
            // The worst start: one endpoint is up, so that all sets that come later are larger.
            let down = |up| move |it| Mark { up: Some(up), ..samples::mark("p", it) };
            let marks: Vec<Mark> = (1..endpoints).map(down(false)).collect();
            states.mark(&marks);
            let mut picker = Picker::new(pool, &mut random);
            picker.pick(pool, Key::NONE, &[], &mut random);
            picker.pick(pool, Key(7), &[], &mut random);
            let marks: Vec<Mark> = (1..endpoints).map(down(true)).collect();
            states.mark(&marks);
            let mut wanted = Vec::with_capacity(16);
            let report =
                parse(b"TEXT cpu_utilization=0.5,rps_fractional=10,rif=3,latency_ms=2").expect("a report");
            let counted = allocations(|| {
                for number in 0..100 {
                    let now = Tick(number * 100_000);
                    picker.pick(pool, Key::NONE, &[], &mut random);
                    picker.pick(pool, Key(number), &[Slot(0)], &mut random);
                    let ask = Ask { key: Key(number), ..Ask::default() };
                    let Taken::Endpoint(attempt) = picker.take(pool, &ask, now, &mut random) else {
                        continue;
                    };
                    picker.hear(pool, attempt.slot, &report, now, &mut random);
                    picker.wants_probes(pool, &mut random, &mut wanted);
                    wanted.clear();
                    pool.end(&attempt, now, Lost::Abandoned);
                }
            });
            assert_eq!(counted, 0, "{algorithm} {way:?} among {endpoints}");
        }
    }
}

#[test]
fn finding_a_route_allocates_nothing() {
    let routes = vec![
        samples::route("a", vec![samples::matcher("host", json!({"hosts": ["*.example.com"]}))], "p"),
        samples::route(
            "b",
            vec![
                samples::matcher("path", json!({"paths": [{"kind": "prefix", "value": "/v1"}]})),
                samples::matcher("method", json!({"methods": ["GET"]})),
                samples::matcher("header", json!({"name": "x-a", "test": {"kind": "exact", "value": "1"}})),
                samples::matcher("query", json!({"name": "q", "test": {"kind": "exact", "value": "1"}})),
                samples::matcher("client", json!({"networks": ["10.0.0.0/8"]})),
            ],
            "p",
        ),
    ];
    let snapshot =
        samples::snapshot(vec![samples::listener("web", routes)], vec![samples::pool("p", "random", &[1])]);
    let table = Table::compile(&snapshot, &mut States::new()).unwrap();
    let fields = [httparse::Header { name: "X-A", value: b"1" }];
    let request = Request {
        method: "GET",
        host: "example.com",
        path: b"/v1/users",
        query: Some(b"p=2&q=1"),
        fields: &fields,
        client: Some([10, 0, 0, 1].into()),
        identity: None,
    };
    let mut found = None;
    assert_eq!(allocations(|| found = table.listeners[0].index.find(&request)), 0);
    assert_eq!(found, Some(1));
}

#[test]
fn an_ordinary_path_is_normalised_in_place() {
    let mut normal = None;
    assert_eq!(allocations(|| normal = normalize(b"/api/v1/users/.well-known/42").ok()), 0);
    assert!(normal.is_some());
}

#[test]
fn a_cookie_of_ours_is_read_and_issued_without_allocating() {
    for encrypted in [false, true] {
        let settings = IssuedCookie {
            name: "bascule".into(),
            path: "/".into(),
            domain: None,
            secure: false,
            http_only: true,
            same_site: SameSite::Lax,
            lifetime_ms: None,
            keys: vec![Secret("a key of many letters".into())],
            encrypted,
        };
        let cookies = IssuedCookies::compile(&settings, "p").unwrap();
        let tags = Tags::compile(&cookies, ["a", "b"]);
        let mut line = Vec::with_capacity(256);
        let mut random = Random::seeded(1);
        let counted = allocations(|| cookies.issue(tags.tag(Slot(1)), 0, &mut random, &mut line));
        assert_eq!(counted, 0, "encrypted: {encrypted}");
        let value = line.split(|byte| *byte == b';').next().unwrap();
        let fields = [httparse::Header { name: "Cookie", value }];
        let mut found = None;
        let counted = allocations(|| {
            if let Claim::Endpoint { tag, .. } = cookies.read(&fields, 0) {
                found = tags.slot(tag);
            }
        });
        assert_eq!((counted, found), (0, Some(Slot(1))), "encrypted: {encrypted}");
    }
}

#[test]
fn a_remembered_session_is_found_without_allocating() {
    let wanted = sessions::SessionTable { expiry_ms: 1_000, entries: 10, store: None };
    let table = SessionTable::compile(&wanted, 1).unwrap();
    let fields = [httparse::Header { name: "Cookie", value: b"a=1; sid=31d4d96e" }];
    let client = Some([10, 0, 0, 1].into());
    let asked = Request {
        method: "GET",
        host: "a.example",
        path: b"/",
        query: Some(b"q=1"),
        fields: &fields,
        client,
        identity: None,
    };
    for by in [
        KeyBy::Client {},
        KeyBy::Cookie { name: "sid".into() },
        KeyBy::Query { name: "q".into() },
        KeyBy::Host {},
        KeyBy::Path {},
    ] {
        let source = KeySource::compile(&by).unwrap();
        let session = |asked| source.find(asked).map(|key| (hash(&key), SessionKey::of("p", &key)));
        table.remember(session(&asked).unwrap().1, &"e1".into(), Tick(0));
        let mut found = None;
        assert_eq!(allocations(|| found = table.find(session(&asked).unwrap().1, Tick(1))), 0, "{by:?}");
        assert_eq!(found.as_deref(), Some("e1"));
    }
}

#[test]
fn what_a_connection_begins_with_is_read_where_it_stands() {
    let mut header = Vec::new();
    let origin = Origin::tcp(([192, 0, 2, 7], 80).into(), ([192, 0, 2, 1], 443).into());
    proxy_protocol::write_binary(origin, &[Tlv::Checksum(0), Tlv::Authority(b"a.test")], &mut header)
        .unwrap();
    let mut named = None;
    let counted = allocations(|| {
        for cut in 0..=header.len() {
            named =
                proxy_protocol::read(&header[..cut]).unwrap().and_then(|(header, _)| header.tlvs.authority());
        }
    });
    assert_eq!((counted, named), (0, Some(&b"a.test"[..])));

    let hello = include_bytes!("../../../fuzz/corpus/client_hello/openssl");
    let mut offered = 0;
    let counted = allocations(|| {
        for cut in 0..=hello.len() {
            if let Reading::Hello(hello) = client_hello::read(&hello[..cut]) {
                assert_eq!(hello.server_name(), Some("a.test"));
                offered = hello.alpn().count();
            }
        }
    });
    assert_eq!((counted, offered), (0, 2));
}
