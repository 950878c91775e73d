//! What it costs to read, issue, find and remember a session, and to compute keys.
//!
//! `cargo run --release -p bascule-decide --example session_cost`

#![allow(clippy::disallowed_types, reason = "a measurement reads the clock")]
#![allow(clippy::print_stdout, reason = "a measurement prints its result")]

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use bascule_contract::sessions::{self, IssuedCookie, SameSite, Secret};
use bascule_decide::balance::Slot;
use bascule_decide::random::Random;
use bascule_decide::sessions::cookie::{Claim, IssuedCookies};
use bascule_decide::sessions::key::{SessionKey, hash};
use bascule_decide::sessions::table::SessionTable;
use bascule_decide::sessions::tags::Tags;
use bascule_decide::time::Tick;
use httparse::Header;

const NOW: u64 = 1_764_000_000;
const ROUNDS: usize = 200_000;

fn main() {
    println!("ns");
    for encrypted in [false, true] {
        print_cookies(encrypted);
    }
    print_keys();
    for threads in [1, 2] {
        print_table(threads);
    }
}

fn print_cookies(encrypted: bool) {
    let cookies = IssuedCookies::compile(&settings(encrypted), "api").expect("a sound cookie");
    let ids: Vec<String> = (0..1_000).map(|number| format!("e{number}")).collect();
    let tags = Tags::compile(&cookies, ids.iter().map(String::as_str));
    let mut random = Random::seeded(1);
    let mut line = Vec::with_capacity(256);
    let issue = per_round(|round| {
        line.clear();
        cookies.issue(tags.tag(Slot(round as u32 % 1_000)), NOW, &mut random, &mut line);
        black_box(&line);
    });
    let token = &line[..line.iter().position(|byte| *byte == b';').expect("attributes follow")];
    let forged: Vec<u8> = token.iter().rev().copied().collect();
    let crowd = [&b"tracking=0123456789abcdef; ".repeat(100), token].concat();
    let mut forged_line = b"bascule=".to_vec();
    forged_line.extend_from_slice(&forged[..forged.len() - 8]);
    let read = |value: &[u8]| {
        let fields = [Header { name: "Accept", value: b"*/*" }, Header { name: "Cookie", value }];
        per_round(|_| match cookies.read(black_box(&fields), NOW) {
            Claim::Endpoint { tag, .. } => _ = black_box(tags.slot(tag)),
            other => _ = black_box(other),
        })
    };
    println!("{}", if encrypted { "encrypted" } else { "signed" });
    println!("  {:<40} {issue:>7.1}", "issue");
    println!("  {:<40} {:>7.1}", "read and find its endpoint among 1,000", read(token));
    println!("  {:<40} {:>7.1}", "read after 2,700 bytes of others", read(&crowd));
    println!("  {:<40} {:>7.1}", "refuse", read(&forged_line));
}

fn print_keys() {
    println!("keys");
    for length in [4, 36, 1_000] {
        let text = vec![b'a'; length];
        let hashed = per_round(|_| _ = black_box(hash(black_box(&text))));
        let named = per_round(|_| _ = black_box(SessionKey::of("api", black_box(&text))));
        println!("  {:<40} {hashed:>7.1} {named:>7.1}", format!("{length} bytes: hash, session key"));
    }
}

/// Each thread looks for its own sessions in a table of 100,000.
fn print_table(threads: u32) {
    let wanted = sessions::SessionTable { expiry_ms: 1_800_000, entries: 200_000, store: None };
    let table = SessionTable::compile(&wanted, 7).expect("a sound table");
    let endpoint: Arc<str> = "e1".into();
    let keys: Vec<SessionKey> =
        (0..100_000_u32).map(|number| SessionKey::of("api", &number.to_be_bytes())).collect();
    for key in &keys {
        table.remember(*key, &endpoint, Tick(0));
    }
    let (table, keys, endpoint) = (&table, &keys, &endpoint);
    let at = |own: u32, round: usize| keys[(round * 7_919 + own as usize * 31) % keys.len()];
    let find = move |own| per_round(|round| drop(black_box(table.find(at(own, round), Tick(1)))));
    let remember = move |own| per_round(|round| table.remember(at(own, round), endpoint, Tick(1)));
    println!("table of 100,000 sessions, {threads} thread(s)");
    println!("  {:<40} {:>7.1}", "find", slowest(threads, find));
    println!("  {:<40} {:>7.1}", "remember", slowest(threads, remember));
}

fn slowest(threads: u32, work: impl Fn(u32) -> f64 + Copy + Send) -> f64 {
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|own| scope.spawn(move || work(own))).collect();
        running.into_iter().map(|thread| thread.join().expect("it measured")).fold(0.0, f64::max)
    })
}

fn settings(encrypted: bool) -> IssuedCookie {
    IssuedCookie {
        name: "bascule".into(),
        path: "/".into(),
        domain: None,
        secure: true,
        http_only: true,
        same_site: SameSite::Lax,
        lifetime_ms: Some(86_400_000),
        keys: ["the key of this year", "the key of last year"].map(|key| Secret(key.into())).into(),
        encrypted,
    }
}

fn per_round(mut work: impl FnMut(usize)) -> f64 {
    (0..ROUNDS / 10).for_each(&mut work);
    let begin = Instant::now();
    (0..ROUNDS).for_each(&mut work);
    begin.elapsed().as_nanos() as f64 / ROUNDS as f64
}
