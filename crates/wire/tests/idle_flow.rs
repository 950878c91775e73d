//! What an idle flow costs in memory: everything that the data plane allocates for it.
#![allow(missing_docs, clippy::print_stdout)]

use bascule_contract::codec::decode;
use bascule_contract::settings::Settings;
use bascule_contract::snapshot::Snapshot;
use bascule_wire::Plane;
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// The system's allocator, counting what is held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The lists of a thread grow by doubling: after this many flows they have room for the next ones.
const FLOWS: usize = 1_025;
const MORE: usize = 512;

fn snapshot(endpoint: &str) -> Snapshot {
    let text = format!(
        r#"{{"contract": 1, "generation": 1, "access_log": null,
        "listeners": [{{"id": "l", "binds": [{{"kind": "tcp", "address": "127.0.0.1:0"}}], "routes": [],
            "timeouts": {{"head_ms": 10000, "body_ms": 10000, "keep_alive_ms": 10000, "send_ms": 10000}},
            "limits": {{"head_bytes": 32768, "headers": 100, "target_bytes": 8192, "body_bytes": null,
                "connections": null, "requests_per_connection": null}},
            "forwarded": {{"x_forwarded": false, "rfc7239": false, "trusted": []}},
            "carries": "tcp", "flows": {{"routes": [{{"id": "r", "server_names": [], "alpn": [], "clients": [],
                "pool": "p", "limits": [], "priority": 5, "idle_ms": 3600000, "total_ms": null}}]}}}}],
        "pools": [{{"id": "p", "algorithm": {{"name": "round_robin", "options": {{}}}},
            "endpoints": [{{"id": "e", "address": {{"kind": "tcp", "address": "{endpoint}"}}, "weight": 1}}],
            "connect_ms": 5000, "idle": {{"per_thread": 0, "timeout_ms": 1000}},
            "retries": {{"attempts": 0, "budget_percent": 20, "budget_minimum": 3}}, "panic_percent": 0}}]}}"#
    );
    decode(text.as_bytes()).expect("a snapshot")
}

/// Opens a flow and says a word in each direction.
fn open(address: &str, endpoint: &TcpListener) -> (TcpStream, TcpStream) {
    let mut client = TcpStream::connect(address).expect("the balancer accepts");
    client.write_all(b"ping").expect("it is there");
    let (mut server, _) = endpoint.accept().expect("the flow arrives");
    let mut word = [0; 4];
    server.read_exact(&mut word).expect("the ping");
    server.write_all(b"pong").expect("it is there");
    client.read_exact(&mut word).expect("the pong");
    (client, server)
}

#[test]
fn an_idle_flow_takes_little_more_than_a_kibibyte() {
    let endpoint = TcpListener::bind("127.0.0.1:0").expect("a port");
    let plane = Plane::start(&Settings { threads: 1, seed: Some(1) }).expect("it starts");
    let receipt =
        plane.apply(snapshot(&endpoint.local_addr().expect("bound").to_string())).expect("it is live");
    let address = receipt.binds[0].address.clone().expect("it is bound");
    let mut flows = Vec::with_capacity(FLOWS + MORE);
    flows.extend((0..FLOWS).map(|_| open(&address, &endpoint)));
    std::thread::sleep(Duration::from_millis(1_500));
    let before = HELD.load(Relaxed);
    flows.extend((0..MORE).map(|_| open(&address, &endpoint)));
    // Those that live longer than a second are prepared for a long life.
    std::thread::sleep(Duration::from_millis(1_500));
    let each = (HELD.load(Relaxed) - before) / MORE;
    println!("{each} bytes for each idle flow, beside its places in the lists of its thread");
    assert!(each <= 1_100, "{each} bytes for each idle flow");
    drop(flows);
    plane.stop(Some(Duration::ZERO));
}
