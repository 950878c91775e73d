//! Laws of snapshots: any bytes are a message or a refusal, and what compiles can be routed by and picked from.

use bascule_contract::codec::{decode, digest, encode};
use bascule_contract::mark::Marks;
use bascule_contract::snapshot::Snapshot;
use bascule_decide::balance::Key;
use bascule_decide::pick::Picker;
use bascule_decide::random::Random;
use bascule_decide::request::Request;
use bascule_decide::table::{Action, States, Table};

use crate::LONGEST;

/// Reads `bytes` as a snapshot, and as marks, and checks what came of it.
pub fn snapshot(bytes: &[u8]) {
    if bytes.len() > LONGEST {
        return;
    }
    if let Ok(marks) = decode::<Marks>(bytes) {
        assert_eq!(decode::<Marks>(&encode(&marks)).as_ref(), Ok(&marks));
        States::new().mark(&marks);
    }
    let Ok(snapshot) = decode::<Snapshot>(bytes) else { return };
    let canonical = encode(&snapshot);
    assert_eq!(decode::<Snapshot>(&canonical).as_ref(), Ok(&snapshot), "the canonical bytes say the same");
    assert_eq!(digest(&canonical), digest(&encode(&snapshot)));
    let mut states = States::new();
    match Table::compile(&snapshot, &mut states) {
        Ok(table) => serves(&snapshot, &table),
        Err(problems) => assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.is_empty())),
    }
}

fn serves(snapshot: &Snapshot, table: &Table) {
    assert_eq!(
        (table.generation, table.listeners.len(), table.pools.len()),
        (snapshot.generation, snapshot.listeners.len(), snapshot.pools.len())
    );
    for listener in &table.listeners {
        for (method, host, path) in
            [("GET", "a.example", "/"), ("POST", "", "/v1/x%"), ("OPTIONS", "[::1]", "*")]
        {
            let asked = Request {
                method,
                host,
                path: path.as_bytes(),
                query: Some(b"a=b&&c"),
                fields: &[],
                client: None,
                identity: None,
            };
            let Some(found) = listener.index.find(&asked) else { continue };
            if let Action::Pool(pool) = listener.routes[found].action {
                assert!(pool < table.pools.len());
            }
        }
    }
    let mut random = Random::seeded(7);
    for pool in &table.pools {
        let mut picker = Picker::new(pool, &mut random);
        let mut tried = Vec::new();
        while let Some(slot) = picker.pick(pool, Key::NONE, &tried, &mut random) {
            assert!(slot.index() < pool.endpoints.len() && !tried.contains(&slot));
            tried.push(slot);
        }
    }
}
